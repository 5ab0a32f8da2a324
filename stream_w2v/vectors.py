"""Word vectors to ask and to keep: gensim's names, none of the training."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_w2v.errors import ConfigError, EmptyVocabularyError, UnknownWordError
from stream_w2v.formats import Table, format_of, read_table, read_word2vec, write_table
from stream_w2v.packed import PackedWords
from stream_w2v.storage import StrPath
from stream_w2v.stream import Sink

_SUGGEST_FROM = 50_000  # of the first words, which are the most frequent


class KeyedVectors:
    """Words and their vectors, which never change.

    Parameters
    ----------
    keys
        The words, each once, by custom the most frequent first; those of a model are packed.
    vectors
        float32 ``[n, d]``. Taken as it is where dtype and layout allow, so leave it alone after.
    counts
        ``[n]``: how often each word was seen, int64 or float64; None if that is not known.

    Attributes
    ----------
    index_to_key
        The words.
    key_to_index
        The row of each word.
    vectors, counts
        As above, not writeable.

    Raises
    ------
    ConfigError
        If the three do not fit together.

    Examples
    --------
    >>> wv = KeyedVectors(["north", "up", "east"], [[0, 1], [0, 2], [1, 0]])
    >>> wv.most_similar("north", topn=1)
    [('up', 1.0)]
    >>> wv.similarity("north", "east")
    0.0
    """

    def __init__(
        self, keys: Sequence[str], vectors: ArrayLike, counts: ArrayLike | None = None
    ) -> None:
        self._keys = keys if isinstance(keys, PackedWords) else list(keys)
        self.vectors: NDArray[np.float32] = _frozen(np.ascontiguousarray(vectors, np.float32))
        self.counts = None if counts is None else _frozen(_as_counts(counts))
        n = len(self)
        if self.vectors.ndim != 2 or len(self.vectors) != n:
            msg = f"{n} words need an array of {n} vectors, not one of shape {self.vectors.shape}"
            raise ConfigError(msg)
        if self.counts is not None and self.counts.shape != (n,):
            msg = f"{n} words need {n} counts, not an array of shape {self.counts.shape}"
            raise ConfigError(msg)
        # The words of a model are different.
        if isinstance(self._keys, list) and len(self.key_to_index) < n:
            twice = next(w for row, w in enumerate(keys) if self.key_to_index[w] != row)
            msg = f"every word must come once, but {twice!r} comes again"
            raise ConfigError(msg)

    # Made when they are asked for: a snapshot that is only written needs neither.

    @cached_property
    def index_to_key(self) -> list[str]:
        """The words."""
        return list(self._keys) if isinstance(self._keys, PackedWords) else self._keys

    @cached_property
    def key_to_index(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.index_to_key)}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self.index_to_key)

    def __contains__(self, word: object) -> bool:
        return word in self.key_to_index

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} words, {self.vector_size} numbers each>"

    def __getitem__(self, words: str | Sequence[str]) -> NDArray[np.float32]:
        """Return the vector of a word, or an array of the vectors of several.

        Raises
        ------
        UnknownWordError
            If a word has no vector.
        EmptyVocabularyError
            If no word has one.
        """
        rows = self._row(words) if isinstance(words, str) else [self._row(word) for word in words]
        found: NDArray[np.float32] = self.vectors[rows]
        return found

    @property
    def vector_size(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    def get_vector(self, word: str, norm: bool = False) -> NDArray[np.float32]:
        """Return the vector of a word, with length 1 if ``norm`` is set."""
        vectors = self.get_normed_vectors() if norm else self.vectors
        found: NDArray[np.float32] = vectors[self._row(word)]
        return found

    def get_normed_vectors(self) -> NDArray[np.float32]:
        """Return all vectors with length 1, worked out at the first call; zeros stay zeros."""
        return self._units

    def get_vecattr(self, word: str, attr: str) -> int | float:
        """Return the count of a word, for ``attr="count"``, the one attribute that there is.

        Raises
        ------
        ConfigError
            If there are no counts, or another attribute is asked for.
        """
        if attr != "count" or self.counts is None:
            msg = f"these vectors have no attribute {attr!r}"
            raise ConfigError(msg)
        count: int | float = self.counts[self._row(word)].item()
        return count

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of the angle between two words' vectors."""
        units = self.get_normed_vectors()
        return float(units[self._row(first)] @ units[self._row(second)])

    def most_similar(
        self,
        positive: str | ArrayLike | Sequence[str | ArrayLike] | None = None,
        negative: str | ArrayLike | Sequence[str | ArrayLike] | None = None,
        topn: int = 10,
        restrict_vocab: int | None = None,
    ) -> list[tuple[str, float]]:
        """Return the words nearest to the mean of some words, the nearest first.

        Parameters
        ----------
        positive, negative
            A word, a vector, or several of either: what to be near to, and what to be far from.
            A word weighs the same whatever the length of its vector; a vector weighs as it is.
            None of the words is in the answer.
        topn
            Most words to return.
        restrict_vocab
            Look among the first so many words only.

        Returns
        -------
        list of (str, float)
            Words with their cosine similarity to the mean.

        Raises
        ------
        UnknownWordError
            If a word has no vector.
        EmptyVocabularyError
            If no word has one.
        ConfigError
            If nothing is asked for, or a vector has another length than these.
        """
        units = self.get_normed_vectors()
        mean = np.zeros(self.vector_size, np.float64)
        asked: set[int] = set()
        terms = [(1, item) for item in _as_list(positive)]
        terms += [(-1, item) for item in _as_list(negative)]
        if not terms:
            msg = "name at least one word or vector to be similar to"
            raise ConfigError(msg)
        for sign, item in terms:
            if isinstance(item, str):
                row = self._row(item)
                asked.add(row)
                mean += sign * units[row]
            else:
                mean += sign * self._vector(item)
        length = np.linalg.norm(mean)
        target = (mean / length if length else mean).astype(np.float32)
        scores = units[:restrict_vocab] @ target
        best = _largest(scores, max(topn, 0) + len(asked)).tolist()
        answer = [(self.index_to_key[row], float(scores[row])) for row in best if row not in asked]
        return answer[: max(topn, 0)]

    def similar_by_vector(
        self, vector: ArrayLike, topn: int = 10, restrict_vocab: int | None = None
    ) -> list[tuple[str, float]]:
        """Return the words nearest to a vector, as :meth:`most_similar` does."""
        return self.most_similar([vector], topn=topn, restrict_vocab=restrict_vocab)

    def doesnt_match(self, words: Sequence[str]) -> str:
        """Return the word that is farthest from the mean of all these words."""
        if not words:
            msg = "name the words to choose from"
            raise ConfigError(msg)
        units = self.get_normed_vectors()[[self._row(word) for word in words]]
        return words[int((units @ units.mean(axis=0)).argmin())]

    def save(self, path: StrPath, format: str | None = None) -> None:
        """Write the vectors to a file, which is whole or not there at all.

        Parameters
        ----------
        path
            Where to. ``.gz`` at the end compresses.
        format
            ``word2vec``, ``word2vec-binary``, ``safetensors``, ``tsv`` (TensorFlow's projector:
            the words go to ``<name>_metadata.tsv``) or ``vocab`` (words and counts alone). None
            takes it from the ending: ``.txt``, ``.bin``, ``.safetensors``, ``.tsv``, ``.vocab``.

        Raises
        ------
        ConfigError
            If the ending or the format is not known.
        EmptyVocabularyError
            If there is no word.
        StorageError
            If the file cannot be written, or the format cannot hold a word or a number: only
            safetensors holds a word with white space in it, and none holds a vector that is not
            finite. What stood at the path is intact.
        """
        table = Table(self._keys, self.vectors, self.counts)
        write_table(path, table, format_of(path, format))

    def save_word2vec_format(
        self, path: StrPath, fvocab: StrPath | None = None, binary: bool = False
    ) -> None:
        """Write word2vec's format, text or binary; see :meth:`save`.

        ``fvocab`` is a second file, for the counts.
        """
        if fvocab is not None:
            self.save(fvocab, "vocab")
        self.save(path, "word2vec-binary" if binary else "word2vec")

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """Read a file in any of the formats that hold vectors, whatever its name.

        Raises
        ------
        FormatError
            If it is none of these, or damaged.
        SourceNotFoundError, SourceError
            If there is no such file, or it cannot be read.
        """
        return cls._of(read_table(path))

    @classmethod
    def load_word2vec_format(
        cls, path: StrPath, binary: bool | None = None, unicode_errors: str = "strict"
    ) -> Self:
        """Read word2vec's format, text or binary; None looks which of them it is.

        ``unicode_errors`` is for words that are not UTF-8, as in ``bytes.decode``; word2vec.c
        itself cuts long words anywhere. See :meth:`load` for what is raised.
        """
        return cls._of(read_word2vec(path, binary, unicode_errors))

    @classmethod
    def _of(cls, table: Table) -> Self:
        return cls(table.keys, table.vectors, table.counts)

    def _row(self, word: str) -> int:
        row = self.key_to_index.get(word)
        if row is None:
            if not len(self):
                msg = f"there is no vector for {word!r}, nor for any other word: none was learnt"
                raise EmptyVocabularyError(msg)
            raise UnknownWordError(_Unknown(word, self.index_to_key))
        return row

    def _vector(self, values: ArrayLike) -> NDArray[np.float32]:
        vector = np.asarray(values, np.float32)
        if vector.shape != (self.vector_size,) or not np.isfinite(vector).all():
            msg = f"a vector must be {self.vector_size} finite numbers, not {np.shape(values)}"
            raise ConfigError(msg)
        return vector

    @cached_property
    def _units(self) -> NDArray[np.float32]:
        # In float64, in which no float32 squared is too large or too small.
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors, dtype=np.float64)
        lengths = np.sqrt(squares)
        lengths[lengths == 0] = 1
        units = np.empty_like(self.vectors)
        np.divide(self.vectors, lengths[:, None], out=units, casting="same_kind")
        return _frozen(units)


