"""The noise distribution: words drawn by their counts to the power 3/4, always nearly fresh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.errors import EmptyVocabularyError
from stream_w2v.kernel import noise as kernel
from stream_w2v.kernel.memory import reserved_zeros
from stream_w2v.kernel.noise import NOISE_STATE, NoiseArrays


class NoiseDistribution:
    """Rows drawn with probability ``count ** exponent / sum``, through an alias table.

    The table is rebuilt, here and in the kernel alike, when :attr:`staleness` exceeds a limit.
    With counts that only grow, that takes O(log N / limit) rebuilds over N tokens.

    Parameters
    ----------
    exponent
        Power of the counts, 0..1.
    max_rows
        Most rows there can be. Memory is taken only for those there are.
    """

    def __init__(self, exponent: float = 0.75, max_rows: int = 1_000_000) -> None:
        self.exponent = exponent
        self.arrays = NoiseArrays(
            table=reserved_zeros(max_rows, np.uint64),
            shares=reserved_zeros(max_rows, np.float64),
            order=reserved_zeros(max_rows, np.int32),
            state=np.zeros(1, dtype=NOISE_STATE),
        )

    @property
    def staleness(self) -> float:
        """Bound on the total variation distance between the table and the live distribution."""
        state = self.arrays.state[0]
        return float(kernel.staleness.py_func(state["mass"], state["built_mass"]))

    @property
    def rebuilds(self) -> int:
        """How often the table has been built."""
        return int(self.arrays.state[0]["rebuilds"])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """What the table draws, computed from it: float64 ``[rows]``."""
        size = int(self.arrays.state[0]["size"])
        entries = self.arrays.table[:size]
        own = (entries >> np.uint64(32)).astype(np.float64) / 2.0**32
        other = (entries & np.uint64(0xFFFFFFFF)).astype(np.int64)
        result = own.copy()
        np.add.at(result, other, 1.0 - own)
        return result / max(size, 1)

    def draw(self, size: int, seed: int) -> NDArray[np.int64]:
        """Draw ``size`` rows, int64, independently of the model's own draws.

        Raises
        ------
        EmptyVocabularyError
            If no word has a row yet.
        """
        if self.arrays.state[0]["size"] == 0:
            msg = "there is no word to draw yet: learn some text first"
            raise EmptyVocabularyError(msg)
        rows = np.empty(size, dtype=np.int64)
        kernel.draw_rows(self.arrays, seed, rows)
        return rows

    def rebuild(self, counts: NDArray[np.float64]) -> None:
        """Build the table from every row's count: float64 ``[rows]``, 0 for a free row.

        Raises
        ------
        ValueError
            If there are more than ``max_rows``.
        """
        if len(counts) > len(self.arrays.table):
            msg = f"there are {len(counts)} counts, and room for {len(self.arrays.table)}"
            raise ValueError(msg)
        kernel.rebuild(self.arrays, counts, self.exponent)

    def copy_from(self, other: NoiseDistribution) -> None:
        """Take the table of another one with as many rows at most."""
        size = int(other.arrays.state[0]["size"])
        self.arrays.table[:size] = other.arrays.table[:size]
        self.arrays.state[:] = other.arrays.state

    def tensors(self, rows_end: int) -> dict[str, NDArray[Any]]:
        """Return the state as arrays, views of the live ones."""
        return {
            "noise.table": self.arrays.table[:rows_end],
            **{f"noise.{name}": self.arrays.state[name] for name in NOISE_STATE.names or ()},
        }

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the state from what :meth:`tensors` returned.

        Raises
        ------
        KeyError, ValueError
            If the arrays do not fit together: compiled code trusts them.
        """
        table = tensors["noise.table"]
        size = tensors["noise.size"].item()
        others = table[:size] & np.uint64(0xFFFFFFFF)
        if not 0 <= size <= len(table) or np.any(others >= np.uint64(size)):
            msg = "its noise table contradicts itself"
            raise ValueError(msg)
        self.arrays.table[: len(table)] = table
        for name in NOISE_STATE.names or ():
            self.arrays.state[name] = tensors[f"noise.{name}"]
