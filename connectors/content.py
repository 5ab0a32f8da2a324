"""What a file holds, decompressed if it is compressed, looked at without following it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from stream_w2v.connectors.inputs import Input, is_compressed
from stream_w2v.errors import SourceError

_CHUNK = 1 << 17

Inode = tuple[int, int]
"""Device and inode."""


class Seen(NamedTuple):
    """A file as the system shows it."""

    path: str
    inode: Inode
    size: int
    changed: int

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> Seen:
        """Describe a file by its status."""
        return cls(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)


class UnreadableError(SourceError):
    """What a file holds cannot be known now: it may not be read, or the system cannot."""


def is_transient(error: Exception) -> bool:
    """Whether an error says nothing of what the file holds, and may be over some time."""
    cause = error if isinstance(error, OSError) else error.__cause__
    # A decoder that meets damage raises an OSError, too, but without a number.
    return isinstance(cause, OSError) and cause.errno not in (None, errno.ENOENT, errno.ENOTDIR)


def has_compressed(path: str) -> bool:
    """Whether what is there is compressed."""
    try:
        with open(path, "rb") as file:
            return is_compressed(file.read(16), path)
    except OSError:
        return False


def content(seen: Seen, start: int, length: int) -> bytes | None:
    """Return some of a file's decompressed content; None if it is damaged, or not there.

    It is shorter than asked for if it ends before, and None if it ends before its start.

    Raises
    ------
    UnreadableError
        If that cannot be known now.
    """
    try:
        with _input(seen, start) as source:
            return read_up_to(source, length)[:length]
    except _DamagedError:
        return None


def is_beginning(copy: Seen, other: Seen) -> bool | None:
    """Whether all that a file holds is what another one begins with; None if it breaks off.

    Raises
    ------
    UnreadableError
        If that cannot be known now.
    """
    try:
        with _input(other, 0) as original:
            theirs = b""
            try:
                with _input(copy, 0) as source:
                    while not source.ended:
                        data = source.read(_CHUNK)
                        theirs += read_up_to(original, len(data) - len(theirs))
                        if not theirs.startswith(data):
                            return False
                        theirs = theirs[len(data) :]
            except _DamagedError:
                return None
    except _DamagedError:
        return False
    return True


class _DamagedError(Exception):
    """What a file holds is damaged or cut short, or it is no longer there."""


@contextmanager
def _input(seen: Seen, start: int) -> Iterator[Input]:
    source = None
    try:
        source = Input(seen.path, start)
        if source.inode != seen.inode:
            msg = f"{seen.path} is another file by now"
            raise UnreadableError(msg)
        yield source
    except UnreadableError:
        raise
    except SourceError as error:
        if is_transient(error):
            raise UnreadableError(str(error)) from error
        raise _DamagedError from error
    finally:
        if source is not None:
            source.close()


def read_up_to(source: Input, length: int) -> bytes:
    """Return so many bytes or some more; fewer if it ends before."""
    data = b""
    while len(data) < length and not source.ended:
        data += source.read(max(_CHUNK, length))
    return data
