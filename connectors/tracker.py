"""Which files are followed: found by their names, known whatever they are called by now."""

from __future__ import annotations

import fnmatch
import glob
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from stream_w2v.connectors.followed import (
    Followed,
    GoneError,
    Inode,
    RewrittenError,
    Seen,
    is_beginning,
)
from stream_w2v.connectors.rotation import (
    COMPRESSED,
    earlier_names,
    is_dated,
    is_rotated,
    order,
    undated,
)
from stream_w2v.errors import SourceError
from stream_w2v.stream import Positions

_GRANULARITY_NS = 3_000_000_000
"""How exact a file system's times are, at worst."""

_LOST = "deleted before it was read"
_OURS = "followed"
"""Entry of the positions that is no file."""

_log = logging.getLogger(__name__)


class Tracker:
    """The files that patterns mean, and what they were rotated to.

    Parameters
    ----------
    patterns
        Absolute paths and globs.
    latest
        Whether what is there at first counts as read.
    settle_seconds
        How long what is changing is given time before it is judged: a file that is not found may
        have no name between two steps of a rotation, and a copy may be made to replace another.

    Attributes
    ----------
    files
        All that are known, those of one log from the oldest to the newest.
    due
        Whether it has to be looked again which file is which, though no name says so.
    past
        Dead letters of files that are gone, by reason.
    missing
        Bytes that were deleted before they were read, as far as is known.
    """

    def __init__(self, patterns: Sequence[str], *, latest: bool, settle_seconds: float) -> None:
        self.files: list[Followed] = []
        self.due = True
        self.past: Counter[str] = Counter()
        self.missing = 0
        self._patterns = patterns
        self._latest = latest
        self._settle_seconds = settle_seconds
        self._known: set[str] = set()  # patterns that were followed before
        self._made = 0
        self._paths: dict[str, Seen | None] = {}  # that match, and what was there last
        self._rotated: dict[str, list[str]] = {}  # folders, and of which names rotated files are
        self._folders: dict[str, int] = {}  # and when they changed
        self._entries: frozenset[tuple[str, int]] = frozenset()  # of these folders
        self._open: dict[Inode, Followed] = {}
        self._near: list[Followed] = []  # open, and where their paths say
        self._away: list[Followed] = []  # open, and not to be seen by their paths
        self._held: dict[Inode, tuple[Seen, float]] = {}  # perhaps copies, and since when
        self._waiting = False  # whether some could not be opened
        self._warned: set[str] = set()
        self._others: dict[str, Any] = {}

    def seek(self, positions: Positions, now: float) -> None:
        """Take up what was followed, or what a FileSource was reading."""
        for key, place in positions.items():
            if key == _OURS:
                self._known = set(place["patterns"])
                self.past.update(place["dead"])
                self.missing, self._made = place["missing"], place["made"]
            elif isinstance(place, dict) and "inode" in place:
                self.files.append(Followed.from_place(key, place))
            elif (file := self._taken_over(key, place)) is not None:
                self.files.append(file)
            else:
                self._others[key] = place
        for file in self.files:
            file.quiet_since = now

    def positions(self) -> dict[str, Any]:
        """Return where each file is."""
        ours = {
            "patterns": sorted(self._known),
            "dead": dict(self.past),
            "missing": self.missing,
            "made": self._made,
        }
        return self._others | {file.key: file.place() for file in self.files} | {_OURS: ours}

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            file.close()

    def look(self, now: float, *, names: bool) -> bool:
        """See what has grown, what has gone, and what is new; return whether anything has.

        Parameters
        ----------
        now
            The time in seconds.
        names
            Whether to look at names, too, and not only at the sizes of what is open, which takes a
            fifth of the time.
        """
        changed = self._look_at_sizes(now)
        for file in self._away:
            if not file.look(now) and file.finished:
                self.due = True
            changed = changed or file.is_behind
        if names:
            self._match()
        if names or self.due:
            changed = self._look_at_names(now) or changed
        if self.due:
            self.due = False
            self._identify(now)
            changed = True
        return changed

    def _look_at_sizes(self, now: float) -> bool:
        changed = False
        for file in self._near:
            if file.has_other_size():
                changed = True
                file.look(now)
                self._paths[file.seen.path] = file.seen
                self.due = self.due or file.seen.size <= file.offset
        return changed

    def _look_at_names(self, now: float) -> bool:
        changed = False
        for path, before in self._paths.items():
            try:
                status = os.stat(path)
            except OSError:
                status = None
            if status is None or not stat.S_ISREG(status.st_mode):
                if before is not None:
                    self._paths[path] = None
                    self.due = True
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
                self.due = True
            else:
                file.see(seen, now)
                changed = True
        return changed

    def _match(self) -> None:
        """See which paths there are, and where what they are rotated to may be."""
        if self._waiting:
            self.due = True
        if self._is_unchanged():
            return
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
            folders = {folder}
            if glob.has_magic(folder):
                folders = {os.path.dirname(match) for match in matches}
            for place in folders:
                self._rotated.setdefault(place, []).append(name)
            # What links lead to is rotated where it is.
            for match in filter(os.path.islink, matches):
                place, real = os.path.split(os.path.realpath(match))
                self._rotated.setdefault(place, []).append(glob.escape(real))
        self._paths = {path: self._paths.get(path) for path in paths}
        entries = frozenset(entry for folder in self._rotated for entry in _entries(folder))
        if entries != self._entries:
            self._entries = entries
            self.due = True

    def _is_unchanged(self) -> bool:
        """Whether no folder that may hold our files has changed since the last time."""
        before = self._folders
        self._folders = {}
        for folder in self._rotated:
            with suppress(OSError):
                self._folders[folder] = os.stat(folder).st_mtime_ns
        # A change just now may not show in the time of a folder that has changed just before.
        past = time.time_ns() - _GRANULARITY_NS
        return (
            bool(before)
            and before == self._folders
            and all(changed < past for changed in before.values())
            and not any(glob.has_magic(os.path.dirname(pattern)) for pattern in self._patterns)
        )

    def _listing(self) -> dict[Inode, Seen]:
        """Return the files that are followed, and those that they may have been rotated to."""
        found: dict[Inode, Seen] = {}
        known = {file.seen.inode[1] for file in self.files}
        for seen in self._paths.values():
            if seen is not None:
                found.setdefault(seen.inode, seen)
        for folder, patterns in self._rotated.items():
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        # What is known may have a name that nobody could have guessed.
                        if entry.inode() in known or any(
                            is_rotated(entry.name, pattern) for pattern in patterns
                        ):
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
        for file in self.files:
            seen = found.get(file.seen.inode)
            if seen is not None and seen.inode not in present and self._is_still(file, seen):
                file.see(seen, now)
                file.lost_since = None
                present[seen.inode] = file
            else:
                lost.append(file)
        for file in lost:
            if file.is_open and not file.is_intact():
                file.close()
            if file.is_plain:
                file.look(now)
        self._find_lost(found, present, lost, now)
        gone = {file.key for file in lost if self._is_gone(file, now)}
        self.files = [file for file in self.files if file.key not in gone]
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
                file.lost_since = None
                present[seen.inode] = file
                lost.remove(file)

    def _is_gone(self, file: Followed, now: float) -> bool:
        """Whether to give up a file that was not found."""
        if file.is_open and not file.finished:
            # It has lost its name, and is read to its end all the same.
            return False
        # Between the steps of a rotation it may have no name at all.
        file.lost_since = file.lost_since or now
        if now - file.lost_since < self._settle_seconds:
            self.due = True
            return False
        missing = 0 if file.finished else max(0, file.seen.size - file.next)
        if missing:
            _log.warning(
                "%s was deleted or emptied before it was read: at least %d bytes are lost",
                file.seen.path,
                missing,
            )
            self.missing += missing
            self.past[_LOST] += 1
        self.past.update(file.dead)
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
                        self.due = True
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
                self.files.append(file)

    def _may_be_copy(self, seen: Seen, found: dict[Inode, Seen]) -> bool:
        """Whether a file is perhaps being made from another one, which is there still."""
        if not seen.size and seen.path.endswith(COMPRESSED):
            # Too soon to tell that it is compressed: its bytes would be taken for lines.
            return True
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
        for file in self.files:
            if not file.is_waiting:
                continue
            try:
                file.open()
            except (GoneError, RewrittenError):
                self.due = True
            except SourceError as error:
                # What is being compressed cannot be read yet.
                if now - file.quiet_since < self._settle_seconds:
                    self.due = True
                else:
                    self._warn(str(error))
        self._waiting = any(file.is_waiting for file in self.files)
        self._see_superseded()
        self._open = {file.seen.inode: file for file in self.files if file.is_open}
        plain = [file for file in self.files if file.is_plain]
        self._near = [file for file in plain if not file.superseded]
        self._away = [file for file in plain if file.superseded]

    def _see_superseded(self) -> None:
        """See which files have a successor; of each log the last such is kept open for a while."""
        watched = {seen.path: seen.inode for seen in self._paths.values() if seen is not None}
        newest: dict[tuple[str, str], tuple[Any, ...]] = {}
        last: dict[tuple[str, str], Followed] = {}
        for file in self.files:
            folder, name = os.path.split(file.seen.path)
            age = order(name, 0)
            if is_dated(name):
                newest[folder, undated(name)] = max(newest.get((folder, undated(name)), age), age)
        for file in self.files:
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
