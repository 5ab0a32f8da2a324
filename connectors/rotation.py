"""What rotated log files are called, and in which order they were written."""

from __future__ import annotations

import fnmatch
import os
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from typing import Any

COMPRESSED = (".gz", ".zst", ".xz", ".bz2")

_DATE = re.compile(
    r"[-_.]?(?:19|20)\d\d([-_.]?)[01]\d\1[0-3]\d"  # 20261121, 2026-11-21
    r"(?:[-_.T]?[0-2]\d(?:[-_.:]?[0-5]\d){0,2})?"  # the hour, the minute, the second
    r"(?!\d)|[-_.]\d{10}(?!\d)"  # seconds since 1970
)
_NUMBER = re.compile(r"\.(\d{1,3})(?=$|\.[A-Za-z][A-Za-z0-9]*$)")
_LAST_NUMBER = re.compile(r"\.\d{1,3}$")


def earlier_names(name: str) -> Iterator[str]:
    """Yield what a rotated file may have been called when it was written to.

    ``app.log.1``, ``app.log-20261121.gz``, ``app-2026-11-21.log`` and ``app.1.log`` may have been
    ``app.log``.
    """
    plain = _uncompressed(name)
    unnumbered = _NUMBER.sub("", plain)
    for earlier in dict.fromkeys(
        (plain, unnumbered, _DATE.sub("", plain), _DATE.sub("", unnumbered))
    ):
        if earlier != name:
            yield earlier


def is_rotated(name: str, pattern: str) -> bool:
    """Whether a file may be what a file was rotated to whose name matches a pattern (fnmatch)."""
    if any(fnmatch.fnmatchcase(earlier, pattern) for earlier in earlier_names(name)):
        return True
    # Where each day has a file of its own, the other days' are what it was before.
    return is_dated(pattern) and _undated(name) == _undated(pattern)


def is_dated(name: str) -> bool:
    """Whether a name has a date in it."""
    return bool(_DATE.search(name))


class Logs:
    """To which log each of some files belongs, as their names and those beside them tell.

    ``server.1.log`` is what ``server.log`` was rotated to if that is there, and else a log itself.

    Parameters
    ----------
    paths
        Of all files, those in question among them.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._names: dict[str, set[str]] = defaultdict(set)
        self._logs: dict[str, str] = {}
        for path in paths:
            folder, name = os.path.split(path)
            self._names[folder].add(name)

    def of(self, path: str) -> str:
        """Return the name of a file's log."""
        log = self._logs.get(path)
        if log is None:
            folder, name = os.path.split(path)
            log = self._logs[path] = self._of(name, self._names[folder])
        return log

    def key(self, path: str) -> tuple[str, str]:
        """Return the folder of a file and the name of its log, which no other log has."""
        return os.path.dirname(path), self.of(path)

    def _of(self, name: str, beside: Container[str]) -> str:
        *_, earlier = None, *(one for one in earlier_names(name) if one in beside)
        if earlier is not None:
            return self._of(earlier, beside)
        return _DATE.sub("", _LAST_NUMBER.sub("", _uncompressed(name)))

    def is_rotated(self, path: str) -> bool:
        """Whether a file's name is not that of its log."""
        return os.path.basename(path) != self.of(path)

    def has_live(self, path: str) -> bool:
        """Whether there is a file with the name of the log, beside one or in the folder above."""
        folder, log = self.key(path)
        return any(log in self._names[place] for place in (folder, os.path.dirname(folder)))

    def order(self, path: str, changed: int = 0) -> tuple[Any, ...]:
        """Return what sorts the files of one log from the oldest to the newest.

        A date comes before a later one and before none, a number before a lower one and before
        none.

        Parameters
        ----------
        path
            A file.
        changed
            When it was written to, which decides if the names do not.
        """
        if not self.is_rotated(path):
            return "~", 0, changed, path
        plain = _uncompressed(os.path.basename(path))
        date, number = _DATE.search(plain), _NUMBER.search(plain)
        day = re.sub(r"\D", "", date[0]) if date else "~"
        return day, 0 if date or not number else -int(number[1]), changed, path


def _undated(name: str) -> str:
    """Return a name without its date, its number and what says that it is compressed."""
    return _DATE.sub("", _NUMBER.sub("", _uncompressed(name)))


def _uncompressed(name: str) -> str:
    # So logrotate calls what was in its way.
    name = name.removesuffix(".backup")
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return name
