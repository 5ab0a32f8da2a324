"""Bytes to words, exact against Python's own string methods."""

import sys

import naive
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_w2v import Batch, text
from stream_w2v.kernel.tokenise import MAX_WORD_BYTES, PIECE_TOKENS
from stream_w2v.text import Text, TokenBlock, token_block, words_record

PRESETS = ["words", "whitespace", "log", "log, split"]
BMP = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]


def batch(records: list[bytes]) -> Batch:
    """Return records as a batch."""
    return Batch(b"".join(records), np.cumsum([len(record) for record in records], dtype=np.int64))


def pieces(blocks: list[TokenBlock]) -> list[tuple[list[bytes], bool]]:
    """Return the words of each piece, and whether its record ends there; check the hashes."""
    result = []
    for block in blocks:
        tokens = block.tokens
        begin = 0
        for end, closes in zip(tokens.ends[: block.pieces], tokens.closes, strict=False):
            found = []
            for i in range(begin, end):
                start = tokens.starts[i]
                found.append(tokens.text[start : start + tokens.lengths[i]].tobytes())
                assert tokens.hashes[i] == naive.hash_word(found[-1])
            result.append((found, bool(closes)))
            begin = end
    return result


def text_of(preset) -> Text:
    """Return how records become words under a preset of the twin, or by a callable."""
    return Text("log", split_identifiers=True) if preset == "log, split" else Text(preset)


def cut(records: list[bytes], preset) -> tuple[list[tuple[list[bytes], bool]], int, int]:
    """Return the pieces of records, the invalid characters and the oversize words."""
    blocks = list(text_of(preset).blocks(batch(records)))
    return (
        pieces(blocks), sum(block.invalid for block in blocks),
        sum(block.oversize for block in blocks),
    )  # fmt: skip


def expected(records: list[bytes], preset: str) -> tuple[list[tuple[list[bytes], bool]], int, int]:
    """Return what :func:`cut` should, by the twin."""
    result, invalid, oversize = [], 0, 0
    for record in records:
        words, more_invalid, more_oversize = naive.tokenise(record, preset)
        parts = naive.pieces(words)
        result += [(part, part is parts[-1]) for part in parts]
        invalid += more_invalid
        oversize += more_oversize
    return result, invalid, oversize


