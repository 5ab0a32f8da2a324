"""Kafka as a source, against a real broker: every message once, whatever happens in between."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from broker import Broker, BrokerError, free_port
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from test_messages import BAD

from stream_w2v import Batch, Source, Trainer, Word2Vec
from stream_w2v.checkpoint import Checkpoints, load_checkpoint
from stream_w2v.cli import main
from stream_w2v.connectors import open_source
from stream_w2v.connectors.kafka import KafkaSource
from stream_w2v.errors import ConfigError, SourceError, SourceNotFoundError, StreamW2VError
from stream_w2v.run import Run
from stream_w2v.stream import dead_letters

_numbers = itertools.count()

pytestmark = pytest.mark.usefixtures("hung_up")


class Cluster:
    """Topics and messages at a broker."""

    def __init__(self, address: str, client: str = "kafka-python") -> None:
        self.address = address
        self.client = client
        self.admin = KafkaAdminClient(bootstrap_servers=address)
        self.producer = KafkaProducer(bootstrap_servers=address, linger_ms=0)

    def topic(self, partitions: int = 1, name: str | None = None, **configs: str) -> str:
        """Make a topic that nobody else uses."""
        name = name or f"topic-{next(_numbers)}"
        topic = NewTopic(name, partitions, 1, topic_configs=configs)
        self.admin.create_topics([topic])
        wait(lambda: len(self.producer.partitions_for(name) or ()) == partitions)
        return name

    def send(self, topic: str, values: Sequence[bytes | str | None], **options: Any) -> None:
        """Send messages, to partitions by turns unless one is given."""
        partitions = len(self.producer.partitions_for(topic))
        for number, value in enumerate(values):
            encoded = value.encode() if isinstance(value, str) else value
            partition = {"partition": number % partitions, **options}
            self.producer.send(topic, encoded, key=b"key", **partition)
        self.producer.flush()

    def uri(self, *topics: str, **options: Any) -> str:
        """Return the source's URI."""
        options = {"client": self.client, **options}
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"kafka://{self.address}/{','.join(topics)}?{query}"

    def close(self) -> None:
        """Hang up."""
        self.producer.close(timeout=1)
        self.admin.close()


CLIENTS = ("kafka-python", "confluent-kafka")


@pytest.fixture(params=CLIENTS)
def cluster(broker: str, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return what makes topics and messages, and has them read by each client."""
    made = Cluster(broker, request.param)
    yield made
    made.close()


def wait(reached: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := reached()):
        assert time.monotonic() < end, "this takes too long"
        time.sleep(0.02)
    return value


def texts(batches: Sequence[Batch]) -> list[str]:
    """Return the records of batches."""
    found = []
    for batch in batches:
        starts = [0, *batch.ends[:-1]] if len(batch) else []
        data = bytes(batch.data)
        found += [data[a:b].decode() for a, b in zip(starts, batch.ends, strict=True)]
    return found


def read_all(uri: str, positions: Any = None, **options: Any) -> tuple[list[str], Any]:
    """Read a source to its present end: its records, and where it stands."""
    with open_source(uri, follow=False, **options) as source:
        source.seek(positions or {})
        batches = list(source)
    return texts(batches), batches[-1].positions


class Following:
    """A source that is read in a thread of its own, and what came so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.batches: list[Batch] = []
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        try:
            for batch in self.source:
                self.batches.append(batch)
        except StreamW2VError as error:
            self.error = error

    def texts(self) -> list[str]:
        """Return the records so far."""
        return texts(list(self.batches))

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *error: object) -> None:
        self.source.close()
        self.thread.join(30)
        assert not self.thread.is_alive()


# What is read.


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_message_is_read_once_in_the_order_of_its_partition(cluster, codec):
    """From several partitions, compressed by the producer in any way."""
    topic = cluster.topic(3)
    with_codec = KafkaProducer(bootstrap_servers=cluster.address, compression_type=codec)
    for number in range(1000):
        with_codec.send(topic, f"word{number} größe".encode(), partition=number % 3)
    with_codec.close()
    found, positions = read_all(cluster.uri(topic))
    assert sorted(found) == sorted(f"word{number} größe" for number in range(1000))
    for part in range(3):
        numbers = [int(text.split()[0][4:]) for text in found]
        mine = [number for number in numbers if number % 3 == part]
        assert mine == sorted(mine)
        assert positions[f"kafka://{topic}/{part}"] == {"next": len(mine), "dead": {}}


