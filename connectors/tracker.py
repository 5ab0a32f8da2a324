"""Which file is which: the files that are followed, known whatever they are called by now."""

from __future__ import annotations

import fnmatch
import logging
import math
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from stream_w2v.connectors.content import Inode, Seen, UnreadableError, content
from stream_w2v.connectors.copies import Copies, may_be_copy
from stream_w2v.connectors.folders import Folders
from stream_w2v.connectors.followed import (
    Followed,
    GoneError,
    Mark,
    RewrittenError,
)
from stream_w2v.connectors.rotation import Logs, earlier_names, is_dated, is_rotated
from stream_w2v.errors import SourceError
from stream_w2v.stream import Positions

_AGAIN_SECONDS = 60
"""How often it is looked which file is which though nothing says that any has changed."""

_REMEMBER_SECONDS = 3600
"""How long a file that is gone is known again if it comes back, as from a disk that was away."""

_UNSURE_SECONDS = 60
"""How long a file that may be one of those that cannot be read is not given up."""

_WARN_AGAIN_SECONDS = 3600
"""How often it is said of the same file that it cannot be read."""

_LOST = "deleted before it was read"
_UNSEEN = "deleted while nobody followed it"
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
    waiting
        The logs, by folder and name, of which something is to be read first.
    past
        Dead letters of files that are gone, by reason.
    missing
        Bytes that were deleted before they were read, as far as is known.
    """

    def __init__(self, patterns: Sequence[str], *, latest: bool, settle_seconds: float) -> None:
        self.files: list[Followed] = []
        self.due = True
        self.waiting: set[tuple[str, str]] = set()
        self.past: Counter[str] = Counter()
        self.missing = 0
        self._patterns = patterns
        self._latest = latest
        self._settle_seconds = settle_seconds
        self._folders = Folders(patterns)
        self._known: set[str] = set()  # patterns that were followed before
        self._made = 0
        self._numbers: set[int] = set()  # of the inodes of what is known
        self._open: dict[Inode, Followed] = {}
        self._near: list[Followed] = []  # open, and where their paths say
        self._away: list[Followed] = []  # open, and not to be seen by their paths
        self._copies = Copies(settle_seconds)
        self._logs = Logs()
        self._at_first: set[Inode] | None = None  # what was there when following began
        self._began: float | None = None
        self._unreadable: dict[Inode, str] = {}  # folders of files that cannot be read now
        self._again = 0.0  # when to look again though nothing has changed
        self._warned: dict[str, float] = {}  # of which paths, and when
        self._others: dict[str, Any] = {}

    def seek(self, positions: Positions, now: float) -> None:
        """Take up what was followed, or what a FileSource was reading."""
        for key, place in positions.items():
            if key == _OURS:
                self._known = set(place["patterns"])
                self.past.update(place["dead"])
                self.missing, self._made = place["missing"], place["made"]
                self._copies.seek(place.get("copies", []))
            elif isinstance(place, dict) and "inode" in place:
                self.files.append(Followed.from_place(key, place))
            elif (file := self._taken_over(key, place)) is not None:
                self.files.append(file)
            else:
                self._others[key] = place
        for file in self.files:
            file.quiet_since = now
        self._count()

    def positions(self) -> dict[str, Any]:
        """Return where each file is."""
        ours = {
            "patterns": sorted(self._known),
            "dead": dict(self.past),
            "missing": self.missing,
            "made": self._made,
            "copies": self._copies.place(),
        }
        return self._others | {file.key: file.place() for file in self.files} | {_OURS: ours}

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            file.close()

    # Looking.

    def reload(self) -> None:
        """Look at everything with the next look. From a signal handler, too."""
        self._folders.forget()
        self.due = True

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
        for file in filter(lambda file: file.is_plain, self._away):
            file.look(now)
            if file.finished and file.lost_since is None and not file.has_name:
                self.due = True
            changed = changed or file.is_behind
        if names and (self._folders.match(self._numbers) or now >= self._again):
            self.due = True
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
                self._folders.paths[file.seen.path] = file.seen
                self.due = self.due or file.seen.size <= file.offset
        return changed

    def _look_at_names(self, now: float) -> bool:
        changed = False
        paths = self._folders.paths
        for path, before in paths.items():
            try:
                status = os.stat(path)
            except OSError:
                status = None
            if status is None or not stat.S_ISREG(status.st_mode):
                if before is not None:
                    paths[path] = None
                    self.due = True
                continue
            if (
                before is not None
                and status.st_size == before.size
                and status.st_mtime_ns == before.changed
                and (status.st_dev, status.st_ino) == before.inode
            ):
                continue
            seen = paths[path] = Seen.of(path, status)
            file = self._open.get(seen.inode)
            # If it has grown, reading tells whether it is still the same; if it has changed and
            # not grown, perhaps what came has been moved elsewhere.
            if file is None or not file.is_open or seen.size <= file.offset:
                self.due = True
            else:
                file.see(seen, now)
                changed = True
        return changed

    def _look_soon(self, now: float) -> None:
        """Look again before long at what is only waited for."""
        self._again = min(self._again, now + self._settle_seconds)

    # Which file is which.

    def _identify(self, now: float) -> None:
        """Find every file that is known under the name that it has now, and take up new ones."""
        self._again = now + _AGAIN_SECONDS
        self._unreadable = {}
        found = self._folders.listing(self._numbers)
        self._at_first = set(found) if self._at_first is None else self._at_first & found.keys()
        watched = {seen.inode for seen in self._folders.paths.values() if seen is not None}
        paths = [seen.path for seen in found.values()]
        self._logs = Logs([*paths, *(file.seen.path for file in self.files)])
        present: dict[Inode, Followed] = {}
        lost: list[Followed] = []
        # What is gone may have left its inode to another one.
        for file in sorted(self.files, key=lambda file: file.gone is not None):
            seen = found.get(file.seen.inode)
            if seen is None or seen.inode in present:
                lost.append(file)
                continue
            still = self._is_still(file, seen)
            if still is None:
                present[seen.inode] = file
                self._look_soon(now)
            elif not still:
                lost.append(file)
            elif file.ignored and seen.inode in watched and self._is_fresh(seen):
                # A glob that matches it was added.
                self.files.remove(file)
            else:
                file.see(seen, now)
                self._meet(file, present)
        for file in lost:
            if file.is_open and not file.is_intact():
                file.close()
            if file.is_plain:
                file.look(now)
        self._find(lost, found, watched, present, now)
        self._give_up(lost, found, watched, present, now)
        self._take_up(found, watched, present, now)
        self._known |= set(self._patterns)
        self._open_files(now)
        self._count()

    def _count(self) -> None:
        self._numbers = {file.seen.inode[1] for file in self.files}

    def _is_still(self, file: Followed, seen: Seen) -> bool | None:
        """Whether a file with the same inode is the same file; None if nobody knows now."""
        if file.is_open:
            return file.is_intact()
        if file.finished and seen[1:] == file.seen[1:]:
            return True
        try:
            return file.was_empty or file.is_in(seen)
        except UnreadableError:
            return None

    def _meet(self, file: Followed, present: dict[Inode, Followed]) -> None:
        """Note that a file is there."""
        if file.gone is not None:
            self.missing -= file.gone
            if file.dead.pop(_LOST, 0) + file.dead.pop(_UNSEEN, 0):
                _log.warning("%s is there again", file.seen.path)
        file.found()
        present[file.seen.inode] = file

    def _find(
        self,
        lost: list[Followed],
        found: dict[Inode, Seen],
        watched: Collection[Inode],
        present: dict[Inode, Followed],
        now: float,
    ) -> None:
        """Find what is no longer where it was in files that hold the same, and are no other's."""
        wanted: dict[Mark, list[Followed]] = defaultdict(list)
        for file in sorted(lost, key=lambda file: file.ignored):
            if file.gone is None and not file.was_empty:
                wanted[file.head].append(file)
        if not wanted:
            return
        lengths = sorted({mark.length for mark in wanted}, reverse=True)

        def likely(seen: Seen) -> tuple[Any, ...]:
            # What was there before, or is a copy, holds no more than what was read since; a log
            # moves to a rotated name; and of several the newest one holds the most.
            new = seen.inode not in present and seen not in self._copies
            rotated = self._logs.is_rotated(seen.path) or seen.inode not in watched
            return new, rotated, seen.changed, self._logs.order(seen.path)

        unclaimed = [
            seen for inode, seen in found.items() if inode not in present or present[inode].ignored
        ]
        for seen in sorted(unclaimed, key=likely, reverse=True):
            try:
                head = content(seen, 0, lengths[0]) or b""
                alike = [
                    file
                    for length in lengths
                    for file in wanted[Mark.of(head[:length])]
                    if not (file.ignored and seen.inode in present)
                    and (seen.inode not in watched or self._is_of_one_log(file, seen))
                ]
                same = next((file for file in alike if file.is_in(seen)), None)
            except UnreadableError:
                self._unreadable[seen.inode] = os.path.dirname(seen.path)
                continue
            if same is not None:
                if seen.inode in present:
                    self.files.remove(present[seen.inode])
                wanted[same.head].remove(same)
                lost.remove(same)
                with suppress(GoneError, SourceError):
                    same.move(seen, now)
                self._meet(same, present)

    def _is_of_one_log(self, file: Followed, seen: Seen) -> bool:
        return self._logs.of(file.seen.path) == self._logs.of(seen.path)

    # What is gone.

    def _give_up(
        self,
        lost: list[Followed],
        found: dict[Inode, Seen],
        watched: Collection[Inode],
        present: dict[Inode, Followed],
        now: float,
    ) -> None:
        """Give up files that were not found, but know them again for a while."""
        late = [file for file in lost if self._is_late(file, now)]
        if any(file.gone is None and not file.finished for file in late):
            # Rotated to a name that nobody could have guessed, and copied or compressed.
            folders = {os.path.dirname(file.seen.path) for file in late}
            self._find(late, self._folders.everything(folders), watched, present, now)
        forgotten = set()
        for file in late:
            if file.gone is None:
                self._report(file)
            assert file.lost_since is not None
            # What has another content by now, or had none, would be known by nothing.
            if (
                file.was_empty
                or file.seen.inode in found
                or now - file.lost_since >= _REMEMBER_SECONDS
            ):
                forgotten.add(file.key)
                self.past.update(file.dead)
        self.files = [file for file in self.files if file.key not in forgotten]

    def _is_late(self, file: Followed, now: float) -> bool:
        """Whether a file that was not found has had the time to be."""
        if file.is_open and not file.finished:
            # It has lost its name, and is read to its end all the same.
            return False
        if file.is_plain and file.has_name:
            # It has gone to another folder, and may be written to there.
            return False
        if file.lost_since is None:
            file.lost_since = now
        # Between the steps of a rotation it may have no name at all.
        if now - file.lost_since < self._settle_seconds:
            self.due = True
            return False
        folder = os.path.dirname(file.seen.path)
        # Perhaps it is one of those that cannot be read, or is where nobody may look now.
        if folder in self._folders.closed or (
            folder in self._unreadable.values() and now - file.lost_since < _UNSURE_SECONDS
        ):
            self._look_soon(now)
            return False
        return True

    def _report(self, file: Followed) -> None:
        """Say and count what a file that is gone has taken along."""
        missing = 0 if file.finished else max(0, file.seen.size - file.next)
        self.missing += missing
        if missing:
            file.dead[_LOST] = 1
            _log.warning(
                "%s was deleted or emptied before it was read: at least %d bytes are lost",
                file.seen.path,
                missing,
            )
        elif not (file.finished or file.was_opened or file.was_empty):
            file.dead[_UNSEEN] = 1
            _log.warning(
                "%s was deleted or emptied while nobody followed it: "
                "what was written to it after byte %d is lost",
                file.seen.path,
                file.next,
            )
        file.give_up(missing)

    # What is new.

    def _take_up(
        self,
        found: dict[Inode, Seen],
        watched: Collection[Inode],
        present: dict[Inode, Followed],
        now: float,
    ) -> None:
        """Begin to follow files that are new."""
        new = [seen for inode, seen in found.items() if inode not in present]
        new.sort(key=lambda seen: self._logs.order(seen.path, seen.changed))
        begun, doubtful = set(), []
        for seen in new:
            if seen.inode in self._unreadable:
                self._look_soon(now)
            elif not self._is_skipped(seen, watched) and may_be_copy(seen, watched, self._logs):
                doubtful.append(seen)
            else:
                begun.add(seen.inode)
        assert self._at_first is not None
        read = present.keys() | begun
        begun |= self._copies.decide(
            found, doubtful, read, self._logs, now, at_first=self._at_first
        )
        self.due = self.due or self._copies.due
        if self._copies.unreadable:
            self._look_soon(now)
        # What came after those that were there at first waits for them, so that order is kept; but
        # not for long.
        self._began = now if self._began is None else self._began
        first = self._at_first if now - self._began < _UNSURE_SECONDS else ()
        self.waiting = {
            self._logs.key(seen.path) for seen in self._copies.unsettled if seen.inode in first
        }
        for seen in new:
            if seen.inode in begun:
                self._begin(seen, watched, present, now)

    def _is_skipped(self, seen: Seen, watched: Collection[Inode]) -> bool:
        """Whether what a file holds was there before it, or what it is rotated from, was named."""
        return self._is_fresh(seen) and (self._latest or seen.inode not in watched)

    def _begin(
        self, seen: Seen, watched: Collection[Inode], present: dict[Inode, Followed], now: float
    ) -> None:
        """Begin to follow a file."""
        self._made += 1
        file = Followed(f"{seen.path}#{self._made}", seen)
        file.quiet_since = now
        try:
            if self._is_skipped(seen, watched):
                if seen.inode in watched:
                    file.skip_lines()
                else:
                    file.ignore()
        except (GoneError, SourceError):
            file.close()
            self._look_soon(now)
            return
        present[seen.inode] = file
        self.files.append(file)

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

    # What is open.

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
                    self.retry(file, str(error), now)
        self._see_superseded()
        self._open = {file.seen.inode: file for file in self.files if file.is_open}
        plain = [file for file in self.files if file.is_plain]
        self._near = [file for file in plain if not file.superseded]
        self._away = [file for file in plain if file.superseded]

    def _see_superseded(self) -> None:
        """See which files have a successor; of each log the last such is kept open for a while."""
        watched = {
            seen.path: seen.inode for seen in self._folders.paths.values() if seen is not None
        }
        logs: dict[tuple[str, str], list[Followed]] = defaultdict(list)
        for file in self.files:
            file.log = self._logs.key(file.seen.path)
            logs[file.log].append(file)
        for (folder, _), files in logs.items():
            ages = [self._logs.order(file.seen.path) for file in files]
            dated = [is_dated(os.path.basename(file.seen.path)) for file in files]
            newest = max((age for age, has in zip(ages, dated, strict=True) if has), default=None)
            last = None
            for file, age, has_date in zip(files, ages, dated, strict=True):
                name = os.path.basename(file.seen.path)
                file.superseded = (
                    watched.get(file.seen.path) != file.seen.inode
                    or any(os.path.join(folder, one) in watched for one in earlier_names(name))
                    or (newest is not None and has_date and age < newest)
                )
                if file.superseded and file.finished and file.is_open:
                    if last is not None:
                        last.close()
                    last = file

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

    def retry(self, file: Followed, why: str, now: float) -> None:
        """Try again before long to read a file, and say why, unless that was said lately."""
        path = file.seen.path
        if now - self._warned.get(path, -math.inf) >= _WARN_AGAIN_SECONDS:
            self._warned[path] = now
            _log.warning("%s", why)
        self._look_soon(now)
