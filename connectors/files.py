"""Files as a source of records: paths, globs and standard input, plain or compressed."""

from __future__ import annotations

import glob
import os
import stat
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from stream_w2v.connectors.dead_letters import DeadLetter, DeadLettersFile
from stream_w2v.connectors.follow import FollowSource
from stream_w2v.connectors.followed import TAIL_BYTES, Mark
from stream_w2v.connectors.inputs import POLL_SECONDS, STDIN, Input
from stream_w2v.connectors.lines import BOM, Cut, Cutter, Piece, join
from stream_w2v.errors import ConfigError, SourceError, SourceNotFoundError
from stream_w2v.stream import Batch, Positions, Source

_NEWLINE = ord("\n")
_SPACES = b" \t\r\v\f"


class FileSource(Source):
    """Lines of files, one file after the other.

    Gzip, zstd, bzip2 and xz files are recognised by their first bytes and decompressed. A file
    is read to the end that it has when reading gets there.

    Parameters
    ----------
    paths
        Paths, globs (``**`` for any depth) and ``-`` for standard input: one or several. They are
        read in this order, the matches of a glob sorted by name and without directories. A file
        that is named twice, also by way of a link, is read once, where it comes first. A path
        that exists is no glob.
    batch_bytes
        About how much a batch holds. Small files share a batch.
    max_record_bytes
        Longest record; a longer line becomes several records, each cut after the last ASCII
        white space that fits, or else between two characters. Where depends on nothing but the
        line, so neither ``batch_bytes`` nor a restart changes it. With ``field`` or
        ``record_start`` a longer record is not learnt instead.
    field, record_start
        What a record is, if not a line: see :class:`~stream_w2v.connectors.lines.Cutter`.
    dead_letters
        Path of a file to keep records in that are not learnt, beside counting them: JSON lines.

    Raises
    ------
    SourceNotFoundError
        If a path does not exist or is a directory, or if a glob matches no file.
    SourceError
        If a file may not be read; while iterating, if it is damaged or cut short, which is
        raised after all whole records before that. Damage inside a zstd, bzip2 or xz file can
        take up to 64 KiB of compressed data before it along.
    ConfigError
        If nothing is named or a size is out of range.

    Notes
    -----
    The positions map the path of each file, from the root and without links, to ``next``, the
    offset of the next record in its decompressed content, ``finished``, whether it has been read
    to its end, ``tail``, what tells the bytes before the next record from others, and ``dead``, how
    many records were not learnt, by reason. A record is a line with its line break; the last one
    needs none, and a UTF-8 byte order mark at the start belongs to no record. Standard input and
    pipes that go on from a position pass over that many bytes, because they are expected to begin
    anew. A compressed file that was finished is not looked at again; a plain one is read on if it
    has grown.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        batch_bytes: int = 1 << 17,
        max_record_bytes: int = 1 << 20,
        field: str | None = None,
        record_start: str | None = None,
        dead_letters: str | os.PathLike[str] | None = None,
    ) -> None:
        # Room for any character, so that a cut between two of them always exists.
        for name, value, low in (
            ("batch_bytes", batch_bytes, 1),
            ("max_record_bytes", max_record_bytes, 4),
        ):
            if not low <= value <= 1 << 30:
                msg = f"{name} must be from {low} to {1 << 30}, not {value}"
                raise ConfigError(msg)
        self._sizes = _expand([paths] if isinstance(paths, str | os.PathLike) else paths)
        self._batch_bytes = batch_bytes
        self._max_record_bytes = max_record_bytes
        self._cutter = None
        if field is not None or record_start is not None:
            self._cutter = Cutter(max_record_bytes, field, record_start)
        self._letters = None if dead_letters is None else DeadLettersFile(dead_letters)
        self._todo = deque(self._sizes)  # the first one stays until it is finished
        self._positions: dict[str, Any] = {}
        self._file: _Lines | None = None
        self._done_bytes = 0
        self._closed = False
        self._lock = threading.Lock()

    @classmethod
    def from_uris(
        cls,
        uris: Sequence[str],
        /,
        *,
        follow: bool = False,
        until_end: bool = False,
        **options: Any,
    ) -> Source:
        """Make the source for paths, globs, ``-`` and ``file://`` URIs.

        Parameters
        ----------
        uris
            What to read. Only after ``file://`` are percent escapes decoded.
        follow
            Whether to wait for more at the end, and for files that are not there yet, with a
            :class:`~stream_w2v.connectors.follow.FollowSource`.
        until_end
            Whether to end, though files are followed, when what is there is read.
        **options
            The other parameters of either.
        """
        prefix = "file://"
        paths = [
            unquote(uri[len(prefix) :]) if uri.lower().startswith(prefix) else uri for uri in uris
        ]
        if follow:
            return FollowSource(paths, follow=not until_end, **options)
        if "start" in options:
            msg = "start is about files that are followed: leave it out, or add --follow"
            raise ConfigError(msg)
        return cls(paths, **options)

    def seek(self, positions: Positions) -> None:
        """Go on from these positions, as a batch reported them. Call before iterating."""
        if any(isinstance(at, Mapping) and "inode" in at for at in positions.values()):
            msg = "these files were followed: go on with --follow, or with resume --no-follow"
            raise SourceError(msg)
        self._positions = dict(positions)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order, and an empty one when a pipe is silent.

        A second iteration goes on where the one before was left.
        """
        pieces: list[Piece] = []
        size = 0
        due = time.monotonic() + POLL_SECONDS
        try:
            while (piece := self._next_piece()) is not None:
                if len(piece[0]):
                    pieces.append(piece)
                    size += len(piece[0])
                # Half a batch will do: to wait for the other half would only mean to copy.
                if size >= self._batch_bytes // 2 + 1 or time.monotonic() >= due:
                    batch = self._batch(pieces)
                    pieces, size = [], 0
                    yield batch
                    due = time.monotonic() + POLL_SECONDS
        except SourceError:
            if pieces:
                yield self._batch(pieces)
            raise
        if pieces:
            yield self._batch(pieces)

    def status(self) -> str:
        """Return the file being read, and the share of all files' bytes that has been read."""
        file = self._file
        if file is None:
            name, read = "", self._done_bytes
        else:
            name, read = f"{file.name} ", self._done_bytes + file.input.consumed
            if file.input.live:
                return f"{name}{file.input.consumed / 1e6:.1f} MB"
        total = sum(self._sizes.values())
        return f"{name}{min(100, 100 * read // total)} %" if total else ""

    def close(self) -> None:
        """Stop iterating, in whatever thread that happens, and close the file being read."""
        self._closed = True
        # A read of a pipe holds the lock for the poll interval. One that takes longer, or that
        # this very call interrupted in a signal handler, closes the file itself when it is done.
        if self._lock.acquire(timeout=2 * POLL_SECONDS):
            try:
                self._close_file()
            finally:
                self._lock.release()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.input.close()
            self._file = None

    def _batch(self, pieces: list[Piece]) -> Batch:
        data, ends = join(pieces)
        return Batch(data, ends, dict(self._positions))

    def _next_piece(self) -> Piece | None:
        """Return the next records, maybe none yet; None at the end."""
        with self._lock:
            try:
                while self._todo and not self._closed:
                    file = self._file = self._file or self._open_file(self._todo[0])
                    if not file.input.ended:
                        piece, letters = file.read(self._batch_bytes)
                        if letters and self._letters is not None:
                            self._letters.write(letters)
                        self._place(file, finished=False)
                        return piece
                    self._place(file, finished=True)
                    self._close_file()
                    self._todo.popleft()
                    self._done_bytes += self._sizes[file.path]
            except SourceError:
                self._close_file()
                raise
            if self._closed:
                self._close_file()
            return None

    def _open_file(self, path: str) -> _Lines:
        place = self._positions.get(_real(path), {"next": 0, "finished": False})
        return _Lines(path, place, self._max_record_bytes, self._cutter)

    def _place(self, file: _Lines, *, finished: bool) -> None:
        place: dict[str, Any] = {
            "next": file.position,
            "finished": finished,
            "tail": list(file.tail),
        }
        if file.skipping:
            place["skipping"] = True
        if file.dead:
            place["dead"] = dict(file.dead)
        self._positions[_real(file.path)] = place


