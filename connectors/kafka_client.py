"""What a Kafka source needs of a client library, whichever it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stream_w2v.connectors.dead_letters import DeadLetter
from stream_w2v.errors import ConfigError

_LONGEST_LETTER = 1 << 19
"""Of a longer message only the beginning is kept in a topic, which may not take more."""

_SECURITY = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


class Part(NamedTuple):
    """A partition."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"kafka://{self.topic}/{self.partition}"


class Fetched(NamedTuple):
    """What came of a partition.

    Attributes
    ----------
    part
        The partition.
    messages
        Offsets and values in order; a value may be None.
    next_offset
        Where to go on: beyond the messages, and what else there is in the log beside messages.
    """

    part: Part
    messages: list[tuple[int, bytes | None]]
    next_offset: int | None


class SilentError(Exception):
    """No broker answered; it may do so later."""


class RefusedError(Exception):
    """A broker answered, and will not do what was asked for."""


class LostError(Exception):
    """There is no such offset in the log (any more).

    Attributes
    ----------
    replaced
        Whether what stood in the log before an offset may have been replaced by something else.
    """

    def __init__(self, message: str, *, replaced: bool = False) -> None:
        super().__init__(message)
        self.replaced = replaced


def check_security(options: Mapping[str, Any]) -> None:
    """Refuse what a client would take for no security at all.

    Raises
    ------
    ConfigError
        If the protocol is unknown, lacks what it needs, or a file is not there.
    """
    security = options.get("security_protocol", "PLAINTEXT")
    if security not in _SECURITY:
        msg = f"security_protocol must be one of {', '.join(_SECURITY)}, not {security}"
        raise ConfigError(msg)
    if security.startswith("SASL") and "sasl_mechanism" not in options:
        msg = f"security_protocol {security} needs a sasl_mechanism"
        raise ConfigError(msg)
    for name, value in options.items():
        # A client would try to connect without it, again and again.
        if name.startswith("ssl_") and name.endswith("file") and not Path(value).is_file():
            msg = f"{name}: there is no file {value}"
            raise ConfigError(msg)


def letter_record(letter: DeadLetter) -> dict[str, Any]:
    """Return value, key and headers of a dead letter's record, as both clients name them."""
    values = {"part": letter.part, "offset": str(letter.offset), "reason": letter.reason}
    return {
        "value": letter.value and letter.value[:_LONGEST_LETTER],
        "key": f"{letter.part}@{letter.offset}".encode(),
        "headers": [(name, value.encode()) for name, value in values.items()],
    }


class Letters(Protocol):
    """Takes dead letters, and has them safe when a call returns."""

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Take some."""


class Client(Protocol):
    """A consumer of assigned partitions, used from one thread at a time.

    Every method may raise :class:`SilentError` and :class:`RefusedError`, and ``poll``
    :class:`LostError`.
    """

    def topics(self) -> set[str]:
        """Ask for the names of all topics."""

    def partitions(self, topic: str) -> set[int]:
        """Return the partitions of a topic, as last heard; empty if there is no such topic."""

    def first_offsets(self, parts: Collection[Part]) -> dict[Part, int]:
        """Ask for the offset of each partition's first message."""

    def end_offsets(self, parts: Collection[Part]) -> dict[Part, int]:
        """Ask for the offset after each partition's last message that may be read."""

    def offsets_at(self, parts: Collection[Part], milliseconds: int) -> dict[Part, int | None]:
        """Ask for the offset of the first message of that time or later; None if there is none."""

    def assign(self, offsets: Mapping[Part, int]) -> None:
        """Read these partitions from these offsets on, and no others."""

    def poll(self, seconds: float) -> list[Fetched]:
        """Wait so long for messages; also says how far partitions without messages have come."""

    def commit(self, offsets: Mapping[Part, int]) -> None:
        """Tell the group how far it has come."""

    def producer(self, topic: str) -> Letters:
        """Make what writes dead letters to a topic."""

    def close(self) -> None:
        """Hang up, here and in what :meth:`producer` made."""
