"""The vector of a text: those of its words, pooled, as the model has them now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.errors import ConfigError
from stream_w2v.kernel import pool as kernel
from stream_w2v.kernel.compile import SameTypes
from stream_w2v.learner import Learner
from stream_w2v.snapshot import OUTPUT_SHARE
from stream_w2v.state import State
from stream_w2v.text import TokenBlock

POOLINGS = {"mean": kernel.MEAN, "sif": kernel.SIF, "max": kernel.MAX}
"""Ways to pool: the mean; the mean with the weights of smooth inverse frequency (Arora, Liang & Ma,
A simple but tough-to-beat baseline for sentence embeddings, 2017); the largest of each number."""

_SMOOTH = 1e-3
"""The a of a / (a + p(w)). The paper finds 1e-3 to 1e-4 equally good, whatever the corpus."""

_FADING = 3.0
"""How many times more than its share the latest text counts for the component, so that those of
vectors that have moved since fade. The authors of CCIPCA use 3 to 5 (their l is 2 to 4)."""


def check_pooling(pooling: str) -> None:
    """Refuse what is no way to pool.

    Raises
    ------
    ConfigError
        If ``pooling`` is not known.
    """
    if not isinstance(pooling, str) or pooling not in POOLINGS:
        msg = f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}"
        raise ConfigError(msg)


class Pooler:
    """Pools the words of texts, from the live rows of a model.

    Parameters
    ----------
    state, learner
        The model, and who may learn when.
    """

    def __init__(self, state: State, learner: Learner) -> None:
        self._state = state
        self._learner = learner
        self._pool = SameTypes(kernel.pool)
        self._nothing = np.zeros(state.config.vector_size)

    def pool(
        self,
        blocks: Iterable[TokenBlock],
        records: int,
        pooling: str,
        removed: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Pool the words of so many records: float64 ``[records, vector_size]``.

        ``removed`` is as in :meth:`stream_w2v.Word2Vec.pool_one`.
        """
        check_pooling(pooling)
        state, size = self._state, self._state.config.vector_size
        removed = self._nothing if removed is None else _direction(removed, size)
        pooled = np.zeros((records, size))
        known = np.zeros(records, dtype=np.int64)
        record = 0
        with self._learner.whole():
            for block in blocks:
                record = self._pool(
                    block.tokens, block.pieces, state.vocabulary.arrays, state.weights,
                    OUTPUT_SHARE, POOLINGS[pooling], _SMOOTH, removed, record, known, pooled,
                )  # fmt: skip
        return pooled


def _direction(removed: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    direction = np.array(removed, dtype=np.float64)
    if direction.shape != (size,):
        msg = f"removed must be {size} numbers, not an array of shape {direction.shape}"
        raise ConfigError(msg)
    length = np.linalg.norm(direction)
    return direction / length if length > 0 else direction


class Component:
    """The first principal component of vectors, one of which comes after the other.

    Parameters
    ----------
    size
        Length of a vector.

    Attributes
    ----------
    direction
        float64 ``[size]``: towards the component, of any length; zeros before the first vector.
    vectors
        How many came, but for those of zeros.
    """

    def __init__(self, size: int) -> None:
        self.direction = np.zeros(size)
        self.vectors = 0

    def copy(self) -> Component:
        """Return one that goes on from here by itself."""
        return Component.from_dict(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it, from which the same bits come back."""
        return {"direction": self.direction.tolist(), "vectors": self.vectors}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Component:
        """Make what :meth:`to_dict` returned."""
        component = cls(len(values["direction"]))
        component.direction[:] = values["direction"]
        component.vectors = values["vectors"]
        return component

    def follow(self, vector: NDArray[np.float64]) -> None:
        """See one more vector, float64 ``[size]``."""
        if vector.any():
            self.vectors += 1
            kernel.follow(vector, _FADING / (self.vectors + _FADING - 1.0), self.direction)
