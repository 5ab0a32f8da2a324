"""Where messages go that could not be learnt: a file of JSON lines, for people to look at."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stream_w2v.storage import StrPath, storage_error


class DeadLetter(NamedTuple):
    """A message that was not learnt.

    Attributes
    ----------
    part, offset
        Where it is.
    reason
        Why it was not learnt.
    value
        The message.
    """

    part: str
    offset: int
    reason: str
    value: bytes | None


class DeadLettersFile:
    """Appends dead letters to a file, one JSON object a line, with the value as base64.

    They are on the disk before what is learnt with them can be in a checkpoint. After a crash some
    are written again: part and offset tell.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """

    def __init__(self, path: StrPath) -> None:
        self._path = path
        try:
            torn = self._is_torn()
        except OSError as error:
            raise storage_error(path, error) from error
        self._write("\n" if torn else "")

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Append some."""
        lines = [
            json.dumps(
                {
                    "part": letter.part,
                    "offset": letter.offset,
                    "reason": letter.reason,
                    "value": None if letter.value is None else b64encode(letter.value).decode(),
                }
            )
            for letter in letters
        ]
        self._write("".join(f"{line}\n" for line in lines))

    def _is_torn(self) -> bool:
        """Whether somebody was killed inside the last line."""
        path = Path(self._path)
        if not path.is_file() or path.stat().st_size == 0:
            return False
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"

    def _write(self, text: str) -> None:
        try:
            with open(self._path, "a", encoding="utf-8") as file:  # noqa: PTH123 - may be a str
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise storage_error(self._path, error) from error
