"""Vectors in a compacted topic: the last whole snapshot, from what has changed only."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer
from test_kafka import Cluster, wait
from test_model import STREAM

from stream_w2v import KeyedVectors, Word2Vec
from stream_w2v.cli import main
from stream_w2v.connectors.kafka_vectors import KafkaVectorSink, read_vectors
from stream_w2v.errors import (
    ConfigError,
    EmptyVocabularyError,
    FormatError,
    SourceNotFoundError,
    StorageError,
)

pytestmark = pytest.mark.usefixtures("hung_up")


@pytest.fixture
def cluster(broker: str) -> Iterator[Cluster]:
    """Return what makes topics."""
    made = Cluster(broker)
    yield made
    made.close()


def compacted(cluster: Cluster, partitions: int = 2) -> str:
    """Make a topic that is compacted as soon and as often as it can be; return its URI."""
    soon = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "100"}
    return uri_of(cluster, cluster.topic(partitions, **{"cleanup.policy": "compact", **soon}))


def uri_of(cluster: Cluster, topic: str) -> str:
    """Return the URI of a topic."""
    return f"kafka://{cluster.address}/{topic}"


def vectors(words: str, start: float = 0.0, size: int = 3) -> KeyedVectors:
    """Return vectors of words, which differ."""
    names = words.split()
    numbers = np.arange(len(names) * size, dtype=np.float32).reshape(len(names), size) + start
    return KeyedVectors(names, numbers, [1000 - ord(name) for name in names])


def same(a: KeyedVectors, b: KeyedVectors) -> bool:
    """Whether both have the same words, vectors and counts."""
    return sorted(a) == sorted(b) and all(
        np.array_equal(a[word], b[word])
        and a.get_vecattr(word, "count") == b.get_vecattr(word, "count")
        for word in a
    )


def test_what_is_written_is_read(cluster):
    """Words of any script, in gensim's order, of a real model."""
    uri = compacted(cluster)
    model = Word2Vec(vector_size=16, min_count=1)
    model.learn_many(["größe 東京 größe", *STREAM])
    wv = model.snapshot()
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(wv)
    sink.close()
    found = read_vectors(uri)
    assert same(found, wv)
    assert found.counts.dtype == np.int64
    assert list(found.counts) == sorted(found.counts, reverse=True)


def test_only_what_has_changed_is_written_and_what_has_gone_is_removed(cluster):
    """By one sink, and by the next one, which reads what is there."""
    uri = compacted(cluster)
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(vectors("a b c d"))
    assert (sink.changed, sink.removed) == (4, 0)
    sink.write(vectors("a b c d"))
    assert (sink.changed, sink.removed) == (0, 0)
    sink.write(vectors("a b c"))
    assert (sink.changed, sink.removed) == (0, 1)
    sink.close()
    later = KafkaVectorSink.from_uri(uri)
    later.write(vectors("a x c"))
    assert (later.changed, later.removed) == (1, 1)
    assert same(read_vectors(uri), vectors("a x c"))
    # Another size: nothing of the old ones is left.
    later.write(vectors("a x c", size=5))
    assert (later.changed, later.removed) == (3, 0)
    later.close()
    assert same(read_vectors(uri), vectors("a x c", size=5))


def test_a_reader_sees_whole_snapshots_only(cluster):
    """Of one that is being written, or was broken off, it sees nothing."""
    uri = compacted(cluster)
    with pytest.raises(EmptyVocabularyError, match="holds no whole snapshot yet"):
        read_vectors(uri)
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(vectors("a b"))
    send, sent = sink._producer.send, []

    def breaks(*arguments: object, **named: object) -> object:
        sent.append(named)
        if len(sent) == 3:
            raise LookupError
        return send(*arguments, **named)

    sink._producer.send = breaks
    with pytest.raises(LookupError):
        sink.write(vectors("a b c d", start=7))
    assert same(read_vectors(uri), vectors("a b"))
    sink._producer.send = send
    sink.write(vectors("a b c d", start=7))
    assert same(read_vectors(uri), vectors("a b c d", start=7))
    sink.close()


