"""Text without an end, in which new words never cease to appear."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numba import njit

from stream_w2v.stream import Batch

RECORD_TOKENS = 50
BATCH_TOKENS = 500 * RECORD_TOKENS
"""About as many bytes as a batch of a ``FileSource``."""

# The law of word frequencies in English, whose tail sets how fast the vocabulary grows: shares
# fall with the rank r as 1 / r, and as r ** -1.77 after the 7,873rd word (Gerlach & Altmann,
# Stochastic model for the vocabulary growth in natural languages, 2013).
_HEAD = 7873
_DECAY = 1.77
_SCALE = math.log(_HEAD) + 1 / (_DECAY - 1)
_HEAD_SHARE = math.log(_HEAD) / _SCALE

_LAST_RANK = 2.0**53  # beyond it not every whole number is a float64
_CONSONANTS = np.frombuffer(b"bcdfghjklmnpqrstvwxz", dtype=np.uint8)
_VOWELS = np.frombuffer(b"aeiou", dtype=np.uint8)
_SYLLABLES = len(_CONSONANTS) * len(_VOWELS)
LONGEST = 2 * 8 + 1
"""Letters of the last rank, and what ends the word."""


@njit
def spell(rank, text, size):
    """Write a rank in syllables from a place on, the first ranks the shortest; return the end."""
    while rank > 0:
        rank, syllable = divmod(rank - 1, _SYLLABLES)
        text[size] = _CONSONANTS[syllable // len(_VOWELS)]
        text[size + 1] = _VOWELS[syllable % len(_VOWELS)]
        size += 2
    return size


@njit
def end_word(text, size, ends, token, every):
    """End word number ``token``, the last of its record if that is full; return the end."""
    record, place = divmod(token + 1, every)
    text[size] = ord(" ") if place else ord("\n")
    size += 1
    if place == 0:
        ends[record - 1] = size
    return size


# Cached, because compiling would show in the memory of the measured process.
@njit(cache=True)
def _write(uniforms, text, ends):
    """Write a word for each number drawn; return the bytes written.

    The rank comes from the inverse of the distribution function, so it needs no table and has no
    bound that matters.
    """
    size = 0
    for token in range(len(uniforms)):
        share = uniforms[token]
        if share < _HEAD_SHARE:
            rank = math.exp(share * _SCALE)
        else:
            rank = _HEAD * ((1.0 - share) / (1.0 - _HEAD_SHARE)) ** (-1.0 / (_DECAY - 1.0))
        size = spell(np.int64(min(rank, _LAST_RANK)), text, size)
        size = end_word(text, size, ends, token, RECORD_TOKENS)
    return size


def batches(tokens: int, seed: int) -> Iterator[Batch]:
    """Yield so many tokens, rounded up to whole batches; the same for the same seed."""
    generator = np.random.default_rng(seed)
    for _ in range(-(-tokens // BATCH_TOKENS)):
        text = np.empty(BATCH_TOKENS * LONGEST, dtype=np.uint8)
        ends = np.empty(BATCH_TOKENS // RECORD_TOKENS, dtype=np.int64)
        size = _write(generator.random(BATCH_TOKENS), text, ends)
        yield Batch(text[:size].data, ends)
