"""What one training thread has to itself: scratch memory, its plan, its share of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import Config
from stream_w2v.kernel.learn import COUNTERS, CURSOR, Plan, Scratch, plan_rows
from stream_w2v.kernel.memory import aligned_zeros, reserved_zeros, stride_of
from stream_w2v.kernel.tokenise import PIECE_TOKENS
from stream_w2v.kernel.train import CHUNK, WIDE, Private, Weights
from stream_w2v.kernel.window import BLOCK

_PLANNED_PIECES = 8
"""A thread of several plans so many of the longest pieces at a time, at least."""

PRIVATE_ROWS = 256
"""Rows that each of several threads has copies of, those of the first words that came often enough:
without evictions, the most frequent ones, a third of what the threads write, on text. Two
cores that share a cache hardly notice (0, 128 and 512 differ by less than the noise, 2,048 take
longer to copy); the further apart the caches, the more it saves."""

_SUMMED = 2
"""Threads whose private steps are added up whole; more share so much. Of two, all is as good as
half. Unshared, four threads raise the loss before learning by 20 to 50 %, and six diverge; so it
is within 3 % of one thread's with up to sixteen, on 4 M words of Wikipedia and 3 M of speeches."""


class Workspace:
    """Memory of one training thread. Nothing in it is part of the model's state.

    Parameters
    ----------
    config
        The model's options.
    several
        Whether other threads train at the same time.

    Attributes
    ----------
    scratch, plan, private
        See ``kernel/learn.py`` and ``kernel/train.py``.
    counters
        ``COUNTERS`` ``[1]``: what this thread counts while it trains.
    """

    def __init__(self, config: Config, *, several: bool) -> None:
        rows = plan_rows.py_func(config.replay_passes if config.replay_tokens else 0)
        self.scratch = _scratch(config)
        self.plan = _plan(rows * (_PLANNED_PIECES if several else 1))
        count = min(PRIVATE_ROWS, config.max_vocab_size) if several else 0
        stride = stride_of(config.vector_size)
        share = min(1.0, _SUMMED / config.workers)
        self.private = Private(_weights(count, stride), _weights(count, stride), share)
        self.counters: NDArray[np.void] = np.zeros(1, dtype=COUNTERS)


def _weights(rows: int, stride: int) -> Weights:
    return Weights(*(aligned_zeros(rows, stride) for _ in range(2)),
                   *(aligned_zeros(rows) for _ in range(2)))  # fmt: skip


def _plan(rows: int) -> Plan:
    # A piece that is trained has two words at least.
    pieces = rows // 2
    return Plan(
        rows=reserved_zeros(rows, np.int32),
        ends=reserved_zeros(pieces, np.int64),
        random=reserved_zeros(pieces, np.uint64),
        words=reserved_zeros(pieces, np.int64),
        new=reserved_zeros(pieces, np.uint8),
    )


def _scratch(config: Config) -> Scratch:
    outputs = np.arange(config.negative + 1)
    lanes = outputs // WIDE * BLOCK + outputs % WIDE
    width = int(lanes[-1]) // BLOCK * BLOCK + BLOCK
    stride = stride_of(config.vector_size)
    nothing = aligned_zeros(stride)
    targets = aligned_zeros(width)
    targets[0] = 1.0

    def of_piece(kind: Any) -> NDArray[Any]:
        return np.zeros(PIECE_TOKENS, dtype=kind)

    return Scratch(
        found=of_piece(np.int32),
        numbers=of_piece(np.int32),
        places=of_piece(np.int32),
        radii=of_piece(np.int32),
        turns=np.zeros(PIECE_TOKENS + 1, dtype=np.int32),
        input_rates=aligned_zeros(PIECE_TOKENS),
        row_addresses=of_piece(np.int64),
        input_addresses=of_piece(np.int64),
        other_rates=of_piece(np.float32),
        draws=np.zeros(CHUNK * config.negative, dtype=np.uint64),
        rows=np.zeros(CHUNK * len(outputs), dtype=np.int32),
        lanes=lanes,
        # What stands between the lanes never counts: its row is the zeros, its weight 0.
        output_addresses=np.full((CHUNK, width), nothing.ctypes.data, dtype=np.int64),
        output_weights=aligned_zeros(CHUNK, width),
        output_rates=aligned_zeros(CHUNK, width),
        looked_inputs=np.zeros(2 * config.window + 1, dtype=np.int64),
        looked_outputs=np.zeros(BLOCK, dtype=np.int64),
        looked_weights=aligned_zeros(BLOCK),
        targets=targets,
        errors=np.zeros((3, 2 * config.window + 1, BLOCK), dtype=np.float32),
        nothing=nothing,
        copy=aligned_zeros(stride),
        cursor=np.zeros(1, dtype=CURSOR),
    )
