"""What a file holds, decompressed if it is compressed, looked at without following it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from stream_w2v.connectors.inputs import Input, is_compressed
from stream_w2v.errors import SourceError

_CHUNK = 1 << 17


class UnreadableError(SourceError):
    """What a file holds cannot be known now: it may not be read, or the system cannot."""


def has_compressed(path: str) -> bool:
    """Whether what is there is compressed."""
    try:
        with open(path, "rb") as file:
            return is_compressed(file.read(16), path)
    except OSError:
        return False


def content(path: str, start: int, length: int) -> bytes | None:
    """Return some of a file's decompressed content; None if it is damaged, or not there.

    It is shorter than asked for if it ends before, and None if it ends before its start.

    Raises
    ------
    UnreadableError
        If that cannot be known now.
    """
    try:
        with _input(path, start) as source:
            return read_up_to(source, length)[:length]
    except _DamagedError:
        return None


def ending(path: str, size: int, length: int) -> tuple[int, bytes] | None:
    """Return how long a file's decompressed content is, and its last bytes; None if it is damaged.

    Parameters
    ----------
    path, size
        The file, and its own size.
    length
        How many bytes.

    Raises
    ------
    UnreadableError
        If that cannot be known now.
    """
    # Only what is compressed has to be read to know.
    end = 0 if has_compressed(path) else max(0, size - length)
    last = b""
    try:
        with _input(path, end) as source:
            while not source.ended:
                data = source.read(_CHUNK)
                end += len(data)
                last = (last + data)[-length:]
    except _DamagedError:
        return None
    return end, last


class _DamagedError(Exception):
    """What a file holds is damaged or cut short, or it is not there."""


@contextmanager
def _input(path: str, start: int) -> Iterator[Input]:
    source = None
    try:
        source = Input(path, start)
        yield source
    except SourceError as error:
        cause = error.__cause__
        # A decoder that meets damage raises an OSError, too, but without a number.
        if (
            isinstance(cause, OSError)
            and cause.errno is not None
            and cause.errno not in (errno.ENOENT, errno.ENOTDIR)
        ):
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
