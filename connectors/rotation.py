"""What rotated log files are called, and in which order they were written."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import Any

COMPRESSED = (".gz", ".zst", ".xz", ".bz2")

_DATE = re.compile(
    r"[-_.]?(?:19|20)\d\d([-_.]?)[01]\d\1[0-3]\d"  # 20261121, 2026-11-21
    r"(?:[-_.T]?[0-2]\d(?:[-_.:]?[0-5]\d){0,2})?"  # the hour, the minute, the second
    r"(?!\d)|[-_.]\d{10}(?!\d)"  # seconds since 1970
)
_NUMBER = re.compile(r"\.(\d{1,4})(?=$|\.[A-Za-z][A-Za-z0-9]*$)")


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
    return is_dated(pattern) and undated(name) == undated(pattern)


def is_dated(name: str) -> bool:
    """Whether a name has a date in it."""
    return bool(_DATE.search(name))


def undated(name: str) -> str:
    """Return a name without its date, its number and what says that it is compressed."""
    return _DATE.sub("", _NUMBER.sub("", _uncompressed(name)))


def order(name: str, changed: int) -> tuple[Any, ...]:
    """Return what sorts the files of one log from the oldest to the newest.

    Parameters
    ----------
    name
        A file's name: a date comes before a later one and before none, a number before a lower one
        and before none.
    changed
        When it was written to, which decides if the names do not.
    """
    plain = _uncompressed(name)
    date, number = _DATE.search(plain), _NUMBER.search(plain)
    day = re.sub(r"\D", "", date[0]) if date else "~"
    return day, 0 if date or not number else -int(number[1]), changed, name


def _uncompressed(name: str) -> str:
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return name
