"""Contexts of rare words, kept for a second look.

A rare word meets few contexts, most of them before it has a row. So that a snapshot can train it
once more on all of them, the contexts of each word's first occurrences are kept, in a table of
fixed size: a context goes to the bucket that the word's hash and the number of the occurrence
name. When a bucket is full the new context takes the place of its oldest. A word that is no longer
rare gives its places up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point, inlined
from stream_w2v.kernel.random import GOLDEN, below, mix

REACH = 5
"""Words that are kept on either side, as many as the default window reaches: more distant ones say
less about a rare word, and with 5 a context is 48 bytes."""

WAYS = 8
"""Places in a bucket: their keys are one cache line. A full bucket loses a context though another
has room; after 17 M tokens 85 % of 650,000 places were taken."""


class Contexts(NamedTuple):
    """The contexts that are kept.

    Attributes
    ----------
    keys
        uint64 ``[n]``, n a multiple of ``WAYS``: of a word and an occurrence; 0 is free.
    rows
        int32 ``[n, 2 * REACH]``: the rows of the words before, the nearest last, and of those
        after, the nearest first; -1 for none.
    turns
        uint8 ``[n / WAYS]``: the place that each bucket gives away next.
    """

    keys: NDArray[np.uint64]
    rows: NDArray[np.int32]
    turns: NDArray[np.uint8]


@inlined
def _key(value, number):
    """Return the key of a word's occurrence, from the word's hash; never 0."""
    return mix(value + np.uint64(number) * GOLDEN) | np.uint64(1)


@compiled
def context_slot(contexts, value, number):
    """Return the place of a word's occurrence, or -1."""
    key = _key(value, number)
    begin = below(key, len(contexts.turns)) * WAYS
    for slot in range(begin, begin + WAYS):
        if contexts.keys[slot] == key:
            return slot
    return -1


@compiled
def remember_context(contexts, value, number, kept, count, place, own):
    """Keep the context of an occurrence.

    Parameters
    ----------
    contexts
        ``Contexts``, updated.
    value, number
        The word's hash, and which of its occurrences this is.
    kept, count
        int32: the rows of the piece's words that are trained, and how many.
    place
        How many of them stand before the word.
    own
        1 if the word at that place is the same word, itself as a rule, else 0.
    """
    keys, rows, turns = contexts
    key = _key(value, number)
    bucket = below(key, len(turns))
    begin = bucket * WAYS
    chosen = -1
    for slot in range(begin, begin + WAYS):
        if keys[slot] == key:
            chosen = slot
            break
        if keys[slot] == 0 and chosen < 0:
            chosen = slot
    if chosen < 0:
        chosen = begin + turns[bucket]
        turns[bucket] = (turns[bucket] + 1) % WAYS
    keys[chosen] = key
    for k in range(REACH):
        before = place - REACH + k
        rows[chosen, k] = kept[before] if before >= 0 else -1
        after = place + own + k
        rows[chosen, REACH + k] = kept[after] if after < count else -1


@compiled
def forget_contexts(contexts, value, numbers):
    """Free the places of a word's occurrences 1..numbers."""
    for number in range(1, numbers + 1):
        slot = context_slot(contexts, value, number)
        if slot >= 0:
            contexts.keys[slot] = 0


@entry_point
def forget_context_rows(contexts, gone):
    """Take evicted rows out of every context: ``gone`` is bool ``[rows]``."""
    rows = contexts.rows
    for slot in range(len(rows)):
        for k in range(2 * REACH):
            row = rows[slot, k]
            if row >= 0 and gone[row]:
                rows[slot, k] = -1
