"""Vectors in a compacted Kafka topic: always the last whole snapshot, and only what has changed.

A record for each word: its key is the word, its value the vector, or nothing if the word has gone.
What changed between two snapshots is written in one transaction, which ends with a mark in every
partition; so whoever reads what is committed reads whole snapshots, and compaction leaves the
latest vector of each word.

A value is a header of 16 bytes and then ``vector_size`` float32, all little-endian:

    offset 0   4 bytes   ``SW2V``
           4   uint16    version of this format, 1
           6   uint16    vector_size
           8   float64   how often the word had been seen when its vector last changed
          16   float32   the vector

A mark has an empty key, which no word has, and as its value a JSON object: ``snapshot`` (a number
that rises), ``words`` (how many there are then, in all partitions), ``changed``, ``removed``,
``vector_size``, ``partitions``.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    ProducerFencedError,
)
from numpy.typing import NDArray

from stream_w2v.connectors.kafka_options import parse_uri, reveal_secrets
from stream_w2v.connectors.kafka_python import hang_up, made, options_of, shared
from stream_w2v.errors import (
    ConfigError,
    EmptyVocabularyError,
    FormatError,
    SourceError,
    SourceNotFoundError,
    StorageError,
    StreamW2VError,
)
from stream_w2v.stream import Sink
from stream_w2v.vectors import KeyedVectors

_HEADER = struct.Struct("<4sHHd")
_MAGIC = b"SW2V"
_VERSION = 1
_START = _MAGIC + _VERSION.to_bytes(2, "little")
_MARK = b""
_AT_ONCE = 10_000
_SUPERSEDED = "another sink has begun to write to it"
_TRANSACTION_MS = 600_000
_REQUEST_MS = 10_000
_POLL_MS = 100
_SILENCE_SECONDS = 30.0


class KafkaVectorSink(Sink):
    """Writes what has changed since the last snapshot to a compacted topic.

    What the topic holds is read before the first snapshot is written, so that a sink that begins
    anew goes on where another one ended. While a sink is in use nobody else can write with the
    same topic: the one that began last goes on.

    Parameters
    ----------
    topic
        Its name. The topic must be there, with ``cleanup.policy=compact``.
    bootstrap_servers
        ``host:port``, of one or several brokers.
    **options
        The client's own options, as for :class:`KafkaSource`.

    Attributes
    ----------
    changed, removed
        Records of the last snapshot: words whose vectors were written, and words that had gone.

    Raises
    ------
    SourceNotFoundError
        If there is no such topic.
    SourceError
        If no broker answers, or it refuses.
    ConfigError
        If an option is unknown, or has a value that cannot work.
    """

    def __init__(self, topic: str, *, bootstrap_servers: str | list[str], **options: Any) -> None:
        self.changed = self.removed = 0
        self._topic = topic
        self._servers = bootstrap_servers
        self._options = options_of(reveal_secrets(options))
        self._patience_ms = 2 * self._options.get("request_timeout_ms", _REQUEST_MS)
        self._known: dict[bytes, int] = {}
        self._snapshots = self._partitions = 0
        self._superseded = False
        # What is wrong is said now, not after hours of training.
        with _explaining(topic):
            _check_compacted(topic, bootstrap_servers, self._options)
            self._producer: KafkaProducer | None = self._begun()

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Make the sink for a URI such as ``kafka://host:9092/vectors``."""
        servers, topic, options = _one_topic(uri)
        return cls(topic, bootstrap_servers=servers, **options)

    def write(self, vectors: KeyedVectors) -> None:
        """Write what has changed, in one transaction.

        Raises
        ------
        StorageError
            If that fails, which takes half a minute at most without a broker; readers see the
            snapshot before, and the next call begins anew. Or if another sink has begun to write
            to the topic, from then on.
        """
        try:
            if self._superseded:
                raise ProducerFencedError(_SUPERSEDED)
            with ExitStack() as failing:
                # What it has in hand is never committed then, and it could not begin again.
                failing.callback(self.close)
                if self._producer is None:
                    self._producer = self._begun()
                self._write(self._producer, vectors)
                failing.pop_all()
        except (KafkaError, StreamW2VError) as error:
            self._superseded = isinstance(error, ProducerFencedError)
            why = _SUPERSEDED if self._superseded else error
            msg = f"cannot write to the topic {self._topic}: {why}; readers see the last snapshot"
            raise StorageError(msg) from error

    def close(self) -> None:
        """Hang up."""
        if self._producer is not None:
            hang_up(self._producer)
            self._producer = None

    def _begun(self) -> KafkaProducer:
        """Take the topic over from whoever wrote to it, and find out what it holds."""
        producer = made(
            KafkaProducer,
            **shared(self._options, KafkaProducer),
            bootstrap_servers=self._servers,
            transactional_id=f"stream-w2v-{self._topic}",
            transaction_timeout_ms=_TRANSACTION_MS,
            delivery_timeout_ms=self._patience_ms,
            max_block_ms=self._patience_ms,
            compression_type="lz4",
            batch_size=1 << 18,
            linger_ms=20,
        )
        try:
            producer.init_transactions()
            self._known = self._held()
        except BaseException:
            hang_up(producer)
            raise
        return producer

    def _held(self) -> dict[bytes, int]:
        """Return a fingerprint of what the topic holds for each word."""
        held = _read(self._topic, self._servers, self._options)
        self._snapshots, self._partitions = held.snapshot, held.partitions
        sizes = {len(value) for value in held.values.values()}
        if len(sizes) != 1:
            # All are written anew.
            return dict.fromkeys(held.values, 0)
        matrix = np.frombuffer(b"".join(held.values.values()), dtype=np.uint8)
        matrix = matrix.reshape(len(held.values), -1)[:, _HEADER.size :]
        prints = _fingerprints(np.ascontiguousarray(matrix).view("<f4"))
        return dict(zip(held.values, prints, strict=True))

    def _write(self, producer: KafkaProducer, vectors: KeyedVectors) -> None:
        words = [word.encode() for word in vectors]
        now = dict(zip(words, _fingerprints(vectors.vectors), strict=True))
        partitions = sorted(producer.partitions_for(self._topic))
        # Where there are more partitions than before, words belong to others.
        moved = self._known if len(partitions) != self._partitions else {}
        known = {} if moved else self._known
        changed = [row for row, word in enumerate(words) if known.get(word) != now[word]]
        removed = [word for word in self._known if word not in now]
        mark = {
            "snapshot": self._snapshots + 1,
            "words": len(words),
            "changed": len(changed),
            "removed": len(removed),
            "vector_size": vectors.vector_size,
            "partitions": len(partitions),
        }
        ends = {"key": _MARK, "value": json.dumps(mark).encode()}
        producer.begin_transaction()
        self._send(producer, ({"key": word, "partition": n} for n in partitions for word in moved))
        self._send(producer, _changes(vectors, changed))
        self._send(producer, ({"key": word} for word in removed))
        self._send(producer, ({**ends, "partition": n} for n in partitions))
        self._commit(producer)
        self._known = now
        self._snapshots, self._partitions = mark["snapshot"], mark["partitions"]
        self.changed, self.removed = mark["changed"], mark["removed"]

    def _send(self, producer: KafkaProducer, records: Iterator[dict[str, Any]]) -> None:
        """Send records, some at once, and come back when the brokers have them all.

        A commit does not wait for those that could not be delivered in time: it leaves them out.
        """
        while some := [producer.send(self._topic, **each) for each in islice(records, _AT_ONCE)]:
            producer.flush(self._patience_ms / 1000)
            for one in some:
                one.get(0)

    def _commit(self, producer: KafkaProducer) -> None:
        """Commit as the client does, which would wait without an end."""
        result = producer._transaction_manager.begin_commit()
        producer._sender.wakeup()
        if not result.wait(self._patience_ms):
            msg = "no broker says that it is committed"
            raise KafkaTimeoutError(msg)


