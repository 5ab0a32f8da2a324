"""The loss of a text before it is learnt: ``python -m tests.benchmarks.prequential``.

Models with other noise words solve other problems, so the loss that each computes for itself says
little about which knows more of what comes next. Here all are asked the same: pairs of a centre
and a context drawn once from each stretch of the text, with words drawn once from one distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v import Word2Vec
from stream_w2v.stream import Batch
from stream_w2v.text import Text
from tests.benchmarks.child import answer

STRETCH_TOKENS = 20_000
PAIRS = 2000
"""Pairs of words that are looked at in each stretch."""

CANDIDATES = 20
"""Words that the context is looked for among; the first NOISE_WORDS are the noise words."""

NOISE_WORDS = 5
_MIN_COUNT, _WINDOW, _SAMPLE, _EXPONENT = 5, 5, 1e-3, 0.75
_SEED = 7
_LEAST_SHARE = 1e-9


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some lines of the text, and what is asked before they are learnt.

    Attributes
    ----------
    first, last
        The lines ``first..last - 1``.
    tokens
        Words before them.
    centres, contexts
        int64 ``[n]``: pairs of words, by number.
    drawn
        int64 ``[n, CANDIDATES]``: words drawn by the fixed distribution.
    counted
        bool, like ``drawn``: that the word can be known by now, and is not the centre.
    """

    first: int
    last: int
    tokens: int
    centres: NDArray[np.int64]
    contexts: NDArray[np.int64]
    drawn: NDArray[np.int64]
    counted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text.

    Attributes
    ----------
    hashes
        uint64, ascending: the hash of each word, which is its number's.
    noise
        float64: the fixed distribution, counts of the whole text to the power 3/4; 0 for words
        that never get a vector.
    """

    hashes: NDArray[np.uint64]
    noise: NDArray[np.float64]


def batch(lines: list[bytes]) -> Batch:
    """Put lines together."""
    return Batch(b"".join(lines), np.cumsum([len(line) for line in lines]))


def _cut(lines: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of all words, and where each line ends among them."""
    hashes, ends, before = [], [], 0
    for block in Text("words").blocks(batch(lines)):
        piece_ends = block.tokens.ends[: block.pieces]
        ends.append(before + piece_ends[block.tokens.closes[: block.pieces] > 0])
        count = int(piece_ends[-1]) if len(piece_ends) else 0
        hashes.append(block.tokens.hashes[:count].copy())
        before += count
    return np.concatenate(hashes), np.concatenate(ends)


