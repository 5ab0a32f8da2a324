"""Kafka by way of kafka-python."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    KafkaConfigurationError,
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
    RetriableError,
)
from kafka.future import Future
from kafka.structs import OffsetAndMetadata

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
"""Messages of one poll, at most."""

_ANSWER_MS = 3000
"""How long an answer may take, before the broker counts as silent."""

_SOON = {
    "request_timeout_ms": 10_000,
    "bootstrap_timeout_ms": 10_000,
    "reconnect_backoff_max_ms": 2000,
}
"""When a client gives up waiting for a broker, and tries again, unless options say otherwise."""

_OURS = {
    "bootstrap_servers", "group_id", "isolation_level", "auto_offset_reset", "enable_auto_commit",
    "key_deserializer", "value_deserializer", "max_poll_records", "allow_auto_create_topics",
    "kafka_client",
}  # fmt: skip


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise _translated(error) from error
    except KeyError as error:
        # As of 3.0 a partition without a leader is left out of what is looked up then.
        msg = f"nobody answers for {error}"
        raise SilentError(msg) from error


def _translated(error: KafkaError) -> Exception:
    if isinstance(error, OffsetOutOfRangeError | LogTruncationError):
        return LostError(str(error), replaced=isinstance(error, LogTruncationError))
    if error.retriable and not isinstance(error, AuthorizationError):
        return SilentError(str(error))
    return RefusedError(f"{type(error).__name__.removesuffix('Error')}: {error}")


def options_of(names: Mapping[str, Any]) -> dict[str, Any]:
    """Turn options, whose values may be text, into what the client takes.

    Raises
    ------
    ConfigError
        If the client has no such option, or not with such a value.
    """
    known = KafkaConsumer.DEFAULT_CONFIG
    options = {}
    for name, value in names.items():
        if name not in known or name in _OURS:
            msg = f"the Kafka source has no option {name}"
            raise ConfigError(msg)
        options[name] = _typed(name, value, known[name])
    check_security(options)
    return options


def shared(options: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """Return those of a consumer's options that another kind of client has, too."""
    return {name: value for name, value in options.items() if name in kind.DEFAULT_CONFIG}


def made(kind: Any, **options: Any) -> Any:
    """Make a client that does not wait for long.

    One that cannot be made is closed, else its thread would try for ever.
    """
    begun = []

    def begin(**given: Any) -> Any:
        begun.append(kind.DEFAULT_CONFIG["kafka_client"](**given))
        return begun[0]

    try:
        return kind(**{**_SOON, **options}, kafka_client=begin)
    except BaseException:
        for one in begun:
            one.close()
        raise


def hang_up(producer: KafkaProducer) -> None:
    """Close a producer at once.

    Its own way to close waits for what it still tries to send, and leaves its thread if in vain.
    """
    producer._sender.force_close()
    with suppress(KafkaError):
        producer.close(timeout=1)


def _typed(name: str, value: Any, example: Any) -> Any:
    if not isinstance(value, str):
        return value
    if example is None and name.endswith(("_ms", "_bytes")):
        example = 0
    if isinstance(example, bool):
        if value.lower() not in ("true", "false"):
            msg = f"{name} must be true or false, not {value}"
            raise ConfigError(msg)
        return value.lower() == "true"
    if isinstance(example, int | float):
        try:
            return type(example)(value)
        except ValueError as error:
            msg = f"{name} must be a number, not {value}"
            raise ConfigError(msg) from error
    return value


