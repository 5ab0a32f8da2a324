"""Contexts of rare words, kept for the second look that a snapshot may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import Config
from stream_w2v.kernel.contexts import REACH, WAYS, Contexts, forget_context_rows
from stream_w2v.kernel.memory import reserved_zeros

CONTEXT_BYTES = 8 + 4 * 2 * REACH
"""Bytes of one context; each ``WAYS`` of them share one byte more."""


class RareContexts:
    """The latest contexts of words that are rare, in a table that never grows."""

    def __init__(self, config: Config) -> None:
        buckets = context_buckets(config.refresh_contexts)
        self.arrays = Contexts(
            keys=reserved_zeros(buckets * WAYS, np.uint64),
            rows=reserved_zeros(buckets * WAYS * 2 * REACH, np.int32).reshape(-1, 2 * REACH),
            turns=reserved_zeros(buckets, np.uint8),
        )

    def __len__(self) -> int:
        return int(np.count_nonzero(self.arrays.keys))

    def forget(self, gone: NDArray[np.bool_]) -> None:
        """Take evicted words out: bool ``[rows]``."""
        if len(self.arrays.keys):
            forget_context_rows(self.arrays, gone)

    def copy_from(self, other: RareContexts) -> None:
        """Take the state of another one of the same size."""
        for name in Contexts._fields:
            getattr(self.arrays, name)[:] = getattr(other.arrays, name)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays. Equal states give equal arrays."""
        keys, rows, turns = self.arrays
        slots = np.flatnonzero(keys)
        return {
            "contexts.slots": slots,
            "contexts.keys": keys[slots],
            "contexts.rows": rows[slots],
            "contexts.turns": turns,
        }

    def restore(self, tensors: Mapping[str, NDArray[Any]], rows_end: int) -> None:
        """Take the state from what :meth:`tensors` returned.

        Raises
        ------
        KeyError, ValueError
            If the arrays do not fit together: compiled code trusts them.
        """
        names = ("slots", "keys", "rows", "turns")
        slots, keys, rows, turns = (tensors[f"contexts.{name}"] for name in names)
        fits = (
            turns.shape == self.arrays.turns.shape
            and bool(np.all(turns < WAYS))
            and bool(np.all((slots >= 0) & (slots < len(self.arrays.keys))))
            and len(np.unique(slots)) == len(slots) == len(keys) == len(rows)
            and bool(np.all(keys > 0))
            and rows.shape[1:] == (2 * REACH,)
            and bool(np.all((rows >= -1) & (rows < rows_end)))
        )
        if not fits:
            msg = "its contexts contradict themselves"
            raise ValueError(msg)
        self.arrays.keys[slots] = keys
        self.arrays.rows[slots] = rows
        self.arrays.turns[:] = turns


def context_buckets(contexts: int) -> int:
    """Return how many buckets hold so many contexts."""
    return -(-contexts // WAYS)
