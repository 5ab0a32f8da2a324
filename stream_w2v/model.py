"""Word2Vec: skip-gram with negative sampling over a stream of records."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import CUSTOM_TEXT, Config, Tokenizer
from stream_w2v.contexts import RareContexts
from stream_w2v.errors import BrokenModelError, ConfigError, DivergedError, FormatError
from stream_w2v.kernel import learn as kernel
from stream_w2v.kernel.count import (
    CANDIDATES_FULL,
    DONE,
    PLAN_FULL,
    ROWS_FULL,
    SCALE_FULL,
    TABLE_FULL,
    WORDS_FULL,
)
from stream_w2v.kernel.learn import COUNTERS, OPTIONS
from stream_w2v.kernel.memory import stride_of, touched
from stream_w2v.kernel.refresh import gather, gather_more, gather_sums, reorder
from stream_w2v.kernel.refresh import refresh as refresh_rows
from stream_w2v.kernel.tokenise import MAX_WORD_BYTES
from stream_w2v.kernel.train import Weights
from stream_w2v.noise import NoiseDistribution
from stream_w2v.replay import Replay
from stream_w2v.schedules import Schedule
from stream_w2v.storage import read_tensors, write_tensors
from stream_w2v.stream import Batch
from stream_w2v.text import Text, TokenBlock, token_block
from stream_w2v.vectors import KeyedVectors
from stream_w2v.vocabulary import Vocabulary, WordList
from stream_w2v.workers import Workers
from stream_w2v.workspace import Workspace, reserved_weights

_KIND = "stream-w2v-model"
_VERSION = 2
_GATHERED_BYTES = 1 << 18

COMBINATIONS = ("input", "sum")

DEFAULT_COMBINATION = "sum"

OUTPUT_SHARE = 0.5
"""How much of the output vector ``sum`` adds."""

RARE = 4
"""A word is rare up to so many times ``min_count``."""

REFRESH_PASSES = 4
"""How often a refresh looks at each context."""

_NEW_WORDS = 1000
"""Words that may come between getting memory for a snapshot and taking it, for which it does."""

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
        self.schedule = Schedule.from_config(config)
        try:
            self.vocabulary = Vocabulary(config)
            self.noise = NoiseDistribution(config.ns_exponent, config.max_vocab_size)
            stride = stride_of(config.vector_size)
            self._weights = reserved_weights(config.max_vocab_size, stride)
            self._contexts = RareContexts(config)
            self._replay = Replay(config)
        except MemoryError as error:
            rows = config.max_vocab_size
            msg = f"no memory can be reserved for {rows:,} words: use a lower max_vocab_size"
            raise ConfigError(msg) from error
        self._text = Text(config.text)
        self._options = _options(config, self.schedule)
        self._counters = np.zeros(1, dtype=COUNTERS)
        self._spaces: SimpleQueue[Workspace] = SimpleQueue()
        for _ in range(config.workers):
            self._spaces.put(Workspace(config, several=config.workers > 1))
        # Who holds the lock may count; the vectors are still while nobody trains.
        self._lock = threading.RLock()
        self._still = threading.Condition(self._lock)
        self._training = 0
        self._wanted = 0
        self._broken = False
        self._released = False

    # Learning.

    def learn_one(self, x: Record) -> None:
        """Learn one record: a text, its UTF-8 bytes, or a list of words."""
        if isinstance(x, TextRecord):
            self.learn_batch(_batch([_encode(x)]))
        elif isinstance(x, Mapping):
            msg = f"a record is a text or a list of words, not {type(x).__name__}"
            raise TypeError(msg)
        else:
            self._learn(token_block([x]))

    def learn_many(self, xs: Iterable[Record]) -> None:
        """Learn records in order: the same as :meth:`learn_one` for each, and faster.

        Raises
        ------
        TypeError
            If given one text, whose characters would be the records.
        """
        if isinstance(xs, TextRecord):
            msg = "learn_many takes many records; for one text there is learn_one"
            raise TypeError(msg)
        with Workers(self.learn_batch, self.config.workers) as workers:
            gathered: list[bytes] = []
            size = 0
            for x in xs:
                if isinstance(x, TextRecord):
                    gathered.append(_encode(x))
                    size += len(gathered[-1])
                    if size < _GATHERED_BYTES:
                        continue
                if gathered:
                    workers.put(_batch(gathered))
                    gathered, size = [], 0
                if not isinstance(x, TextRecord):
                    workers.put([token_block([x])])
            if gathered:
                workers.put(_batch(gathered))

    def learn_batch(self, batch: Batch | Iterable[TokenBlock]) -> None:
        """Learn the records of a batch, or of one that :meth:`tokenise` has cut already.

        Raises
        ------
        DivergedError
            If the vectors are no longer finite.
        """
        for block in self.tokenise(batch) if isinstance(batch, Batch) else batch:
            self._learn(block)

    def tokenise(self, batch: Batch) -> Iterator[TokenBlock]:
        """Cut a batch into words. Changes nothing, so it may run ahead in another thread."""
        return self._text.blocks(batch)

    def _learn(self, block: TokenBlock) -> None:
        space = self._spaces.get()
        space.scratch.cursor[0] = 0
        try:
            if self.config.workers == 1:
                self._learn_alone(block, space)
            else:
                self._learn_beside(block, space)
        finally:
            self._spaces.put(space)

    def _learn_alone(self, block: TokenBlock, space: Workspace) -> None:
        with self._whole():
            interrupt: KeyboardInterrupt | None = None
            status = -1
            while status != DONE:
                try:
                    status = kernel.learn(
                        block.tokens, block.pieces, *self._state(), space.scratch, space.plan,
                        space.private, self._options, self._counters,
                    )  # fmt: skip
                    self._make_room(status)
                except KeyboardInterrupt as error:
                    if self._broken:
                        raise
                    # Ctrl-C takes effect after the block: half a record would be learnt twice.
                    interrupt = error
            self._count(block)
            if interrupt is not None:
                raise interrupt

    def _learn_beside(self, block: TokenBlock, space: Workspace) -> None:
        """Learn while other threads do: one counts at a time, all train."""
        status = -1
        try:
            while status != DONE:
                status = self._prepare(block, space)
                self._train(space)
        except BaseException:
            # What was counted may not have been trained.
            self._broken = True
            raise
        with self._lock:
            self._count(block)

    def _prepare(self, block: TokenBlock, space: Workspace) -> int:
        """Count as much of a block as there is room for, and plan its training."""
        cursor = space.scratch.cursor[0]
        with self._lock:
            self._still.wait_for(lambda: self._wanted == 0)
            self._check_whole()
            # Meanwhile another thread may have evicted words of a piece counted in part.
            cursor["changed"] = cursor["word"] > 0
            status: int = kernel.prepare(
                block.tokens, block.pieces, *self._state(), space.scratch, space.plan,
                self._options, self._counters,
            )  # fmt: skip
            if status != ROWS_FULL:
                self._make_room(status)
            elif not cursor["planned"]:
                # Rows go to other words only when nobody trains them.
                self._wait_until_still()
                if self.vocabulary.full:
                    self._make_room(status)
            self._training += 1
        return status

    def _train(self, space: Workspace) -> None:
        """Train what is planned."""
        counters = space.counters[0]
        before = counters.copy()
        try:
            kernel.train(
                self.noise.arrays, self._weights, space.scratch, space.plan, space.private,
                self._options, space.counters,
            )  # fmt: skip
        finally:
            with self._lock:
                self._training -= 1
                for name in ("windows", "loss", "loss_pairs"):
                    self._counters[0][name] += counters[name] - before[name]
                self._still.notify_all()

    def _state(self) -> tuple[Any, ...]:
        return (
            self.vocabulary.arrays, self.noise.arrays, self._weights,
            self._contexts.arrays if self.config.refresh_contexts else None,
            self._replay.arrays if self.config.replay_tokens else None,
        )  # fmt: skip

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Keep other threads out, and refuse a model that was broken off."""
        with self._lock:
            self._wait_until_still()
            self._check_whole()
            yield

    def _wait_until_still(self) -> None:
        """Wait, holding the lock, until nobody trains."""
        self._wanted += 1
        try:
            self._still.wait_for(lambda: self._training == 0)
        finally:
            self._wanted -= 1
            self._still.notify_all()

    def _check_whole(self) -> None:
        if self._broken:
            msg = "learning was broken off inside a record: load the model's last save"
            raise BrokenModelError(msg)
        if self._released:
            msg = "the model was released, its memory is that of its vectors: save it before"
            raise BrokenModelError(msg)

    def _count(self, block: TokenBlock) -> None:
        counters = self._counters[0]
        counters["invalid"] += block.invalid
        counters["oversize"] += block.oversize
        if not np.isfinite(counters["loss"]):
            msg = (
                f"the vectors are no longer finite after record {counters['records']}: "
                "use a lower learning_rate"
            )
            raise DivergedError(msg)

    def _make_room(self, status: int) -> None:
        if status in (DONE, PLAN_FULL):
            return
        self._broken = True
        counters = self._counters[0]
        if status == WORDS_FULL:
            self.vocabulary.grow_words()
        elif status == CANDIDATES_FULL:
            counters["forgotten"] += self.vocabulary.make_candidate_room()
        elif status == SCALE_FULL:
            self.vocabulary.scale_down()
            self.noise.rebuild(self.vocabulary.scaled_counts)
        elif status == TABLE_FULL:
            self.vocabulary.grow_table()
        else:
            self._evict()
        self._broken = False

    def _evict(self) -> None:
        rows = self.vocabulary.evict()
        self._counters[0]["evicted"] += len(rows)
        for array in self._weights:
            array[rows] = 0.0
        # Nothing may name a row that another word is about to get.
        gone = np.zeros(self.vocabulary.rows_end, dtype=np.bool_)
        gone[rows] = True
        self._contexts.forget(gone)
        self._replay.forget(gone)
        self.noise.rebuild(self.vocabulary.scaled_counts)

    # Reading.

    @property
    def records(self) -> int:
        """Records learnt."""
        return int(self._counters[0]["records"])

    @property
    def counters(self) -> dict[str, float]:
        """Everything that is counted, by name: see ``COUNTERS`` in ``kernel/learn.py``."""
        return {name: self._counters[0][name].item() for name in COUNTERS.names or ()}

    @property
    def learning_rate(self) -> float:
        """Mean over the words' input vectors of the rate at which they learn now."""
        rows = self.vocabulary.rows()
        if len(rows) == 0:
            return self.schedule.learning_rate
        windows = self._weights.input_windows[rows]
        return float(self.schedule.rates(windows, int(self._counters[0]["words"])).mean())

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
            0, then the rare words on their contexts. The model itself stays as it is, and waits.
        since
            Only words that were trained in the piece of this number or later. What
            ``model.counters["pieces"]`` was at one snapshot gives, at the next, the words that
            may have changed in between.

        Raises
        ------
        ConfigError
            If ``combine`` is something else, or there is to be a refresh and the model keeps
            nothing for it (``refresh_contexts``, ``replay_tokens``).
        """
        return self._take(combine, refresh, since)

    def release(self, *, combine: str = DEFAULT_COMBINATION, refresh: bool = False) -> KeyedVectors:
        """Return the last snapshot, in the model's own memory instead of new.

        That ends the model: it can still be asked for its counters and its words, and no more.
        See :meth:`snapshot` for the parameters and what is raised.
        """
        return self._take(combine, refresh, last=True)

    def _take(
        self, combine: str, refresh: bool, since: int = 0, *, last: bool = False
    ) -> KeyedVectors:
        check_combination(combine)
        if refresh and not (self.config.refresh_contexts or self.config.replay_tokens):
            msg = "there is nothing to refresh from: set refresh_contexts, or replay_tokens"
            raise ConfigError(msg)
        # All memory comes first, and whatever needs no other thread to wait comes last.
        vocabulary, share = self.vocabulary, np.float32(OUTPUT_SHARE)
        many = len(vocabulary.rows(since)) + _NEW_WORDS
        words = WordList.of_size(many, vocabulary.words_end + _NEW_WORDS * MAX_WORD_BYTES // 8)
        size = self.config.vector_size
        room = _room(0 if last else many, size)
        # A first call compiles, or at least loads.
        gather_sums(*self._weights[:2], words.rows[:0], share, room[:0])
        gather(self._weights.input_vectors, words.rows[:0], room[:0])
        with self._whole():
            words = vocabulary.list_words(words, since)
            rows = words.rows
            if last:
                # No row moves to where one stands that is still to be read.
                self._released = True
                room = self._weights.input_vectors.reshape(-1)[: len(rows) * size]
                room = room.reshape(len(rows), size)
            elif len(rows) > len(room):
                room = _room(len(rows), size)
            vectors = room[: len(rows)]
            increment = vocabulary.increment
            if not refresh and combine == "input":
                gather(self._weights.input_vectors, rows, vectors)
            elif not refresh:
                gather_sums(*self._weights[:2], rows, share, vectors)
            else:
                weights = self._settled(self._weights if last else None)
                gather(weights.input_vectors, rows, vectors)
                if self.config.refresh_contexts:
                    refresh_rows(
                        vectors, rows, vocabulary.arrays, self.noise.arrays, weights,
                        self._contexts.arrays, self._aside().scratch, self._options,
                        REFRESH_PASSES,
                    )  # fmt: skip
                if combine == "sum":
                    gather_more(weights.output_vectors, rows, share, vectors)
            if last:
                self._weights = self._weights._replace(output_vectors=_room(0, size))
        order = np.argsort(-words.counts, kind="stable")
        reorder(vectors, order.copy())
        counts = np.rint(words.counts[order] / increment)
        return KeyedVectors(words.packed(order), vectors, counts)

    def _settled(self, copy: Weights | None) -> Weights:
        """Return weights that have caught up with the replay: those given, or else a copy."""
        if not self.config.replay_tokens:
            return self._weights
        if copy is None:
            end = self.vocabulary.rows_end
            copy = reserved_weights(end, self._weights.input_vectors.shape[1])
            for ours, theirs in zip(copy, self._weights, strict=True):
                ours[:] = theirs[:end]
        space = self._aside()
        kernel.catch_up(
            self.vocabulary.arrays, self.noise.arrays, copy, self._replay.arrays, space.scratch,
            space.plan, space.private, self._options.copy(), self._counters.copy(),
        )  # fmt: skip
        return copy

    def _aside(self) -> Workspace:
        return Workspace(self.config, several=False)

    # Saving.

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays, most of them views of the live ones.

        Equal states give equal arrays, bit for bit.
        """
        end = self.vocabulary.rows_end
        return {
            **{f"weights.{name}": getattr(self._weights, name)[:end] for name in Weights._fields},
            **self.vocabulary.tensors(),
            **self.noise.tensors(end),
            **self._contexts.tensors(),
            **self._replay.tensors(),
            **{f"counters.{name}": self._counters[name] for name in COUNTERS.names or ()},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the whole state: one verified file, written aside and renamed.

        Raises
        ------
        StorageError
            If it cannot be written; a file that was there before is intact.
        """
        with self._whole():
            write_tensors(path, _KIND, _VERSION, self.tensors(), {"config": self.config.to_dict()})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, text: str | Tokenizer | None = None) -> Word2Vec:
        """Load what :meth:`save` wrote; learning goes on as if nothing had happened.

        Parameters
        ----------
        path
            The file.
        text
            The callable that cuts records into words, for a model that was trained with one.

        Raises
        ------
        FormatError
            If the file is damaged, or not a saved model.
        ConfigError
            If the model needs ``text`` and it was not given.
        """
        tensors, metadata = read_tensors(path, _KIND, _VERSION)
        try:
            options = dict(metadata["config"])
            if options.get("text") == CUSTOM_TEXT and text is not None:
                options["text"] = text
            model = cls(Config.from_dict(options))
            model._restore(tensors)
        except ConfigError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{os.fspath(path)}: the saved model does not hold together ({error})"
            raise FormatError(msg) from error
        return model

    # Copying and pickling go through the same state: the arrays hold addresses of each other.

    def __getstate__(self) -> dict[str, Any]:
        with self._whole():
            tensors = {name: tensor.copy() for name, tensor in self.tensors().items()}
        return {"config": self.config, "tensors": tensors}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        Word2Vec.__init__(self, state["config"])
        self._restore(state["tensors"])

    def _restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self.vocabulary.restore(tensors)
        end = self.vocabulary.rows_end
        for name in Weights._fields:
            getattr(self._weights, name)[:end] = tensors[f"weights.{name}"]
        self.noise.restore(tensors)
        self._contexts.restore(tensors, end)
        self._replay.restore(tensors, end)
        for name in COUNTERS.names or ():
            self._counters[name] = tensors[f"counters.{name}"]


def check_combination(combine: str) -> None:
    """Refuse a combination of vectors that is not known."""
    if combine not in COMBINATIONS:
        msg = f"combine must be one of {', '.join(COMBINATIONS)}, not {combine!r}"
        raise ConfigError(msg)


def _encode(text: TextRecord) -> bytes:
    # A lone surrogate becomes bytes that are no UTF-8, which the tokeniser replaces and counts.
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)


def _batch(records: list[bytes]) -> Batch:
    ends = np.cumsum(np.fromiter(map(len, records), dtype=np.int64, count=len(records)))
    return Batch(records[0] if len(records) == 1 else b"".join(records), ends)


def _options(config: Config, schedule: Schedule) -> NDArray[np.void]:
    options = np.zeros(1, dtype=OPTIONS)
    for name in ("seed", "vector_size", "window", "negative", "min_count", "max_candidates",
                 "sample", "replay_sample", "ns_exponent", "noise_staleness"):  # fmt: skip
        options[name] = getattr(config, name)
    options["rare_count"] = RARE * config.min_count
    options["half_life"] = config.half_life or 0.0
    options["schedule"] = schedule.code
    options["learning_rate"] = schedule.learning_rate
    options["min_learning_rate"] = schedule.floor
    options["rate_start"] = schedule.start
    options["rate_slope"] = schedule.slope
    options["rate_tokens"] = schedule.tokens
    return options


def _room(rows: int, vector_size: int) -> NDArray[np.float32]:
    return touched(rows * vector_size, np.float32, huge=True).reshape(rows, vector_size)
