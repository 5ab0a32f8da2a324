"""Whether neighbours follow a text that drifts: ``python -m tests.benchmarks.neighbours``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stream_w2v import KeyedVectors, Word2Vec
from tests.benchmarks.child import answer
from tests.benchmarks.prequential import batch

PASSES = 5
NEIGHBOURS = 10
LEAST_COUNT = 50
"""Occurrences in the recent text of a word whose neighbours are compared, and of these."""

SHOWN = 5
_SHOWN_AMONG = 8000
"""Only frequent words are shown as neighbours: those of rare ones are chance."""


def recent(path: str, first: int, last: int, out: str) -> dict[str, Any]:
    """Learn the lines ``first..last - 1`` of a text alone, several times; name frequent words."""
    lines = Path(path).read_bytes().splitlines(keepends=True)[first:last]
    model = Word2Vec()
    for _ in range(PASSES):
        model.learn_batch(batch(lines))
    vectors = model.snapshot()
    vectors.save_word2vec_format(out, binary=True)
    counts = [vectors.get_vecattr(word, "count") for word in vectors.index_to_key]
    least = PASSES * LEAST_COUNT
    return {"words": [w for w, n in zip(vectors.index_to_key, counts, strict=True) if n >= least]}


def _nearest(vectors: KeyedVectors, words: Sequence[str]) -> list[set[int]]:
    """Return which of the words are nearest to each of them."""
    rows = np.stack([vectors[word] for word in words])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    found = np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return [set(row) for row in found.tolist()]


def compare(vectors: str, recent_vectors: str, words: Sequence[str]) -> dict[str, float]:
    """Return what share of the nearest words two files of vectors agree on."""
    files = (vectors, recent_vectors)
    both = [KeyedVectors.load_word2vec_format(file, binary=True) for file in files]
    shared = [word for word in words if all(word in one for one in both)]
    pairs = zip(*(_nearest(one, shared) for one in both), strict=True)
    agreed = sum(len(ours & theirs) for ours, theirs in pairs)
    return {"share": agreed / (NEIGHBOURS * len(shared)), "words": len(shared)}


def show(vectors: str, words: Sequence[str]) -> dict[str, list[str]]:
    """Return the nearest frequent words of some words, as far as these have vectors."""
    found = KeyedVectors.load_word2vec_format(vectors, binary=True)
    frequent = set(found.index_to_key[:_SHOWN_AMONG])
    shown = {}
    for word in words:
        if word in found:
            near = found.most_similar(word, topn=len(found) - 1)
            shown[word] = [other for other, _ in near if other in frequent][:SHOWN]
    return shown


if __name__ == "__main__":
    answer(recent=recent, compare=compare, show=show)
