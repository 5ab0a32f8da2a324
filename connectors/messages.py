"""What a message says: its text, or why it has none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TOMBSTONE = "no value"
TOO_LONG = "too long"
NO_UTF8 = "invalid UTF-8"
NO_JSON = "invalid JSON"
NO_FIELD = "field missing"
NO_TEXT = "field is no text"


class UnreadableError(ValueError):
    """A message has no text; the only argument is the reason, one of the constants above."""


class Messages:
    """Reads messages.

    Parameters
    ----------
    field
        Where the text is in a message that is a JSON object: a name, or several with dots between
        them for objects inside objects. Without it the message itself is the text.
    max_bytes
        Longest message.
    """

    def __init__(self, field: str | None = None, max_bytes: int = 1 << 20) -> None:
        self._path = None if field is None else field.split(".")
        self._max_bytes = max_bytes

    def text(self, value: bytes | None) -> bytes:
        """Return a message's text, as UTF-8.

        Raises
        ------
        UnreadableError
            If it has none.
        """
        if value is None:
            raise UnreadableError(TOMBSTONE)
        if len(value) > self._max_bytes:
            raise UnreadableError(TOO_LONG)
        try:
            decoded = value.decode()
        except UnicodeDecodeError as error:
            raise UnreadableError(NO_UTF8) from error
        return value if self._path is None else self._field(decoded, self._path)

    def _field(self, message: str, path: list[str]) -> bytes:
        try:
            found: Any = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise UnreadableError(NO_JSON) from error
        for name in path:
            if not isinstance(found, Mapping) or name not in found:
                raise UnreadableError(NO_FIELD)
            found = found[name]
        if not isinstance(found, str):
            raise UnreadableError(NO_TEXT)
        try:
            return found.encode()
        except UnicodeEncodeError as error:
            # A lone surrogate, which JSON can say and UTF-8 cannot.
            raise UnreadableError(NO_UTF8) from error
