"""What a message says: nothing but text comes out, and nothing but a reason is raised."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_w2v.connectors.messages import (
    NO_FIELD,
    NO_JSON,
    NO_TEXT,
    NO_UTF8,
    TOMBSTONE,
    TOO_LONG,
    Messages,
    UnreadableError,
)

BAD = {
    None: TOMBSTONE,
    b"x" * 1001: TOO_LONG,
    b"\xff\xfe": NO_UTF8,
    b'{"user": {"text": "\xc3"}}': NO_UTF8,
    b'{"user": {"text": "\\ud800"}}': NO_UTF8,
    b"": NO_JSON,
    b"no JSON": NO_JSON,
    b'{"user": {"text": "cut sho': NO_JSON,
    b"[" * 1000: NO_JSON,
    b'{"user": ' + b"9" * 900: NO_JSON,
    b"[1, 2]": NO_FIELD,
    b'"text"': NO_FIELD,
    b"{}": NO_FIELD,
    b'{"user": "text"}': NO_FIELD,
    b'{"user": {"texts": "a"}}': NO_FIELD,
    b'{"user": {"text": null}}': NO_TEXT,
    b'{"user": {"text": 5}}': NO_TEXT,
    b'{"user": {"text": ["a"]}}': NO_TEXT,
}
"""Messages that have no text at user.text, and why."""


@pytest.mark.parametrize("value", BAD)
def test_every_kind_of_bad_message_has_its_reason(value):
    """The reason is the error's only argument."""
    with pytest.raises(UnreadableError) as caught:
        Messages("user.text", 1000).text(value)
    assert caught.value.args == (BAD[value],)


def test_the_text_is_the_message_or_a_field_of_it():
    """With dots between the names of objects inside objects; of any length that is allowed."""
    assert Messages().text("größe".encode()) == "größe".encode()
    assert Messages().text(b"") == b""
    assert Messages(max_bytes=3).text(b"abc") == b"abc"
    assert Messages("a").text(b'{"a": "b\\u00e4", "c": 1}') == "bä".encode()
    assert Messages("a.b.c").text(b'{"a": {"b": {"c": ""}}}') == b""


@given(st.none() | st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_text_or_a_reason(value):
    """Never another error."""
    for messages in (Messages(), Messages("a", 50)):
        try:
            assert messages.text(value).decode() is not None
        except UnreadableError as error:
            assert error.args[0] in {*BAD.values()}


@given(st.text(), st.dictionaries(st.text(), st.integers() | st.text()))
def test_a_field_is_found_among_others(text, others):
    """As json writes it, escaped or not."""
    for ascii in (True, False):
        value = json.dumps({**others, "a": {**others, "b": text}}, ensure_ascii=ascii).encode()
        assert Messages("a.b").text(value) == text.encode()