def test_reading_goes_on_from_positions(cluster):
    """From those of any batch; positions of what is not read now are carried on."""
    topic = cluster.topic(2)
    cluster.send(topic, [f"a{n}" for n in range(100)])
    _, positions = read_all(cluster.uri(topic))
    cluster.send(topic, [f"b{n}" for n in range(10)])
    other = {"kafka://not-this-one/0": {"next": 7, "dead": {"too long": 1}}, "file.txt": 5}
    found, later = read_all(cluster.uri(topic), {**positions, **other})
    assert sorted(found) == sorted(f"b{n}" for n in range(10))
    assert later == {
        **other,
        f"kafka://{topic}/0": {"next": 55, "dead": {}},
        f"kafka://{topic}/1": {"next": 55, "dead": {}},
    }


def test_several_topics_and_patterns(cluster):
    """By name, by URIs that differ in their topics, and by a regular expression."""
    many = f"many-{cluster.client}"
    first, second = cluster.topic(name=f"{many}.one"), cluster.topic(name=f"{many}.two")
    for topic in (first, second):
        cluster.send(topic, [topic])
    assert sorted(read_all(cluster.uri(first, second))[0]) == [first, second]
    assert sorted(read_all([cluster.uri(first), cluster.uri(second)])[0]) == [first, second]
    assert sorted(read_all(cluster.uri(pattern=f"{many}[.].*"))[0]) == [first, second]
    assert read_all(cluster.uri(pattern=f"{many}.*[.]two"))[0] == [second]
    assert read_all(cluster.uri(pattern="nobody"))[0:1] == ([],)


def test_what_appears_later_is_read_from_its_beginning(cluster, monkeypatch):
    """A new partition, and a new topic that matches, though the source began at the latest."""
    monkeypatch.setattr("stream_w2v.connectors.kafka._LOOK_SECONDS", 0.2)
    grows = f"grows-{cluster.client}"
    topic = cluster.topic(name=f"{grows}.a")
    cluster.send(topic, ["before"])
    with Following(open_source(cluster.uri(pattern=f"{grows}[.].*", start="latest"))) as following:
        wait(lambda: following.batches)
        cluster.admin.create_partitions({topic: 2})
        new = cluster.topic(name=f"{grows}.b")
        wait(lambda: len(cluster.producer.partitions_for(topic)) == 2, 60)
        cluster.send(topic, ["one", "two"])
        cluster.send(new, ["three"])
        wait(lambda: len(following.texts()) == 3)
        assert sorted(following.texts()) == ["one", "three", "two"]
    # Whoever was down when a partition or a topic appeared finds it, too.
    known = {f"kafka://{topic}/0": {"next": 2, "dead": {}}}
    assert read_all(cluster.uri(topic, start="latest"), known)[0] == ["two"]
    for start in ("latest", "2100-01-01"):
        uri = cluster.uri(pattern=f"{grows}[.].+", start=start)
        assert sorted(read_all(uri, known)[0]) == ["three", "two"]


def test_what_appears_after_a_source_that_found_nothing_is_read_from_its_beginning(cluster):
    """It began at the latest, and was down when the first topic appeared."""
    pattern = f"first-{cluster.client}[.].*"
    nothing, positions = read_all(cluster.uri(pattern=pattern, start="latest"))
    assert nothing == []
    new = cluster.topic(name=f"first-{cluster.client}.a")
    cluster.send(new, ["one"])
    later = json.loads(json.dumps(positions))
    found, positions = read_all(cluster.uri(pattern=pattern, start="latest"), later)
    assert found == ["one"]
    assert positions == {f"kafka://{new}/0": {"next": 1, "dead": {}}}


