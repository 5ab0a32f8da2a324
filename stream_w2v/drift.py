"""Drift: which words moved further between two snapshots of a model than their counts explain.

A word's vector moves with every occurrence, the further the rarer the word was, the more often it
came since, and the shorter its vector was: of words as frequent, those in mixed company have short
ones (Schakel and Wilson, 2015). What is usual is read off the other words: the logarithm of the
cosine distance is fitted by a quadratic in the logarithms of both counts and of the length, and
each word is compared with those that should have moved as far. The score is how many spreads (of
the median kind, MAD) it moved further.

No rotation is undone, as is done between models that know nothing of each other (Hamilton, Leskovec
and Jurafsky, 2016): the rows of a model that goes on stay in one space. On Wikipedia, between 8 M
and 12 M tokens, orthogonal Procrustes lowers the mean distance from .1599 to .1596. Their other
measure, by which neighbours a word has, finds fewer of the words that were swapped on purpose.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.errors import ConfigError, StorageError
from stream_w2v.storage import StrPath
from stream_w2v.stream import Sink
from stream_w2v.vectors import KeyedVectors

ALARM = 4.0
"""A score above it is an alarm."""

LEAST_COUNT = 5
"""Occurrences before the older snapshot, and again since, of a word that is compared. With fewer
the list of a drifting text is full of words that came once more."""

LEAST_WORDS = 30
"""Words without which nobody can say what is usual."""

NEIGHBOURS = 10
"""Nearest words that are compared."""

DRIFT_SECONDS = 3600.0
"""From one look for drift to the next."""

_NEIGHBOUR_COUNT = 20
"""Occurrences of a word that is shown as a neighbour: where rare words stand is chance."""

_LEAST = 1e-9  # the distance of vectors that differ by rounding alone is below
_LEAST_SPREAD = 0.1  # a third of what it is on Wikipedia; of use where all is the same
_OUTLIER = 3.0  # spreads from what is usual, beyond which a word is left out of the fit
_FITS = 5
_WINDOW, _MOST_WINDOW = 50, 500  # words that one is compared with, at least and at most
_WINDOWS = 20  # between the two, a part of so many of all words
_BLOCK = 1 << 14  # rows whose distances are worked out at once


@dataclass(frozen=True, slots=True)
class DriftedWord:
    """How far one word moved.

    Attributes
    ----------
    word
        The word.
    then, now
        How often it was seen by the older and by the newer snapshot; None if that is not known.
    distance
        Cosine distance between its two vectors.
    expected
        What is usual for words with such counts.
    score
        By how many spreads the logarithm of the distance is above what is usual.
    kept
        What share of its nearest words stayed.
    lost, gained
        The others: nearest then and now, the nearest first.
    """

    word: str
    then: int | None
    now: int | None
    distance: float
    expected: float
    score: float
    kept: float
    lost: tuple[str, ...]
    gained: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed between two snapshots.

    Attributes
    ----------
    old, new
        The snapshots.
    words
        The words that were compared, those with the highest score first; empty if fewer than
        ``LEAST_WORDS`` words can be.
    distances, expected, scores
        float64 ``[n]``, of these words: see :class:`DriftedWord`.
    common
        How many words have a vector in both, compared or not.
    appeared, vanished
        The words that only the newer one and only the older one has, in their order there.
    """

    old: KeyedVectors
    new: KeyedVectors
    words: Sequence[str]
    distances: NDArray[np.float64]
    expected: NDArray[np.float64]
    scores: NDArray[np.float64]
    common: int
    appeared: Sequence[str]
    vanished: Sequence[str]

    @property
    def alarms(self) -> int:
        """Words with a score above ``ALARM``."""
        return int((self.scores > ALARM).sum())

    def most(self, topn: int = 20) -> list[DriftedWord]:
        """Return the words that drifted most, with their neighbours then and now."""
        return [self._word(place) for place in range(min(max(topn, 0), len(self.words)))]

    def to_dict(self, topn: int = 20) -> dict[str, Any]:
        """Return the counts of everything, and so many words of each kind, for JSON."""
        return {
            "common": self.common,
            "compared": len(self.words),
            "alarms": self.alarms,
            "alarm": ALARM,
            "drifted": [asdict(word) for word in self.most(topn)],
            "appeared": {"words": len(self.appeared), "first": list(self.appeared[:topn])},
            "vanished": {"words": len(self.vanished), "first": list(self.vanished[:topn])},
        }

    def _word(self, place: int) -> DriftedWord:
        word = self.words[place]
        then, now = (_neighbours(vectors, word) for vectors in (self.old, self.new))
        lost = tuple(other for other in then if other not in now)
        return DriftedWord(
            word=word,
            then=_count(self.old, word),
            now=_count(self.new, word),
            distance=float(self.distances[place]),
            expected=float(self.expected[place]),
            score=float(self.scores[place]),
            kept=1 - len(lost) / len(then) if then else 1.0,
            lost=lost,
            gained=tuple(other for other in now if other not in then),
        )


