"""One file as a stream of plain bytes, whatever it is and however it is compressed."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import select
import stat
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from stream_w2v.errors import SourceError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

POLL_SECONDS = 0.5
"""Longest that a read waits for a slow pipe."""

STDIN = "-"

_COMPRESSED_BYTES = 1 << 16  # read at a time


class Input:
    """The decompressed bytes of one file, pipe or standard input, from a position on.

    Parameters
    ----------
    path
        What to open; ``-`` is standard input.
    start
        Bytes of content to leave out. A plain file seeks there; anything else is read that far.
    finished
        The file had been read to its end before. A plain file may have grown since and is looked
        at; anything else counts as ended, because looking would mean to read it all.

    Attributes
    ----------
    ended
        Whether everything has been read.
    live
        Whether this is a pipe or a terminal: its size is unknown and a read may come back empty.

    Raises
    ------
    SourceError
        If the file cannot be opened. Also from :meth:`read`, if it is damaged, cut short or
        shorter than ``start``.
    """

    def __init__(self, path: str, start: int = 0, *, finished: bool = False) -> None:
        self.path = path
        self._raw = _Raw(path)
        self.live = self._raw.live
        self.ended = finished and not self._raw.seekable
        self._start = start
        self._finished = finished
        self._got = 0  # bytes of content so far, those before the start included
        self._head = b""
        self._content: _Raw | _Decompressor | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes, hardly more than ``size``; none if none have come yet."""
        if self._content is None and not self.ended:
            self._open()
        if self._content is None:
            return b""
        try:
            data = self._content.read(size)
        except _DECODING_ERRORS as error:
            reason = str(error).rstrip(".") or type(error).__name__
            msg = (
                f"{self.path} is damaged or cut short: its content breaks off "
                f"after {self._got} bytes ({reason})"
            )
            raise SourceError(msg) from error
        self.ended = self._content.ended
        wanted = data[max(0, self._start - self._got) :]
        self._got += len(data)
        if self.ended:
            self._check_size(self._got)
        return wanted

    @property
    def inode(self) -> tuple[int, int] | None:
        """Device and inode of what was opened, which may have another name by now."""
        return self._raw.inode

    @property
    def consumed(self) -> int:
        """Bytes of the file itself that have been read or passed over."""
        return self._raw.offset

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._raw.close()

    def _open(self) -> None:
        """Choose how to read, unless too few bytes have come to tell."""
        raw = self._raw
        self._head += raw.read(_HEAD_BYTES - len(self._head))
        if _undecided(self._head) and not raw.ended:
            return
        if self._head.startswith(_ZIP):
            msg = f"{self.path} is a zip archive, which cannot be streamed: unpack it first"
            raise SourceError(msg)
        form = _format(self._head, self.path)
        if form is None and raw.seekable:
            self._check_size(raw.size)
            raw.seek(self._start)
            self._got = self._start
        else:
            raw.unread(self._head)
        if form is not None and self._finished:
            self.ended = True
        else:
            self._content = _Decompressor(form, raw) if form else raw

    def _check_size(self, size: int) -> None:
        if size < self._start:
            msg = (
                f"{self.path} was truncated or replaced: it has {size} bytes of content, "
                f"but reading was to go on at {self._start}"
            )
            raise SourceError(msg)


class _Raw:
    """The bytes as they lie in the file or come through the pipe."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._file = _standard_input() if path == STDIN else _open_unblocked(path)
        except OSError as error:
            raise self._unreadable(error) from error
        regular = False
        self.size = 0
        self.inode: tuple[int, int] | None = None
        self._poll: select.poll | None = None
        if isinstance(self._file, io.FileIO):
            status = os.fstat(self._file.fileno())
            self.inode = status.st_dev, status.st_ino
            regular = stat.S_ISREG(status.st_mode)
            if regular:
                self.size = status.st_size
            else:
                self._poll = select.poll()
                self._poll.register(self._file, select.POLLIN)
        self.live = not regular
        # Standard input may have been read by others before: where it starts is not known.
        self.seekable = regular and path != STDIN
        self.ended = False
        self.offset = 0
        self._unread = b""

    def read(self, size: int = _COMPRESSED_BYTES) -> bytes:
        """Return about ``size`` bytes: of a pipe, what comes within the poll interval."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        try:
            data = self._collect(self._poll, size) if self._poll else self._file.read(size)
        except OSError as error:
            raise self._unreadable(error) from error
        # What blocks until there is something has nothing only at its end.
        self.ended = self.ended or not (data or self._poll)
        self.offset += len(data)
        return data

    def _collect(self, poll: select.poll, size: int) -> bytes:
        pieces = []
        due = time.monotonic() + POLL_SECONDS
        while size > 0 and poll.poll(max(0.0, due - time.monotonic()) * 1000):
            # None: another reader of the same pipe was faster.
            piece = cast("bytes | None", self._file.read(size))
            if piece == b"":
                self.ended = True
                break
            if piece:
                pieces.append(piece)
                size -= len(piece)
        return b"".join(pieces)

    def unread(self, data: bytes) -> None:
        """Put back what was read last; the next read returns it."""
        self._unread = data

    def seek(self, offset: int) -> None:
        """Go on at this byte of a file that can seek."""
        self._file.seek(offset)
        self.offset = offset
        self.ended = False

    def close(self) -> None:
        if self.path != STDIN or isinstance(self._file, io.FileIO):
            self._file.close()

    def _unreadable(self, error: OSError) -> SourceError:
        msg = f"{self.path} cannot be read: {error.strerror or error}"
        return SourceError(msg)