def test_where_to_begin(cluster):
    """At the earliest, the latest, or a time; the beginning is in the first batch's positions."""
    # However long ago it says that it was sent.
    topic = cluster.topic(**{"retention.ms": "-1"})
    for second in (1, 2, 3):
        cluster.send(topic, [f"at{second}"], timestamp_ms=1_700_000_000_000 + 1000 * second)
    for start, expected in {
        "earliest": ["at1", "at2", "at3"],
        "latest": [],
        "1700000002000": ["at2", "at3"],
        "2023-11-14T22:13:22": ["at2", "at3"],
        "2023-11-14T23:13:22.500%2B01:00": ["at3"],
        "2100-01-01": [],
    }.items():
        assert read_all(cluster.uri(topic, start=start))[0] == expected
    with open_source(cluster.uri(topic, start="latest")) as source:
        first = next(iter(source))
    assert (len(first), first.positions[f"kafka://{topic}/0"]["next"]) == (0, 3)


def test_bad_messages_are_counted_and_kept_among_good_ones(cluster, tmp_path):
    """Each kind by its reason, none lost, none fatal; in a file and in a topic if asked for."""
    topic, grave = cluster.topic(2), cluster.topic(1)
    good = [json.dumps({"user": {"text": f"good {n}"}}) for n in range(30)]
    mixed = [value for pair in zip(good, BAD, strict=False) for value in pair] + good[len(BAD) :]
    cluster.send(topic, mixed)
    expected = Counter(BAD.values())
    file = tmp_path / "dead.jsonl"
    options = {"field": "user.text", "max_record_bytes": "1000"}
    for place in (str(file), f"topic:{grave}"):
        found, positions = read_all(cluster.uri(topic, **options, dead_letters=place))
        assert sorted(found) == sorted(f"good {n}" for n in range(30))
        assert dead_letters(positions) == expected
        assert sum(place["next"] for place in positions.values()) == len(mixed)
    letters = [json.loads(line) for line in file.read_text().splitlines()]
    assert Counter(letter["reason"] for letter in letters) == expected
    encoded = [letter["value"] for letter in letters]
    values = [None if value is None else base64.b64decode(value) for value in encoded]
    assert Counter(values) == Counter(BAD.keys())
    # Good and bad ones came by turns.
    assert {letter["part"] for letter in letters} == {f"kafka://{topic}/1"}
    consumer = KafkaConsumer(
        grave,
        bootstrap_servers=cluster.address,
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
    )
    buried = list(islice(consumer, len(BAD)))
    assert consumer.poll(timeout_ms=500) == {}
    consumer.close()
    assert Counter(message.value for message in buried) == Counter(BAD.keys())
    assert Counter(dict(message.headers)["reason"].decode() for message in buried) == expected
    # Counts go on with the positions.
    cluster.send(topic, [None])
    _, later = read_all(cluster.uri(topic, **options), positions)
    assert dead_letters(later) == expected + Counter(["no value"])


def test_transactions(cluster):
    """What was aborted is not read; an end that is no message is reached all the same."""
    topic = cluster.topic()
    producer = KafkaProducer(
        bootstrap_servers=cluster.address, transactional_id=f"transaction-{topic}"
    )
    producer.init_transactions()
    for texts, commits in ((["a", "b"], True), (["c", "d"], False), (["e"], True), (["f"], False)):
        producer.begin_transaction()
        for text in texts:
            producer.send(topic, text.encode())
        producer.flush()
        producer.commit_transaction() if commits else producer.abort_transaction()
    found, positions = read_all(cluster.uri(topic))
    assert found == ["a", "b", "e"]
    # Six messages and four marks.
    assert positions[f"kafka://{topic}/0"]["next"] == 10
    assert read_all(cluster.uri(topic), positions)[0] == []
    uncommitted = cluster.uri(topic, isolation_level="read_uncommitted")
    assert read_all(uncommitted)[0] == ["a", "b", "c", "d", "e", "f"]
    # An open transaction is not read past, and waited for.
    producer.begin_transaction()
    producer.send(topic, b"g")
    producer.flush()
    cluster.send(topic, ["h"])
    assert read_all(cluster.uri(topic))[0] == ["a", "b", "e"]
    with Following(open_source(cluster.uri(topic))) as following:
        wait(lambda: len(following.texts()) == 3)
        producer.commit_transaction()
        wait(lambda: following.texts() == ["a", "b", "e", "g", "h"])
    producer.close()


def test_a_message_larger_than_a_fetch_holds_up_nothing(cluster):
    """It is counted, and what comes after it is read."""
    topic = cluster.topic(**{"max.message.bytes": "8000000"})
    producer = KafkaProducer(bootstrap_servers=cluster.address, max_request_size=8_000_000)
    for value in (b"before", b"x" * 5_000_000, b"after"):
        producer.send(topic, value)
    producer.close()
    found, positions = read_all(cluster.uri(topic))
    assert found == ["before", "after"]
    assert dead_letters(positions) == {"too long": 1}
    assert read_all(cluster.uri(topic, max_record_bytes=6_000_000))[0][1] == "x" * 5_000_000


def test_what_was_compacted_away_is_not_waited_for(cluster):
    """Offsets have gaps, also at the end."""
    soon = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "1"}
    topic = cluster.topic(1, **{"cleanup.policy": "compact", **soon})
    for _ in range(3):
        cluster.send(topic, [f"text {n}" for n in range(50)])
        time.sleep(0.2)
    found, positions = read_all(cluster.uri(topic))
    assert positions[f"kafka://{topic}/0"]["next"] == 150
    # One key: how many are left depends on how far compaction is, but the last one is.
    assert found[-1] == "text 49"


# What is lost.


def test_messages_deleted_unread_are_an_error_or_skipped_with_a_warning(cluster, caplog):
    """Never silently; the warning says which."""
    topic = cluster.topic()
    cluster.send(topic, [str(n) for n in range(10)])
    part = f"kafka://{topic}/0"
    _, positions = {}, {part: {"next": 2, "dead": {}}}
    cluster.admin.delete_records({TopicPartition(topic, 0): 6})
    lost = f"offsets 2 to 5 of {part} were deleted before they were read"
    with pytest.raises(SourceError, match=lost):
        read_all(cluster.uri(topic), positions)
    assert part not in caplog.text
    assert read_all(cluster.uri(topic, lost="earliest"), positions)[0] == ["6", "7", "8", "9"]
    # A broker that answers late is another warning.
    said = [record.getMessage() for record in caplog.records if part in record.getMessage()]
    assert said == [f"{lost}; going on with offset 6"]
    # From the beginning means what there is.
    assert read_all(cluster.uri(topic))[0] == ["6", "7", "8", "9"]


def test_a_topic_that_was_made_anew_is_an_error_too(cluster):
    """Its end comes before the position."""
    topic = cluster.topic()
    cluster.send(topic, ["a"])
    positions = {f"kafka://{topic}/0": {"next": 5, "dead": {}}}
    with pytest.raises(SourceError, match="ends at offset 1, before 5: it is another topic now"):
        read_all(cluster.uri(topic), positions)


def test_a_topic_that_is_deleted_while_it_is_read_is_an_error(cluster, monkeypatch):
    """Once it is sure that it does not come back."""
    monkeypatch.setattr("stream_w2v.connectors.kafka._LOOK_SECONDS", 0.2)
    monkeypatch.setattr("stream_w2v.connectors.kafka._GONE_SECONDS", 1.0)
    topic = cluster.topic()
    cluster.send(topic, ["a"])
    with Following(open_source(cluster.uri(topic))) as following:
        wait(lambda: following.texts() == ["a"])
        cluster.admin.delete_topics([topic])
        wait(lambda: following.error)
        assert str(following.error).startswith(f"kafka://{topic}/0 is gone from ")


def test_a_topic_that_is_gone_is_left_out_if_that_is_allowed(cluster, monkeypatch, caplog):
    """On resume, too: with a warning, and its place is kept."""
    monkeypatch.setattr("stream_w2v.connectors.kafka._LOOK_SECONDS", 0.2)
    monkeypatch.setattr("stream_w2v.connectors.kafka._GONE_SECONDS", 1.0)
    gone = f"gone-{cluster.client}"
    topic = cluster.topic(name=f"{gone}.a")
    cluster.send(topic, ["a"])
    places = {f"kafka://{gone}.b/0": {"next": 5, "dead": {}}}
    with pytest.raises(SourceError, match=f"kafka://{gone}.b/0 is gone from .*; lost=earliest"):
        read_all(cluster.uri(pattern=f"{gone}[.].+"), places)
    found, positions = read_all(cluster.uri(pattern=f"{gone}[.].+", lost="earliest"), places)
    assert found == ["a"]
    assert positions == {**places, f"kafka://{topic}/0": {"next": 1, "dead": {}}}
    assert "is gone from" in caplog.text


@pytest.mark.parametrize("follow", [True, False])
def test_what_is_deleted_while_it_is_read_is_left_out_if_that_is_allowed(
    cluster, monkeypatch, caplog, follow
):
    """With messages of it on their way: the others are read to their end."""
    monkeypatch.setattr("stream_w2v.connectors.kafka._LOOK_SECONDS", 0.2)
    monkeypatch.setattr("stream_w2v.connectors.kafka._GONE_SECONDS", 1.0)
    name = f"deleted-{cluster.client}-{follow}"
    stays, goes = cluster.topic(name=f"{name}.stays"), cluster.topic(name=f"{name}.goes")
    cluster.send(goes, ["g" * 1000] * 5000)
    few = {
        "kafka-python": {"max_partition_fetch_bytes": 20_000, "fetch_max_bytes": 20_000},
        "confluent-kafka": {"fetch_message_max_bytes": 20_000, "queued_max_messages_kbytes": 50},
    }
    uri = cluster.uri(stays, goes, lost="earliest", **few[cluster.client])
    found: list[str] = []
    with open_source(uri, follow=follow) as source:
        for batch in source:
            found += texts([batch])
            if len(found) == len(batch) > 0:
                cluster.admin.delete_topics([goes])
                cluster.send(stays, ["s"] * 100)
            if found and "is gone from" not in caplog.text:
                time.sleep(0.1)
            if follow and found.count("s") == 100 and "is gone from" in caplog.text:
                break
    assert caplog.text.count(f"kafka://{goes}/0 is gone from ") == 1
    assert batch.positions[f"kafka://{goes}/0"]["next"] == len(found) - found.count("s") < 5000
    if follow:
        assert batch.positions[f"kafka://{stays}/0"]["next"] == 100


@pytest.mark.parametrize("client", CLIENTS)
def test_dead_letters_wait_for_a_broker_and_are_there_once(own_broker, caplog, client):
    """However often they could not be written, by a broker that is away longer than one try."""
    cluster = Cluster(own_broker.address, client)
    topic, grave = cluster.topic(), cluster.topic()
    with Following(open_source(cluster.uri(topic, dead_letters=f"topic:{grave}"))) as following:
        cluster.send(topic, [b"\xff"])
        wait(lambda: following.batches and dead_letters(following.batches[-1].positions))
        # They are to be written when it has just gone.
        write = following.source._letters.write
        gone = []

        def killed(letters: Any) -> None:
            if letters and not gone:
                gone.append(True)
                own_broker.kill()
            write(letters)

        following.source._letters.write = killed
        cluster.send(topic, [b"\xff"] * 3)
        wait(lambda: "no Kafka broker answers" in caplog.text)
        time.sleep(5)
        own_broker.start()
        wait(lambda: sum(dead_letters(following.batches[-1].positions).values()) == 4, 60)
    consumer = KafkaConsumer(
        grave,
        bootstrap_servers=own_broker.address,
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
    )
    keys = [message.key for message in islice(consumer, 4)]
    assert consumer.poll(timeout_ms=500) == {}
    consumer.close()
    assert keys == [f"kafka://{topic}/0@{offset}".encode() for offset in range(4)]
    cluster.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_that_is_killed_is_waited_for(own_broker, caplog, client):
    """It is said once that it is away, and once that it is back; nothing is lost or doubled."""
    cluster = Cluster(own_broker.address, client)
    topic = cluster.topic(2)
    cluster.send(topic, [f"a{n}" for n in range(100)])
    with Following(open_source(cluster.uri(topic))) as following:
        wait(lambda: len(following.texts()) == 100)
        own_broker.kill()
        wait(lambda: "no Kafka broker answers" in caplog.text)
        assert following.source.status().startswith("no broker for ")
        many = len(following.batches)
        wait(lambda: len(following.batches) > many)
        own_broker.start()
        again = Cluster(own_broker.address)
        again.send(topic, [f"b{n}" for n in range(100)])
        wait(lambda: len(following.texts()) >= 200)
        wait(lambda: "answers again" in caplog.text)
        expected = [f"{letter}{n}" for letter in "ab" for n in range(100)]
        assert sorted(following.texts()) == sorted(expected)
        wait(lambda: following.source.status() == "lag 0")
    warnings = [r for r in caplog.records if r.name.startswith("stream_w2v")]
    assert [record.levelno for record in warnings] == [logging.WARNING] * 2
    cluster.close()
    again.close()


# Options.


def test_what_cannot_work_is_said_before_anything_is_read(cluster, tmp_path, monkeypatch):
    """Each in one line that names it."""
    topic = cluster.topic()
    (tmp_path / "secret").write_text("geheim\n")
    monkeypatch.setenv("SECRET", "geheim")
    # What a value must be, only one of the clients says well.
    theirs = cluster.client == "confluent-kafka"
    sasl = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    user = {**sasl, "sasl_plain_username": "me"}
    for options, said in [
        ({"nonsense": 1}, "nonsense"),
        ({"group_id": "g", "enable_auto_commit": "true"}, "has no option enable_auto_commit"),
        ({"fetch_max_bytes": "many"}, "fetch.max.bytes" if theirs else "be a number, not many"),
        ({"check_crcs": "maybe"}, "check.crcs" if theirs else "must be true or false, not maybe"),
        ({"start": "soon"}, "start must be earliest, latest or a time since 1970 such as"),
        ({"start": "1969-12-31"}, "start must be earliest, latest or a time since 1970"),
        ({"start": "9" * 30}, "start must be earliest, latest or a time since 1970"),
        ({"field": ""}, "field must name where the text is"),
        ({"lost": "ignore"}, "lost must be one of fail, earliest, not ignore"),
        ({"isolation_level": "none"}, "isolation_level must be one of read_committed, read_unc"),
        ({"client": "mine"}, "client must be one of "),
        ({"max_record_bytes": "0"}, "max_record_bytes must be a number from 1, not 0"),
        ({"pattern": "["}, "pattern is no regular expression"),
        (
            {"security_protocol": "SSL", "ssl_cafile": "/no/file"},
            "ssl_cafile: there is no file",
        ),
        ({**user, "sasl_plain_password": "geheim"}, "sasl_plain_password must be env:NAME or file"),
        ({**user, "sasl_plain_password": "env:NO"}, "sasl_plain_password: there is nothing at env"),
        (
            {"security_protocol": "NO"},
            "security_protocol must be one of PLAINTEXT, ",
        ),
        ({**user, "sasl.password": "geheim"}, "sasl.password must be env:NAME or file:PATH"),
        ({**user, "ssl_key_password": "geheim"}, "ssl_key_password must be env:NAME or file:PATH"),
        ({"proxy_url": "http://me:geheim@a"}, "proxy_url holds no password"),
        ({"security_protocol": "SASL_SSL"}, "security_protocol SASL_SSL needs a sasl_mechanism"),
    ]:
        with pytest.raises(ConfigError) as caught:
            open_source(cluster.uri(topic, **options))
        assert said in str(caught.value)
        assert "geheim" not in str(caught.value)
    for uri, said in [
        (f"kafka://{cluster.address}/", "no topic was named"),
        ("kafka:///topic", "must name a broker: kafka://host:port/topic"),
        ("kafka://[::1/topic", "must look like kafka://host:port/topic"),
        (f"kafka://{cluster.address}/{topic}?field", "must look like kafka://host:port/topic"),
        (cluster.uri(topic, follow="false"), "follow is no option of a Kafka URI"),
        (cluster.uri(topic, topics="a"), "topics is no option of a Kafka URI"),
        (cluster.uri(topic, dead_letters="topic:"), "there is no topic  for dead letters"),
        (cluster.uri(topic, dead_letters="topic:nobody"), "there is no topic nobody for dead"),
        (cluster.uri(topic, dead_letters=f"topic:{topic}"), "each would be one again"),
        (f"kafka://me:geheim@{cluster.address}/{topic}", "a Kafka URI holds no password"),
        ([cluster.uri(topic), cluster.uri(topic, start="latest")], "can differ in their topics"),
    ]:
        with pytest.raises((ConfigError, SourceNotFoundError), match=said):
            open_source(uri)
    with pytest.raises(SourceNotFoundError, match=f"there is no topic nobody at {cluster.address}"):
        open_source(cluster.uri("nobody"))


def test_no_broker_is_an_error():
    """After a while."""
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceError, match=f"no Kafka broker answers at {address}"):
        KafkaSource("topic", bootstrap_servers=address, bootstrap_timeout_ms=500)


def test_passwords_reach_a_broker_that_asks_for_them(tmp_path, monkeypatch):
    """From the environment or a file; a wrong one is refused in one line that does not show it."""
    users = 'user_me="geheim"'
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    port = free_port()
    settings = {
        "listeners": f"SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{{controller}}",
        "advertised.listeners": f"SASL_PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
            f'{login} username="me" password="geheim" {users};'
        ),
    }
    client = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "me",
    }
    secret = {**client, "sasl_plain_password": "geheim"}
    (tmp_path / "secret").write_text("geheim\n")
    monkeypatch.setenv("GOOD", "geheim")
    monkeypatch.setenv("BAD", "falsch")
    with Broker(tmp_path / "kafka", port, settings, secret) as running:
        producer = KafkaProducer(bootstrap_servers=running.address, **secret)
        admin = KafkaAdminClient(bootstrap_servers=running.address, **secret)
        admin.create_topics([NewTopic("t", 1, 1)])
        producer.send("t", b"hello")
        producer.close()
        admin.close()
        uri = f"kafka://{running.address}/t?" + "&".join(f"{k}={v}" for k, v in client.items())
        for client in CLIENTS:
            for place in ("env:GOOD", f"file:{tmp_path / 'secret'}"):
                found, _ = read_all(f"{uri}&client={client}&sasl_plain_password={place}")
                assert found == ["hello"]
            with pytest.raises(SourceError, match="no Kafka broker answers at") as caught:
                open_source(f"{uri}&client={client}&sasl_plain_password=env:BAD")
            assert "falsch" not in str(caught.value)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_may_ask_for_tls(tmp_path, client):
    """With the certificates that the usual options name."""
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    store = tmp_path / "store.pem"
    store.write_text(key.read_text() + certificate.read_text())
    settings = {
        "listeners": f"SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{{controller}}",
        "advertised.listeners": f"SSL://127.0.0.1:{port}",
        "listener.security.protocol.map": "SSL:SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificate),
    }
    options = {"security_protocol": "SSL", "ssl_cafile": str(certificate)}
    with Broker(tmp_path / "kafka", port, settings, options) as running:
        admin = KafkaAdminClient(bootstrap_servers=running.address, **options)
        admin.create_topics([NewTopic("t", 1, 1)])
        admin.close()
        producer = KafkaProducer(bootstrap_servers=running.address, **options)
        producer.send("t", b"hello")
        producer.close()
        uri = f"kafka://{running.address}/t?client={client}&security_protocol=SSL"
        assert read_all(f"{uri}&ssl_cafile={certificate}")[0] == ["hello"]


# A trainer.


def test_the_group_hears_what_is_durable(cluster, tmp_path):
    """After a checkpoint, and nothing before, so that ordinary tools show the lag."""
    topic = cluster.topic(2)
    cluster.send(topic, ["a b c"] * 10)
    source = open_source(cluster.uri(topic, group_id=topic), follow=False)
    with Checkpoints(tmp_path) as checkpoints:
        Trainer(Word2Vec(min_count=1), source, checkpoints=checkpoints).run()
    places = cluster.admin.list_group_offsets([topic])[topic]
    assert {part: place.offset for part, place in places.items()} == {
        TopicPartition(topic, 0): 5,
        TopicPartition(topic, 1): 5,
    }


def test_the_command_trains_on_a_topic_and_goes_on_after_it_has_moved(
    cluster, tmp_path, capsys, monkeypatch
):
    """With the address of the broker in the command, and later another one."""
    topic = cluster.topic(2)
    cluster.send(topic, ['{"text": "a b c d"}'] * 50 + ["rubbish"])
    state = tmp_path / "state"
    train = ["train", cluster.uri(topic, field="text"), "--checkpoint", str(state), "--no-follow"]
    assert main([*train, "--min-count", "1"]) == 0
    assert "1 unreadable records left out" in capsys.readouterr().err
    cluster.send(topic, ['{"text": "a b c d"}'] * 50)
    port = cluster.address.split(":")[1]
    resume = ["resume", str(state), "--broker", f"localhost:{port}", "--json"]
    assert main([*resume, "--vectors", str(tmp_path / "v.bin")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["records"], summary["words"], summary["dead"]) == (50, 200, 0)
    saved = load_checkpoint(state)
    assert saved.model.records == 100
    assert saved.run["sources"] == [
        cluster.uri(topic, field="text").replace("127.0.0.1", "localhost")
    ]
    assert main(["info", str(state), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unreadable_records"] == {"invalid JSON": 1}
    assert main(["train", cluster.uri("nobody"), "--vectors", "v.bin"]) == 2
    assert "there is no topic nobody" in capsys.readouterr().err


def test_resuming_to_the_present_end_is_for_this_time_only(cluster, tmp_path):
    """The run followed its topic, and does so again when it is resumed without a word."""
    topic = cluster.topic()
    cluster.send(topic, ["a b c"])
    with Checkpoints(tmp_path, run=Run([cluster.uri(topic)]).to_dict()) as checkpoints:
        checkpoints.save(Word2Vec(min_count=1), {})
    assert main(["resume", str(tmp_path), "--no-follow", "--quiet"]) == 0
    saved = load_checkpoint(tmp_path)
    assert (saved.model.records, saved.run["follow"]) == (1, None)


def test_a_run_does_not_write_where_it_reads(cluster, tmp_path, capsys):
    """Whatever is asked for: nothing is made or read."""
    topic, vectors = cluster.topic(), tmp_path / "v.bin"
    same = f"kafka://{cluster.address}/{topic}"
    for source, output, said in [
        (cluster.uri(topic), same, f"vectors cannot go to {topic}, which is read"),
        (cluster.uri(pattern="topic.*"), same, f"vectors cannot go to {topic}, which is read"),
        (cluster.uri(topic, dead_letters=vectors), vectors, f"dead letters go to {vectors}, and"),
    ]:
        assert main(["train", source, "--vectors", str(output)]) == 2
        assert said in capsys.readouterr().err
    assert not vectors.exists()


def test_a_broker_does_not_take_another_for_itself(own_broker, tmp_path):
    """`make kafka` where something listens on the port already."""
    with pytest.raises(BrokerError, match="the broker did not start"):
        Broker(tmp_path / "other", own_broker.port).start()


def test_the_library_does_not_import_kafka():
    """Only whoever names a Kafka source does."""
    code = (
        "import sys, stream_w2v, stream_w2v.cli, stream_w2v.connectors\n"
        "assert not {'kafka', 'confluent_kafka', 'river'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_client_library_it_is_said_what_to_install(monkeypatch):
    """The command's error names the extra."""
    monkeypatch.setitem(sys.modules, "kafka", None)
    monkeypatch.delitem(sys.modules, "stream_w2v.connectors.kafka_python", raising=False)
    monkeypatch.delattr("stream_w2v.connectors.kafka_python", raising=False)
    with pytest.raises(ConfigError, match=r"needs pip install 'stream-w2v\[kafka\]'"):
        open_source("kafka://localhost:9092/topic")


# Killed.


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.usefixtures("broker")
def test_a_trainer_that_is_killed_again_and_again_learns_every_message_once(client):
    """From one partition bit by bit, from several every word; the broker is killed, too."""
    said = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--kills=10", "--lines=40000", "--sources=1,4",
         f"--client={client}"],
        cwd=Path(__file__).parent.parent, check=True, capture_output=True, text=True, timeout=400,
    ).stdout  # fmt: skip
    assert re.search(r"^1: 10 kills, .*: every model bit-identical", said)
    assert re.search(r"^4: 10 kills, .*: every word counted once", said, re.MULTILINE)