def measure_drift(old: KeyedVectors, new: KeyedVectors, min_count: int | None = None) -> Drift:
    """Compare two snapshots of a model that went on between them.

    On text that does not change, Wikipedia with its lines shuffled, at most 0.05 % of the words
    that are compared score above ``ALARM``, whichever the two snapshots (docs/benchmark.md: three
    seeds, four pairs, 4 M to 17 M tokens); on generated text with topics 0.01 %. Of few words more
    do: of random subsets of Wikipedia's, 0.15 % if they are a hundred and 0.9 % if they are thirty,
    which is one word in four comparisons. Words that have no company, drawn one by one, break the
    rule: 3 %. So do words that were evicted in between and came back: they are anew.

    What it finds depends on how often a word came: of words that were swapped with others as
    frequent after half of the text, in the next quarter 11 % of those that had come 10 to 30 times,
    58 % of 30 to 100, 94 % of 100 to 300, and all that were more frequent. Neighbours alone prove
    little: where nothing changed, one to five of the ten nearest words are the same later.

    Parameters
    ----------
    old, new
        The snapshots, of the same model and taken alike (``combine``, ``refresh``). If either has
        no counts, a word's place stands for its count, as by custom the most frequent come first.
        Then all words are compared, and up to 0.3 % raise a false alarm.
    min_count
        Compare words that were seen so often by the older snapshot, and again since; None is
        ``LEAST_COUNT`` if there are counts. Counts that were forgotten in between (``half_life``)
        are allowed for.

    Raises
    ------
    ConfigError
        If the vectors differ in length, or ``min_count`` is given and there are no counts.
    """
    if old.vector_size != new.vector_size:
        msg = (
            f"vectors of {old.vector_size} and of {new.vector_size} numbers cannot be compared: "
            "name two snapshots of one model"
        )
        raise ConfigError(msg)
    rows = np.array(
        [(row, new.key_to_index[w]) for row, w in enumerate(old) if w in new], np.intp
    ).reshape(-1, 2)
    then, since, enough = _seen(old, new, rows, min_count)
    if enough.sum() < LEAST_WORDS:
        enough[:] = False
    rows = rows[enough]
    distances, lengths = _distances(old, new, rows)
    moved = np.log(np.maximum(distances, _LEAST))
    usual, spread = _usual(then[enough], since[enough], lengths, moved)
    scores = (moved - usual) / spread
    order = np.argsort(-scores, kind="stable")
    return Drift(
        old=old,
        new=new,
        words=[old.index_to_key[row] for row in rows[order, 0].tolist()],
        distances=distances[order],
        expected=np.exp(usual[order]),
        scores=scores[order],
        common=len(enough),
        appeared=[word for word in new if word not in old],
        vanished=[word for word in old if word not in new],
    )


class DriftFile(Sink):
    """A file to which each snapshot adds a line: what has drifted since the one before.

    A line is a JSON object, that of :meth:`Drift.to_dict` with the ``time`` of the snapshot and of
    the one before, ``since``. The first snapshot has none to be compared with. One snapshot is
    kept in memory; with the vectors of length 1 that comparing needs, twice its bytes.

    Parameters
    ----------
    path
        Where to. What is there already stays.
    every
        Seconds from one snapshot to the next.
    topn
        Words of each kind to write.
    """

    def __init__(self, path: StrPath, every: float = DRIFT_SECONDS, topn: int = 20) -> None:
        self.path = path
        self.every = every
        self.topn = topn
        self._last: tuple[KeyedVectors, str] | None = None

    def write(self, vectors: KeyedVectors) -> None:
        """Compare with the snapshot before, and keep this one.

        Raises
        ------
        StorageError
            If the line cannot be written.
        """
        if not len(vectors):
            return
        time = datetime.now(UTC).isoformat(timespec="seconds")
        if self._last is not None:
            before, since = self._last
            found = measure_drift(before, vectors).to_dict(self.topn)
            self._append(json.dumps({"time": time, "since": since, **found}))
        self._last = vectors, time

    def _append(self, line: str) -> None:
        try:
            with Path(self.path).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            msg = f"cannot write {os.fspath(self.path)}: {error.strerror or error}"
            raise StorageError(msg) from error


