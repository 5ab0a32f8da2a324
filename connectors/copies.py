"""Which rotated files are copies of what is read elsewhere, or may become some yet."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from stream_w2v.connectors.content import UnreadableError, content, ending
from stream_w2v.connectors.followed import TAIL_BYTES, Inode, Seen
from stream_w2v.connectors.rotation import COMPRESSED, earlier_names, undated


class Copies:
    """The files that there are at one moment, as far as some are perhaps copies of others.

    A copy is a file with the name of a rotated one that holds what another one of the same log
    begins with. While it is being made it holds less, or nothing, and if it is compressed it cannot
    be read yet: so what changes is given time.

    Parameters
    ----------
    found
        All files.
    watched
        Those whose names match what is followed, and that are not only rotated from such.
    before
        What was so at the moment before.

    Attributes
    ----------
    due
        Whether time will tell, without a change that could be noticed.
    unreadable
        Whether some could not be read.
    """

    def __init__(
        self,
        found: Iterable[Seen] = (),
        watched: Collection[Inode] = (),
        before: Copies | None = None,
    ) -> None:
        self.due = self.unreadable = False
        self._watched = watched
        self._logs: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        for seen in found:
            folder, name = os.path.split(seen.path)
            self._logs[folder, undated(name)].append(seen)
        self._firsts: dict[Inode, bytes | None] = {}  # the first bytes of each file
        self._before = before._held if before is not None else {}
        self._held: dict[Inode, tuple[Seen, float]] = {}  # those in doubt, and since when

    def may_be(self, seen: Seen) -> bool:
        """Whether, as its name tells, a file is perhaps a copy of another one."""
        earlier = set(earlier_names(os.path.basename(seen.path)))
        if seen.inode in self._watched:
            # Where each day has a file of its own, which may begin as the others do, it is none.
            earlier &= {os.path.basename(other.path) for other in self._log(seen)}
        # What is empty cannot be seen to be compressed, so what comes would be taken for lines.
        return bool(earlier) or (not seen.size and seen.path.endswith(COMPRESSED))

    def decide(
        self, doubtful: Sequence[Seen], known: Collection[Inode], now: float, settle_seconds: float
    ) -> dict[Inode, bool]:
        """Return whether files are copies of known ones, as far as that is sure.

        Parameters
        ----------
        doubtful
            Files that may be, from the oldest to the newest.
        known
            Files that are read, or were.
        now
            The time in seconds.
        settle_seconds
            How long they must have been as they are.
        """
        decided: dict[Inode, bool] = {}
        # Of several copies the newest one holds the most.
        for seen in reversed(doubtful):
            try:
                alike = self._alike(seen)
                if (alike or not seen.size) and self._waits(seen, alike, now, settle_seconds):
                    continue
                originals = [one for one in alike if one.inode in known or one.inode in decided]
                decided[seen.inode] = bool(originals) and _is_within(seen, originals)
            except UnreadableError:
                self.unreadable = True
        return decided

    def _waits(self, seen: Seen, alike: list[Seen], now: float, settle_seconds: float) -> bool:
        before, since = self._before.get(seen.inode, (None, now))
        since = since if before == seen else now
        settled = now - since >= settle_seconds
        # What those are must be known first.
        if settled and seen.size and not any(other.inode in self._held for other in alike):
            return False
        self._held[seen.inode] = (seen, since)
        self.due = self.due or not settled
        return True

    def _log(self, seen: Seen) -> list[Seen]:
        """Return the files of the same log; rotated ones may have a folder within its folder."""
        folder, name = os.path.split(seen.path)
        places = {folder, os.path.dirname(folder)}
        return [one for place in places for one in self._logs.get((place, undated(name)), ())]

    def _alike(self, seen: Seen) -> list[Seen]:
        """Return which files of the same log begin as one does; all, if it cannot be read yet."""
        log = self._log(seen)
        for one in (seen, *log):
            if one.inode not in self._firsts:
                self._firsts[one.inode] = content(one.path, 0, TAIL_BYTES)
        first = self._firsts[seen.inode] or b""
        return [
            other
            for other in log
            if other.inode != seen.inode and (self._firsts[other.inode] or b"").startswith(first)
        ]


def _is_within(seen: Seen, others: Sequence[Seen]) -> bool:
    """Whether another file is as one is, which begins alike, at the end of that one, too."""
    end = ending(seen.path, seen.size, TAIL_BYTES)
    if end is None:
        return False
    size, last = end
    start = size - len(last)
    return any(content(other.path, start, len(last)) == last for other in others)