class _Lines:
    """The records of one input, from a position on."""

    def __init__(
        self, path: str, place: Mapping[str, Any], limit: int, cutter: Cutter | None
    ) -> None:
        self.path = path
        self.name = "stdin" if path == STDIN else Path(path).name
        self.position: int = place["next"]
        self.tail = Mark(*place.get("tail", Mark.of(b"")))  # of what is before the position
        self.skipping: bool = place.get("skipping", False)
        self.dead = Counter[str](place.get("dead", {}))
        self._finished: bool = place["finished"]
        self.input = Input(path, self.position - self.tail.length, finished=self._finished)
        self._limit = limit
        self._cutter = cutter
        self._learnt: bytes | None = None  # the last bytes before the position, once they are read
        self._begun = b""  # the start of a record whose end has not been read

    def read(self, size: int) -> tuple[Piece, list[DeadLetter]]:
        # At least as much again as there is: a long line is not copied more than twice.
        data = self._begun + self.input.read(max(size, len(self._begun)))
        if self._learnt is None:
            known, data = data[: self.tail.length], data[self.tail.length :]
            if len(known) < self.tail.length and not self.input.ended:
                self._begun = known
                return (b"", np.empty(0, np.int64)), []
            # A compressed file that was finished is not read again.
            if Mark.of(known) != self.tail and not (self._finished and self.input.ended):
                msg = (
                    f"{self.path} was replaced: what was read of it, up to byte {self.position}, "
                    "is not what it holds now"
                )
                raise SourceError(msg)
            self._learnt = known
        if self.position == 0 and data.startswith(BOM):
            data = data[len(BOM) :]
            self.position = len(BOM)
        ended = self.input.ended
        if self._cutter is None:
            ends = record_ends(data, self._limit, ended=ended)
            done = int(ends[-1]) if len(ends) else 0
            cut = Cut(memoryview(data)[:done], ends, done, self.skipping, [])
        else:
            cut = self._cutter.cut(data, ended=ended, skipping=self.skipping)
        done, self.skipping = cut.size, cut.skipping
        letters = cut.letters(self.path, self.position)
        self.dead.update(letter.reason for letter in letters)
        self._begun = data[done:]
        if done:
            self.position += done
            self._learnt = (self._learnt + data[max(0, done - TAIL_BYTES) : done])[-TAIL_BYTES:]
            self.tail = Mark.of(self._learnt)
        return (cut.data, cut.ends), letters