@pytest.mark.parametrize("preset", PRESETS)
def test_every_character_of_the_basic_plane_is_cut_as_python_cuts_it(preset):
    """Alone, after a letter, before one, and between two, each character does what it should."""
    records = [pattern.format(c).encode() for c in BMP for pattern in ("{}", "a{}", "{}B", "a{}b")]
    assert cut(records, preset) == expected(records, preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_characters_beyond_the_basic_plane_are_cut_as_the_twin_cuts_them(preset):
    """In plane 1 as Python says; beyond it everything is a letter, as documented."""
    codes = [*range(0x10000, 0x20000), *range(0x20000, sys.maxunicode + 1, 999), sys.maxunicode]
    records = [f"a {chr(code)}B".encode() for code in codes]
    assert cut(records, preset) == expected(records, preset)


def test_words_are_lower_cased_runs_of_letters_and_digits():
    """Some words as a person would cut them."""
    line = "The K\u00f6ln-Bonn line, ISTANBUL \u0130zmir 42nd don't e\u0301t\u00e9 \u0939\u093f\u0928\u094d\u0926\u0940 \u4e2d\u6587\n"  # noqa: E501
    assert cut([line.encode()], "words")[0][0][0] == [
        word.encode() for word in (
            "the", "k\u00f6ln", "bonn", "line", "istanbul", "i\u0307zmir", "42nd", "don", "t",
            "e\u0301t\u00e9", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u4e2d\u6587",
        )
    ]  # fmt: skip


def test_whitespace_leaves_everything_but_white_space_as_it_is():
    """Case, punctuation and NULs stay; line breaks, tabs and Unicode spaces separate."""
    line = "A-b\tC'D\u00a0\u2003e\x00f\u3000.\x1f\r\n"
    found = [b"A-b", b"C'D", b"e\x00f", b"."]
    assert cut([line.encode()], "whitespace")[0] == [(found, True)]


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_random_strings_are_cut_as_the_twin_cuts_them(preset, lines):
    """Any text of any characters is cut as Python's string methods cut it."""
    records = [line.encode() for line in lines]
    assert cut(records, preset) == expected(records, preset)


# Leads and continuations of valid and invalid sequences, and some letters between them.
BYTES = st.lists(
    st.sampled_from([b"a", b"B", b" ", b"\n", b"\x00", b"\x7f", b"\x80", b"\x8f", b"\x90", b"\x9f",
                     b"\xa0", b"\xbf", b"\xc1", b"\xc2", b"\xdf", b"\xe0", b"\xed", b"\xef",
                     b"\xf0", b"\xf4", b"\xf5", b"\xff", b"\xef\xbf\xbd", b"\xed\xa0\x80"]),
    max_size=12,
).map(b"".join)  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=1000, deadline=None)
@given(st.lists(st.binary(max_size=20) | BYTES, max_size=4))
@example([b"a\xe0\x80b", b"\xf0\x90\x80", b"\xf0\x90", b"\x80"])
def test_invalid_utf8_is_replaced_and_counted_as_python_does(preset, records):
    """Each maximal invalid prefix is one U+FFFD; one that was in the text is not counted."""
    assert cut(records, preset) == expected(records, preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_invalid_utf8_at_the_end_of_a_record_takes_nothing_of_the_next(preset):
    """A character that is cut by the end of a record is invalid on both sides."""
    records = ["a\u4e2d".encode()[:-1], b"\x80b", b"\xf0\x90\x90", b"c"]
    assert cut(records, preset) == expected(records, preset)
    assert cut(records, preset)[1] == 3


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("tail", ["", "\n", ".\r\n", " \u00a0\u3000 \n", " x", "x\n"])
@pytest.mark.parametrize("length", [4095, 4096, 4097, 8191, 8192, 8193, 13000])
def test_a_long_record_is_cut_into_pieces_by_its_words_alone(preset, length, tail):
    """Every piece but the last is full; what follows the last word begins no other one."""
    record = (" ".join(f"w{i % 700}" for i in range(length)) + tail.replace(".", " ")).encode()
    found = cut([record, b"next"], preset)
    assert found == expected([record, b"next"], preset)
    *full, last, _ = found[0]
    assert all(len(words) == PIECE_TOKENS and not closes for words, closes in full)
    assert 0 < len(last[0]) <= PIECE_TOKENS
    assert last[1]


@pytest.mark.parametrize("preset", PRESETS)
def test_words_longer_than_the_bound_are_left_out_and_counted(preset):
    """A word of 256 bytes is a word, one of 257 is not, also if a wide character crosses it."""
    bound = MAX_WORD_BYTES
    records = [
        b"a " + b"x" * bound + b" b",
        b"a " + b"x" * (bound + 1) + b" b",
        b"x" * (bound - 1) + "\u00e9 b".encode(),
        b"x" * (bound - 2) + "\u00e9 b".encode(),
        "\u4e2d".encode() * 5000 + b"\n",
        b"y" * 100_000,
    ]
    found = cut(records, preset)
    assert found == expected(records, preset)
    assert found[2] == 4


@pytest.mark.parametrize("preset", PRESETS)
def test_empty_records_are_records_without_words(preset):
    """Records of nothing, white space, line breaks or NULs are one piece each."""
    records = [b"", b"a", b"", b"\n", b" \t ", b"", b"\r\n"]
    assert [len(words) for words, _ in cut(records, preset)[0]] == [0, 1, 0, 0, 0, 0, 0]
    assert cut([b"\x00", b"a\x00b"], "words")[0] == [([], True), ([b"a", b"b"], True)]


@pytest.mark.parametrize("text", [*PRESETS, str.split])
def test_an_empty_batch_gives_no_piece(text):
    """A batch without records, as an idle source yields it, is nothing."""
    assert cut([], text) == ([], 0, 0)


@pytest.mark.parametrize("data", [bytearray(b"a b\nc"), memoryview(b"a b\nc")])
def test_a_batch_may_hold_any_buffer(data):
    """The bytes of a batch may be bytes, a bytearray or a memoryview."""
    blocks = list(Text("words").blocks(Batch(data, np.array([4, 5]))))
    assert pieces(blocks) == [([b"a", b"b"], True), ([b"c"], True)]


def test_ends_may_be_any_array_in_any_batch():
    """Read-only, unaligned, of another type or with gaps, one after the other."""
    text, ends = Text("words"), np.array([3, 5])
    frozen = ends.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"x" + ends.tobytes(), dtype=np.uint8)[1:].view(np.int64)
    for kind in (ends, frozen, unaligned, ends.astype(np.int32), np.array([3, 0, 5, 0])[::2]):
        found = pieces(list(text.blocks(Batch(b"a b c", kind))))
        assert found == [([b"a", b"b"], True), ([b"c"], True)]


# Block boundaries.


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("words", [1, 2, 3, 7, 20])
def test_a_block_may_end_at_any_word(monkeypatch, preset, words):
    """However few words a block holds, the pieces are the same."""
    rng = np.random.default_rng(words)
    records = [
        b" ".join([b"w%d" % i for i in range(rng.integers(0, words + 1))]) + b"\xff \n"[: i % 4]
        for i in range(50)
    ]
    if preset == "whitespace":
        records = [record.replace(b"\xff", b"\t") for record in records]
    whole = cut(records, preset)
    monkeypatch.setattr(text, "_BLOCK_WORDS", words)
    assert len(list(text_of(preset).blocks(batch(records)))) > 10
    assert cut(records, preset) == whole == expected(records, preset)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("room", [60, 61, 62, 63, 64, 65, 66, 67, 100])
