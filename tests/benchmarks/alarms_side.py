"""Words that drift, and those that do not: ``python -m tests.benchmarks.alarms_side``."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v import Batch, KeyedVectors, Word2Vec
from stream_w2v.drift import Drift, measure_drift
from tests.benchmarks.child import answer
from tests.benchmarks.endless import batches
from tests.benchmarks.prequential import batch

THRESHOLDS = (3.0, 3.5, 4.0, 4.5)
BANDS = (10, 30, 100, 300, 1000, 3000, 10_000)
"""Bounds of occurrences before the change, of the words that are made to drift."""

SWAPPED = 12
"""Words of each band: few enough that what is usual stays so."""

_PIECE = 2000  # lines learnt at once
_TYPES, _TOPICS, _HALF = 200_000, 200, 30  # of generated text; half the words of a line
_SHOWN = 15


def _alarms(old: KeyedVectors, new: KeyedVectors) -> dict[str, Any]:
    bare = [KeyedVectors(one.index_to_key, one.vectors) for one in (old, new)]
    drift, uncounted = measure_drift(old, new), measure_drift(bare[0], bare[1])
    kept = sorted(word.kept for word in drift.most(len(drift.words))[:: len(drift.words) // 500])
    return {
        "compared": len(drift.words),
        "above": _above(drift),
        "uncounted": _above(uncounted),
        "kept": kept[len(kept) // 2],
    }


def _above(drift: Drift) -> list[float]:
    return [float((drift.scores > least).mean()) for least in THRESHOLDS]


def _learn(model: Word2Vec, lines: Sequence[bytes]) -> KeyedVectors:
    for first in range(0, len(lines), _PIECE):
        model.learn_batch(batch(list(lines[first : first + _PIECE])))
    return model.snapshot()


def shuffled(path: str, seed: int, old: float, new: float) -> dict[str, Any]:
    """Compare snapshots after two shares of a text whose lines are in random order.

    Then once more, with words of the same frequency swapped in what comes between them.
    """
    lines = Path(path).read_bytes().splitlines(keepends=True)
    random.Random(seed).shuffle(lines)
    first, last = (round(share * len(lines)) for share in (old, new))
    model = Word2Vec(seed=seed)
    before = _learn(model, lines[:first])
    model.save(f"{path}.safetensors")
    found = _alarms(before, _learn(model, lines[first:last]))
    groups = _bands(before, seed)
    swaps = {}
    for words in groups.values():
        for one, other in zip(words[::2], words[1::2], strict=True):
            swaps |= {one.encode(): other.encode(), other.encode(): one.encode()}
    changed = [
        re.sub(rb"\w+", lambda word: swaps.get(word[0], word[0]), line.lower())
        for line in lines[first:last]
    ]
    drift = measure_drift(before, _learn(Word2Vec.load(f"{path}.safetensors"), changed))
    scores = dict(zip(drift.words, drift.scores.tolist(), strict=True))
    # A word that did not come often enough to be compared is not found.
    swapped = {band: [scores.get(word, 0.0) for word in words] for band, words in groups.items()}
    return {**found, "swapped": swapped}


def _bands(vectors: KeyedVectors, seed: int) -> dict[int, list[str]]:
    """Choose some words of each band, neighbours in frequency one after the other."""
    draw = random.Random(seed)
    assert vectors.counts is not None
    counts = dict(zip(vectors, vectors.counts.tolist(), strict=True))
    groups = {}
    for low, high in pairwise(BANDS):
        words = [word for word, count in counts.items() if low <= count < high]
        chosen = draw.sample(words, min(SWAPPED, len(words) // 2 * 2))
        groups[low] = sorted(chosen, key=counts.__getitem__)
    return groups


def _topics(tokens: int, seed: int) -> Iterator[Batch]:
    """Yield generated text: half of a line's words are of its topic, the others of all."""
    draw = np.random.default_rng(seed)
    shares = 1 / (np.arange(_TYPES) + 2.7)  # Zipf's and Mandelbrot's law
    names = np.array([b"w%d" % rank for rank in range(_TYPES)], object)
    topic = np.random.default_rng(0).integers(0, _TOPICS, _TYPES)
    words = [np.arange(_TYPES), *(np.flatnonzero(topic == one) for one in range(_TOPICS))]
    edges = [np.cumsum(shares[some]) / shares[some].sum() for some in words]

    def some(kind: int) -> NDArray[np.intp]:
        found: NDArray[np.intp] = words[kind][np.searchsorted(edges[kind], draw.random(_HALF))]
        return found

    for _ in range(tokens // (2 * _HALF * _PIECE)):
        lines = []
        for kind in draw.integers(1, _TOPICS + 1, _PIECE):
            line = np.concatenate([some(0), some(kind)])
            draw.shuffle(line)
            lines.append(b" ".join(names[line]) + b"\n")
        yield batch(lines)


def generated(seed: int, old: int, new: int, company: bool) -> dict[str, Any]:
    """Compare snapshots after two numbers of tokens of generated text, which never changes."""
    model, snapshots = Word2Vec(seed=seed), []
    for some in _topics(new, seed) if company else batches(new, seed):
        model.learn_batch(some)
        if not snapshots and model.counters["words"] >= old:
            snapshots.append(model.snapshot())
    return _alarms(snapshots[0], model.snapshot())


def drifting(path: str, old: int, new: int) -> dict[str, Any]:
    """List the words that drifted most between two lines of a text that does."""
    lines = Path(path).read_bytes().splitlines(keepends=True)
    model = Word2Vec()
    before = _learn(model, lines[:old])
    drift = measure_drift(before, _learn(model, lines[old:new]))
    return {
        "words": [asdict(word) for word in drift.most(_SHOWN)],
        "compared": len(drift.words),
        "alarms": drift.alarms,
    }


if __name__ == "__main__":
    answer(shuffled=shuffled, generated=generated, drifting=drifting)