def _changes(vectors: KeyedVectors, rows: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Yield the records of some words."""
    size, counts = vectors.vector_size, vectors.counts
    for row in rows:
        header = _HEADER.pack(_MAGIC, _VERSION, size, 0 if counts is None else counts[row])
        value = header + vectors.vectors[row].astype("<f4", copy=False).tobytes()
        yield {"key": vectors.index_to_key[row].encode(), "value": value}


def read_vectors(uri: str) -> KeyedVectors:
    """Read the last whole snapshot from a topic that :class:`KafkaVectorSink` writes.

    Parameters
    ----------
    uri
        ``kafka://host:port/topic``, and client options behind a question mark.

    Raises
    ------
    SourceNotFoundError
        If there is no such topic.
    SourceError
        If no broker answers, or it refuses.
    EmptyVocabularyError
        If it holds no snapshot yet.
    FormatError
        If it holds something else.
    """
    servers, topic, options = _one_topic(uri)
    with _explaining(topic):
        held = _read(topic, servers, options_of(reveal_secrets(options)))
    if not held.snapshot:
        msg = f"the topic {topic} holds no whole snapshot yet"
        raise EmptyVocabularyError(msg)
    counts = np.zeros(len(held.values))
    vectors = np.zeros((len(held.values), held.vector_size), dtype=np.float32)
    for row, (word, value) in enumerate(held.values.items()):
        if len(value) != _HEADER.size + vectors[row].nbytes:
            msg = f"the topic {topic} holds a vector of another size for {word.decode()!r}"
            raise FormatError(msg)
        counts[row] = _HEADER.unpack_from(value)[3]
        vectors[row] = np.frombuffer(value, dtype="<f4", offset=_HEADER.size)
    order = np.argsort(-counts, kind="stable")
    words = [word.decode() for word in held.values]
    whole = counts[order].astype(np.int64)
    same = np.array_equal(whole, counts[order])
    return KeyedVectors(
        [words[row] for row in order], vectors[order], whole if same else counts[order]
    )


class _Held(NamedTuple):
    """What a topic holds: the value of each word, and of which snapshot; 0 if there is none."""

    values: dict[bytes, bytes]
    snapshot: int = 0
    words: int = 0
    vector_size: int = 0
    partitions: int = 0


def _read(topic: str, servers: str | list[str], options: dict[str, Any]) -> _Held:
    """Read the last snapshot that is whole in every partition."""
    consumer = _consumer(topic, servers, options)
    try:
        parts = {number: _Partition(topic) for number in consumer.partitions_for_topic(topic)}
        consumer.assign([TopicPartition(topic, number) for number in parts])
        consumer.seek_to_beginning()
        heard = time.monotonic()
        while True:
            if _read_on(consumer, parts):
                heard = time.monotonic()
            held = _held(parts)
            lacks = _lacks(held, parts)
            if not lacks:
                return held
            # A commit reaches one partition after the other, but soon.
            if time.monotonic() - heard > _SILENCE_SECONDS:
                msg = (
                    f"the last snapshot in the topic {topic} is not whole: {lacks}; "
                    "make the topic anew if records were deleted"
                )
                raise FormatError(msg)
    finally:
        consumer.close(autocommit=False)


def _read_on(consumer: KafkaConsumer, parts: dict[int, _Partition]) -> int:
    """Read every partition up to what is its end now, or further; return how many records came."""
    left = consumer.assignment()
    try:
        ends = consumer.end_offsets(left)
    except KeyError as error:
        # As of 3.0 that is how the client says it.
        msg = f"nobody answers for {error}"
        raise LeaderNotAvailableError(msg) from error
    came, heard = 0, time.monotonic()
    while left:
        # No longer: what is left may be marks of transactions, of which poll says nothing.
        for part, messages in consumer.poll(timeout_ms=_POLL_MS).items():
            came, heard = came + len(messages), time.monotonic()
            for message in messages:
                parts[part.partition].take(message.key, message.value)
        left = {
            part for part in left if (consumer.position(part, timeout_ms=1000) or 0) < ends[part]
        }
        if time.monotonic() - heard > _SILENCE_SECONDS:
            msg = f"nothing comes from the topic {next(iter(left)).topic}"
            raise SourceError(msg)
    return came


def _held(parts: Mapping[int, _Partition]) -> _Held:
    """Return what partitions hold, and what the newest mark among them says of it."""
    every = {word: value for part in parts.values() for word, value in part.values.items()}
    return _Held(every, **max((part.mark for part in parts.values()), key=_snapshot, default={}))


def _lacks(held: _Held, parts: Mapping[int, _Partition]) -> str:
    """Say in what the last snapshot is not whole; nothing if it is."""
    # Partitions that were added after it have no mark.
    for number in range(held.partitions):
        if number not in parts or _snapshot(parts[number].mark) != held.snapshot:
            return f"partition {number} has no mark of it"
    found = len(held.values)
    return "" if found == held.words else f"it has {held.words} words, and {found} are there"


def _snapshot(mark: Mapping[str, int]) -> int:
    return mark.get("snapshot", 0)


class _Partition:
    """What one partition holds, as of its last mark."""

    def __init__(self, topic: str) -> None:
        self.values: dict[bytes, bytes] = {}
        self.mark: dict[str, int] = {}
        self._topic = topic
        self._since: list[tuple[bytes, bytes | None]] = []

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take one record."""
        if key == _MARK:
            self.mark = self._read_mark(value or b"")
            for word, vector in self._since:
                if vector is None:
                    self.values.pop(word, None)
                else:
                    self.values[word] = vector
            self._since = []
        elif key is None or not (value is None or value.startswith(_START)):
            raise self._refused()
        else:
            self._since.append((key, value))

    def _read_mark(self, value: bytes) -> dict[str, int]:
        try:
            mark = json.loads(value)
            return {name: int(mark[name]) for name in _Held._fields[1:]}
        except (ValueError, TypeError, KeyError) as error:
            raise self._refused() from error

    def _refused(self) -> FormatError:
        return FormatError(
            f"the topic {self._topic} holds something else than vectors of this version"
        )


def _check_compacted(topic: str, servers: str | list[str], options: dict[str, Any]) -> None:
    """Refuse a topic that forgets vectors which do not change."""
    _consumer(topic, servers, options).close(autocommit=False)
    admin = made(KafkaAdminClient, **shared(options, KafkaAdminClient), bootstrap_servers=servers)
    try:
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": None})
        found = admin.describe_configs([asked])["topic"][topic].get("cleanup.policy", {})
    finally:
        admin.close()
    if found.get("value") != "compact":
        msg = f"the topic {topic} must be compacted, nothing else: set cleanup.policy to compact"
        raise ConfigError(msg)


def _consumer(topic: str, servers: str | list[str], options: dict[str, Any]) -> KafkaConsumer:
    consumer = made(
        KafkaConsumer,
        **{"bootstrap_timeout_ms": 10_000, **options},
        bootstrap_servers=servers,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        max_poll_records=10_000,
        auto_offset_reset="none",
    )
    try:
        if topic not in consumer.topics():
            msg = f"there is no topic {topic} at {servers}: make one with cleanup.policy=compact"
            raise SourceNotFoundError(msg)
    except BaseException:
        consumer.close()
        raise
    return consumer


@contextmanager
def _explaining(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        msg = f"the topic {topic} cannot be used: {error}"
        raise SourceError(msg) from error


def _one_topic(uri: str) -> tuple[list[str], str, dict[str, str]]:
    servers, topics, options = parse_uri(uri)
    if len(topics) != 1:
        msg = f"vectors are in one topic: kafka://host:port/topic, not in {len(topics)}"
        raise ConfigError(msg)
    return servers, topics[0], options


def _fingerprints(vectors: NDArray[np.float32]) -> list[int]:
    """Return 64 bits of each vector, which differ if the vectors do (but for one in 2^64)."""
    draw = np.random.default_rng(0)
    factors = draw.integers(0, 2**64, vectors.shape[1], dtype=np.uint64) | np.uint64(1)
    result = np.empty(len(vectors), dtype=np.uint64)
    for start in range(0, len(vectors), 10_000):
        bits = np.ascontiguousarray(vectors[start : start + 10_000], "<f4").view("<u4")
        mixed = (bits.astype(np.uint64) + np.uint64(1)) * factors
        result[start : start + 10_000] = (mixed ^ (mixed >> np.uint64(32))).sum(axis=1)
    return [int(one) for one in result]
