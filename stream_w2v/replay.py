"""The replay: the latest tokens, each trained again with delay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import Config
from stream_w2v.kernel.memory import reserved_zeros
from stream_w2v.kernel.replay import Ring, forget_replay_rows
from stream_w2v.kernel.tokenise import PIECE_TOKENS


class Replay:
    """A ring of the latest tokens, of 4 bytes each, and how far each pass over it has come."""

    def __init__(self, config: Config) -> None:
        self.arrays = Ring(
            tokens=reserved_zeros(ring_tokens(config.replay_tokens), np.int32),
            places=np.zeros(1 + config.replay_passes, dtype=np.int64),
        )
        passes = np.arange(1, 1 + config.replay_passes)
        self._lags = config.replay_tokens * passes // config.replay_passes

    def forget(self, gone: NDArray[np.bool_]) -> None:
        """Take evicted words out: bool ``[rows]``."""
        if len(self.arrays.tokens):
            forget_replay_rows(self.arrays, gone)

    def copy_from(self, other: Replay) -> None:
        """Take the state of another one of the same size."""
        used = min(int(other.arrays.places[0]), len(other.arrays.tokens))
        self.arrays.tokens[:used] = other.arrays.tokens[:used]
        self.arrays.places[:] = other.arrays.places

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays: what some pass has yet to come to, the oldest first."""
        tokens, places = self.arrays
        return {
            "replay.tokens": tokens[self._slots(places)] if len(tokens) else tokens,
            "replay.places": places,
        }

    def _slots(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the tokens are that some pass has yet to come to."""
        slots: NDArray[np.int64] = np.arange(places.min(), places[0]) % len(self.arrays.tokens)
        return slots

    def restore(self, tensors: Mapping[str, NDArray[Any]], rows_end: int) -> None:
        """Take the state from what :meth:`tensors` returned.

        Raises
        ------
        KeyError, ValueError
            If the arrays do not fit together: compiled code trusts them.
        """
        saved, places = tensors["replay.tokens"], tensors["replay.places"]
        tokens = self.arrays.tokens
        # Every pass stands where a piece begins.
        ends = np.flatnonzero(saved & 1) + 1
        passed = places[1:] - places.min(initial=2**62)
        fits = (
            places.shape == self.arrays.places.shape
            and bool(np.all((places >= 0) & (places <= places[0])))
            and len(saved) == places[0] - places.min()
            and bool(np.all(places[0] - places[1:] <= self._lags))
            and bool(np.all((saved >= -2) & (saved < 2 * rows_end)))
            and (len(saved) == 0 or saved[-1] & 1 == 1)
            and bool(np.all(np.diff(ends, prepend=0) <= PIECE_TOKENS))
            and bool(np.isin(passed, np.append(ends, 0)).all())
        )
        if not fits:
            msg = "its replay contradicts itself"
            raise ValueError(msg)
        if len(tokens):
            tokens[self._slots(places)] = saved
        self.arrays.places[:] = places


def ring_tokens(replay_tokens: int) -> int:
    """Return how many tokens the ring holds: also the piece that is being written."""
    return replay_tokens + PIECE_TOKENS if replay_tokens else 0
