"""Bytes to records: lines, events of several lines, fields of JSON lines."""

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_w2v.connectors.lines import Cutter
from stream_w2v.errors import ConfigError

LIMIT = 12


def cut_all(cutter, pieces, ended=True):
    """Cut bytes that come in pieces; return the records, and the dead ones with their places."""
    records, dead = [], []
    rest, skipping, at = b"", False, 0
    for number, piece in enumerate(pieces):
        rest += piece
        cut = cutter.cut(rest, ended=ended and number == len(pieces) - 1, skipping=skipping)
        start = 0
        for end in cut.ends.tolist():
            records.append(bytes(cut.data[start:end]))
            start = end
        assert start == len(cut.data)
        dead += [(at + letter.start, letter.reason, letter.value) for letter in cut.dead]
        rest, skipping, at = rest[cut.size :], cut.skipping, at + cut.size
    return records, dead, rest


def pieces_of(data, cuts):
    """Cut bytes at some places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)] or [b""]


texts = st.lists(st.sampled_from([b"a", b"b", b"\n", b"\r\n", b"long word ", b"* "])).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=5)


@settings(deadline=None, max_examples=300)
@given(texts, cuts)
def test_lines_are_those_of_the_whole_text_wherever_it_is_cut(text, where):
    """One that is too long is counted once, with its beginning, and takes nothing along."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text)
    records, dead, rest = cut_all(Cutter(LIMIT), pieces_of(text, where))
    assert records == [line for line in lines if len(line) <= LIMIT]
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    long = [(at, line) for at, line in zip(starts, lines, strict=True) if len(line) > LIMIT]
    assert [(at, value) for at, _, value in dead] == [(at, line[:LIMIT]) for at, line in long]
    assert {reason for _, reason, _ in dead} <= {"too long"}
    assert rest == b""


@settings(deadline=None, max_examples=300)
@given(texts, cuts)
def test_what_has_no_line_break_yet_waits(text, where):
    """Unless it is too long already, and then it does not take memory."""
    records, _, rest = cut_all(Cutter(LIMIT), pieces_of(text, where), ended=False)
    assert all(record.endswith(b"\n") for record in records)
    assert len(rest) <= LIMIT


@settings(deadline=None, max_examples=300)
@given(texts, cuts)
def test_events_begin_where_the_pattern_matches(text, where):
    """What comes before the first is an event, too."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text)
    events = []
    for line in lines:
        if not events or line.startswith(b"* "):
            events.append(b"")
        events[-1] += line
    records, dead, _ = cut_all(Cutter(LIMIT, record_start=r"\* "), pieces_of(text, where))
    assert records == [event for event in events if len(event) <= LIMIT]
    assert len(dead) == sum(len(event) > LIMIT for event in events)


def test_fields_of_json_lines():
    """What has no text is dead, for the reason that it has."""
    good = [json.dumps({"a": {"b": f"text {n}"}}).encode() + b"\n" for n in range(3)]
    bad = [b"rubbish\n", b"{}\n", b'{"a": {"b": 1}}\r\n', b'"\xff"\n', b"x" * 200 + b"\n"]
    mixed = [good[0], *bad[:2], good[1], *bad[2:], good[2]]
    records, dead, _ = cut_all(Cutter(100, "a.b"), mixed)
    assert records == [b"text 0", b"text 1", b"text 2"]
    assert [reason for _, reason, _ in dead] == [
        "invalid JSON", "field missing", "field is no text", "invalid UTF-8", "too long",
    ]  # fmt: skip
    whole = b"".join(mixed)
    assert all(whole[at:].startswith(value[:100]) for at, _, value in dead)


def test_a_pattern_that_cannot_work_is_refused():
    """In one line that says why."""
    with pytest.raises(ConfigError, match="record_start is no regular expression: "):
        Cutter(100, record_start="(")
    with pytest.raises(ConfigError, match="field and record_start do not go together"):
        Cutter(100, "message", "^a")
