"""A model whose vocabulary is large from the start, and text over exactly these words.

The frequencies are Zipf's, 1 / rank down to the last word. That is more for the rare words than
any language has, and so asks more of the memory: of a million words, those beyond the 74,000th
take a sixth of the text and half of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit

from stream_w2v import Word2Vec
from stream_w2v.stream import Batch
from tests.benchmarks.endless import BATCH_TOKENS, LONGEST, RECORD_TOKENS, end_word, spell

_RAREST = 5.0
"""Occurrences of the last word, as if the text had been learnt before."""


@njit(cache=True)
def _write(ranks, every, text, ends):
    """Write words in records of ``every`` words; return the bytes written."""
    size = 0
    for i in range(len(ranks)):
        size = spell(ranks[i], text, size)
        size = end_word(text, size, ends, i, every)
    return size


def _batch(ranks: np.ndarray[Any, np.dtype[np.int64]], every: int) -> Batch:
    text = np.empty(len(ranks) * LONGEST, dtype=np.uint8)
    ends = np.empty(len(ranks) // every, dtype=np.int64)
    size = _write(ranks, every, text, ends)
    return Batch(text[:size].copy().data, ends)


def batches(words: int, tokens: int, seed: int) -> Iterator[Batch]:
    """Yield so many tokens of so many words, rounded up to whole batches."""
    generator = np.random.default_rng(seed)
    for _ in range(-(-tokens // BATCH_TOKENS)):
        # The inverse of the distribution function: no table, whatever the number of words.
        uniforms = generator.random(BATCH_TOKENS)
        ranks = np.exp(uniforms * math.log(words + 1)).astype(np.int64)
        yield _batch(np.minimum(ranks, words), RECORD_TOKENS)


def filled(words: int, **config: Any) -> Word2Vec:
    """Return a model that knows the words already, with the counts that the text will confirm.

    Each is learnt once, as a record of its own, which trains nothing. Then the counts are set.
    """
    model = Word2Vec(min_count=1, max_vocab_size=words, **config)
    for begin in range(1, words + 1, BATCH_TOKENS):
        ranks = np.arange(begin, min(begin + BATCH_TOKENS, words + 1))
        model.learn_batch(_batch(ranks, 1))
    vocabulary = model.vocabulary
    counts = vocabulary.scaled_counts
    counts[:] = _RAREST * words / np.arange(1, words + 1)
    vocabulary.arrays.state["total"] = counts.sum()
    model.noise.rebuild(counts)
    return model