def _open_unblocked(path: str) -> io.FileIO:
    # Without O_NONBLOCK, opening a named pipe waits for its writer, and nothing could interrupt.
    return io.FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _standard_input() -> io.FileIO | BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        msg = "standard input is closed"
        raise OSError(msg)
    try:
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    except io.UnsupportedOperation:
        # A stand-in without a descriptor, such as what a test of a command puts there.
        return sys.stdin.buffer


class _Decoder(Protocol):
    """What bz2, lzma and zstd offer to decode one member (stream, frame)."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Gunzip:
    """zlib's decoder, with the interface of the other three."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: a gzip header and trailer
        self._rest = b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        data = self._rest + data
        length = len(data)
        before = self._zlib.copy()
        while True:
            try:
                piece = self._zlib.decompress(data[:length], max_length)
                break
            except zlib.error:
                # What zlib decoded before the damage is lost with the call: make shorter ones.
                if length < 2:
                    raise
                length //= 2
                self._zlib = before.copy()
        self._rest = self._zlib.unconsumed_tail + data[length:]
        # A full piece may leave more inside zlib even when all input went in.
        self.needs_input = not self._rest and len(piece) < max_length
        return piece


def _zstd_decoder() -> _Decoder:
    # The default refuses what `zstd --long=31` wrote, as large text archives are.
    largest = zstd.DecompressionParameter.window_log_max
    return zstd.ZstdDecompressor(options={largest: largest.bounds()[1]})


@dataclass(frozen=True)
class _Format:
    suffix: str
    magics: tuple[bytes, ...]
    decoder: Callable[[], _Decoder]


_FORMATS = (
    _Format(".gz", (b"\x1f\x8b",), _Gunzip),
    # A zstd file may begin with a skippable frame, of which there are 16 kinds.
    _Format(
        ".zst",
        (b"\x28\xb5\x2f\xfd", *(bytes([kind]) + b"\x2a\x4d\x18" for kind in range(0x50, 0x60))),
        _zstd_decoder,
    ),
    _Format(".xz", (b"\xfd7zXZ\x00",), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
    # "BZh" may begin a text, so the block or the end that has to follow counts too.
    _Format(
        ".bz2",
        tuple(
            b"BZh%d" % level + block
            for level in range(1, 10)
            for block in (b"1AY&SY", b"\x17rE8P\x90")
        ),
        bz2.BZ2Decompressor,
    ),
)
_ZIP = b"PK\x03\x04"
_MAGICS = (_ZIP, *(magic for form in _FORMATS for magic in form.magics))
_HEAD_BYTES = max(map(len, _MAGICS))
_DECODING_ERRORS = (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, EOFError)


def is_compressed(head: bytes, path: str) -> bool:
    """Whether a file is compressed, by its first 16 bytes and, if they are fewer, its name."""
    return _format(head, path) is not None


def _undecided(head: bytes) -> bool:
    return any(magic.startswith(head) and magic != head for magic in _MAGICS)


def _format(head: bytes, path: str) -> _Format | None:
    for form in _FORMATS:
        if head.startswith(form.magics):
            return form
        # Cut off inside its magic number: only the name still says that this is no text.
        if head and path.endswith(form.suffix) and any(m.startswith(head) for m in form.magics):
            return form
    return None


class _Decompressor:
    """The content of a compressed file, over all its members."""

    def __init__(self, form: _Format, raw: _Raw) -> None:
        self._form = form
        self._raw = raw
        self._rest = b""  # compressed bytes that no decoder has seen
        self._decoder: _Decoder | None = None  # None between two members
        self.ended = False

    def read(self, size: int) -> bytes:
        while True:
            if not self._rest and (self._decoder is None or self._decoder.needs_input):
                self._rest = self._raw.read()
                if not self._rest:
                    break
            if self._decoder is None:
                # gzip and xz allow zeros between and after members.
                self._rest = self._rest.lstrip(b"\0")
                if not self._rest:
                    continue
                self._decoder = self._form.decoder()
            rest, self._rest = (self._rest, b"") if self._decoder.needs_input else (b"", self._rest)
            data = self._decoder.decompress(rest, size)
            if self._decoder.eof:
                self._rest = self._decoder.unused_data
                self._decoder = None
            if data:
                return data
        if self._raw.ended:
            if self._decoder is not None:
                msg = "the end of the file comes before the end of the compressed data"
                raise EOFError(msg)
            self.ended = True
        return b""
