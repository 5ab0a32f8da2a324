"""Kafka topics as a source of records: one message is one record.

The place in every partition is kept by the trainer's checkpoints, never by Kafka: partitions are
assigned and read from the offsets in the positions. What is committed to a group after a
checkpoint is for people to see how far the trainer is.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Self

import numpy as np

from stream_w2v.connectors.dead_letters import DeadLetter, DeadLettersFile
from stream_w2v.connectors.inputs import POLL_SECONDS
from stream_w2v.connectors.kafka_client import (
    Client,
    Fetched,
    Letters,
    LostError,
    Part,
    RefusedError,
    SilentError,
)
from stream_w2v.connectors.kafka_options import compiled, parse_uri, reveal_secrets
from stream_w2v.connectors.messages import Messages, UnreadableError
from stream_w2v.errors import ConfigError, SourceError, SourceNotFoundError
from stream_w2v.stream import Batch, Positions, Source

_LOOK_SECONDS = 3.0
"""Between two looks for new partitions, and for how far behind the source is."""

_GONE_SECONDS = 30.0
"""How long a partition may be missing before it counts as deleted."""

_BEGUN = "kafka://"
"""What positions name while no topic matches the pattern: all that appears from then on is new."""

_CLIENTS = {
    "kafka-python": ("kafka_python", "kafka"),
    "confluent-kafka": ("kafka_confluent", "confluent"),
}
"""Client libraries: what makes them fit, and the extra that installs them."""

_log = logging.getLogger(__name__)


class KafkaSource(Source):
    """Messages of one or several topics.

    Parameters
    ----------
    topics
        Their names.
    bootstrap_servers
        ``host:port``, of one or several brokers.
    pattern
        A regular expression: all topics that match as a whole are read, new ones too.
    field
        Where the text is in messages that are JSON objects: ``text``, or ``user.text`` for an
        object inside the object. Without it a message is the text.
    start
        Where to begin in partitions that the positions do not name: ``earliest``, ``latest``, or a
        time (milliseconds since 1970, or ISO 8601; without a time zone it is UTC). A partition that
        appears later is always read from its beginning.
    follow
        Whether to wait for more at the end. If not, the source ends at the offsets that were the
        ends when it began.
    isolation_level
        ``read_committed`` leaves out messages of transactions that were aborted, and waits for
        those that are open; ``read_uncommitted`` does not.
    lost
        What to do when messages were deleted before they were read: ``fail``, or go on with the
        ``earliest`` that there is, with a warning.
    group_id
        The group that is told how far the trainer has come; None tells nobody.
    max_record_bytes
        Longest message; a longer one is not learnt.
    dead_letters
        Where to keep messages that are not learnt, beside counting them: the path of a file to
        append them to, as JSON lines, or ``topic:NAME`` for a topic at the same brokers, with the
        reason and where each was in the headers (of long ones the first 512 KiB). After a crash
        some may be there twice.
    client
        ``kafka-python`` or ``confluent-kafka``, which is compiled and faster.
    **options
        The client's own options by their names: ``security_protocol``, ``ssl_cafile``,
        ``sasl_mechanism``, and so on.

    Raises
    ------
    ConfigError
        If an option is unknown, or has a value that cannot work.
    SourceNotFoundError
        If there is no such topic.
    SourceError
        If no broker answers, or it refuses; while iterating, if messages were deleted unread.

    Notes
    -----
    The positions map ``kafka://topic/partition`` to ``next``, the offset of the next message, and
    ``dead``, how many messages before it were not learnt, by reason: they have no value, are too
    long, no UTF-8, no JSON, or have no text in their field. Brokers' addresses are not part of it.
    While no topic matches the pattern, ``kafka://`` says that the source has begun.

    A topic that was deleted and made anew is noticed if it ends before the position, and not if it
    has grown beyond it.
    """

    def __init__(
        self,
        topics: str | Iterable[str] = (),
        *,
        bootstrap_servers: str | Sequence[str] = "localhost:9092",
        pattern: str | None = None,
        field: str | None = None,
        start: str | int = "earliest",
        follow: bool = True,
        isolation_level: str = "read_committed",
        lost: str = "fail",
        group_id: str | None = "stream-w2v",
        max_record_bytes: int | str = 1 << 20,
        dead_letters: str | None = None,
        client: str = "kafka-python",
        **options: Any,
    ) -> None:
        servers = [bootstrap_servers] if isinstance(bootstrap_servers, str) else bootstrap_servers
        self._topics = [topics] if isinstance(topics, str) else list(topics)
        self._pattern = None if pattern is None else compiled(pattern)
        if not self._topics and self._pattern is None:
            msg = "no topic was named: give kafka://host:port/topic, or ?pattern="
            raise ConfigError(msg)
        for name, value, choices in (
            ("isolation_level", isolation_level, ("read_committed", "read_uncommitted")),
            ("lost", lost, ("fail", "earliest")),
            ("client", client, tuple(_CLIENTS)),
        ):
            if value not in choices:
                msg = f"{name} must be one of {', '.join(choices)}, not {value}"
                raise ConfigError(msg)
        if field == "":
            msg = "field must name where the text is, or be left out"
            raise ConfigError(msg)
        self._start = _start_time(start)
        self._follow = follow
        self._lost = lost
        self._group = group_id or None
        self._messages = Messages(field, _positive("max_record_bytes", max_record_bytes))
        self._servers = ", ".join(servers)
        self._offsets: dict[Part, int] = {}
        self._others: dict[str, Any] = {}  # positions of what is not read now
        self._dead: dict[Part, Counter[str]] = {}
        self._ends: dict[Part, int] = {}
        self._begun = self._went_on = False
        self._silent_since: float | None = None
        self._missed_since: float | None = None
        self._failed = False
        self._lost_error: LostError | None = None
        self._look_due = 0.0
        self._lag: int | None = None
        self._commits: Positions | None = None
        self._closed = False
        self._lock = threading.Lock()
        options = reveal_secrets(options)
        self._client, known = self._connected(client, list(servers), isolation_level, options)
        try:
            self._letters = self._made_letters(dead_letters, known)
        except BaseException:
            self._client.close()
            raise

    @classmethod
    def from_uris(cls, uris: Sequence[str], /, **options: Any) -> Self:
        """Make the source for URIs such as ``kafka://host:9092/topic?field=text``.

        Several brokers and several topics have commas between them. What stands behind the
        question mark are the constructor's parameters. Several URIs differ in their topics only.

        Parameters
        ----------
        uris
            What to read.
        **options
            The constructor's parameters, which the URIs' override.
        """
        parsed = [parse_uri(uri) for uri in uris]
        servers, _, given = parsed[0]
        for other, _, others in parsed[1:]:
            if (other, others) != (servers, given):
                msg = "several Kafka sources can differ in their topics only"
                raise ConfigError(msg)
        topics = [topic for _, names, _ in parsed for topic in names]
        return cls(topics, bootstrap_servers=servers, **{**options, **given})

    # The source.

    def seek(self, positions: Positions) -> None:
        """Go on from these positions, as a batch reported them. Call before iterating."""
        self._others, self._went_on = {}, False
        for name, place in positions.items():
            if name == _BEGUN:
                self._went_on = True
                continue
            match = re.fullmatch(r"kafka://([^/]+)/(\d+)", name)
            if match is None or not self._reads(match[1]):
                self._others[name] = place
                continue
            part = Part(match[1], int(match[2]))
            self._offsets[part] = int(place["next"])
            self._dead[part] = Counter(place.get("dead", {}))

    def _reads(self, topic: str) -> bool:
        pattern = self._pattern
        return topic in self._topics or (pattern is not None and bool(pattern.fullmatch(topic)))

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order of each partition, and an empty one when nothing comes."""
        with self._lock:
            try:
                if self._begun:
                    # What an iteration that was broken off had fetched is fetched again.
                    self._client.assign(self._offsets)
                else:
                    self._begin()
                    if self._begun:
                        yield self._batch([])[0]
                while self._begun and not (self._closed or self._is_over()):
                    batch, letters = self._batch(self._fetch())
                    if self._keep(letters):
                        yield batch
            except RefusedError as error:
                msg = f"Kafka at {self._servers} refuses: {error}"
                raise SourceError(msg) from error
            finally:
                self._commit()
                if self._closed:
                    self._client.close()

    def commit(self, positions: Positions) -> None:
        """Let the group know what is durable, with the next poll."""
        self._commits = positions

    def status(self) -> str:
        """Return how many messages there still are to read."""
        silent_since = self._silent_since
        if silent_since is not None:
            return f"no broker for {time.monotonic() - silent_since:.0f} s"
        return "" if self._lag is None else f"lag {self._lag:,}"

    def lag(self) -> int | None:
        """Return how many messages there still are to read, as of the last look."""
        return self._lag

    def reload(self) -> None:
        """Look for new topics and partitions with the next poll."""
        self._look_due = 0.0

    def close(self) -> None:
        """Stop iterating, in whatever thread that happens, and hang up."""
        self._closed = True
        # Whoever iterates hangs up, if it does so soon.
        if self._lock.acquire(timeout=10 * POLL_SECONDS):
            try:
                self._commit()
                self._client.close()
            finally:
                self._lock.release()

    # Beginning.

    def _connected(
        self, library: str, servers: list[str], isolation: str, options: Mapping[str, Any]
    ) -> tuple[Client, set[str]]:
        """Return a client, and the topics that there are."""
        module, extra = _CLIENTS[library]
        try:
            chosen = import_module(f"stream_w2v.connectors.{module}")
        except ImportError as error:
            msg = f"reading from Kafka needs pip install 'stream-w2v[{extra}]': {error}"
            raise ConfigError(msg) from error
        try:
            client: Client = chosen.Client(servers, self._group, isolation, options)
            with ExitStack() as failing:
                failing.callback(client.close)
                known = client.topics()
                missing = [topic for topic in self._topics if topic not in known]
                if missing:
                    msg = f"there is no topic {missing[0]} at {self._servers}"
                    raise SourceNotFoundError(msg)
                failing.pop_all()
        except SilentError as error:
            msg = (
                f"no Kafka broker answers at {self._servers}, or not with these security options: "
                f"{error}"
            )
            raise SourceError(msg) from error
        except RefusedError as error:
            msg = f"Kafka at {self._servers} refuses: {error}"
            raise SourceError(msg) from error
        return client, known

    def _made_letters(self, place: str | None, known: set[str]) -> Letters | None:
        if place is None:
            return None
        kind, separator, topic = place.partition("topic:")
        if kind or not separator:
            return DeadLettersFile(place)
        if self._reads(topic):
            msg = f"dead letters cannot go to {topic}, which is read: each would be one again"
            raise ConfigError(msg)
        if topic not in known:
            msg = f"there is no topic {topic} for dead letters at {self._servers}"
            raise SourceNotFoundError(msg)
        try:
            return self._client.producer(topic)
        except SilentError as error:
            msg = f"no Kafka broker answers at {self._servers}: {error}"
            raise SourceError(msg) from error

    def _begin(self) -> None:
        """Find the partitions, and where to read them from."""
        while not self._closed:
            try:
                parts = self._known_parts()
                if gone := set(self._offsets) - parts:
                    self._miss(gone)
                    time.sleep(POLL_SECONDS)
                    continue
                self._offsets |= self._first_places(parts - set(self._offsets))
                self._skip_lost(None)
                self._client.assign(self._offsets)
                if not self._follow:
                    self._ends = self._client.end_offsets(self._offsets)
                self._begun = True
                break
            except SilentError as error:
                self._wait(error)
        self._heard()

    def _known_parts(self) -> set[Part]:
        topics = set(self._topics)
        if self._pattern is not None:
            topics |= {name for name in self._client.topics() if self._pattern.fullmatch(name)}
        return {
            Part(topic, number) for topic in topics for number in self._client.partitions(topic)
        }

    def _first_places(self, new: set[Part]) -> dict[Part, int]:
        """Return where to begin in partitions that have not been read."""
        # What appears while (or since) others are read is new altogether, unless it was named anew.
        known = {part.topic for part in self._offsets}
        later = self._went_on or bool(known)
        late = {
            part
            for part in new
            if self._begun or part.topic in known or (later and part.topic not in self._topics)
        }
        return self._client.first_offsets(late) | self._start_offsets(new - late)

    def _start_offsets(self, parts: set[Part]) -> dict[Part, int]:
        if self._start == "earliest":
            return self._client.first_offsets(parts)
        ends = self._client.end_offsets(parts)
        if self._start == "latest":
            return ends
        found = self._client.offsets_at(parts, int(self._start))
        return {part: ends[part] if at is None else at for part, at in found.items()}

    # Going on.

    def _is_over(self) -> bool:
        return not self._follow and all(
            self._offsets[part] >= end for part, end in self._ends.items()
        )

    def _fetch(self) -> list[Fetched]:
        """Wait for messages for no longer than the poll interval; commit and look if it is time."""
        try:
            if time.monotonic() >= self._look_due:
                self._look()
            if self._failed:
                # Whatever the client has fetched and not handed over is fetched again.
                if self._lost_error is not None:
                    self._skip_lost(self._lost_error)
                self._client.assign(self._offsets)
                self._failed, self._lost_error = False, None
            self._commit()
            return self._client.poll(POLL_SECONDS)
        except SilentError as error:
            self._failed = True
            self._wait(error)
        except LostError as error:
            self._failed, self._lost_error = True, error
        return []

    def _look(self) -> None:
        """Look for new partitions, and how far behind this source is."""
        try:
            parts = self._known_parts()
            if gone := set(self._offsets) - parts:
                self._miss(gone)
                return
            self._missed_since = None
            if new := parts - set(self._offsets):
                self._offsets |= self._first_places(new)
                self._client.assign(self._offsets)
            ends = self._client.end_offsets(parts)
            self._lag = sum(max(0, end - self._offsets[part]) for part, end in ends.items())
            self._heard()
        finally:
            # Also if nobody answers for one partition: then the others are read for a while.
            self._look_due = time.monotonic() + _LOOK_SECONDS

    def _miss(self, gone: set[Part]) -> None:
        """Bear with a broker that has just begun, and does not know its topics yet."""
        now = time.monotonic()
        self._missed_since = self._missed_since or now
        if now - self._missed_since <= _GONE_SECONDS:
            return
        what = f"{min(gone)} is gone from {self._servers}"
        if self._lost == "fail":
            msg = f"{what}; lost=earliest goes on with what there is"
            raise SourceError(msg)
        _log.warning("%s; going on without it", what)
        places = self._positions()
        for part in gone:
            self._others[str(part)] = places[str(part)]
            del self._offsets[part]
            self._ends.pop(part, None)
        self._missed_since = None
        self._failed = True

    def _wait(self, error: Exception) -> None:
        """Say that no broker answers, once, and wait a moment."""
        if self._silent_since is None:
            self._silent_since = time.monotonic()
            _log.warning("no Kafka broker answers at %s, waiting: %s", self._servers, error)
        time.sleep(POLL_SECONDS)

    def _heard(self) -> None:
        if self._silent_since is not None:
            seconds = time.monotonic() - self._silent_since
            self._silent_since = None
            _log.warning("a Kafka broker answers again at %s, after %.0f s", self._servers, seconds)

    def _skip_lost(self, error: LostError | None) -> None:
        """Go on behind messages that were deleted before they were read, if that is allowed."""
        if error is not None and error.replaced:
            if self._lost == "fail":
                msg = f"the log was replaced in part: {error}; lost=earliest goes on all the same"
                raise SourceError(msg) from error
            _log.warning("the log was replaced in part, going on: %s", error)
        first = self._client.first_offsets(self._offsets)
        ends = self._client.end_offsets(self._offsets)
        for part, at in self._offsets.items():
            if first[part] <= at <= ends[part]:
                continue
            what = (
                f"offsets {at} to {first[part] - 1} of {part} were deleted before they were read"
                if at < first[part]
                else f"{part} ends at offset {ends[part]}, before {at}: it is another topic now"
            )
            if self._lost == "fail":
                msg = f"{what}; lost=earliest goes on with what there is"
                raise SourceError(msg) from error
            _log.warning("%s; going on with offset %d", what, first[part])
            self._offsets[part] = first[part]

    def _batch(self, fetched: list[Fetched]) -> tuple[Batch, list[DeadLetter]]:
        """Make one batch of messages, and count those that are not learnt."""
        texts: list[bytes] = []
        letters: list[DeadLetter] = []
        for part, messages, next_offset in fetched:
            for offset, value in messages:
                if offset < self._offsets[part]:
                    continue
                try:
                    texts.append(self._messages.text(value))
                except UnreadableError as error:
                    reason = error.args[0]
                    self._dead.setdefault(part, Counter())[reason] += 1
                    letters.append(DeadLetter(str(part), offset, reason, value))
                self._offsets[part] = offset + 1
            if next_offset is not None:
                self._offsets[part] = max(self._offsets[part], next_offset)
        ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
        return Batch(b"".join(texts), ends, self._positions()), letters

    def _keep(self, letters: list[DeadLetter]) -> bool:
        """Put dead letters where they are to be; return whether that was possible before the end.

        A batch is not handed over before its dead letters are safe.
        """
        while letters and self._letters is not None:
            try:
                self._letters.write(letters)
                break
            except SilentError as error:
                self._wait(error)
                if self._closed:
                    return False
        return True

    def _positions(self) -> dict[str, Any]:
        places = {
            str(part): {"next": at, "dead": dict(self._dead.get(part, {}))}
            for part, at in sorted(self._offsets.items())
        }
        return self._others | (places or {_BEGUN: {"begun": True}})

    def _commit(self) -> None:
        """Tell the group what is durable. Nothing depends on it."""
        positions, self._commits = self._commits, None
        if positions is None or self._group is None:
            return
        offsets = {
            part: positions[str(part)]["next"] for part in self._offsets if str(part) in positions
        }
        if not offsets:
            return
        try:
            self._client.commit(offsets)
        except (SilentError, RefusedError) as error:
            _log.warning("the group %s was not told how far this is: %s", self._group, error)


def _positive(name: str, value: int | str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        msg = f"{name} must be a number from 1, not {value}"
        raise ConfigError(msg)
    return number


def _start_time(start: str | int) -> str | int:
    """Return ``earliest``, ``latest`` or milliseconds since 1970."""
    if start in ("earliest", "latest"):
        return start
    try:
        milliseconds = int(start) if str(start).isdecimal() else _milliseconds(str(start))
    except ValueError:
        milliseconds = -1
    # Kafka's times have 64 bits.
    if not 0 <= milliseconds < 1 << 63:
        msg = (
            "start must be earliest, latest or a time since 1970 such as 2026-11-21T10:00, "
            f"not {start}"
        )
        raise ConfigError(msg)
    return milliseconds


def _milliseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(1000 * (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