def test_a_block_may_end_at_any_byte(monkeypatch, preset, room):
    """However few bytes a block holds, the pieces and all that is counted are the same."""
    line = "a\u00e9 \u4e2d\u6587x, \U00010400\u0130Y" + "z" * 20
    records = [line.encode()[:length] for length in range(len(line.encode()) + 1)] * 3
    whole = cut(records, preset)
    # Of the room there are 24 bytes that no word uses.
    monkeypatch.setattr(text, "_BLOCK_TEXT", room)
    assert len(list(text_of(preset).blocks(batch(records)))) > 10
    assert cut(records, preset) == whole == expected(records, preset)


def test_a_block_may_end_within_a_long_record(monkeypatch):
    """A record of several pieces may be spread over blocks; going back goes to a piece's start."""
    records = [b"x " * 6000, b"\xff" * 300 + b" y" * 9000 + b"\xff", b"z" * 300 + b" z"]
    whole = cut(records, "words")
    monkeypatch.setattr(text, "_BLOCK_WORDS", 5000)
    assert len(list(Text("words").blocks(batch(records)))) > 3
    assert cut(records, "words") == whole == expected(records, "words")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=30), st.data())
def test_how_records_are_grouped_changes_no_piece(lines, data):
    """Two batches give the pieces of one."""
    records = [line.encode() for line in lines]
    place = data.draw(st.integers(0, len(records)))
    first, second = cut(records[:place], "words"), cut(records[place:], "words")
    together = tuple(a + b for a, b in zip(first, second, strict=True))
    assert together == cut(records, "words")


# Callables, and words that were cut already.


def test_a_callable_cuts_each_record_without_its_line_break():
    """It gets the decoded text, and invalid characters are replaced and counted before."""
    seen = []

    def tokenizer(line: str) -> list[str]:
        seen.append(line)
        return line.upper().split(",")

    records = [b"a,b\r\n", b"", "\ufffd".encode(), b"\xff,\xe4\xb8\n", b" c\n\n"]
    found, invalid, oversize = cut(records, tokenizer)
    assert seen == ["a,b", "", "\ufffd", "\ufffd,\ufffd", " c"]
    assert [[word.decode() for word in words] for words, _ in found] == [
        ["A", "B"], [], ["\ufffd"], ["\ufffd", "\ufffd"], [" C"],
    ]  # fmt: skip
    assert (invalid, oversize) == (2, 0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=20) | BYTES, max_size=4))
def test_a_callable_that_does_what_a_preset_does_gives_the_same(records):
    """The slower path gives the words, the hashes and the counts of the fast one."""
    assert cut(records, str.split) == cut(records, "whitespace")


def test_a_callable_may_return_any_iterable():
    """A generator is as good as a list."""
    assert cut([b"a b"], lambda line: (word for word in line.split()))[0][0][0] == [b"a", b"b"]


def test_an_error_in_a_callable_passes_through():
    """Nothing is swallowed: the caller sees what went wrong in their own code."""
    with pytest.raises(ZeroDivisionError):
        cut([b"a"], lambda line: [str(1 / 0)])


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, 8192, 9000])
def test_words_cut_already_make_the_pieces_of_their_text(length):
    """A list of words and the text that they make give the same pieces."""
    words = [f"w{i % 500}" for i in range(length)]
    packed = pieces([token_block([words_record(words)])])
    assert packed == cut([" ".join(words).encode()], "whitespace")[0]


def test_words_cut_already_may_hold_anything():
    """Empty ones are left out, oversize ones counted, lone surrogates replaced as in a text."""
    block = token_block(
        [words_record(["", "a b", "x" * 257, "x" * 256, "\ud800", "\x00"]), words_record([])]
    )
    found = [b"a b", b"x" * 256, "\ufffd\ufffd\ufffd".encode(), b"\x00"]
    assert pieces([block]) == [(found, True), ([], True)]
    assert (block.invalid, block.oversize) == (3, 1)


@pytest.mark.parametrize("how", ["words", "log", str.split])
@pytest.mark.parametrize("ends", [[5, 3], [-1, 3], [2], [4], [2, 9]])
def test_ends_that_do_not_fit_the_data_are_refused(how, ends):
    """Compiled code trusts them, so they are checked before."""
    with pytest.raises(ValueError, match="the ends of a batch"):
        list(Text(how).blocks(Batch(b"abc", np.array(ends))))
