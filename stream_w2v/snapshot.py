"""Snapshots: what is copied while training waits, and what is made of it afterwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import Config
from stream_w2v.errors import ConfigError
from stream_w2v.kernel.learn import catch_up
from stream_w2v.kernel.memory import touched
from stream_w2v.kernel.refresh import gather, gather_more, gather_sums, refresh, reorder
from stream_w2v.kernel.tokenise import MAX_WORD_BYTES
from stream_w2v.kernel.train import Weights
from stream_w2v.learner import Learner
from stream_w2v.state import State
from stream_w2v.vectors import KeyedVectors
from stream_w2v.vocabulary import WordList
from stream_w2v.workspace import Workspace

COMBINATIONS = ("input", "sum")

DEFAULT_COMBINATION = "sum"
"""Of one pass over 17 M tokens of Wikipedia (WordSim353, SimLex-999, analogies; means of three
seeds) ``sum`` gives .614/.258/.206 and ``input`` .590/.255/.175; of 6 M of speeches .324/.314/.056
and .327/.279/.053."""

OUTPUT_SHARE = 0.5
"""How much of the output vector ``sum`` adds. On Wikipedia all of it is as good, on the speeches
it costs .045 of WordSim353."""

_REFRESH_PASSES = 4
"""How often a refresh looks at each context: on Wikipedia, after a replay, 1, 2, 4 and 8 looks give
analogies of .252, .257, .261 and .266, and WordSim353 and SimLex-999 do not move."""

_NEW_WORDS = 1000
"""Words that may come between getting memory for a snapshot and taking it, for which it does."""


def check_snapshot(config: Config, combine: str, refreshed: bool) -> None:
    """Refuse what no snapshot of a model with these options can be.

    Raises
    ------
    ConfigError
        If ``combine`` is not known, or there is nothing to refresh from.
    """
    if combine not in COMBINATIONS:
        msg = f"combine must be one of {', '.join(COMBINATIONS)}, not {combine!r}"
        raise ConfigError(msg)
    if refreshed and not (config.refresh_contexts or config.replay_tokens):
        msg = "there is nothing to refresh from: set refresh_contexts, or replay_tokens"
        raise ConfigError(msg)


def take(
    state: State,
    learner: Learner,
    *,
    combine: str,
    refreshed: bool,
    since: int = 0,
    last: bool = False,
) -> KeyedVectors:
    """Take a snapshot: see :meth:`stream_w2v.Word2Vec.snapshot`; ``last`` releases the state."""
    check_snapshot(state.config, combine, refreshed)
    # All memory comes first, and whatever needs no other thread to wait comes last.
    vocabulary, size = state.vocabulary, state.config.vector_size
    many = len(vocabulary.rows(since)) + _NEW_WORDS
    words = WordList.of_size(many, vocabulary.words_end + _NEW_WORDS * MAX_WORD_BYTES // 8)
    room = _room(0 if last else many, size)
    # A first call compiles, or at least loads.
    _copy(state.weights, words.rows[:0], room[:0], combine)
    with learner.whole():
        words = vocabulary.list_words(words, since)
        if last:
            # No row moves to where one stands that is still to be read.
            learner.released = True
            room = state.weights.input_vectors.reshape(-1)[: len(words.rows) * size]
            room = room.reshape(-1, size)
        elif len(words.rows) > len(room):
            room = _room(len(words.rows), size)
        vectors = room[: len(words.rows)]
        increment = vocabulary.increment
        if refreshed:
            _copy_refreshed(state, words.rows, vectors, combine, last)
        else:
            _copy(state.weights, words.rows, vectors, combine)
        if last:
            state.weights = state.weights._replace(output_vectors=_room(0, size))
    order = np.argsort(-words.counts, kind="stable")
    reorder(vectors, order.copy())
    counts = np.rint(words.counts[order] / increment)
    return KeyedVectors(words.packed(order), vectors, counts)


def _copy(
    weights: Weights, rows: NDArray[np.int64], vectors: NDArray[np.float32], combine: str
) -> None:
    if combine == "sum":
        share = np.float32(OUTPUT_SHARE)
        gather_sums(weights.input_vectors, weights.output_vectors, rows, share, vectors)
    else:
        gather(weights.input_vectors, rows, vectors)


def _copy_refreshed(
    state: State,
    rows: NDArray[np.int64],
    vectors: NDArray[np.float32],
    combine: str,
    last: bool,
) -> None:
    """Copy the rows of weights that have caught up with the replay, and refresh rare words."""
    config, weights = state.config, state.weights
    space = Workspace(config, several=False)
    if config.replay_tokens:
        weights = weights if last else state.copied_weights()
        catch_up(
            state.vocabulary.arrays, state.noise.arrays, weights, state.replay.arrays,
            space.scratch, space.plan, space.private, state.options.copy(), state.counters.copy(),
        )  # fmt: skip
    gather(weights.input_vectors, rows, vectors)
    if config.refresh_contexts:
        refresh(
            vectors, rows, state.vocabulary.arrays, state.noise.arrays, weights,
            state.contexts.arrays, space.scratch, space.private, state.options, _REFRESH_PASSES,
        )  # fmt: skip
    if combine == "sum":
        gather_more(weights.output_vectors, rows, np.float32(OUTPUT_SHARE), vectors)


def _room(rows: int, vector_size: int) -> NDArray[np.float32]:
    return touched(rows * vector_size, np.float32, huge=True).reshape(rows, vector_size)
