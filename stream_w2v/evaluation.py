"""How good vectors are, by the two classical kinds of question: similarity and analogy."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.errors import EmptyVocabularyError, FormatError
from stream_w2v.storage import StrPath, open_input
from stream_w2v.vectors import KeyedVectors

_SCORES = 1 << 24  # float32 scores held at once: 64 MiB


@dataclass(frozen=True, slots=True)
class SimilarityResult:
    """How well cosine similarities agree with what people said.

    Attributes
    ----------
    spearman
        Rank correlation with the scores in the file; nan where fewer than two pairs are known,
        or either side is all the same.
    pairs
        Pairs that were compared.
    unknown
        Pairs left out because a word has no vector.
    """

    spearman: float
    pairs: int
    unknown: int


@dataclass(frozen=True, slots=True)
class SectionResult:
    """One section of an analogy test; the attributes are those of :class:`AnalogyResult`."""

    name: str
    correct: int
    total: int
    unknown: int

    @property
    def accuracy(self) -> float:
        """Share of the questions answered correctly; nan where none was asked."""
        return self.correct / self.total if self.total else math.nan


@dataclass(frozen=True, slots=True)
class AnalogyResult:
    """How many questions "a is to b as c is to what?" were answered correctly.

    Attributes
    ----------
    correct
        Questions answered correctly.
    total
        Questions asked: those of whose four words each has a vector.
    unknown
        Questions left out because a word has no vector.
    sections
        The same for each section of the file, in its order.
    """

    correct: int
    total: int
    unknown: int
    sections: tuple[SectionResult, ...]

    @property
    def accuracy(self) -> float:
        """Share of the questions asked that were answered correctly; nan where none was."""
        return self.correct / self.total if self.total else math.nan


def evaluate_similarity(
    wv: KeyedVectors, path: StrPath, case_insensitive: bool = True
) -> SimilarityResult:
    """Compare cosine similarities with those that people gave to pairs of words.

    Parameters
    ----------
    wv
        The vectors.
    path
        Lines of two words and a score, separated by tabs, commas or spaces. Lines that start with
        ``#``, a line of titles and further columns are passed over.
    case_insensitive
        Look words up without regard to case; the first spelling in the vocabulary counts.

    Raises
    ------
    FormatError
        If the file is not of that form.
    EmptyVocabularyError
        If no word has a vector.
    SourceNotFoundError, SourceError
        If there is no such file, or it cannot be read.
    """
    row_of = _rows(wv, case_insensitive)
    known: list[list[int]] = []
    scores: list[float] = []
    unknown = 0
    for place, (number, line) in enumerate(_lines(path)):
        separator = next((mark for mark in "\t," if mark in line), None)
        try:
            *words, score = [field.strip() for field in line.split(separator)[:3]]
            first, second = words
            value = float(score)
        except ValueError:
            if place == 0:  # the titles
                continue
            msg = f"{os.fspath(path)}, line {number}: expected two words and a score"
            raise FormatError(msg) from None
        rows = [row for word in (first, second) if (row := row_of(word)) is not None]
        if len(rows) < 2:
            unknown += 1
        else:
            known.append(rows)
            scores.append(value)
    if not known and not unknown:
        msg = f"{os.fspath(path)} holds no pair: expected lines of two words and a score"
        raise FormatError(msg)
    units = wv.get_normed_vectors()
    pairs = units[np.array(known, np.intp).reshape(-1, 2)]
    cosines = np.einsum("ij,ij->i", pairs[:, 0], pairs[:, 1])
    return SimilarityResult(_spearman(cosines, np.array(scores)), len(known), unknown)


def evaluate_analogies(
    wv: KeyedVectors,
    path: StrPath,
    restrict_vocab: int | None = None,
    case_insensitive: bool = True,
) -> AnalogyResult:
    """Answer questions such as "Athens is to Greece as Oslo is to what?" by vector arithmetic.

    The answer is the word whose vector is nearest to ``b - a + c``, each with length 1 (3CosAdd);
    a, b and c themselves are no answers.

    Parameters
    ----------
    wv
        The vectors.
    path
        Lines of four words, and lines ``: name`` that start a section (questions-words.txt).
    restrict_vocab
        Know the first so many words only.
    case_insensitive
        Take words that differ in case alone for the same; the first spelling in the vocabulary
        is the one that asks, and any of them may be the answer.

    Raises
    ------
    FormatError
        If the file is not of that form.
    EmptyVocabularyError
        If no word has a vector.
    SourceNotFoundError, SourceError
        If there is no such file, or it cannot be read.
    """
    units = wv.get_normed_vectors()[:restrict_vocab]
    row_of = _rows(wv, case_insensitive)
    names: list[str] = []
    asked: list[list[int]] = []
    section_of: list[int] = []
    unknown: list[int] = []
    for number, line in _lines(path):
        if line.startswith(":"):
            names.append(line[1:].strip())
            continue
        words = line.split()
        if len(words) != 4:
            msg = f"{os.fspath(path)}, line {number}: expected four words, or ': ' and a name"
            raise FormatError(msg)
        if not names:
            names.append("")
        rows = [row for word in words if (row := row_of(word)) is not None and row < len(units)]
        if len(rows) < 4:
            unknown.append(len(names) - 1)
        else:
            asked.append(rows)
            section_of.append(len(names) - 1)
    if not asked and not unknown:
        msg = f"{os.fspath(path)} holds no question: expected lines of four words"
        raise FormatError(msg)
    same = np.array([row_of(word) for word in wv.index_to_key[: len(units)]], np.intp)
    correct = _answered(units, np.array(asked, np.intp).reshape(-1, 4), same)
    sections = np.array(section_of, np.intp)
    counts = zip(
        np.bincount(sections[correct], minlength=len(names)).tolist(),
        np.bincount(sections, minlength=len(names)).tolist(),
        np.bincount(np.array(unknown, np.intp), minlength=len(names)).tolist(),
        strict=True,
    )
    results = tuple(SectionResult(name, *row) for name, row in zip(names, counts, strict=True))
    return AnalogyResult(int(correct.sum()), len(asked), len(unknown), results)


def _answered(
    units: NDArray[np.float32], questions: NDArray[np.intp], same: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return for each question whether its answer is right.

    ``same`` is for each row the first one that is the same word, as are all those in questions.
    """
    correct = np.zeros(len(questions), np.bool_)
    block = max(1, _SCORES // len(units))
    for start in range(0, len(questions), block):
        asked, expected = np.split(questions[start : start + block], [3], axis=1)
        a, b, c = asked.T
        scores = (units[b] - units[a] + units[c]) @ units.T
        every = np.arange(len(asked))
        scores[every[:, None], asked] = -np.inf
        best = scores.argmax(axis=1)
        while True:  # other spellings of the words asked are no answers either
            again = (same[best][:, None] == asked).any(axis=1) & np.isfinite(scores[every, best])
            if not again.any():
                break
            scores[again, best[again]] = -np.inf
            best[again] = scores[again].argmax(axis=1)
        correct[start : start + block] = same[best] == expected[:, 0]
    return correct


def _rows(wv: KeyedVectors, case_insensitive: bool) -> Callable[[str], int | None]:
    """Return the function from a word to its row."""
    if not len(wv):
        msg = "there is no vector to evaluate: no word was learnt"
        raise EmptyVocabularyError(msg)
    if not case_insensitive:
        return wv.key_to_index.get
    # Backwards, so that the first spelling is the one that stays.
    folded = {word.casefold(): row for row, word in reversed([*enumerate(wv.index_to_key)])}
    return lambda word: folded.get(word.casefold())


def _lines(path: StrPath) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers."""
    with open_input(path) as file:
        for number, line in enumerate(file, 1):
            text = line.decode("utf-8-sig", "replace").strip()
            if text and not text.startswith("#"):
                yield number, text


def _spearman(first: NDArray[Any], second: NDArray[Any]) -> float:
    x, y = _ranks(first), _ranks(second)
    x -= x.mean() if len(x) else 0
    y -= y.mean() if len(y) else 0
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else math.nan


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Rank values from 1; equal ones share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks
