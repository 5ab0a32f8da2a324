"""Kafka by way of confluent-kafka, which is compiled (librdkafka)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from stream_w2v.connectors.dead_letters import DeadLetter
from stream_w2v.connectors.kafka_client import (
    Fetched,
    Letters,
    LostError,
    Part,
    RefusedError,
    SilentError,
    check_security,
    letter_record,
)
from stream_w2v.errors import ConfigError

_MANY = 5000
_log = logging.getLogger("confluent_kafka")
_log.addHandler(logging.NullHandler())
_ANSWER_SECONDS = 3.0
_FIRST_ANSWER_SECONDS = 10.0
_SOON = {"reconnect.backoff.max.ms": 2000}

_NAMES = {
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_crlfile": "ssl.crl.location",
    "ssl_password": "ssl.key.password",
    "ssl_ciphers": "ssl.cipher.suites",
}
"""The source's names (kafka-python's) where they are not librdkafka's with _ for each dot."""

_OURS = {
    "bootstrap.servers", "group.id", "isolation.level", "auto.offset.reset", "enable.auto.commit",
    "enable.auto.offset.store", "enable.partition.eof", "allow.auto.create.topics",
}  # fmt: skip

_LOST = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
_SILENT = {
    KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN,
    KafkaError._WAIT_COORD, KafkaError._RESOLVE, KafkaError._MSG_TIMED_OUT,
    KafkaError.REQUEST_TIMED_OUT, KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR,
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC,
}  # fmt: skip


def _options_of(names: Mapping[str, Any]) -> dict[str, Any]:
    check_security(names)
    options = {}
    for name, value in names.items():
        theirs = _NAMES.get(name, name.replace("_", "."))
        if theirs in _OURS:
            msg = f"the Kafka source has no option {name}"
            raise ConfigError(msg)
        if name == "ssl_check_hostname":
            theirs = "ssl.endpoint.identification.algorithm"
            value = "https" if str(value).lower() == "true" else "none"
        options[theirs] = value
    return options


def _translated(error: KafkaError) -> Exception:
    if error.code() in _LOST:
        return LostError(error.str(), replaced=error.code() == KafkaError._LOG_TRUNCATION)
    if error.code() in _SILENT or error.retriable():
        return SilentError(error.str())
    return RefusedError(error.str())


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise _translated(error.args[0]) from error


@contextmanager
def _never_full() -> Iterator[None]:
    try:
        yield
    except BufferError as error:
        raise SilentError(str(error)) from error


def _made(kind: Callable[[dict[str, Any]], Any], options: dict[str, Any]) -> Any:
    try:
        return kind({"logger": _log, **options})
    except KafkaException as error:
        msg = f"these options of the Kafka source do not go together: {error.args[0].str()}"
        raise ConfigError(msg) from error


class Client:
    """A consumer of assigned partitions. Everything is done from one thread at a time."""

    def __init__(
        self, servers: list[str], group: str | None, isolation: str, options: Mapping[str, Any]
    ) -> None:
        self._options = {**_options_of(options), "bootstrap.servers": ",".join(servers)}
        self._letters: _LettersTopic | None = None
        self._error: KafkaError | None = None
        made = {
            **_SOON,
            **self._options,
            # It insists on a group, which hears nothing unless there is a commit.
            "group.id": group or "stream-w2v",
            "isolation.level": isolation,
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # How far a partition has come where there are marks and no messages.
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
        }
        self._consumer = _made(Consumer, made)
        # Questions have a connection of their own: on the other one they would wait for messages.
        self._asker = _made(Consumer, made)

    def topics(self) -> set[str]:
        """Ask for the names of all topics."""
        with _translating():
            found = self._asker.list_topics(timeout=_FIRST_ANSWER_SECONDS).topics
            return {
                name
                for name, topic in found.items()
                if topic.error is None and not name.startswith("__")
            }

    def partitions(self, topic: str) -> set[int]:
        """Ask for the partitions of a topic; empty if there is no such topic."""
        # Its events would pile up.
        self._asker.poll(0)
        with _translating():
            found = self._asker.list_topics(topic, timeout=_ANSWER_SECONDS).topics.get(topic)
            return set() if found is None or found.error is not None else set(found.partitions)

    def first_offsets(self, parts: Collection[Part]) -> dict[Part, int]:
        """Ask for the offset of each partition's first message."""
        return {part: self._watermarks(part)[0] for part in parts}

    def end_offsets(self, parts: Collection[Part]) -> dict[Part, int]:
        """Ask for the offset after each partition's last message that may be read."""
        return {part: self._watermarks(part)[1] for part in parts}

    def _watermarks(self, part: Part) -> tuple[int, int]:
        with _translating():
            low, high = self._asker.get_watermark_offsets(
                TopicPartition(*part), timeout=_ANSWER_SECONDS
            )
            return low, high

    def offsets_at(self, parts: Collection[Part], milliseconds: int) -> dict[Part, int | None]:
        """Ask for the offset of the first message of that time or later; None if there is none."""
        if not parts:
            return {}
        with _translating():
            found = self._asker.offsets_for_times(
                [TopicPartition(*part, milliseconds) for part in parts], timeout=_ANSWER_SECONDS
            )
            for one in found:
                if one.error is not None:
                    raise KafkaException(one.error)
            return {
                Part(one.topic, one.partition): one.offset if one.offset >= 0 else None
                for one in found
            }

    def assign(self, offsets: Mapping[Part, int]) -> None:
        """Read these partitions from these offsets on, and no others."""
        with _translating():
            self._consumer.assign([TopicPartition(*part, at) for part, at in offsets.items()])

    def poll(self, seconds: float) -> list[Fetched]:
        """Wait so long for messages; also says how far partitions without messages have come."""
        fetched: dict[Part, Fetched] = {}
        if self._error is not None:
            error, self._error = self._error, None
            raise _translated(error)
        with _translating():
            # It waits for as many as it may bring: so first one, then what is there.
            messages = self._consumer.consume(1, timeout=seconds)
            if messages:
                messages += self._consumer.consume(_MANY, timeout=0.001)
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                # What came beside it is handed over first. What is of no topic is of the group.
                if message.topic() is not None or error.fatal():
                    self._error = error
                continue
            part = Part(message.topic(), message.partition())
            one = fetched.setdefault(part, Fetched(part, [], None))
            if error is None:
                one.messages.append((message.offset(), message.value()))
            else:
                fetched[part] = one._replace(next_offset=message.offset())
        return list(fetched.values())

    def commit(self, offsets: Mapping[Part, int]) -> None:
        """Tell the group how far it has come."""
        with _translating():
            self._consumer.commit(
                offsets=[TopicPartition(*part, at) for part, at in offsets.items()],
                # It would wait for a coordinator for 45 seconds.
                asynchronous=True,
            )

    def producer(self, topic: str) -> Letters:
        """Make what writes dead letters to a topic."""
        options = {"message.timeout.ms": 3000, **_SOON, **self._options, "acks": "all"}
        self._letters = _LettersTopic(topic, _made(Producer, options))
        return self._letters

    def close(self) -> None:
        """Hang up, here and in what :meth:`producer` made."""
        self._consumer.close()
        self._asker.close()
        # Its letters were taken, or are written again when the run goes on.
        self._letters = None


class _LettersTopic:
    def __init__(self, topic: str, producer: Producer) -> None:
        self._topic = topic
        self._producer = producer

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Send some, and wait until the brokers have them."""
        errors: list[KafkaError] = []

        def heard(error: KafkaError | None, _: object) -> None:
            if error is not None:
                errors.append(error)

        with _translating(), _never_full():
            for letter in letters:
                self._producer.produce(self._topic, **letter_record(letter), on_delivery=heard)
            left = self._producer.flush(_ANSWER_SECONDS)
            if left:
                self._producer.purge()
        if errors:
            raise _translated(errors[0])
        if left:
            msg = f"{left} dead letters were not taken"
            raise SilentError(msg)
