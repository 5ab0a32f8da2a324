"""Vectors in a compacted topic: the last whole snapshot, from what has changed only."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from test_kafka import Cluster, wait
from test_model import STREAM

from stream_w2v import Batch, KeyedVectors, Source, Trainer, Word2Vec
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


def test_partitions_may_be_added_between_two_snapshots(cluster):
    """By whoever does not know of the sink."""
    uri = compacted(cluster, 1)
    topic = uri.rsplit("/", 1)[1]
    sink = KafkaVectorSink.from_uri(f"{uri}?metadata_max_age_ms=100")
    sink.write(vectors("a b c d e f"))
    cluster.admin.create_partitions({topic: 3})
    wait(lambda: len(sink._producer.partitions_for(topic)) == 3)
    sink.write(vectors("a b c d e"))
    sink.close()
    assert same(read_vectors(uri), vectors("a b c d e"))


def test_the_sink_that_began_last_goes_on(cluster):
    """An older one is told, and can no longer write."""
    uri = compacted(cluster)
    older = KafkaVectorSink.from_uri(uri)
    older.write(vectors("a"))
    newer = KafkaVectorSink.from_uri(uri)
    newer.write(vectors("a b"))
    for _ in range(2):
        with pytest.raises(StorageError, match="another sink has begun to write"):
            older.write(vectors("a b c"))
    newer.write(vectors("a b d"))
    assert same(read_vectors(uri), vectors("a b d"))
    newer.close()
    older.close()


# A broker that is away.

SOON = "request_timeout_ms=1000"


@pytest.mark.parametrize("seconds", [0.3, 30])
def test_a_snapshot_without_a_broker_is_written_as_a_whole_or_not_at_all(own_broker, seconds):
    """Whether it is back in time or not; and the next one is written as if nothing had been."""
    cluster = Cluster(own_broker.address)
    uri = compacted(cluster)
    sink = KafkaVectorSink.from_uri(f"{uri}?{SOON}")
    sink.write(vectors("a b c"))
    own_broker.kill()
    back = threading.Timer(seconds, own_broker.start)
    back.start()
    begin, written = time.monotonic(), True
    try:
        sink.write(vectors("a b d e", start=7))
    except StorageError:
        written = False
    assert time.monotonic() - begin < 15
    back.cancel()
    back.join()
    if seconds == 30:
        assert not written
        own_broker.start()
    expected = vectors("a b d e", start=7) if written else vectors("a b c")
    assert same(read_vectors(uri), expected)
    sink.write(vectors("a f", start=9))
    assert same(read_vectors(uri), vectors("a f", start=9))
    sink.close()
    cluster.close()


class Endless(Source):
    """Goes on until it is closed."""

    closed = False

    def __iter__(self) -> Iterator[Batch]:
        while not self.closed:
            data = "\n".join(STREAM).encode()
            yield Batch(data, np.array([len(data)]))
            time.sleep(0.02)

    def close(self) -> None:
        """Go on no longer."""
        self.closed = True


def test_training_goes_on_without_a_broker_and_writes_again_when_it_is_back(own_broker, caplog):
    """It is said once that snapshots cannot be written, and once that they can."""
    cluster = Cluster(own_broker.address)
    uri = compacted(cluster)
    model = Word2Vec(min_count=1, vector_size=8)
    sink = KafkaVectorSink.from_uri(f"{uri}?{SOON}&bootstrap_timeout_ms=300")
    trainer = Trainer(model, Endless(), [sink], snapshot_every=0.2)
    totals = []
    thread = threading.Thread(target=lambda: totals.append(trainer.run()))
    thread.start()
    wait(lambda: sink.changed)
    own_broker.kill()
    wait(lambda: "training goes on" in caplog.text)
    records = model.records
    wait(lambda: model.records > records)
    own_broker.start()
    wait(lambda: "written again" in caplog.text)
    trainer.stop()
    thread.join(60)
    assert same(read_vectors(uri), model.snapshot())
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("stream")]
    assert len(ours) == 2
    assert totals[0].snapshots > 1
    cluster.close()


def test_the_last_snapshot_of_a_run_must_be_written(own_broker):
    """Nobody would try again."""
    cluster = Cluster(own_broker.address)
    sink = KafkaVectorSink.from_uri(f"{compacted(cluster)}?{SOON}&bootstrap_timeout_ms=300")
    source = Endless()
    trainer = Trainer(Word2Vec(min_count=1, vector_size=8), source, [sink])
    cluster.close()
    own_broker.kill()
    threading.Timer(0.5, trainer.stop).start()
    with pytest.raises(StorageError, match="cannot write to the topic"):
        trainer.run()


# What is no whole snapshot.


@pytest.mark.parametrize("reads", [read_vectors, KafkaVectorSink.from_uri])
def test_a_snapshot_whose_records_were_deleted_is_refused(cluster, monkeypatch, reads):
    """It names the partition whose mark is gone; nobody waits for ever."""
    monkeypatch.setattr("stream_w2v.connectors.kafka_vectors._SILENCE_SECONDS", 1.0)
    uri = compacted(cluster)
    topic = uri.rsplit("/", 1)[1]
    sink = KafkaVectorSink.from_uri(uri)
    sink.write(vectors("a b c d"))
    sink.close()
    last = {"snapshot": 1, "words": 5, "vector_size": 3, "partitions": 2}
    for partition in range(2):
        cluster.producer.send(topic, json.dumps(last).encode(), key=b"", partition=partition)
    cluster.producer.flush()
    with pytest.raises(FormatError, match="not whole: it has 5 words, and 4 are there; make the"):
        reads(uri)
    for policy in ("compact,delete", "compact"):
        changed = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": policy})
        cluster.admin.alter_configs([changed])
        if policy != "compact":
            cluster.admin.delete_records({TopicPartition(topic, 1): -1})
    with pytest.raises(FormatError, match=f"in the topic {topic} is not whole: partition 1 has no"):
        reads(uri)


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
    forgets = cluster.topic(1, **{"cleanup.policy": "compact,delete"})
    with pytest.raises(ConfigError, match="must be compacted, nothing else: set"):
        KafkaVectorSink.from_uri(uri_of(cluster, forgets))
    with pytest.raises(SourceNotFoundError, match="there is no topic nobody"):
        read_vectors(uri_of(cluster, "nobody"))
    with pytest.raises(ConfigError, match="vectors are in one topic"):
        read_vectors(uri_of(cluster, "a,b"))
    topic = cluster.topic()
    producer = KafkaProducer(bootstrap_servers=cluster.address)
    producer.send(topic, b"something else", key=b"key")
    producer.close()
    with pytest.raises(ConfigError, match="must be compacted, nothing else: set"):
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