class _Unknown:
    """What is said of an unknown word, worked out only when it is read.

    Code that tries words and catches the error must not pay for suggestions.
    """

    def __init__(self, word: str, keys: Sequence[str]) -> None:
        self.word = word
        self.keys = keys

    def __str__(self) -> str:
        said = f"there is no vector for {self.word!r}"
        close = difflib.get_close_matches(str(self.word), self.keys[:_SUGGEST_FROM])
        return said + (
            f"; close to it are {', '.join(map(repr, close))}"
            if close
            else ": it was too rare, or is written in another way"
        )

    __repr__ = __str__

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class VectorsFile(Sink):
    """A file that holds the latest snapshot.

    Parameters
    ----------
    path
        Where to, as in :meth:`KeyedVectors.save`.
    format
        Which format; None takes it from the ending.

    Raises
    ------
    ConfigError
        If the ending or the format is not known: now, not after hours of training.
    """

    def __init__(self, path: StrPath, format: str | None = None) -> None:
        self.path = path
        self.format = format_of(path, format)

    def write(self, vectors: KeyedVectors) -> None:
        """Replace the file by this snapshot; one without words leaves it as it is."""
        if len(vectors):
            vectors.save(self.path, self.format)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _as_counts(counts: ArrayLike) -> NDArray[Any]:
    array = np.asarray(counts)
    return np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else np.float64)


def _as_list(items: Any) -> list[Any]:
    if items is None:
        return []
    one = isinstance(items, str) or (isinstance(items, np.ndarray) and items.ndim == 1)
    return [items] if one else list(items)


def _largest(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the indices of the largest scores, the largest first; of equal ones the first."""
    count = min(count, len(scores))
    if count == 0:
        return np.empty(0, np.intp)
    # Every score that ties with the last one is looked at, so that the first of them stay.
    some = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    return some[np.argsort(-scores[some], kind="stable")][:count]
