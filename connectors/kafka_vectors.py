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
that rises), ``words``, ``changed``, ``removed``, ``vector_size``.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from numpy.typing import NDArray

from stream_w2v.connectors.kafka_options import parse_uri, reveal_secrets
from stream_w2v.connectors.kafka_python import options_of
from stream_w2v.errors import (
    ConfigError,
    EmptyVocabularyError,
    FormatError,
    SourceError,
    SourceNotFoundError,
    StorageError,
)
from stream_w2v.stream import Sink
from stream_w2v.vectors import KeyedVectors

_HEADER = struct.Struct("<4sHHd")
_MAGIC = b"SW2V"
_VERSION = 1
_MARK = b""
_TRANSACTION_MS = 600_000
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
        self._known: dict[bytes, int] | None = None
        self._snapshots = 0
        known = KafkaProducer.DEFAULT_CONFIG
        with _explaining(topic):
            # Now, not after hours of training.
            _consumer(topic, bootstrap_servers, self._options).close()
            self._producer = KafkaProducer(
                **{name: value for name, value in self._options.items() if name in known},
                bootstrap_servers=bootstrap_servers,
                transactional_id=f"stream-w2v-{topic}",
                transaction_timeout_ms=_TRANSACTION_MS,
                compression_type="lz4",
                batch_size=1 << 18,
                linger_ms=20,
            )

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
            If that fails; readers still see the snapshot before.
        """
        try:
            if self._known is None:
                self._producer.init_transactions()
                self._known, self._snapshots = self._held()
            self._write(vectors, self._known)
        except KafkaError as error:
            msg = f"cannot write to the topic {self._topic}: {error}; readers see the last snapshot"
            raise StorageError(msg) from error

    def close(self) -> None:
        """Hang up."""
        self._producer.close(timeout=5)

    def _held(self) -> tuple[dict[bytes, int], int]:
        held = _read(self._topic, self._servers, self._options)
        if not held.values:
            return {}, held.snapshots
        sizes = {len(value) for value in held.values.values()}
        if len(sizes) > 1:
            # Vectors of different sizes: all are written anew.
            return dict.fromkeys(held.values, 0), held.snapshots
        matrix = np.frombuffer(b"".join(held.values.values()), dtype=np.uint8)
        matrix = matrix.reshape(len(held.values), -1)[:, _HEADER.size :]
        prints = _fingerprints(np.ascontiguousarray(matrix).view("<f4"))
        return dict(zip(held.values, prints, strict=True)), held.snapshots

    def _write(self, vectors: KeyedVectors, known: dict[bytes, int]) -> None:
        words = [word.encode() for word in vectors]
        now = dict(zip(words, _fingerprints(vectors.vectors), strict=True))
        counts = np.zeros(len(words)) if vectors.counts is None else vectors.counts
        size = vectors.vector_size
        changed = [row for row, word in enumerate(words) if known.get(word) != now[word]]
        removed = [word for word in known if word not in now]
        self._producer.begin_transaction()
        try:
            for row in changed:
                header = _HEADER.pack(_MAGIC, _VERSION, size, float(counts[row]))
                value = header + vectors.vectors[row].astype("<f4", copy=False).tobytes()
                self._producer.send(self._topic, value, key=words[row])
            for word in removed:
                self._producer.send(self._topic, None, key=word)
            mark = {
                "snapshot": self._snapshots + 1,
                "words": len(words),
                "changed": len(changed),
                "removed": len(removed),
                "vector_size": size,
            }
            for partition in self._producer.partitions_for(self._topic):
                self._producer.send(
                    self._topic, json.dumps(mark).encode(), key=_MARK, partition=partition
                )
            self._producer.commit_transaction()
        except BaseException:
            self._producer.abort_transaction()
            raise
        self._known, self._snapshots = now, self._snapshots + 1
        self.changed, self.removed = len(changed), len(removed)


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
    if not held.snapshots:
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
    """What a topic holds: the value of each word, and of which snapshot."""

    values: dict[bytes, bytes]
    snapshots: int
    vector_size: int


def _read(topic: str, servers: str | list[str], options: dict[str, Any]) -> _Held:
    """Read everything that is committed now."""
    consumer = _consumer(topic, servers, options)
    try:
        parts = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(parts)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(parts)
        held = _Held({}, 0, 0)
        came, heard = -1, time.monotonic()
        while (now := sum(map(consumer.position, parts))) < sum(ends.values()):
            if now > came:
                came, heard = now, time.monotonic()
            elif time.monotonic() - heard > _SILENCE_SECONDS:
                msg = f"nothing comes from the topic {topic} at {servers}"
                raise SourceError(msg)
            # No longer: what is left may be marks of transactions, of which poll says nothing.
            for messages in consumer.poll(timeout_ms=_POLL_MS).values():
                for message in messages:
                    held = _with(held, topic, message.key, message.value)
        return held
    finally:
        consumer.close(autocommit=False)


def _with(held: _Held, topic: str, key: bytes | None, value: bytes | None) -> _Held:
    if key == _MARK:
        mark = json.loads(value or b"{}")
        number, size = mark.get("snapshot", 0), mark.get("vector_size", 0)
        return held._replace(snapshots=number, vector_size=size) if number else held
    if key is not None and value is None:
        held.values.pop(key, None)
    elif key is not None and value is not None and value[:6] == _MAGIC + b"\x01\x00":
        held.values[key] = value
    else:
        msg = f"the topic {topic} holds something else than vectors of this version"
        raise FormatError(msg)
    return held


def _consumer(topic: str, servers: str | list[str], options: dict[str, Any]) -> KafkaConsumer:
    consumer = KafkaConsumer(
        **{"bootstrap_timeout_ms": 10_000, **options},
        bootstrap_servers=servers,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        max_poll_records=10_000,
    )
    if topic not in consumer.topics():
        consumer.close()
        msg = f"there is no topic {topic} at {servers}: make one with cleanup.policy=compact"
        raise SourceNotFoundError(msg)
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
        msg = f"vectors are in one topic: kafka://host:port/topic, not {uri}"
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
