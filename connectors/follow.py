"""Files that grow and rotate as a source of records: ``tail -F``, with every line exactly once."""

from __future__ import annotations

import fnmatch
import glob
import logging
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from stream_w2v.connectors.dead_letters import DeadLetter, DeadLettersFile
from stream_w2v.connectors.followed import (
    Followed,
    GoneError,
    Inode,
    RewrittenError,
    Seen,
    is_beginning,
)
from stream_w2v.connectors.inputs import POLL_SECONDS, STDIN
from stream_w2v.connectors.lines import BOM, Cutter, Piece, join
from stream_w2v.connectors.rotation import earlier_names, is_dated, is_rotated, order, undated
from stream_w2v.errors import ConfigError, SourceError
from stream_w2v.stream import Batch, Positions, Source

_POLLS_A_MATCH = 4
"""Looks whether files have grown, for each look which files there are."""

_LOST = "deleted before it was read"
_BROKEN = "damaged file"
_OURS = "followed"
"""Entry of the positions that is no file."""

_log = logging.getLogger(__name__)


class FollowSource(Source):
    """Lines of files that grow, are rotated, and appear.

    Parameters
    ----------
    paths
        Paths and globs. Neither needs to exist yet: what appears later is read from its beginning.
    start
        Where to begin in files that are there already and that the positions do not name: at the
        ``earliest`` line, or after the ``latest``. What they were rotated to before is not read
        unless a glob matches it.
    follow
        Whether to wait for more at the end. If not, the source ends when all whole lines that are
        there are read; a last one without a line break is left for the next time.
    field, record_start
        What a record is: see :class:`~stream_w2v.connectors.lines.Cutter`.
    dead_letters
        Path of a file to keep records in that are not learnt, beside counting them: JSON lines.
        After a crash some may be there twice.
    poll_seconds
        Between two looks whether there is more.
    settle_seconds
        How long a file that was rotated must have been silent before a last line without a line
        break counts as whole. Also how long an event of several lines is waited for.
    batch_bytes
        About how much a batch holds.
    max_record_bytes
        The longest record; a longer one is not learnt.

    Raises
    ------
    ConfigError
        If an option has a value that cannot work, or a path is standard input.
    SourceError
        While iterating, if a file may not be read.

    Notes
    -----
    A file is known by its device and inode and by its content (see
    :mod:`~stream_w2v.connectors.followed`), so it is read to its end wherever it is renamed or
    copied to, compressed or not, also if that happened while nobody was looking. Files that it
    takes for a rotated one are those in the same directory whose name, without a number, a date
    and the ending of a compressed file, is that of a file that is followed.

    What cannot be seen: a file that was truncated and has the same bytes again up to where it had
    been read, and lines that were written and deleted between two looks.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        start: str = "earliest",
        follow: bool = True,
        field: str | None = None,
        record_start: str | None = None,
        dead_letters: str | os.PathLike[str] | None = None,
        poll_seconds: float = 0.25,
        settle_seconds: float = 5.0,
        batch_bytes: int = 1 << 17,
        max_record_bytes: int = 1 << 20,
    ) -> None:
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        self._patterns = [os.path.abspath(_followable(os.fspath(path))) for path in given]
        if not self._patterns:
            msg = "no file was named: give a path or a glob"
            raise ConfigError(msg)
        if start not in ("earliest", "latest"):
            msg = f"start must be earliest or latest, not {start}"
            raise ConfigError(msg)
        for name, value, low in (
            ("poll_seconds", poll_seconds, 0),
            ("settle_seconds", settle_seconds, 0),
            ("batch_bytes", batch_bytes, 1),
            ("max_record_bytes", max_record_bytes, 4),
        ):
            if value < low:
                msg = f"{name} must be at least {low}, not {value}"
                raise ConfigError(msg)
        self._latest = start == "latest"
        self._follow = follow
        self._cutter = Cutter(max_record_bytes, field, record_start)
        self._letters = None if dead_letters is None else DeadLettersFile(dead_letters)
        self._poll_seconds, self._settle_seconds = poll_seconds, settle_seconds
        self._batch_bytes = batch_bytes
        self._files: list[Followed] = []  # those of one log from the oldest to the newest
        self._others: dict[str, Any] = {}
        self._known: set[str] = set()  # patterns that were followed before
        self._past: Counter[str] = Counter()  # dead letters of files that are gone
        self._missing = 0
        self._made = 0
        self._paths: dict[str, Seen | None] = {}
        self._rotated: dict[str, list[str]] = {}
        self._entries: frozenset[tuple[str, int]] = frozenset()
        self._open: dict[Inode, Followed] = {}
        self._away: list[Followed] = []
        self._busy: list[Followed] = []  # those that have to be looked after
        self._held: dict[Inode, tuple[Seen, float]] = {}
        self._warned: set[str] = set()
        self._clock = time.monotonic
        self._match_due = 0.0
        self._identify_due = True
        self._wake = threading.Event()
        self._closed = False
        self._lock = threading.Lock()

    # The source.

    def seek(self, positions: Positions) -> None:
        """Go on from these positions, as a batch of this source or a FileSource reported them."""
        self._others = {}
        for key, place in positions.items():
            if key == _OURS:
                self._known = set(place["patterns"])
                self._past.update(place["dead"])
                self._missing, self._made = place["missing"], place["made"]
            elif "inode" in place:
                self._files.append(Followed.from_place(key, place))
            elif (file := self._taken_over(key, place)) is not None:
                self._files.append(file)
            else:
                self._others[key] = place

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches, in order for each log, and an empty one whenever nothing has come."""
        with self._lock:
            try:
                self._look()
                # So that what was there before is known before anything is learnt.
                yield self._batch([])
                while not self._closed:
                    yield from self._batches()
                    if not self._ready():
                        if not self._follow and not self._identify_due:
                            break
                        self._wake.wait(self._poll_seconds)
                        self._wake.clear()
                    self._look()
            finally:
                if self._closed:
                    self._close_files()

    def reload(self) -> None:
        """Look at once which files match the globs."""
        self._match_due = 0.0
        self._wake.set()

    def status(self) -> str:
        """Return how many files are followed, and how many bytes there still are to read."""
        files = list(self._files)
        behind = sum(max(0, file.seen.size - file.offset) for file in files if file.is_behind)
        return f"{sum(file.is_open for file in files)} files, lag {behind / 1e6:.1f} MB"

    def close(self) -> None:
        """Stop iterating, in whatever thread that happens, and close the files."""
        self._closed = True
        self._wake.set()
        if self._lock.acquire(timeout=5):
            try:
                self._close_files()
            finally:
                self._lock.release()

    def _close_files(self) -> None:
        for file in self._files:
            file.close()

    # Reading.

    def _batches(self) -> Iterator[Batch]:
        """Yield what there is to read until it is time to look again: at least one batch."""
        pieces: list[Piece] = []
        due = self._clock() + POLL_SECONDS
        while True:
            ready = self._ready()
            for file in ready:
                pieces += self._cut(file)
                if sum(len(data) for data, _ in pieces) > self._batch_bytes // 2:
                    yield self._batch(pieces)
                    pieces = []
                if self._closed:
                    return
            if not ready or self._clock() >= due:
                break
        for file in self._busy:
            pieces += self._settled(file)
        self._busy = [file for file in self._busy if file.is_busy]
        yield self._batch(pieces)

    def _ready(self) -> list[Followed]:
        """Return the files with something to read, of each log only the oldest."""
        oldest: dict[tuple[str, str], Followed] = {}
        for file in self._busy:
            if file.is_behind:
                folder, name = os.path.split(file.seen.path)
                oldest.setdefault((folder, undated(name)), file)
        return list(oldest.values())

    def _cut(self, file: Followed) -> list[Piece]:
        """Read some more of a file, and return the records in it."""
        try:
            data = file.read(self._batch_bytes)
        except RewrittenError:
            self._identify_due = True
            return []
        except (SourceError, OSError) as error:
            if self._clock() - file.quiet_since < self._settle_seconds:
                # What is being compressed cannot be read to its end yet.
                file.close()
                self._identify_due = True
                return []
            return self._broken(file, error)
        return self._records(file, data, ended=file.ended)

    def _settled(self, file: Followed) -> list[Piece]:
        """Return what counts as whole because nothing more has come for a while."""
        if not file.is_open or file.is_behind or file.finished:
            return []
        now = self._clock()
        quiet = now - file.quiet_since >= self._settle_seconds
        if file.superseded and quiet and file.is_plain:
            # It may have grown between the last look and its rotation.
            file.look(now)
            if file.is_behind:
                return []
        pieces: list[Piece] = []
        if file.ended or (file.superseded and quiet):
            pieces = self._records(file, file.rest, ended=True)
            file.finish()
        elif quiet and self._cutter.joins and file.rest:
            whole = file.rest[: file.rest.rfind(b"\n") + 1]
            pieces = self._records(file, whole, ended=True)
        if file.ended:
            file.close()
        return pieces

    def _records(self, file: Followed, data: bytes, *, ended: bool) -> list[Piece]:
        if file.next == 0 and data.startswith(BOM):
            file.take(len(BOM), skipping=False)
            data = file.rest
        cut = self._cutter.cut(data, ended=ended, skipping=file.skipping)
        if cut.dead:
            file.dead.update(letter.reason for letter in cut.dead)
            if self._letters is not None:
                self._letters.write(
                    [
                        DeadLetter(file.seen.path, file.next + start, reason, value)
                        for start, reason, value in cut.dead
                    ]
                )
        file.take(cut.size, skipping=cut.skipping)
        return [(cut.data, cut.ends)] if len(cut.ends) else []

    def _broken(self, file: Followed, error: Exception) -> list[Piece]:
        """Go on without a file that cannot be read any further."""
        _log.warning("%s; going on without the rest of it", error)
        self._past[_BROKEN] += 1
        pieces = self._records(file, file.rest, ended=True)
        file.finish()
        file.close()
        return pieces

    def _batch(self, pieces: list[Piece]) -> Batch:
        data, ends = join(pieces)
        return Batch(data, ends, self._positions())

    def _positions(self) -> dict[str, Any]:
        ours = {
            "patterns": sorted(self._known),
            "dead": dict(self._past),
            "missing": self._missing,
            "made": self._made,
        }
        return self._others | {file.key: file.place() for file in self._files} | {_OURS: ours}

    # Looking.

    def _look(self) -> None:
        """See what has grown, what has gone, and what is new."""
        now = self._clock()
        changed = False
        if now >= self._match_due:
            self._match()
            self._match_due = now + _POLLS_A_MATCH * self._poll_seconds
        for path, before in self._paths.items():
            try:
                status = os.stat(path)
            except OSError:
                status = None
            if status is None or not stat.S_ISREG(status.st_mode):
                if before is not None:
                    self._paths[path] = None
                    self._identify_due = True
                continue
            if (
                before is not None
                and status.st_size == before.size
                and status.st_mtime_ns == before.changed
                and (status.st_dev, status.st_ino) == before.inode
            ):
                continue
            seen = self._paths[path] = Seen.of(path, status)
            file = self._open.get(seen.inode)
            # If it has grown, reading tells whether it is still the same; if it has changed and
            # not grown, perhaps what came has been moved elsewhere.
            if file is None or seen.size <= file.offset:
                self._identify_due = True
            else:
                file.see(seen, now)
                changed = True
        for file in self._away:
            if not file.look(now) and file.finished:
                self._identify_due = True
            changed = changed or file.is_behind
        if self._identify_due:
            self._identify_due = False
            self._identify(now)
            changed = True
        if changed:
            self._busy = [file for file in self._files if file.is_busy]

    def _match(self) -> None:
        """See which paths there are, and where what they are rotated to may be."""
        paths: list[str] = []
        self._rotated = {}
        for pattern in self._patterns:
            folder, name = os.path.split(pattern)
            if not glob.has_magic(pattern) or os.path.lexists(pattern):
                paths.append(pattern)
                places = {(folder, name), os.path.split(os.path.realpath(pattern))}
                for place, real in places:
                    self._rotated.setdefault(place, []).append(glob.escape(real))
                continue
            matches = sorted(glob.glob(pattern, recursive=True))
            paths += matches
            folders = {os.path.dirname(match) for match in matches}
            if not glob.has_magic(folder):
                folders.add(folder)
            for place in folders:
                self._rotated.setdefault(place, []).append(name)
        self._paths = {path: self._paths.get(path) for path in paths}
        entries = frozenset(entry for folder in self._rotated for entry in _entries(folder))
        if entries != self._entries:
            self._entries = entries
            self._identify_due = True

    def _listing(self) -> dict[Inode, Seen]:
        """Return the files that are followed, and those that they may have been rotated to."""
        found: dict[Inode, Seen] = {}
        for seen in self._paths.values():
            if seen is not None:
                found.setdefault(seen.inode, seen)
        for folder, patterns in self._rotated.items():
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if any(is_rotated(entry.name, pattern) for pattern in patterns):
                            with suppress(OSError):
                                seen = Seen.of(entry.path, entry.stat())
                                if stat.S_ISREG(entry.stat().st_mode):
                                    found.setdefault(seen.inode, seen)
            except OSError:
                continue
        return found

    def _identify(self, now: float) -> None:
        """Find every file that is known under the name that it has now, and take up new ones."""
        found = self._listing()
        present: dict[Inode, Followed] = {}
        lost: list[Followed] = []
        for file in self._files:
            seen = found.get(file.seen.inode)
            if seen is not None and seen.inode not in present and self._is_still(file, seen):
                file.see(seen, now)
                present[seen.inode] = file
            else:
                lost.append(file)
        for file in lost:
            if file.is_open and not file.is_intact():
                file.close()
            if file.is_plain:
                file.look(now)
        self._find_lost(found, present, lost, now)
        self._files = [file for file in self._files if not self._is_gone(file, lost, now)]
        self._take_up(found, present, now)
        self._known |= set(self._patterns)
        self._open_files(now)

    def _is_still(self, file: Followed, seen: Seen) -> bool:
        """Whether a file with the same inode is the same file."""
        if file.is_open:
            return file.is_intact()
        if file.finished and seen[1:] == file.seen[1:]:
            return True
        return file.was_empty or file.is_in(seen.path)

    def _find_lost(
        self,
        found: dict[Inode, Seen],
        present: dict[Inode, Followed],
        lost: list[Followed],
        now: float,
    ) -> None:
        """Find what is no longer where it was in files that hold the same."""
        for seen in _by_age(found, present):
            file = next((file for file in lost if file.is_in(seen.path)), None)
            if file is not None:
                file.move(seen, now)
                present[seen.inode] = file
                lost.remove(file)

    def _is_gone(self, file: Followed, lost: list[Followed], now: float) -> bool:
        """Whether to give up a file that was not found."""
        if file not in lost:
            file.lost_since = None
            return False
        if file.is_open and not file.finished:
            # It has lost its name, and is read to its end all the same.
            return False
        # Between the steps of a rotation it may have no name at all.
        file.lost_since = file.lost_since or now
        if now - file.lost_since < self._settle_seconds:
            self._identify_due = True
            return False
        missing = 0 if file.finished else max(0, file.seen.size - file.next)
        if missing:
            _log.warning(
                "%s was deleted or emptied before it was read: at least %d bytes are lost",
                file.seen.path,
                missing,
            )
            self._missing += missing
            self._past[_LOST] += 1
        self._past.update(file.dead)
        file.close()
        return True

    def _take_up(
        self, found: dict[Inode, Seen], present: dict[Inode, Followed], now: float
    ) -> None:
        """Begin to follow files that are new."""
        held, self._held = self._held, {}
        watched = {seen.inode for seen in self._paths.values() if seen is not None}
        for seen in _by_age(found, present):
            if self._may_be_copy(seen, found):
                before, since = held.get(seen.inode, (None, now))
                since = since if before == seen else now
                settled = now - since >= self._settle_seconds
                if not (settled and seen.size and seen.inode in watched):
                    self._held[seen.inode] = (seen, since)
                    if not settled:
                        self._identify_due = True
                    continue
            self._made += 1
            file = Followed(f"{seen.path}#{self._made}", seen)
            file.quiet_since = now
            fresh = self._is_fresh(seen)
            with suppress(GoneError):
                if fresh and seen.inode not in watched:
                    file.ignore()
                elif fresh and self._latest:
                    file.skip_lines()
                present[seen.inode] = file
                self._files.append(file)

    def _may_be_copy(self, seen: Seen, found: dict[Inode, Seen]) -> bool:
        """Whether a file is perhaps being made from another one, which is there still."""
        folder, name = os.path.split(seen.path)
        earlier = {os.path.join(folder, one) for one in earlier_names(name)}
        return any(
            is_beginning(seen, other.path) for other in found.values() if other.path in earlier
        )

    def _is_fresh(self, seen: Seen) -> bool:
        """Whether a file was there before it, or what it was rotated from, was followed."""
        name = os.path.basename(seen.path)
        patterns = {
            pattern
            for pattern in self._patterns
            if fnmatch.fnmatchcase(seen.path, pattern)
            or is_rotated(name, os.path.basename(pattern))
        }
        # By way of a link it may match none.
        return self._known.isdisjoint(patterns or self._patterns)

    def _open_files(self, now: float) -> None:
        """Open what is to be read, and close what is not written to any more."""
        for file in self._files:
            if file.is_open or file.finished or file.lost_since is not None:
                continue
            try:
                file.open()
            except (GoneError, RewrittenError):
                self._identify_due = True
            except SourceError as error:
                # What is being compressed cannot be read yet.
                if now - file.quiet_since < self._settle_seconds:
                    self._identify_due = True
                else:
                    self._warn(str(error))
        self._see_superseded()
        self._open = {file.seen.inode: file for file in self._files if file.is_open}
        self._away = [file for file in self._files if file.superseded and file.is_plain]

    def _see_superseded(self) -> None:
        """See which files have a successor; of each log the last such is kept open for a while."""
        watched = {seen.path: seen.inode for seen in self._paths.values() if seen is not None}
        newest: dict[tuple[str, str], tuple[Any, ...]] = {}
        last: dict[tuple[str, str], Followed] = {}
        for file in self._files:
            folder, name = os.path.split(file.seen.path)
            age = order(name, 0)
            if is_dated(name):
                newest[folder, undated(name)] = max(newest.get((folder, undated(name)), age), age)
        for file in self._files:
            folder, name = os.path.split(file.seen.path)
            log = (folder, undated(name))
            file.superseded = (
                watched.get(file.seen.path) != file.seen.inode
                or any(os.path.join(folder, one) in watched for one in earlier_names(name))
                or (is_dated(name) and order(name, 0) < newest[log])
            )
            if file.superseded and file.finished and file.is_open:
                if log in last:
                    last[log].close()
                last[log] = file

    def _taken_over(self, path: str, place: Any) -> Followed | None:
        """Return a file that a FileSource was reading."""
        if not (isinstance(place, dict) and {"next", "finished"} <= set(place)):
            return None
        try:
            seen = Seen.of(path, os.stat(path))
        except OSError:
            return None
        self._made += 1
        file = Followed(f"{path}#{self._made}", seen)
        with suppress(GoneError, RewrittenError, SourceError):
            file.begin_at(place["next"])
            if place["finished"] and not file.is_plain:
                file.finish()
            return file
        return None

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            _log.warning("%s", what)


def _entries(folder: str) -> list[tuple[str, int]]:
    """Return what a folder holds: paths and inodes."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.path, entry.inode()) for entry in entries]
    except OSError:
        return []


def _by_age(found: dict[Inode, Seen], present: dict[Inode, Followed]) -> list[Seen]:
    """Return the files that are not known, those of one log from the oldest to the newest."""
    new = [seen for inode, seen in found.items() if inode not in present]
    return sorted(new, key=lambda seen: order(os.path.basename(seen.path), seen.changed))


def _followable(path: str) -> str:
    if path == STDIN:
        msg = "standard input cannot be followed: it ends by itself, leave out --follow"
        raise ConfigError(msg)
    return path