def record_ends(data: bytes, limit: int, *, ended: bool) -> NDArray[np.int64]:
    """Return where the records in ``data`` end, which begins with a record.

    Parameters
    ----------
    data
        Lines, the last one perhaps unfinished.
    limit
        Longest record in bytes, its line break included.
    ended
        Whether nothing follows, so that what is left after the last line break is a record.

    Returns
    -------
    NDArray
        int64 ``[n]``, ascending. No more than ``limit`` bytes are left after the last one.
    """
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE).astype(np.int64, copy=False)
    ends += 1
    unfinished = len(data) > (ends[-1] if len(ends) else 0)
    if unfinished:
        ends = np.append(ends, len(data))
    lengths = np.diff(ends, prepend=0)
    cuts = [
        cut
        for line in np.flatnonzero(lengths > limit)
        for cut in _cuts(data, int(ends[line] - lengths[line]), int(ends[line]), limit)
    ]
    if unfinished and not ended:
        ends = ends[:-1]
    return np.sort(np.append(ends, np.array(cuts, np.int64))) if cuts else ends


def _cuts(data: bytes, start: int, end: int, limit: int) -> Iterator[int]:
    """Yield where the line ``data[start:end]`` is cut."""
    while end - start > limit:
        last = start + limit
        space = max(data.rfind(byte, start, last) for byte in _SPACES)
        if space >= 0:
            start = space + 1
        else:
            # Bytes of the form 10xxxxxx go on with a character. More than three are no UTF-8.
            starts = (at for at in range(last, last - 4, -1) if data[at] & 0xC0 != 0x80)
            start = next(starts, last)
        yield start


def _expand(paths: Iterable[str | os.PathLike[str]]) -> dict[str, int]:
    """Return the files that are meant, in order, with their sizes (0 for pipes)."""
    sizes: dict[str, int] = {}
    seen: set[str] = set()
    for given in paths:
        for path in _matches(os.fspath(given)):
            size = _size(path)
            if _real(path) not in seen:
                seen.add(_real(path))
                sizes[path] = size
    if not sizes:
        msg = "no file was named: give a path, a glob or -"
        raise ConfigError(msg)
    return sizes


def _real(path: str) -> str:
    """Return what a file is called whatever the working directory is."""
    return path if path == STDIN else os.path.realpath(path)


def _matches(path: str) -> list[str]:
    if path == STDIN or not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    # Path.glob takes no absolute pattern, and ** means only directories to it before 3.13.
    matches = glob.glob(path, recursive=True)  # noqa: PTH207
    found = [match for match in matches if not Path(match).is_dir()]
    if not found:
        msg = f"{path} matches no file"
        raise SourceNotFoundError(msg)
    return sorted(found)


def _size(path: str) -> int:
    if path == STDIN:
        return 0
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        msg = f"{path} does not exist: check the path"
        raise SourceNotFoundError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise SourceError(msg) from error
    if stat.S_ISDIR(status.st_mode):
        msg = f"{path} is a directory: name its files, for example {Path(path, '*')}"
        raise SourceNotFoundError(msg)
    if not os.access(path, os.R_OK):
        msg = f"{path} cannot be read: permission denied"
        raise SourceError(msg)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
