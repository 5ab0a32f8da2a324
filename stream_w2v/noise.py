"""The noise distribution: words drawn by their counts to the power 3/4, always nearly fresh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel import noise as kernel
from stream_w2v.kernel.noise import NOISE_STATE, NoiseArrays


class NoiseDistribution:
    """Rows drawn with probability ``count ** exponent / sum``, through an alias table.

    The table is rebuilt, here and in the kernel alike, when :attr:`staleness` exceeds a limit.
    With counts that only grow, that takes O(log N / limit) rebuilds over N tokens.

    Parameters
    ----------
    exponent
        Power of the counts, 0..1.
    capacity
        Rows to have room for at first.
    """

    def __init__(self, exponent: float = 0.75, capacity: int = 0) -> None:
        self.exponent = exponent
        self.arrays = NoiseArrays(
            masses=np.zeros(capacity, dtype=np.float64),
            table=np.zeros(capacity, dtype=np.uint64),
            shares=np.empty(capacity, dtype=np.float64),
            order=np.empty(capacity, dtype=np.int64),
            state=np.zeros(1, dtype=NOISE_STATE),
        )

    @property
    def staleness(self) -> float:
        """Bound on the total variation distance between the table and the live distribution."""
        state = self.arrays.state[0]
        if state["built_mass"] <= 0.0:
            return 1.0 if state["mass"] > 0.0 else 0.0
        return max(0.0, float(1.0 - state["built_mass"] / state["mass"]))

    @property
    def rebuilds(self) -> int:
        """How often the table has been built."""
        return int(self.arrays.state[0]["rebuilds"])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The live distribution over the rows: float64 ``[capacity]``, 0 for a free row."""
        masses = self.arrays.masses
        total = masses.sum()
        return masses / total if total > 0.0 else masses.copy()

    @property
    def table_probabilities(self) -> NDArray[np.float64]:
        """The distribution that the table draws from: float64 ``[capacity]``."""
        size = int(self.arrays.state[0]["size"])
        entries = self.arrays.table[:size]
        own = (entries >> np.uint64(32)).astype(np.float64) / 2.0**32
        other = (entries & np.uint64(0xFFFFFFFF)).astype(np.int64)
        result = np.zeros(len(self.arrays.masses))
        result[:size] = own
        np.add.at(result, other, 1.0 - own)
        return result / max(size, 1)

    def draw(self, size: int, seed: int) -> NDArray[np.int64]:
        """Draw ``size`` rows, int64, independently of the model's own draws.

        Raises
        ------
        ValueError
            If the table has not been built: no word has a row.
        """
        if self.arrays.state[0]["size"] == 0:
            msg = "there is no word to draw yet"
            raise ValueError(msg)
        rows = np.empty(size, dtype=np.int64)
        kernel.draw_rows(self.arrays, seed, rows)
        return rows

    def recount(self, counts: NDArray[np.float64]) -> None:
        """Take every row's count anew (float64 ``[rows]``, 0 for a free row) and build the table."""
        self.reserve(len(counts))
        kernel.recount(self.arrays, counts, self.exponent)

    def rebuild(self, rows_end: int) -> None:
        """Build the table from the masses of the rows below ``rows_end``."""
        kernel.rebuild(self.arrays, rows_end)

    def reserve(self, capacity: int) -> None:
        """Make room for so many rows."""
        masses, table, shares, order, state = self.arrays
        more = capacity - len(masses)
        if more > 0:
            self.arrays = NoiseArrays(
                masses=np.concatenate([masses, np.zeros(more)]),
                table=np.concatenate([table, np.zeros(more, dtype=np.uint64)]),
                shares=np.empty(capacity, dtype=np.float64),
                order=np.empty(capacity, dtype=np.int64),
                state=state,
            )

    def tensors(self, rows_end: int) -> dict[str, NDArray[Any]]:
        """Return the state as arrays, views of the live ones."""
        return {
            "noise.masses": self.arrays.masses[:rows_end],
            "noise.table": self.arrays.table[:rows_end],
            **{f"noise.{name}": self.arrays.state[name] for name in NOISE_STATE.names or ()},
        }

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the state from what :meth:`tensors` returned."""
        rows_end = len(tensors["noise.masses"])
        self.arrays.masses[:rows_end] = tensors["noise.masses"]
        self.arrays.table[:rows_end] = tensors["noise.table"]
        for name in NOISE_STATE.names or ():
            self.arrays.state[name] = tensors[f"noise.{name}"]
