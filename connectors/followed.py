"""One file that is followed: which one it is, whatever it is called by now, and how far it is read.

A file is known by its device and inode, and by its content: its first bytes, and those before the
place up to which it has been read. So it is found again when it was copied or compressed, and it is
noticed when the same inode holds another content.
"""

from __future__ import annotations

import errno
import hashlib
import os
import resource
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from stream_w2v.connectors.content import (
    Inode,
    Seen,
    UnreadableError,
    content,
    has_compressed,
    read_up_to,
)
from stream_w2v.connectors.inputs import Input, is_compressed
from stream_w2v.errors import SourceError

HEAD_BYTES = 1024
"""How much of a file's beginning tells it from others."""

TAIL_BYTES = 256
"""How much before the place up to which it has been read has to be as it was."""

_CHUNK = 1 << 17

_SPARE_FILES = 64
"""How many files are left to open for others than us, if a quarter of all are not fewer."""


class RewrittenError(Exception):
    """What has been read of a file is no longer what it holds."""


class GoneError(Exception):
    """A file is not where it was seen."""


class Mark(NamedTuple):
    """Some bytes, by their number and their digest."""

    length: int
    digest: str

    @classmethod
    def of(cls, data: bytes) -> Mark:
        """Describe bytes."""
        return cls(len(data), hashlib.blake2b(data, digest_size=8).hexdigest())


_NOTHING = Mark.of(b"")


