"""Which rotated files are copies of what is read elsewhere, or may become some yet."""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from stream_w2v.connectors.content import Inode, Seen, UnreadableError, content, is_beginning
from stream_w2v.connectors.rotation import COMPRESSED, Logs, earlier_names

_FIRST_BYTES = 4096
"""How much of files is compared before all of it is."""

_LONGEST_SECONDS = 60
"""How long a file that does not come to rest is waited for."""

_LEAST_BYTES = 1024
"""A shorter file that nobody saw appear is none: it may well say the same as another one."""

_log = logging.getLogger(__name__)


class Copies:
    """Files that need not be read, because all that they hold is what another one begins with.

    Such a file has the name of a rotated one, and the other is one of the same log. While it is
    being made it holds less, or nothing, and if it is compressed it cannot be read to its end: so
    what has just changed is given time, and what has changed since is looked at anew.

    Parameters
    ----------
    settle_seconds
        How long a file must have been as it is.

    Attributes
    ----------
    due
        Whether time will tell more, without a change that could be noticed.
    unreadable
        Whether some files could not be read.
    unsettled
        Those that are given time.
    """

    def __init__(self, settle_seconds: float) -> None:
        self.due = self.unreadable = False
        self.unsettled: list[Seen] = []
        self._settle_seconds = settle_seconds
        self._known: dict[Inode, tuple[int, int]] = {}  # copies: their size and when they changed
        # Those in doubt: as they were, since when they are so, and since when they are in doubt.
        self._held: dict[Inode, tuple[Seen, float, float]] = {}
        self._broken: dict[Inode, Seen] = {}  # those that break off
        self._said: set[Inode] = set()

    def seek(self, place: Iterable[Sequence[int]]) -> None:
        """Take up what :meth:`place` returned."""
        self._known = {(one[0], one[1]): (one[2], one[3]) for one in place}

    def place(self) -> list[list[int]]:
        """Return what is known, for the positions."""
        return [[*inode, *state] for inode, state in self._known.items()]

    def __contains__(self, seen: Seen) -> bool:
        """Whether a file is known to be a copy, and is as it was then."""
        return self._known.get(seen.inode) == (seen.size, seen.changed)

    def decide(
        self,
        found: dict[Inode, Seen],
        doubtful: Sequence[Seen],
        read: Collection[Inode],
        logs: Logs,
        now: float,
        *,
        at_first: Collection[Inode],
    ) -> set[Inode]:
        """Return those of some files that are no copies.

        Parameters
        ----------
        found
            All files.
        doubtful
            Those in question, from the oldest to the newest.
        read
            Those that are read, or were.
        logs
            Which belong together.
        now
            The time in seconds.
        at_first
            Those that were there when following began: nobody saw what they were made from.
        """
        self.due = self.unreadable = False
        self.unsettled = []
        before, self._held = self._held, {}
        self._known = {
            inode: state
            for inode, state in self._known.items()
            if inode in found and found[inode] in self
        }
        self._said &= found.keys()
        self._broken = {inode: seen for inode, seen in self._broken.items() if inode in found}
        family = _Family(found.values(), logs)
        others: list[Inode] = []
        # Of several copies the newest one holds the most.
        for seen in reversed([seen for seen in doubtful if seen not in self]):
            try:
                alike = family.alike(seen) if seen.size else []
                if seen.inode not in before and self._differs(seen, alike):
                    others.append(seen.inode)
                    continue
                if self._waits(seen, alike, before, now):
                    continue
                least = _LEAST_BYTES if seen.inode in at_first else 0
                known = [
                    one
                    for one in alike
                    if one.inode in read or one.inode in others or one.inode in self._known
                ]
                if known and self._broken.get(seen.inode) == seen:
                    continue
                self._broken.pop(seen.inode, None)
                verdict = self._is_copy(seen, known, least)
                if verdict is None:
                    self._broken[seen.inode] = seen
                elif verdict:
                    self._known[seen.inode] = (seen.size, seen.changed)
                else:
                    others.append(seen.inode)
            except UnreadableError:
                self.unreadable = True
        return set(others)

    def _differs(self, seen: Seen, alike: list[Seen]) -> bool:
        """Whether a file is no copy, as far as there is one already."""
        return bool(seen.size) and all(is_beginning(seen, other) is False for other in alike)

    def _waits(
        self,
        seen: Seen,
        alike: list[Seen],
        before: dict[Inode, tuple[Seen, float, float]],
        now: float,
    ) -> bool:
        """Whether it is too soon to tell."""
        last, since, first = before.get(seen.inode, (None, now, now))
        since = since if last == seen else now
        settled = (
            now - since >= self._settle_seconds
            or now - first >= _LONGEST_SECONDS
            # What changed long ago by the clock of the disk, which may be another one than ours.
            or time.time() - seen.changed / 1e9 >= self._settle_seconds + _LONGEST_SECONDS
        )
        # What those are must be known first.
        if settled and seen.size and not any(one in self.unsettled for one in alike):
            return False
        self._held[seen.inode] = (seen, since, first)
        if not settled:
            self.due = True
            if seen.size:
                self.unsettled.append(seen)
        return True

    def _is_copy(self, seen: Seen, others: Sequence[Seen], least: int) -> bool | None:
        """Whether a file of so many bytes at least is a copy of another; None if it breaks off."""
        for other in others:
            whole = is_beginning(seen, other)
            if whole is None:
                self._say(seen, "%s breaks off, and begins as %s does: it is waited for", other)
                return None
            if whole and len(content(seen, 0, least) or b"") >= least:
                self._say(seen, "%s holds what %s begins with: it is not learnt again", other)
                return True
        return False

    def _say(self, seen: Seen, what: str, other: Seen) -> None:
        if seen.inode not in self._said:
            self._said.add(seen.inode)
            _log.warning(what, seen.path, other.path)


class _Family:
    """Files of the same logs, and how they begin."""

    def __init__(self, found: Iterable[Seen], logs: Logs) -> None:
        self._logs = logs
        self._members: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        for seen in found:
            self._members[logs.key(seen.path)].append(seen)
        self._firsts: dict[Inode, bytes | None] = {}

    def alike(self, seen: Seen) -> list[Seen]:
        """Return which files of the same log begin as one does; all, if it cannot be read yet."""
        folder, log = self._logs.key(seen.path)
        # Rotated files may have a folder within that of their log.
        members = [
            one
            for place in {folder, os.path.dirname(folder)}
            for one in self._members.get((place, log), ())
            if one.inode != seen.inode
        ]
        first = self._first(seen) or b"" if members else b""
        return [one for one in members if (self._first(one) or b"").startswith(first)]

    def _first(self, seen: Seen) -> bytes | None:
        if seen.inode not in self._firsts:
            self._firsts[seen.inode] = content(seen, 0, _FIRST_BYTES)
        return self._firsts[seen.inode]


def may_be_copy(seen: Seen, watched: Collection[Inode], logs: Logs) -> bool:
    """Whether, as its name tells, a file is perhaps a copy of another one.

    Parameters
    ----------
    seen
        A file that is not known yet.
    watched
        Those that match what is followed, and are not only rotated from what does.
    logs
        Which belong together.
    """
    # What is empty cannot be seen to be compressed, so what comes would be taken for lines.
    if not seen.size and seen.path.endswith(COMPRESSED):
        return True
    if seen.inode not in watched:
        return next(earlier_names(os.path.basename(seen.path)), None) is not None
    # Where each day has a file of its own, which may begin as the others do, it is none.
    return logs.is_rotated(seen.path) and logs.has_live(seen.path)