def _bounds(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last line of each stretch."""
    first, before = 0, 0
    for line, end in enumerate(ends.tolist(), 1):
        if end - before >= STRETCH_TOKENS or line == len(ends):
            yield first, line
            first, before = line, end


def ask(lines: list[bytes]) -> tuple[Words, list[Stretch]]:
    """Choose what is asked of every model before each stretch of the text."""
    hashes, ends = _cut(lines)
    unique, ids, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    tokens = len(ids)
    random = np.random.default_rng(_SEED)
    # The token that gives a word its vector; none does for rare ones.
    frequent = counts >= _MIN_COUNT
    places = np.argsort(ids, kind="stable")
    known_from = np.full(len(unique), tokens)
    known_from[frequent] = places[(np.cumsum(counts) - counts)[frequent] + _MIN_COUNT - 1]
    masses = np.where(frequent, counts**_EXPONENT, 0.0)
    noise = masses / masses.sum()
    edges = np.cumsum(noise)
    # Thinned as in training, but by the shares in the whole text.
    x = _SAMPLE * tokens / counts
    kept = np.flatnonzero(frequent[ids] & (random.random(tokens) < (np.sqrt(x) + x)[ids]))
    line_of = np.searchsorted(ends, kept, side="right")
    stretches = []
    for first, last in _bounds(ends):
        begin = int(ends[first - 1]) if first else 0
        low, high = np.searchsorted(kept, (begin, ends[last - 1]))
        # More than are needed: some reach beyond the line, or have words that nobody knows yet.
        more = 3 * PAIRS
        centres = random.integers(low, high, more)
        radii = random.integers(1, _WINDOW + 1, more)
        distances = np.minimum(random.integers(1, _WINDOW + 1, more), radii)
        contexts = centres + np.where(random.random(more) < 0.5, -distances, distances)
        drawn = np.searchsorted(edges, random.random((more, CANDIDATES)) * edges[-1], side="right")
        inside = (contexts >= low) & (contexts < high)
        contexts = np.clip(contexts, low, high - 1)
        inside &= line_of[centres] == line_of[contexts]
        centres, contexts = ids[kept[centres]], ids[kept[contexts]]
        inside &= (known_from[centres] < begin) & (known_from[contexts] < begin)
        some = np.flatnonzero(inside)[:PAIRS]
        centres, contexts, drawn = centres[some], contexts[some], drawn[some]
        counted = (known_from[drawn] < begin) & (drawn != centres[:, None])
        stretches.append(Stretch(first, last, begin, centres, contexts, drawn, counted))
    return Words(unique, noise), stretches


def _loss(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.logaddexp(0.0, -scores)


def _binary(
    true: NDArray[np.float64], noise: NDArray[np.float64], counted: NDArray[np.bool_]
) -> float:
    """Return the loss of a pair with its noise words; those that do not count are replaced."""
    return float(_loss(true).mean() + NOISE_WORDS * _loss(-noise)[counted].mean())


def look(model: Word2Vec, words: Words, stretch: Stretch) -> dict[str, float]:
    """Ask a model, and return its three losses; a word without a row scores 0."""
    held = model.vocabulary.rows()
    rows = np.full(len(words.hashes), -1)
    rows[np.searchsorted(words.hashes, model.vocabulary.arrays.rows["hash"][held])] = held
    own = model.vocabulary.counts**model.config.ns_exponent
    own /= own.sum()

    def vectors(weights: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found = weights[rows[ids]]
        found[rows[ids] < 0] = 0.0
        return found

    def shift(ids: NDArray[np.int64]) -> NDArray[np.float64]:
        # A score is log(p(word | context) / noise(word)), less a constant: this exchanges noise.
        shares = np.maximum(own[rows[ids]], _LEAST_SHARE)
        return np.where(rows[ids] < 0, 0.0, np.log(shares / words.noise[ids]))

    inputs, outputs = model._state.weights.input_vectors, model._state.weights.output_vectors
    centres = vectors(outputs, stretch.centres)
    contexts = vectors(inputs, stretch.contexts)
    drawn, counted = stretch.drawn[:, :NOISE_WORDS], stretch.counted[:, :NOISE_WORDS]
    true = np.einsum("nd,nd->n", contexts, centres).astype(np.float64)
    noise = np.einsum("nd,nkd->nk", contexts, vectors(outputs, drawn)).astype(np.float64)
    others = np.einsum("nd,nkd->nk", centres, vectors(inputs, stretch.drawn)).astype(np.float64)
    others = np.where(stretch.counted, others, -np.inf)
    every = np.logaddexp(true, np.logaddexp.reduce(others, axis=1))
    return {
        "fixed": _binary(true, noise, counted),
        "calibrated": _binary(true + shift(stretch.centres), noise + shift(drawn), counted),
        "contexts": float((every - true).mean()),
    }


def learn(path: str, config: Mapping[str, Any], snapshots: Mapping[str, int]) -> dict[str, Any]:
    """Learn a text in order, asked before every stretch; save vectors after some of its lines.

    ``snapshots`` are numbers of lines by the file that is to have the vectors after them.
    """
    lines = Path(path).read_bytes().splitlines(keepends=True)
    words, stretches = ask(lines)
    due = sorted((line, file) for file, line in snapshots.items())
    model = Word2Vec(**config)
    series: dict[str, list[float]] = {}
    for stretch in stretches:
        losses = look(model, words, stretch) if len(stretch.centres) else {}
        before = model.counters
        first = stretch.first
        while first < stretch.last:
            last = min(stretch.last, due[0][0]) if due else stretch.last
            model.learn_batch(batch(lines[first:last]))
            first = last
            if due and last == due[0][0]:
                model.snapshot().save_word2vec_format(due.pop(0)[1], binary=True)
        after = model.counters
        pairs = after["loss_pairs"] - before["loss_pairs"]
        if losses and pairs:
            losses["own"] = (after["loss"] - before["loss"]) / pairs
            for name, value in {"tokens": stretch.tokens, "line": stretch.first, **losses}.items():
                series.setdefault(name, []).append(value)
    return {"series": series, "words": len(model.vocabulary)}


if __name__ == "__main__":
    answer(learn=learn)