class Followed:
    """One file, and how far it has been read. Offsets are in the decompressed content.

    Attributes
    ----------
    key
        Its name in the positions.
    seen
        Where it was seen last; the size is that of the file as it lies on the disk.
    next
        Where the first byte is that is part of no record yet.
    rest
        What has been read from there on.
    skipping
        Whether what comes belongs to a record that was too long.
    finished
        Whether all of it is learnt and no more is expected. If more comes, it is read all the same.
    log
        The folder and the name of the log that it is of.
    superseded
        Whether it is no longer written to, as far as its name tells.
    quiet_since
        When it was last seen to grow.
    ignored
        Whether what it holds is not learnt: it was there before, or is read elsewhere.
    has_name
        Whether it, held open, had a name when it was looked at last.
    was_opened
        Whether it has been open since it was taken up.
    lost_since
        Since when it has not been found; None if it was found the last time.
    gone
        How many bytes are known to be missing, if it was given up; None as long as it was not.
    dead
        How many records could not be read, by reason.
    """

    def __init__(self, key: str, seen: Seen) -> None:
        self.key = key
        self.seen = seen
        self.next = 0
        self.rest = b""
        self.skipping = self.finished = self.superseded = self.ignored = False
        self.was_opened = False
        self.has_name = True
        self.log = os.path.split(seen.path)
        self.quiet_since = 0.0
        self.lost_since: float | None = None
        self.gone: int | None = None
        self.dead: Counter[str] = Counter()
        self._head = self._tail = _NOTHING
        self._learnt = b""  # the last bytes before ``next``, as far as they are known
        self._shrunk = False  # while it is not known what it has become
        self._file: int | None = None
        self._inode: Inode = (0, 0)  # of what is open
        self._compressed: Input | None = None
        self._is_packed = False  # compressed, also when it is not open
        self._place: dict[str, Any] | None = None

    # The entry in the positions.

    @classmethod
    def from_place(cls, key: str, place: Mapping[str, Any]) -> Followed:
        """Take up a file from its entry in the positions. It is closed, and may be gone."""
        inode = (place["device"], place["inode"])
        made = cls(key, Seen(place["path"], inode, place["size"], 0))
        made.next = place["next"]
        made.finished = place["finished"]
        made.skipping = place.get("skipping", False)
        made.ignored = place.get("ignored", False)
        made._is_packed = place.get("compressed", False)
        made.gone = place.get("gone")
        made.dead.update(place.get("dead", {}))
        made._head, made._tail = Mark(*place["head"]), Mark(*place["tail"])
        return made

    def place(self) -> dict[str, Any]:
        """Return its entry in the positions, which is not to be changed."""
        if self._place is None:
            if self._learnt:
                self._tail = Mark.of(self._learnt)
            self._place = {
                "path": self.seen.path,
                "device": self.seen.inode[0],
                "inode": self.seen.inode[1],
                "size": self.seen.size,
                "head": list(self._head),
                "tail": list(self._tail),
                "next": self.next,
                "finished": self.finished,
                **({"skipping": True} if self.skipping else {}),
                **({"ignored": True} if self.ignored else {}),
                **({"compressed": True} if self._is_packed else {}),
                **({} if self.gone is None else {"gone": self.gone}),
                **({"dead": dict(self.dead)} if self.dead else {}),
            }
        return self._place

    def _changed(self) -> None:
        self._place = None

    def give_up(self, missing: int) -> None:
        """Close it, as one that is gone, with so many bytes missing; it may come back."""
        self.close()
        self.gone = missing
        self._changed()

    def found(self) -> None:
        """Hear that it is there."""
        self.lost_since = None
        if self.gone is not None:
            self.gone = None
            self._changed()

    # Which file it is.

    @property
    def offset(self) -> int:
        """Up to where it has been read."""
        return self.next + len(self.rest)

    @property
    def is_open(self) -> bool:
        """Whether it is held open, so that it is the same file whatever its name is."""
        return self._file is not None or self._compressed is not None

    @property
    def is_waiting(self) -> bool:
        """Whether it is to be opened."""
        return not (self.is_open or self.finished or self.lost_since is not None)

    @property
    def is_plain(self) -> bool:
        """Whether it is held open and not compressed."""
        return self._file is not None

    @property
    def was_empty(self) -> bool:
        """Whether nothing is known of what it holds: it was empty, or never opened."""
        return not self._head.length

    @property
    def is_behind(self) -> bool:
        """Whether there is more to read than has been."""
        if self._compressed is not None:
            return not self._compressed.ended
        return self._file is not None and self.seen.size > self.offset and not self._shrunk

    @property
    def is_busy(self) -> bool:
        """Whether there is, or will be soon, something to do: to read it, or to finish it."""
        if not self.is_open or self.finished:
            return False
        return self.is_behind or self.ended or self.superseded or bool(self.rest)

    def see(self, seen: Seen, now: float) -> None:
        """Hear where it is and how large."""
        if self._file is not None and seen.inode != self._inode:
            # What is held open is not what has its name now: that is compressed.
            seen = seen._replace(size=self.seen.size)
        self._shrunk = False
        if seen == self.seen:
            return
        if seen.size != self.seen.size:
            self.quiet_since = now
            if self._is_packed:
                # Of what was ignored it is not known how much it held.
                more = self._compressed is None and not self.ignored
            else:
                more = seen.size > self.offset
            if more:
                self.finished = self.ignored = False
        self.seen = seen
        self._changed()

    def has_other_size(self) -> bool:
        """Whether it, held open, has another size than it was seen to have."""
        assert self._file is not None
        # Half of what asking for its status costs. Nobody reads from where this leaves it.
        return os.lseek(self._file, 0, os.SEEK_END) != self.seen.size

    def look(self, now: float) -> None:
        """Look how large it is by now, wherever it is, and whether it still has a name."""
        assert self._file is not None
        status = os.fstat(self._file)
        self.see(self.seen._replace(size=status.st_size, changed=status.st_mtime_ns), now)
        self._mark_head()
        self.has_name = status.st_nlink > 0

    @property
    def head(self) -> Mark:
        """What its beginning is known by."""
        return self._head

    def is_in(self, seen: Seen) -> bool:
        """Whether a file holds what has been read of this one. Nothing is no evidence.

        Raises
        ------
        UnreadableError
            If that cannot be known now.
        """
        self.place()  # which brings the marks up to date
        return (
            not self.was_empty
            and _holds(seen, 0, self._head)
            and _holds(seen, self.next - self._tail.length, self._tail)
        )

    def is_intact(self) -> bool:
        """Whether it, held open, still holds what has been seen of it."""
        if self._file is None:
            return True
        return self._goes_on(os.pread(self._file, len(self.rest), self.next))

    def _goes_on(self, data: bytes) -> bool:
        """Whether these bytes from ``next`` on, and what is before them, are as they were."""
        assert self._file is not None
        learnt = self._learnt
        return (
            data.startswith(self.rest)
            and os.pread(self._file, len(learnt), self.next - len(learnt)) == learnt
            and Mark.of(os.pread(self._file, self._head.length, 0)) == self._head
        )

    # Reading.

    def open(self) -> None:
        """Open it where it was seen, to go on where it was left.

        Raises
        ------
        GoneError
            If another file is there by now, or none.
        RewrittenError
            If it does not hold what has been read of it.
        SourceError
            If it may not be read.
        """
        path = self.seen.path
        try:
            file = _opened(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise GoneError(path) from error
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}"
            raise SourceError(msg) from error
        try:
            status = os.fstat(file)
            if (status.st_dev, status.st_ino) != self.seen.inode:
                raise GoneError(path)
            start = self.next - self._tail.length
            if is_compressed(os.pread(file, 16, 0), path):
                if not self._head.length:
                    self._head = Mark.of(content(self.seen, 0, HEAD_BYTES) or b"")
                self._compressed, self._is_packed = Input(path, start), True
                if self._compressed.inode != self.seen.inode:
                    raise GoneError(path)
                learnt = read_up_to(self._compressed, self._tail.length)
                os.close(file)
                learnt, self.rest = learnt[: self._tail.length], learnt[self._tail.length :]
            else:
                self._file, self._inode, self._is_packed = file, self.seen.inode, False
                learnt = os.pread(file, self._tail.length, start)
                self.rest = b""
        except BaseException:
            if self._file is None:
                os.close(file)
            self._close()
            raise
        if Mark.of(learnt) != self._tail:
            self._close()
            raise RewrittenError(path)
        self._learnt = learnt
        self.was_opened = True
        self._mark_head()

    def read(self, size: int) -> bytes:
        """Read on, and return everything that is part of no record yet.

        Raises
        ------
        RewrittenError
            If what was read before is no longer there.
        SourceError
            If it is damaged.
        """
        size = max(size, len(self.rest))
        if self._compressed is not None:
            self.rest += self._compressed.read(size)
        else:
            assert self._file is not None
            # What is left of before is read again: that costs less than to put it in front.
            size = min(self.offset + size, self.seen.size) - self.next
            data = os.pread(self._file, size, self.next)
            if len(data) <= len(self.rest) or not self._goes_on(data):
                self._shrunk = True
                raise RewrittenError(self.seen.path)
            self.rest = data
        self._mark_head()
        return self.rest

    @property
    def ended(self) -> bool:
        """Whether nothing can come any more: it is compressed, and read to its end."""
        return self._compressed is not None and self._compressed.ended

    def take(self, size: int, *, skipping: bool) -> None:
        """Count so many bytes of the rest as done."""
        if size:
            self._learnt = (self._learnt + self.rest[max(0, size - TAIL_BYTES) : size])[
                -TAIL_BYTES:
            ]
            self.rest = self.rest[size:]
            self.next += size
        self.skipping = skipping
        self._changed()

    def is_outgrown(self) -> bool:
        """Whether what has its name now, compressed, holds more than what is held open.

        So it is if it was replaced by a copy that grew. To look means to decompress it, which is
        left out if its times are those of what is open: then it was made from that.
        """
        if self._file is None or self.seen.inode == self._inode:
            return False
        try:
            made = os.stat(self.seen.path).st_mtime_ns == os.fstat(self._file).st_mtime_ns
            return not made and bool(content(self.seen, self.offset, 1))
        except (OSError, UnreadableError):
            return False

    def finish(self) -> None:
        """Expect no more."""
        self.finished = True
        self._changed()

    def ignore(self) -> None:
        """Count all that it holds as done, without learning it."""
        self.ignored = True
        self._is_packed = has_compressed(self.seen.path)
        if self._is_packed:
            self._head = Mark.of(content(self.seen, 0, HEAD_BYTES) or b"")
        else:
            self.begin_at(self.seen.size)
        self.close()
        self.finish()

    def begin_at(self, offset: int) -> None:
        """Leave out what is before an offset."""
        before = content(self.seen, max(0, offset - TAIL_BYTES), min(offset, TAIL_BYTES))
        self.next, self._tail = offset, Mark.of(before or b"")
        self.open()

    def skip_lines(self) -> None:
        """Leave out the whole lines that it holds already."""
        if has_compressed(self.seen.path):
            self.ignore()
            return
        start = max(0, self.seen.size - _CHUNK)
        last = content(self.seen, start, _CHUNK) or b""
        self.begin_at(start + last.rfind(b"\n") + 1)

    def move(self, seen: Seen, now: float) -> None:
        """Go on in a file that holds the same.

        What is open and has lost its name is read on if its content is now compressed; a plain file
        in its place, as editors and ``sed -i`` leave it, is read instead.
        """
        if not self.is_intact() or not has_compressed(seen.path):
            self.close()
        ignored = self.ignored
        self.see(seen, now)
        if ignored:
            self.ignore()

    def close(self) -> None:
        """Close it. What was read and is part of no record is read again."""
        self.place()
        self._close()
        self.rest = b""

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        if self._compressed is not None:
            self._compressed.close()
        self._file = self._compressed = None

    def _mark_head(self) -> None:
        """Take more of the beginning for what tells this file from others, once there is more."""
        if self._file is not None and self._head.length < min(HEAD_BYTES, self.seen.size):
            head = os.pread(self._file, HEAD_BYTES, 0)
            # Unless it is another beginning by now.
            if Mark.of(head[: self._head.length]) == self._head:
                self._head = Mark.of(head)
                self._changed()


def _opened(path: str) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        file = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.EMFILE or soft == hard:
            raise
        file = soft
    if soft == resource.RLIM_INFINITY or file < soft - min(_SPARE_FILES, soft // 4):
        return file
    # Others, such as whoever loads a module or writes a checkpoint, need some, too.
    with suppress(OSError):
        os.close(file)
    if soft == hard:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _opened(path)


def _holds(seen: Seen, start: int, mark: Mark) -> bool:
    data = content(seen, start, mark.length)
    return data is not None and Mark.of(data) == mark
