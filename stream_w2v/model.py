"""Word2Vec: skip-gram with negative sampling over a stream of records."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import CUSTOM_TEXT, Config, Tokenizer
from stream_w2v.errors import BrokenModelError, ConfigError, DivergedError, FormatError
from stream_w2v.kernel import learn as kernel
from stream_w2v.kernel.learn import CHUNK, COUNTERS, CURSOR, OPTIONS, Scratch, Weights
from stream_w2v.kernel.memory import aligned_zeros, reserved_zeros, stride_of
from stream_w2v.kernel.tokenise import PIECE_TOKENS
from stream_w2v.kernel.window import BLOCK
from stream_w2v.noise import NoiseDistribution
from stream_w2v.schedules import Schedule
from stream_w2v.storage import read_tensors, write_tensors
from stream_w2v.stream import Batch
from stream_w2v.text import Text, TokenBlock, token_block
from stream_w2v.vectors import KeyedVectors
from stream_w2v.vocabulary import Vocabulary

_KIND = "stream-w2v-model"
_VERSION = 1
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
            self._weights = _weights(config)
        except MemoryError as error:
            rows = config.max_vocab_size
            msg = f"no memory can be reserved for {rows:,} words: use a lower max_vocab_size"
            raise ConfigError(msg) from error
        self._text = Text(config.text)
        self._options = _options(config, self.schedule)
        self._counters = np.zeros(1, dtype=COUNTERS)
        self._scratch = _scratch(config)
        self._lock = threading.RLock()
        self._broken = False

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
        gathered: list[bytes] = []
        size = 0
        for x in xs:
            if isinstance(x, TextRecord):
                gathered.append(_encode(x))
                size += len(gathered[-1])
                if size < _GATHERED_BYTES:
                    continue
            if gathered:
                self.learn_batch(_batch(gathered))
                gathered, size = [], 0
            if not isinstance(x, TextRecord):
                self._learn(token_block([x]))
        if gathered:
            self.learn_batch(_batch(gathered))

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
        with self._whole():
            interrupt: KeyboardInterrupt | None = None
            self._scratch.cursor[0] = 0
            while True:
                try:
                    if self._learn_on(block) == kernel.DONE:
                        break
                except KeyboardInterrupt as error:
                    if self._broken:
                        raise
                    # Ctrl-C takes effect after the block: half a record would be learnt twice.
                    interrupt = error
            self._count(block)
            if interrupt is not None:
                raise interrupt

    def _learn_on(self, block: TokenBlock) -> int:
        """Learn from the cursor on; return why that ended, when there is room to go on."""
        status: int = kernel.learn(
            block.tokens,
            block.pieces,
            self.vocabulary.arrays,
            self.noise.arrays,
            self._weights,
            self._scratch,
            self._options,
            self._counters,
        )
        if status != kernel.DONE:
            self._broken = True
            self._make_room(status)
            self._broken = False
        return status

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Keep other threads out, and refuse a model that was broken off."""
        with self._lock:
            if self._broken:
                msg = "learning was broken off inside a record: load the model's last save"
                raise BrokenModelError(msg)
            yield

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
        counters = self._counters[0]
        if status == kernel.WORDS_FULL:
            self.vocabulary.grow_words()
        elif status == kernel.CANDIDATES_FULL:
            counters["forgotten"] += self.vocabulary.make_candidate_room()
        elif status == kernel.SCALE_FULL:
            self.vocabulary.scale_down()
            self.noise.rebuild(self.vocabulary.scaled_counts)
        elif status == kernel.TABLE_FULL:
            self.vocabulary.grow_table()
        else:
            gone = self.vocabulary.evict()
            counters["evicted"] += len(gone)
            for array in self._weights:
                array[gone] = 0.0
            # The table may not name a row that another word is about to get.
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

    def snapshot(self) -> KeyedVectors:
        """Return an immutable copy of the words, their vectors and counts as they are now.

        Words are ordered by falling count, as in gensim.
        """
        with self._whole():
            rows = self.vocabulary.rows()
            counts = self.vocabulary.counts[rows]
            order = np.argsort(-counts, kind="stable")
            rows = rows[order]
            vectors = self._weights.input_vectors[rows, : self.config.vector_size]
            words = self.vocabulary.words(rows)
        return KeyedVectors(words, vectors, np.rint(counts[order]))

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
        for name in COUNTERS.names or ():
            self._counters[name] = tensors[f"counters.{name}"]


def _encode(text: TextRecord) -> bytes:
    # A lone surrogate becomes bytes that are no UTF-8, which the tokeniser replaces and counts.
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)


def _batch(records: list[bytes]) -> Batch:
    ends = np.cumsum(np.fromiter(map(len, records), dtype=np.int64, count=len(records)))
    return Batch(records[0] if len(records) == 1 else b"".join(records), ends)


def _options(config: Config, schedule: Schedule) -> NDArray[np.void]:
    options = np.zeros(1, dtype=OPTIONS)
    for name in ("seed", "vector_size", "window", "negative", "min_count", "max_candidates",
                 "sample", "ns_exponent", "noise_staleness"):  # fmt: skip
        options[name] = getattr(config, name)
    options["half_life"] = config.half_life or 0.0
    options["schedule"] = schedule.code
    options["learning_rate"] = schedule.learning_rate
    options["min_learning_rate"] = schedule.floor
    options["rate_start"] = schedule.start
    options["rate_slope"] = schedule.slope
    options["rate_tokens"] = schedule.tokens
    return options


def _weights(config: Config) -> Weights:
    rows, stride = config.max_vocab_size, stride_of(config.vector_size)
    return Weights(
        input_vectors=reserved_zeros(rows * stride, np.float32, huge=True).reshape(rows, stride),
        output_vectors=reserved_zeros(rows * stride, np.float32, huge=True).reshape(rows, stride),
        input_windows=reserved_zeros(rows, np.float32),
        output_windows=reserved_zeros(rows, np.float32),
    )


def _scratch(config: Config) -> Scratch:
    outputs = np.arange(config.negative + 1)
    lanes = outputs // kernel.WIDE * BLOCK + outputs % kernel.WIDE
    width = int(lanes[-1]) // BLOCK * BLOCK + BLOCK
    nothing = aligned_zeros(stride_of(config.vector_size))
    targets = aligned_zeros(width)
    targets[0] = 1.0
    return Scratch(
        found=np.zeros(PIECE_TOKENS, dtype=np.int32),
        kept=np.zeros(PIECE_TOKENS, dtype=np.int32),
        radii=np.zeros(PIECE_TOKENS, dtype=np.int32),
        turns=np.zeros(PIECE_TOKENS + 1, dtype=np.int32),
        input_rates=aligned_zeros(PIECE_TOKENS),
        input_addresses=np.zeros(PIECE_TOKENS, dtype=np.int64),
        other_rates=np.zeros(PIECE_TOKENS, dtype=np.float32),
        rows=np.zeros(CHUNK * len(outputs), dtype=np.int32),
        lanes=lanes,
        # What stands between the lanes never counts: its row is the zeros, its weight 0.
        output_addresses=np.full((CHUNK, width), nothing.ctypes.data, dtype=np.int64),
        output_weights=aligned_zeros(CHUNK, width),
        output_rates=aligned_zeros(CHUNK, width),
        targets=targets,
        errors=np.zeros((3, 2 * config.window + 1, BLOCK), dtype=np.float32),
        nothing=nothing,
        cursor=np.zeros(1, dtype=CURSOR),
    )