def test_readers_beside_a_writer_see_one_snapshot_or_the_next(cluster):
    """Never some words of one and some of another, though commits reach partitions by turns."""
    uri = compacted(cluster, 4)
    words = " ".join(chr(97 + n) for n in range(26))
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(vectors(words, start=0))
    over = threading.Event()

    def writes() -> None:
        number = 0
        while not over.is_set():
            number += 1
            sink.write(vectors(words, start=1000 * number))

    thread = threading.Thread(target=writes)
    thread.start()
    try:
        starts = [float(read_vectors(uri)["a"][0]) for _ in range(5)]
        for _ in range(5):
            found = read_vectors(uri)
            assert same(found, vectors(words, start=float(found["a"][0])))
    finally:
        over.set()
        thread.join()
        sink.close()
    assert starts == sorted(starts)
    assert starts[-1] > 0


def test_more_partitions_leave_no_word_behind(cluster):
    """Words belong to other partitions then; old vectors are taken out where they were."""
    uri = compacted(cluster, 1)
    topic = uri.rsplit("/", 1)[1]
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(vectors("a b c d e f"))
    sink.close()
    cluster.admin.create_partitions({topic: 3})
    wait(lambda: len(cluster.admin.describe_topics([topic])[0]["partitions"]) == 3)
    assert same(read_vectors(uri), vectors("a b c d e f"))
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(vectors("a b c"))
    sink.write(vectors("a b"))
    sink.close()
    assert same(read_vectors(uri), vectors("a b"))


def test_the_sink_that_began_last_goes_on(cluster):
    """An older one is told, and can no longer write."""
    uri = compacted(cluster)
    older = KafkaVectorSink.from_uri(uri)
    older.write(vectors("a"))
    newer = KafkaVectorSink.from_uri(uri)
    newer.write(vectors("a b"))
    with pytest.raises(StorageError, match="readers see the last snapshot"):
        older.write(vectors("a b c"))
    assert same(read_vectors(uri), vectors("a b"))
    newer.close()
    older.close()


def test_the_records_are_as_documented(cluster):
    """A program without this library can read them."""
    uri = compacted(cluster, 2)
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(vectors("a b"))
    sink.write(vectors("a"))
    sink.close()
    topic = uri.rsplit("/", 1)[1]
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=cluster.address,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        consumer_timeout_ms=2000,
    )
    records = list(consumer)
    consumer.close()
    first = next(record.value for record in records if record.key == b"a")
    assert struct.unpack("<4sHHd3f", first) == (b"SW2V", 1, 3, 903.0, 0.0, 1.0, 2.0)
    assert [record.value for record in records if record.key == b"b"][-1] is None
    marks = [json.loads(record.value) for record in records if record.key == b""]
    # One for each partition.
    last = {
        "snapshot": 2,
        "words": 1,
        "changed": 0,
        "removed": 1,
        "vector_size": 3,
        "partitions": 2,
    }
    assert marks.count(last) == 2


def test_what_is_no_topic_of_vectors_is_refused(cluster):
    """One that is not there, one with something else in it, and more than one."""
    with pytest.raises(SourceNotFoundError, match=r"there is no topic nobody .*: make one"):
        KafkaVectorSink.from_uri(uri_of(cluster, "nobody"))
    with pytest.raises(SourceNotFoundError, match="there is no topic nobody"):
        read_vectors(uri_of(cluster, "nobody"))
    with pytest.raises(ConfigError, match="vectors are in one topic"):
        read_vectors(uri_of(cluster, "a,b"))
    topic = cluster.topic()
    producer = KafkaProducer(bootstrap_servers=cluster.address)
    producer.send(topic, b"something else", key=b"key")
    producer.close()
    with pytest.raises(ConfigError, match="is not compacted: set its"):
        KafkaVectorSink.from_uri(uri_of(cluster, topic))
    with pytest.raises(FormatError, match="holds something else than vectors"):
        read_vectors(uri_of(cluster, topic))


def test_the_command_writes_and_reads_a_topic(cluster, tmp_path, capsys):
    """From a topic of text to a topic of vectors, asked for neighbours like a file."""
    uri, text = compacted(cluster), cluster.topic(1)
    cluster.send(text, STREAM)
    train = ["train", uri_of(cluster, text), "--no-follow", "--vectors", uri, "--min-count", "1"]
    assert main([*train, "--vector-size", "8", "--quiet"]) == 0
    word = next(iter(read_vectors(uri)))
    capsys.readouterr()
    assert main(["similar", uri, word, "-n", "2"]) == 0
    assert capsys.readouterr().out.count("\n") == 2
    assert main(["export", uri, str(tmp_path / "v.txt")]) == 0
    assert len(KeyedVectors.load(tmp_path / "v.txt")) == len(read_vectors(uri))
    assert main(["info", uri]) == 0
    assert main([*train[:4], uri_of(cluster, "nobody"), "--quiet"]) == 2
