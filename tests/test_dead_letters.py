"""Dead letters in a file: JSON lines, whatever happened to the one before."""

from __future__ import annotations

import json

import pytest

from stream_w2v.connectors.dead_letters import DeadLetter, DeadLettersFile
from stream_w2v.errors import StorageError

LETTER = DeadLetter("kafka://t/0", 7, "no value", None)


def test_a_line_that_was_torn_spoils_no_other(tmp_path):
    """Somebody was killed while writing it."""
    path = tmp_path / "dead.jsonl"
    DeadLettersFile(path).write([LETTER])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    for _ in range(2):
        DeadLettersFile(path).write([LETTER])
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines == [whole, whole[:20] + b"\n", whole, whole]
    assert json.loads(whole)["offset"] == 7


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    """When it is named, not at the first letter."""
    with pytest.raises(StorageError, match=r"cannot write .*; name a file in it"):
        DeadLettersFile(tmp_path)
