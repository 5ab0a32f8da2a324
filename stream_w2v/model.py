"""Word2Vec: skip-gram with negative sampling over a stream of records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import CUSTOM_TEXT, Config, Tokenizer
from stream_w2v.errors import ConfigError, FormatError
from stream_w2v.kernel.learn import COUNTERS
from stream_w2v.learner import Learner
from stream_w2v.movement import Look, look, movement
from stream_w2v.noise import NoiseDistribution
from stream_w2v.pooling import Pooler
from stream_w2v.snapshot import DEFAULT_COMBINATION, take
from stream_w2v.state import State
from stream_w2v.storage import (
    read_tensors,
    tensors_from_bytes,
    tensors_to_bytes,
    write_tensors,
)
from stream_w2v.stream import Batch
from stream_w2v.text import Text, TokenBlock, WordsRecord, token_block, words_record
from stream_w2v.vectors import KeyedVectors
from stream_w2v.vocabulary import Vocabulary
from stream_w2v.workers import Workers

_KIND = "stream-w2v-model"
_VERSION = 2
_GATHERED_BYTES = 1 << 18

TextRecord = str | bytes | bytearray | memoryview
Record = TextRecord | Sequence[str]
"""A text, its UTF-8, or words that were cut already."""


class Word2Vec:
    """Word vectors that learn from one record after the other, in one pass, in bounded memory.

    The model is a function of its options and the sequence of records. How they are grouped into
    calls, when it is saved, loaded or looked at, changes nothing.

    Parameters
    ----------
    config
        The options; or give them by name: ``Word2Vec(vector_size=300)``. See :class:`Config`.

    Attributes
    ----------
    config, schedule
        The options, and what they say of learning rates.
    metadata
        What was kept beside the model in the file that it was loaded from: see :meth:`save`.

    Raises
    ------
    ConfigError
        If an option is unknown or out of its range.

    References
    ----------
    Mikolov et al., Distributed representations of words and phrases and their compositionality,
    2013. Goldberg & Levy, word2vec explained, 2014.

    Examples
    --------
    >>> from stream_w2v import Word2Vec
    >>> model = Word2Vec(vector_size=16, min_count=1)
    >>> model.learn_one("the quick brown fox jumps over the lazy dog")
    >>> model.learn_many(["the lazy fox", "the quick dog"])
    >>> vectors = model.snapshot()
    >>> vectors["fox"].shape
    (16,)
    """

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        if config is None:
            config = Config.from_options(options)
        elif options:
            msg = "give a config or options by name, not both"
            raise TypeError(msg)
        self.config = config
        self.metadata: Mapping[str, Any] = {}
        self._state = State(config)
        self.schedule = self._state.schedule
        self._learner = Learner(self._state)
        self._pooler = Pooler(self._state, self._learner)
        self._text = Text(config.text, config.split_identifiers)

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that have rows, and those that wait."""
        return self._state.vocabulary

    @property
    def noise(self) -> NoiseDistribution:
        """The distribution that noise words are drawn from."""
        return self._state.noise

    # Learning.

    def learn_one(self, x: Record) -> None:
        """Learn one record: a text, its UTF-8 bytes, or a list of words."""
        self.learn_batch(_work([_encoded(x)]))

    def learn_many(self, xs: Iterable[Record]) -> None:
        """Learn records in order: the same as :meth:`learn_one` for each, and faster.

        If ``xs`` raises an error, all that it gave before is learnt.

        Raises
        ------
        TypeError
            If given one text, whose characters would be the records; or something is no record.
        """
        if isinstance(xs, TextRecord):
            msg = "learn_many takes many records; for one text there is learn_one"
            raise TypeError(msg)
        with Workers(self.learn_batch, self.config.workers) as workers:
            for work in _gathered(xs):
                workers.put(work)

    def learn_batch(self, batch: Batch | Iterable[TokenBlock]) -> None:
        """Learn the records of a batch, or of one that :meth:`tokenise` has cut already.

        Raises
        ------
        DivergedError
            If the vectors are no longer finite.
        """
        for block in self.tokenise(batch) if isinstance(batch, Batch) else batch:
            self._learner.learn(block)

    def tokenise(self, batch: Batch) -> Iterator[TokenBlock]:
        """Cut a batch into words. Changes nothing, so it may run ahead in another thread."""
        return self._text.blocks(batch)

    # Reading.

    @property
    def records(self) -> int:
        """Records learnt."""
        return int(self._state.counters[0]["records"])

    @property
    def counters(self) -> dict[str, float]:
        """Everything that is counted, by name: see ``COUNTERS`` in ``kernel/learn.py``."""
        return {name: self._state.counters[0][name].item() for name in COUNTERS.names or ()}

    @property
    def learning_rate(self) -> float:
        """Mean over the words' input vectors of the rate at which they learn now."""
        rows = self.vocabulary.rows()
        if len(rows) == 0:
            return self.schedule.learning_rate
        windows = self._state.weights.input_windows[rows]
        return float(self.schedule.rates(windows, int(self._state.counters[0]["words"])).mean())

    def snapshot(
        self, *, combine: str = DEFAULT_COMBINATION, refresh: bool = False, since: int = 0
    ) -> KeyedVectors:
        """Return an immutable copy of the words, their vectors and counts as they are now.

        Words are ordered by falling count, as in gensim. Training waits only while rows are
        copied, and refreshed if that is asked for.

        Parameters
        ----------
        combine
            ``input``: the input vectors, as everywhere. ``sum``: each with half of the word's
            output vector added, which brings in what the word was predicted from.
        refresh
            Train a copy some more: on what the replay has yet to come to, with rates that fall to
            0, then the rare words on their contexts, at the rates of the per-row schedule whatever
            the model's is. The model itself stays as it is, and waits; where there is a replay, the
            copy takes as much memory as all its vectors.
        since
            Only words that were trained in the piece of this number or later. What
            ``model.counters["pieces"]`` was at one snapshot gives, at the next, the words whose
            input vectors may have changed in between. (What ``sum`` adds moves a little for other
            words, too, as they are drawn for noise.)

        Raises
        ------
        ConfigError
            If ``combine`` is something else, or there is to be a refresh and the model keeps
            nothing for it (``refresh_contexts``, ``replay_tokens``).
        """
        return take(self._state, self._learner, combine=combine, refreshed=refresh, since=since)

    def release(self, *, combine: str = DEFAULT_COMBINATION, refresh: bool = False) -> KeyedVectors:
        """Return the last snapshot, in the model's own memory instead of new.

        That ends the model: it can still be asked for its counters and its words, and no more.
        See :meth:`snapshot` for the parameters and what is raised.
        """
        return take(self._state, self._learner, combine=combine, refreshed=refresh, last=True)

    # Texts.

    def pool_one(
        self, x: Record, pooling: str = "mean", *, removed: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return the vector of a text: those of its words, pooled, as they are now.

        A word's vector is the one that :meth:`snapshot` would give. Words without one are passed
        over; if there is no other, the result is zeros. The model does not change.

        Parameters
        ----------
        x
            A text, its UTF-8 bytes, or a list of words.
        pooling
            ``mean``; ``sif``, the mean with each vector times ``a / (a + p)``, where a is .001 and
            p the share of the word in all that the model has counted; or ``max``, the largest of
            each number.
        removed
            A direction, ``[vector_size]``, whose part in the vector is taken out.

        Returns
        -------
        NDArray
            float64 ``[vector_size]``.

        Raises
        ------
        ConfigError
            If ``pooling`` is something else, or ``removed`` has another length.
        """
        vector: NDArray[np.float64] = self._pooled(_work([_encoded(x)]), pooling, removed)[0]
        return vector

    def pool_many(
        self,
        xs: Iterable[Record],
        pooling: str = "mean",
        *,
        removed: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the vectors of texts: float64 ``[n, vector_size]``, see :meth:`pool_one`."""
        found = [self._pooled(work, pooling, removed) for work in _gathered(xs)]
        return np.concatenate(found) if found else np.zeros((0, self.config.vector_size))

    def _pooled(
        self,
        work: Batch | list[TokenBlock],
        pooling: str,
        removed: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        if isinstance(work, Batch):
            return self._pooler.pool(self.tokenise(work), len(work), pooling, removed)
        records = sum(int(block.tokens.closes.sum()) for block in work)
        return self._pooler.pool(work, records, pooling, removed)

    # Movement.

    def look(self, words: Sequence[str] | int) -> Look:
        """Return words as they are now, for :meth:`movement` to compare with later.

        Parameters
        ----------
        words
            The words, as the model knows them: lower-cased, if its text is. Or how many, for the
            most frequent ones.
        """
        return look(self._state, self._learner, words)

    def movement(self, before: Look) -> NDArray[np.float64]:
        """Return how far words moved since a look at them, for as much as they were trained since.

        It is the logarithm of the cosine distance, less that of what the learning rates explain:
        ``log(1 - cos) - log(n r^2)`` with n windows at a rate of r. While a text goes on as before
        it stays about the same; by .8 it rose for words of Wikipedia that were swapped.

        Returns
        -------
        NDArray
            float64 ``[n]``: NaN for words that were not trained since, or not there before or now.
        """
        return movement(self._state, self._learner, before)

    # Saving.

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays, most of them views of the live ones.

        Equal states give equal arrays, bit for bit.
        """
        return self._state.tensors()

    def save(self, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Save the whole state: one verified file, written aside and renamed.

        Parameters
        ----------
        path
            The file.
        metadata
            What else to keep in it, JSON-serialisable: the ``metadata`` of the model that
            :meth:`load` returns. It is not carried on from there to the next save.

        Raises
        ------
        StorageError
            If it cannot be written; a file that was there before is intact.
        """
        with self._learner.whole():
            write_tensors(path, _KIND, _VERSION, self.tensors(), self._about(metadata))

    def to_bytes(self, metadata: Mapping[str, Any] | None = None) -> bytes:
        """Return what :meth:`save` would write."""
        with self._learner.whole():
            return tensors_to_bytes(_KIND, _VERSION, self.tensors(), self._about(metadata))

    def _about(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"config": self.config.to_dict(), "metadata": dict(metadata or {})}

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        text: str | Tokenizer | None = None,
        workers: int | None = None,
    ) -> Word2Vec:
        """Load what :meth:`save` wrote; learning goes on as if nothing had happened.

        Parameters
        ----------
        path
            The file.
        text
            The callable that cuts records into words, for a model that was trained with one.
        workers
            Threads that train from now on, if not as many as before.

        Raises
        ------
        FormatError
            If the file is damaged, or not a saved model.
        ConfigError
            If the model needs ``text`` and it was not given.
        """
        read = read_tensors(path, _KIND, _VERSION)
        return cls._loaded(os.fspath(path), *read, text, workers)

    @classmethod
    def from_bytes(cls, data: bytes, text: str | Tokenizer | None = None) -> Word2Vec:
        """Load what :meth:`to_bytes` returned; see :meth:`load`."""
        read = tensors_from_bytes(data, _KIND, _VERSION)
        return cls._loaded("what was pickled", *read, text, None)

    @classmethod
    def _loaded(
        cls,
        name: str | bytes,
        tensors: dict[str, NDArray[Any]],
        metadata: dict[str, Any],
        text: str | Tokenizer | None,
        workers: int | None,
    ) -> Word2Vec:
        try:
            options = dict(metadata["config"])
            if options.get("text") == CUSTOM_TEXT and text is not None:
                options["text"] = text
            if workers is not None:
                options["workers"] = workers
            model = cls(Config.from_dict(options))
            model._state.restore(tensors)
            model.metadata = dict(metadata.get("metadata", {}))
        except ConfigError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{name!s}: the saved model does not hold together ({error})"
            raise FormatError(msg) from error
        return model

    # Copying and pickling: the arrays hold addresses of each other.

    def copy(self) -> Word2Vec:
        """Return a model that goes on from here by itself. Others wait only while memory is copied.

        Saving the copy in another thread is how to save without holding up training.
        """
        twin = Word2Vec(self.config)
        with self._learner.whole():
            twin._state.copy_from(self._state)
        return twin

    def __copy__(self) -> Word2Vec:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Word2Vec:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # The bytes of a saved model, which are verified when they are read. Only a tokenizer is
        # pickled as Python pickles it: by its name.
        text = self.config.text if callable(self.config.text) else None
        return type(self).from_bytes, (self.to_bytes(), text)


def _encoded(x: Record) -> bytes | WordsRecord:
    if isinstance(x, str):
        # A lone surrogate becomes bytes that are no UTF-8, which the tokeniser replaces and counts.
        return x.encode("utf-8", "surrogatepass")
    if isinstance(x, bytes | bytearray | memoryview):
        return bytes(x)
    if isinstance(x, Mapping):
        msg = f"a record is a text or a list of words, not {type(x).__name__}"
        raise TypeError(msg)
    return words_record(x)


def _gathered(xs: Iterable[Record]) -> Iterator[Batch | list[TokenBlock]]:
    """Gather records that follow each other, for a call costs as much as a short record."""
    records: list[bytes | WordsRecord] = []
    size = 0
    try:
        for record in map(_encoded, xs):
            if records and (size >= _GATHERED_BYTES or type(record) is not type(records[0])):
                work, records, size = _work(records), [], 0
                yield work
            records.append(record)
            size += len(record)
    except (Exception, KeyboardInterrupt):
        if records:
            yield _work(records)
        raise
    if records:
        yield _work(records)


def _work(records: Sequence[bytes | WordsRecord]) -> Batch | list[TokenBlock]:
    """Make one batch of texts, or one block of records of words."""
    words = [record for record in records if isinstance(record, WordsRecord)]
    if words:
        return [token_block(words)]
    texts = [record for record in records if isinstance(record, bytes)]
    if len(texts) == 1:
        # What every learn_one comes through.
        return Batch(texts[0], np.array([len(texts[0])]))
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
    return Batch(b"".join(texts), ends)
