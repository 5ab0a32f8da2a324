"""All that a model is: what the kernels change, what is saved, and room for more of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import Config
from stream_w2v.contexts import RareContexts
from stream_w2v.errors import ConfigError
from stream_w2v.kernel.count import (
    CANDIDATES_FULL,
    ROWS_FULL,
    SCALE_FULL,
    TABLE_FULL,
    WORDS_FULL,
)
from stream_w2v.kernel.learn import COUNTERS, OPTIONS
from stream_w2v.kernel.memory import reserved_zeros, stride_of
from stream_w2v.kernel.train import Weights
from stream_w2v.noise import NoiseDistribution
from stream_w2v.replay import Replay
from stream_w2v.schedules import Schedule
from stream_w2v.vocabulary import Vocabulary

RARE = 4
"""A word is rare up to so many times ``min_count``: it has met too few contexts to know it by, and
some of them before it had a row. 20 occurrences at the default; with 50, rare words gained no more
on one of two texts."""


class State:
    """The state of a model: a function of its options and of the records that it has learnt.

    Parameters
    ----------
    config
        The options.

    Attributes
    ----------
    config
        As above.
    schedule
        What it says of learning rates.
    vocabulary, noise, contexts, replay, weights
        The parts.
    counters, options
        ``COUNTERS`` ``[1]`` and ``OPTIONS`` ``[1]``, as the kernels see them.

    Raises
    ------
    ConfigError
        If there are not so many addresses for the rows.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.schedule = Schedule.from_config(config)
        try:
            self.vocabulary = Vocabulary(config)
            self.noise = NoiseDistribution(config.ns_exponent, config.max_vocab_size)
            self.weights = reserved_weights(config.max_vocab_size, stride_of(config.vector_size))
            self.contexts = RareContexts(config)
            self.replay = Replay(config)
        except MemoryError as error:
            rows = config.max_vocab_size
            msg = f"no memory can be reserved for {rows:,} words: use a lower max_vocab_size"
            if config.replay_tokens or config.refresh_contexts:
                msg += ", replay_tokens or refresh_contexts"
            raise ConfigError(msg) from error
        self.counters: NDArray[np.void] = np.zeros(1, dtype=COUNTERS)
        self.options = _options(config, self.schedule)

    def arrays(self) -> tuple[Any, ...]:
        """Return what the kernels of ``kernel/learn.py`` take, in their order."""
        return (
            self.vocabulary.arrays,
            self.noise.arrays,
            self.weights,
            self.contexts.arrays if self.config.refresh_contexts else None,
            self.replay.arrays if self.config.replay_tokens else None,
        )

    def make_room(self, status: int) -> None:
        """Make the room that a kernel asked for."""
        if status == WORDS_FULL:
            self.vocabulary.grow_words()
        elif status == CANDIDATES_FULL:
            self.counters[0]["forgotten"] += self.vocabulary.make_candidate_room()
        elif status == SCALE_FULL:
            self.vocabulary.scale_down()
            self.noise.rebuild(self.vocabulary.scaled_counts)
        elif status == TABLE_FULL:
            self.vocabulary.grow_table()
        elif status == ROWS_FULL:
            self._evict()

    def _evict(self) -> None:
        rows = self.vocabulary.evict()
        self.counters[0]["evicted"] += len(rows)
        for array in self.weights:
            array[rows] = 0.0
        # Nothing may name a row that another word is about to get.
        gone = np.zeros(self.vocabulary.rows_end, dtype=np.bool_)
        gone[rows] = True
        self.contexts.forget(gone)
        self.replay.forget(gone)
        self.noise.rebuild(self.vocabulary.scaled_counts)

    def copied_weights(self) -> Weights:
        """Return a copy of the weights of all rows that ever held a word."""
        end = self.vocabulary.rows_end
        copy = reserved_weights(end, self.weights.input_vectors.shape[1])
        for ours, theirs in zip(copy, self.weights, strict=True):
            ours[:] = theirs[:end]
        return copy

    def copy_from(self, other: State) -> None:
        """Take the state of another one with the same options, as fast as memory is copied."""
        end = other.vocabulary.rows_end
        for mine, theirs in zip(self.weights, other.weights, strict=True):
            mine[:end] = theirs[:end]
        self.vocabulary.copy_from(other.vocabulary)
        self.noise.copy_from(other.noise)
        self.contexts.copy_from(other.contexts)
        self.replay.copy_from(other.replay)
        self.counters[:] = other.counters

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays, most of them views of the live ones.

        Equal states give equal arrays, bit for bit.
        """
        end = self.vocabulary.rows_end
        return {
            **{f"weights.{name}": getattr(self.weights, name)[:end] for name in Weights._fields},
            **self.vocabulary.tensors(),
            **self.noise.tensors(end),
            **self.contexts.tensors(),
            **self.replay.tensors(),
            **{f"counters.{name}": self.counters[name] for name in COUNTERS.names or ()},
        }

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the state from what :meth:`tensors` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the arrays do not fit together: compiled code trusts them.
        """
        for name, mine in self.tensors().items():
            if (tensors[name].dtype, tensors[name].ndim) != (mine.dtype, mine.ndim):
                msg = f"{name} is of another kind"
                raise ValueError(msg)
        self.vocabulary.restore(tensors)
        end = self.vocabulary.rows_end
        for name in Weights._fields:
            getattr(self.weights, name)[:end] = tensors[f"weights.{name}"]
        self.noise.restore(tensors)
        self.contexts.restore(tensors, end)
        self.replay.restore(tensors, end)
        for name in COUNTERS.names or ():
            self.counters[name] = tensors[f"counters.{name}"]


def reserved_weights(rows: int, stride: int) -> Weights:
    """Return weights of 0; memory is taken only for the rows that are used."""
    return Weights(
        input_vectors=reserved_zeros(rows * stride, np.float32, huge=True).reshape(rows, stride),
        output_vectors=reserved_zeros(rows * stride, np.float32, huge=True).reshape(rows, stride),
        input_windows=reserved_zeros(rows, np.float32),
        output_windows=reserved_zeros(rows, np.float32),
    )


def _options(config: Config, schedule: Schedule) -> NDArray[np.void]:
    options = np.zeros(1, dtype=OPTIONS)
    for name in ("seed", "vector_size", "window", "negative", "min_count", "max_candidates",
                 "sample", "replay_sample", "ns_exponent", "noise_staleness"):  # fmt: skip
        options[name] = getattr(config, name)
    options["rare_count"] = RARE * config.min_count
    options["half_life"] = config.half_life or 0.0
    options["schedule"] = schedule.code
    options["learning_rate"] = schedule.learning_rate
    options["min_learning_rate"] = schedule.floor
    options["rate_start"] = schedule.start
    options["rate_slope"] = schedule.slope
    options["rate_tokens"] = schedule.tokens
    return options
