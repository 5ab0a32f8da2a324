"""Which files there are that may be followed: those that match, and what they were rotated to."""

from __future__ import annotations

import errno
import glob
import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from stream_w2v.connectors.content import Inode, Seen
from stream_w2v.connectors.rotation import is_rotated

_GRANULARITY_NS = 3_000_000_000
"""How exact a file system's times are, at worst."""

_VERDICTS = 100_000
"""How many names are remembered, with what they say."""


class Folders:
    """The files that patterns mean, and the folders in which they and their rotated ones lie.

    Parameters
    ----------
    patterns
        Absolute paths and globs.

    Attributes
    ----------
    paths
        Those that match, and what was there when it was looked last.
    closed
        Folders that could not be looked into the last time: what they hold is not known.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.paths: dict[str, Seen | None] = {}
        self.closed: set[str] = set()
        self._patterns = patterns
        self._rotated: dict[str, list[str]] = {}  # folders, and of which names rotated files are
        self._changed: dict[str, int] = {}  # when these folders changed
        self._verdicts: dict[tuple[str, str], bool] = {}  # whether a name there is of a rotated one
        self._entries: frozenset[tuple[str, int]] = frozenset()

    def match(self, known: Collection[int]) -> bool:
        """See which paths match by now; return whether any name that matters has changed.

        Parameters
        ----------
        known
            Inode numbers of what matters whatever it is called.
        """
        if self._is_unchanged():
            return False
        paths: list[str] = []
        before, self._rotated = self._rotated, {}
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
        self.paths = {path: self.paths.get(path) for path in paths}
        if self._rotated != before:
            self._verdicts = {}
        entries = frozenset(
            (entry.path, entry.inode())
            for folder in self._rotated
            for entry in self._scan(folder)
            if entry.inode() in known or entry.path in self.paths or self._is_rotated(folder, entry)
        )
        changed = entries != self._entries
        self._entries = entries
        return changed

    def forget(self) -> None:
        """Match anew the next time, though no folder has changed. From a signal handler, too."""
        self._changed = {}

    def _is_unchanged(self) -> bool:
        """Whether no folder that may hold our files has changed since the last time."""
        before, self._changed = self._changed, {}
        for folder in self._rotated:
            with suppress(OSError):
                self._changed[folder] = os.stat(folder).st_mtime_ns
        # A change just now may not show in the time of a folder that has changed just before.
        past = time.time_ns() - _GRANULARITY_NS
        return (
            bool(before)
            and before == self._changed
            and all(changed < past for changed in before.values())
            and not any(glob.has_magic(os.path.dirname(pattern)) for pattern in self._patterns)
        )

    def listing(self, known: Collection[int]) -> dict[Inode, Seen]:
        """Return the files that match, those that they may have been rotated to, and known ones."""
        self.closed = set()
        found: dict[Inode, Seen] = {}
        for seen in self.paths.values():
            if seen is not None:
                found.setdefault(seen.inode, seen)
        for folder in self._rotated:
            for entry in self._scan(folder):
                # What is known may have a name that nobody could have guessed.
                if entry.inode() in known or self._is_rotated(folder, entry):
                    self._add(found, folder, entry)
        return found

    def everything(self, folders: Collection[str]) -> dict[Inode, Seen]:
        """Return all files in some folders, whatever they are called."""
        found: dict[Inode, Seen] = {}
        for folder in folders:
            for entry in self._scan(folder):
                self._add(found, folder, entry)
        return found

    def _scan(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                yield from entries
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            self.closed.add(folder)

    def _add(self, found: dict[Inode, Seen], folder: str, entry: os.DirEntry[str]) -> None:
        try:
            status = entry.stat()
        except OSError as error:
            # A link may lead nowhere, or to itself.
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                self.closed.add(folder)
            return
        if stat.S_ISREG(status.st_mode):
            seen = Seen.of(entry.path, status)
            found.setdefault(seen.inode, seen)

    def _is_rotated(self, folder: str, entry: os.DirEntry[str]) -> bool:
        """Whether a file there may be what one of ours was rotated to, by its name."""
        name = entry.name
        verdict = self._verdicts.get((folder, name))
        if verdict is None:
            if len(self._verdicts) > _VERDICTS:
                self._verdicts.clear()
            verdict = any(is_rotated(name, pattern) for pattern in self._rotated[folder])
            self._verdicts[folder, name] = verdict
        return verdict
