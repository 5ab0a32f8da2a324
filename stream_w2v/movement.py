"""How far words move: between two looks at live rows, for as much as they were trained.

A step moves a vector by its rate times the error, so over n windows the square of what a settled
vector moves is about ``n rate^2``. The logarithm of the cosine distance (half of that square, for
vectors of length 1) less that of ``n rate^2`` is what is left: how large the errors were. It stays
where it is while a text goes on as before, whatever rates and counts do meanwhile, and rises where
a word is used in another way than was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel import pool as kernel
from stream_w2v.learner import Learner
from stream_w2v.state import State
from stream_w2v.text import token_block, words_record

_LEAST = 1e-12  # cosine distances of vectors that moved by rounding alone are below


class Look(NamedTuple):
    """Words as they were at one moment.

    Attributes
    ----------
    words
        The words.
    rows
        int64 ``[n]``: their rows, -1 for those that have none.
    vectors
        float32 ``[n, vector_size]``: their input vectors.
    windows
        float64 ``[n]``: windows that they have trained in.
    evicted
        Words that the model had evicted by then.
    """

    words: list[str]
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    windows: NDArray[np.float64]
    evicted: int


def look(state: State, learner: Learner, words: Sequence[str] | int) -> Look:
    """Look at words, or at so many of the most frequent ones: see :meth:`Word2Vec.look`."""
    with learner.whole():
        if isinstance(words, int):
            vocabulary = state.vocabulary
            rows = vocabulary.rows()
            counts = vocabulary.scaled_counts[rows]
            if words < len(rows):
                rows = rows[np.argpartition(-counts, words)[:words]]
            names = vocabulary.words(rows)
        else:
            names = list(words)
            rows = _rows(state, names)
        return Look(names, rows, *_live(state, rows), _evicted(state))


def movement(state: State, learner: Learner, before: Look) -> NDArray[np.float64]:
    """Return how far words moved since a look: see :meth:`Word2Vec.movement`."""
    with learner.whole():
        there = before.rows >= 0
        if _evicted(state) != before.evicted:
            # An evicted word's row may hold another one by now, or the word another row.
            there &= _rows(state, before.words) == before.rows
        vectors, windows = _live(state, before.rows)
        tokens = int(state.counters[0]["words"])
    trained = windows - before.windows
    rates = [
        state.schedule.rates(counts.astype(np.float32), tokens)
        for counts in (before.windows, windows)
    ]
    steps = trained * rates[0] * rates[1]
    # At a rate of 0 nothing moves, and that says nothing of the text.
    there &= steps > 0
    old, new = (v[there].astype(np.float64) for v in (before.vectors, vectors))
    lengths = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    cosines = np.einsum("ij,ij->i", old, new) / np.maximum(lengths, _LEAST)
    result = np.full(len(there), np.nan)
    result[there] = np.log(np.maximum(1 - cosines, _LEAST))
    result[there] -= np.log(steps[there])
    return result


def _rows(state: State, words: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows of words, -1 for those that have none."""
    rows = np.full(len(words), -1, dtype=np.int64)
    # A record each, because a word that is too long for any row is left out of its record.
    block = token_block([words_record([word]) for word in words])
    kernel.find_rows(block.tokens, block.pieces, state.vocabulary.arrays, rows)
    return rows


def _evicted(state: State) -> int:
    return int(state.counters[0]["evicted"])


def _live(state: State, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return copies of the input vectors of rows, and their windows; of -1 nothing that counts."""
    size = state.config.vector_size
    vectors = state.weights.input_vectors[rows, :size]
    return vectors, state.weights.input_windows[rows].astype(np.float64)