class _LastWords(logging.Handler):
    """Keeps the last reason for which a connection failed."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        for error in record.args if isinstance(record.args, tuple) else ():
            # That there was no time, or no connection in the end, says less.
            if isinstance(error, Exception) and not isinstance(error, RetriableError):
                self.last = str(error)


class Client:
    """A consumer of assigned partitions. Everything is done from one thread at a time."""

    def __init__(
        self, servers: list[str], group: str | None, isolation: str, options: Mapping[str, Any]
    ) -> None:
        self._servers = servers
        self._group = group
        self._options = options_of(options)
        self._committer: KafkaConsumer | None = None
        self._letters: _LettersTopic | None = None
        # Why it cannot connect the client says in its log only.
        log, said = logging.getLogger("kafka"), _LastWords(logging.WARNING)
        log.addHandler(said)
        try:
            self._consumer = made(
                KafkaConsumer,
                **{
                    # What is new about topics and partitions, soon enough for people.
                    "metadata_max_age_ms": 5000,
                    **self._options,
                },
                bootstrap_servers=servers,
                # With a group, reading would wait for its coordinator.
                group_id=None,
                isolation_level=isolation,
                auto_offset_reset="none",
                enable_auto_commit=False,
                max_poll_records=_MANY,
                allow_auto_create_topics=False,
            )
        except (KafkaConfigurationError, AssertionError, TypeError, ValueError) as error:
            msg = f"these options of the Kafka source do not go together: {error}"
            raise ConfigError(msg) from error
        except KafkaError as error:
            raise SilentError(said.last or str(error)) from error
        finally:
            log.removeHandler(said)

    def topics(self) -> set[str]:
        """Ask for the names of all topics."""
        with _translating():
            return set(self._consumer.topics())

    def partitions(self, topic: str) -> set[int]:
        """Return the partitions of a topic, as last heard; empty if there is no such topic."""
        with _translating():
            return set(self._consumer.partitions_for_topic(topic) or ())

    def first_offsets(self, parts: Collection[Part]) -> dict[Part, int]:
        """Ask for the offset of each partition's first message."""
        if not parts:
            return {}
        with _translating():
            found = self._consumer.beginning_offsets(
                [TopicPartition(*part) for part in parts], timeout_ms=_ANSWER_MS
            )
            return {Part(*part): offset for part, offset in found.items()}

    def end_offsets(self, parts: Collection[Part]) -> dict[Part, int]:
        """Ask for the offset after each partition's last message."""
        if not parts:
            return {}
        with _translating():
            found = self._consumer.end_offsets(
                [TopicPartition(*part) for part in parts], timeout_ms=_ANSWER_MS
            )
            return {Part(*part): offset for part, offset in found.items()}

    def offsets_at(self, parts: Collection[Part], milliseconds: int) -> dict[Part, int | None]:
        """Ask for the offset of the first message of that time or later; None if there is none."""
        if not parts:
            return {}
        with _translating():
            times = {TopicPartition(*part): milliseconds for part in parts}
            found = self._consumer.offsets_for_times(times, timeout_ms=_ANSWER_MS)
            # None may also mean that nobody answered for a partition.
            unknown = [part for part, place in found.items() if place is None or place.offset < 0]
            self._consumer.end_offsets(unknown, timeout_ms=_ANSWER_MS)
            return {
                Part(*part): None if part in unknown else place.offset
                for part, place in found.items()
            }

    def assign(self, offsets: Mapping[Part, int]) -> None:
        """Read these partitions from these offsets on, and no others."""
        self._consumer.assign([TopicPartition(*part) for part in offsets])
        for part, offset in offsets.items():
            self._consumer.seek(TopicPartition(*part), offset)

    def poll(self, seconds: float) -> list[Fetched]:
        """Wait so long for messages; also says how far partitions without messages have come."""
        with _translating():
            found = self._consumer.poll(timeout_ms=int(1000 * seconds))
            return [
                Fetched(
                    Part(*part),
                    [(message.offset, message.value) for message in found.get(part, ())],
                    self._consumer.position(part, timeout_ms=0),
                )
                for part in self._consumer.assignment()
            ]

    def commit(self, offsets: Mapping[Part, int]) -> None:
        """Tell the group how far it has come."""
        with _translating():
            if self._committer is None:
                self._committer = made(
                    KafkaConsumer,
                    **{"bootstrap_timeout_ms": _ANSWER_MS, **self._options},
                    bootstrap_servers=self._servers,
                    group_id=self._group,
                    enable_auto_commit=False,
                )
            self._committer.commit(
                {
                    TopicPartition(*part): OffsetAndMetadata(offset, "", -1)
                    for part, offset in offsets.items()
                },
                timeout_ms=_ANSWER_MS,
            )

    def producer(self, topic: str) -> Letters:
        """Make what writes dead letters to a topic."""
        with _translating():
            producer = made(
                KafkaProducer,
                **{**shared(self._options, KafkaProducer), "max_block_ms": _ANSWER_MS},
                bootstrap_servers=self._servers,
                acks="all",
            )
        self._letters = _LettersTopic(topic, producer)
        return self._letters

    def close(self) -> None:
        """Hang up, here and in what :meth:`producer` made."""
        for consumer in (self._consumer, self._committer):
            if consumer is not None:
                consumer.close(autocommit=False, timeout_ms=1000)
        if self._letters is not None:
            self._letters.close()


class _LettersTopic:
    def __init__(self, topic: str, producer: KafkaProducer) -> None:
        self._topic = topic
        self._producer = producer
        self._sent: dict[DeadLetter, Future] = {}

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Send some, and wait until the brokers have them."""
        # The client goes on trying to send what it could not when these were to be written before.
        self._sent = {one: sent for one, sent in self._sent.items() if not sent.failed()}
        with _translating():
            for letter in letters:
                if letter not in self._sent:
                    record = letter_record(letter)
                    self._sent[letter] = self._producer.send(self._topic, **record)
            self._producer.flush(timeout=_ANSWER_MS / 1000)
            for letter in letters:
                self._sent[letter].get(0)
        self._sent = {}

    def close(self) -> None:
        hang_up(self._producer)
