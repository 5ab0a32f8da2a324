"""Bytes of a file to records: lines, events of several lines, or a field of JSON lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.connectors.dead_letters import DeadLetter
from stream_w2v.connectors.messages import TOO_LONG, Messages, UnreadableError
from stream_w2v.errors import ConfigError

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark: at the start of a file it belongs to no record."""

_NEWLINE = ord("\n")


Piece = tuple[bytes | memoryview, NDArray[np.int64]]
"""The bytes of whole records, and where each one ends."""


class DeadLine(NamedTuple):
    """A record that was not learnt: where it begins in what was cut, why, and its bytes."""

    start: int
    reason: str
    value: bytes


class Cut(NamedTuple):
    """What was cut from the front of some bytes.

    Attributes
    ----------
    data, ends
        The records, as in a batch.
    size
        How many bytes were used up, those of dead records included.
    skipping
        Whether what follows belongs to a record that was too long.
    dead
        Records that could not be read.
    """

    data: bytes | memoryview
    ends: NDArray[np.int64]
    size: int
    skipping: bool
    dead: list[DeadLine]

    def letters(self, part: str, offset: int) -> list[DeadLetter]:
        """Return the dead records as they are kept, if what was cut begins at an offset there."""
        return [
            DeadLetter(part, offset + start, reason, value) for start, reason, value in self.dead
        ]


class Cutter:
    """Cuts records, of which none is longer than a bound.

    Parameters
    ----------
    max_record_bytes
        The longest record; a longer one is dead.
    field
        Where the text is in lines that are JSON objects, as for :class:`Messages`.
    record_start
        A regular expression that the first line of a record matches, from the line's beginning;
        lines that do not match go on with the record before. Without it each line is a record.

    Raises
    ------
    ConfigError
        If ``record_start`` is no regular expression, or goes with ``field``.
    """

    def __init__(
        self, max_record_bytes: int, field: str | None = None, record_start: str | None = None
    ) -> None:
        if field is not None and record_start is not None:
            msg = "field and record_start do not go together: a JSON object is one line"
            raise ConfigError(msg)
        self._limit = max_record_bytes
        self._messages = None if field is None else Messages(field, max_record_bytes)
        self._start = None if record_start is None else _compiled(record_start)

    @property
    def joins(self) -> bool:
        """Whether a record may have several lines, so that its end is seen by the next one only."""
        return self._start is not None

    def cut(self, data: bytes, *, ended: bool, skipping: bool = False) -> Cut:
        """Cut off whole records.

        Parameters
        ----------
        data
            Begins with a record, or, if ``skipping``, inside one that was too long.
        ended
            Whether nothing follows that belongs to the last record.
        skipping
            As the cut before said.
        """
        ends = self._ends(data, ended=ended)
        begin = 0
        if skipping:
            if not len(ends) and not ended:
                return Cut(b"", ends, self._useless(data), True, [])
            begin = int(ends[0]) if len(ends) else 0
            ends = ends[1:]
        size = int(ends[-1]) if len(ends) else begin
        view, lengths = memoryview(data), np.diff(ends, prepend=begin)
        dead: list[DeadLine] = []
        pieces, at = [], begin
        for long in np.flatnonzero(lengths > self._limit):
            stop = int(ends[long])
            start = stop - int(lengths[long])
            pieces.append(view[at:start])
            dead.append(DeadLine(start, TOO_LONG, data[start : start + self._limit]))
            at = stop
        good = lengths <= self._limit
        records = b"".join([*pieces, view[at:size]]) if dead else view[begin:size]
        starts, places = (ends - lengths)[good], np.cumsum(lengths[good])
        skipping = self._is_long(data, size)
        if skipping:
            dead.append(DeadLine(size, TOO_LONG, data[size : size + self._limit]))
            size += self._useless(data[size:])
        if self._messages is not None:
            records, places = self._texts(self._messages, records, starts, places, dead)
        return Cut(records, places, size, skipping, sorted(dead))

    def _ends(self, data: bytes, *, ended: bool) -> NDArray[np.int64]:
        """Return where records end: int64, ascending."""
        lines = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE).astype(np.int64) + 1
        last = int(lines[-1]) if len(lines) else 0
        if self._start is None:
            ends = lines
        else:
            # A line counts once it is whole: what has come of it may match no more then.
            known = len(data) if ended or len(data) - last > self._limit else last
            starts = [match.start() for match in self._start.finditer(data, 0, known)]
            ends = np.array([start for start in starts if start > 0], np.int64)
        if ended and len(data) > (int(ends[-1]) if len(ends) else 0):
            ends = np.append(ends, len(data))
        return ends

    def _is_long(self, data: bytes, start: int) -> bool:
        """Whether the record that begins there is too long already."""
        if self._start is None:
            return len(data) - start > self._limit
        # The last line, until it is whole, may be the first of the next record.
        line = max(start, data.rfind(b"\n") + 1)
        return max(line - start, len(data) - line) > self._limit

    def _useless(self, data: bytes) -> int:
        """Return how much of a record that is too long need not be kept to find its end."""
        line = -1 if self._start is None else data.rfind(b"\n")
        # The last line may be the first of the next record, which the line break before it shows.
        return len(data) if line < 0 or len(data) - line - 1 > self._limit else line

    def _texts(
        self,
        messages: Messages,
        records: bytes | memoryview,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        dead: list[DeadLine],
    ) -> tuple[bytes, NDArray[np.int64]]:
        texts = []
        begin = 0
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            value = bytes(records[begin:end])
            begin = end
            try:
                texts.append(messages.text(value))
            except UnreadableError as error:
                dead.append(DeadLine(start, error.args[0], value))
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        return b"".join(texts), np.cumsum(lengths)


def _compiled(pattern: str) -> re.Pattern[bytes]:
    try:
        return re.compile(b"^(?:" + pattern.encode() + b")", re.MULTILINE)
    except re.error as error:
        msg = f"record_start is no regular expression: {error}"
        raise ConfigError(msg) from error


def join(pieces: Sequence[Piece]) -> Piece:
    """Put pieces one after the other; a single one is not copied."""
    if len(pieces) == 1:
        return pieces[0]
    starts = np.cumsum([0, *(len(data) for data, _ in pieces)])
    ends = [ends + start for (_, ends), start in zip(pieces, starts, strict=False)]
    empty = np.empty(0, np.int64)
    return b"".join(data for data, _ in pieces), np.concatenate([empty, *ends])