def _seen(
    old: KeyedVectors, new: KeyedVectors, rows: NDArray[np.intp], min_count: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return how often words were seen by then, and since; and whether that is often enough."""
    if old.counts is None or new.counts is None:
        if min_count is not None:
            msg = "min_count needs counts, and these vectors have none: leave it out"
            raise ConfigError(msg)
        # As by Zipf's law.
        counts = np.empty(rows.shape, np.float64)
        for side in (0, 1):
            counts[np.argsort(rows[:, side]), side] = len(rows) / np.arange(1, len(rows) + 1)
        return counts[:, 0], counts[:, 1], np.ones(len(rows), np.bool_)
    least = LEAST_COUNT if min_count is None else min_count
    then = old.counts[rows[:, 0]].astype(np.float64)
    now = new.counts[rows[:, 1]].astype(np.float64)
    # Words that did not come again tell what became of old occurrences: 1, unless they are
    # forgotten. There are always some; the lowest of all may have been evicted and come back.
    left = np.quantile((now + 0.5) / (then + 0.5), 0.01) if len(rows) else 1.0
    since = np.maximum(now - min(left, 1.0) * then, 0.0)
    return then, since, (then >= least) & (since > least - 0.5)


def _distances(
    old: KeyedVectors, new: KeyedVectors, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cosine distances of words and their lengths then, both float64 ``[n]``."""
    before, after = old.get_normed_vectors(), new.get_normed_vectors()
    distances, lengths = np.empty((2, len(rows)), np.float64)
    for start in range(0, len(rows), _BLOCK):
        first, second = rows[start : start + _BLOCK].T
        # Half the square of what is between them: 1 - cos, and 0 where nothing changed.
        between = after[second].astype(np.float64) - before[first]
        distances[start : start + _BLOCK] = np.einsum("ij,ij->i", between, between) / 2
        lengths[start : start + _BLOCK] = np.linalg.norm(old.vectors[first], axis=1)
    return distances, lengths


def _usual(
    then: NDArray[np.float64],
    since: NDArray[np.float64],
    lengths: NDArray[np.float64],
    moved: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what is usual for such words, and the spread around it, both float64 ``[n]``.

    The quadratic is fitted to all words; then median and spread are those of the words for which
    it gives about the same, because rare words vary in another way than frequent ones.
    """
    if not len(moved):
        return moved, moved
    # Half an occurrence more, for words without any that is remembered.
    x, y, z = np.log(then + 0.5), np.log(since + 0.5), np.log(np.maximum(lengths, _LEAST))
    terms = np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, y * z, z * x], axis=1)
    # The few frequent words would have no say against the many rare ones.
    weight = np.sqrt(np.sqrt(then + 0.5))
    usual, inliers = moved, np.ones(len(moved), np.bool_)
    for _ in range(_FITS):
        # Words that drifted are not to say what is usual.
        fitted = (weight[:, None] * terms)[inliers], (weight * moved)[inliers]
        usual = terms @ np.linalg.lstsq(*fitted, rcond=None)[0]
        median, spread = _middle(moved - usual)
        inliers = np.abs(moved - usual - median) <= _OUTLIER * spread
    size = min(max(_WINDOW, min(_MOST_WINDOW, len(moved) // _WINDOWS)), len(moved))
    # Windows that overlap by half.
    starts = np.linspace(0, len(moved) - size, max(1, 2 * len(moved) // size - 1)).astype(np.intp)
    windows = np.argsort(usual, kind="stable")[starts[:, None] + np.arange(size)]
    medians, spreads = _middle((moved - usual)[windows])
    places = np.median(usual[windows], axis=1)
    return usual + np.interp(usual, places, medians), np.interp(usual, places, spreads)


def _middle(values: NDArray[np.float64]) -> tuple[Any, Any]:
    """Return the median along the last axis, and what would be the standard deviation."""
    median = np.median(values, axis=-1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(values - median), axis=-1)  # of a normal distribution
    return median[..., 0], np.maximum(spread, _LEAST_SPREAD)


def _neighbours(vectors: KeyedVectors, word: str) -> list[str]:
    """Return the nearest words that are not rare, the nearest first."""
    known = len(vectors)
    if vectors.counts is not None:
        # The most frequent come first; where they do not, rare words are shown, too.
        known = int((vectors.counts >= _NEIGHBOUR_COUNT).sum())
    return [other for other, _ in vectors.most_similar(word, topn=NEIGHBOURS, restrict_vocab=known)]


def _count(vectors: KeyedVectors, word: str) -> int | None:
    return None if vectors.counts is None else round(vectors.get_vecattr(word, "count"))
