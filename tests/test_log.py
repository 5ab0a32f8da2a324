"""Lines of logs to words and masks, against the twin and against what the documentation says."""

import re
import time
from pathlib import Path

import naive
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_text import batch, cut, expected, text_of

from stream_w2v import Word2Vec, text
from stream_w2v.kernel.tokenise import PIECE_TOKENS
from stream_w2v.masks import MASKS

PRESETS = ["log", "log, split"]
PAGE = (Path(__file__).parent.parent / "docs" / "log-text.md").read_text(encoding="utf-8")


def log(line: str, preset: str = "log") -> str:
    """Return the words of a line, with spaces between."""
    ((words, closes),) = cut([line.encode()], preset)[0]
    assert closes
    return " ".join(word.decode() for word in words)


# The documentation.


def examples() -> list[tuple[str, str]]:
    """Return the rows of the page's table: each mask with each of its examples."""
    rows = re.findall(r"^\| (\(text\)|`<\w+>`) \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    return [(mask.strip("`"), text) for mask, cell in rows for text in re.findall("`(.*?)`", cell)]


def test_the_page_lists_every_mask_in_order_of_precedence():
    """What is not documented cannot be relied upon."""
    listed = list(dict.fromkeys(mask for mask, _ in examples()))
    assert listed == ["(text)", *dict.fromkeys(name for name, _ in MASKS if name)]


@pytest.mark.parametrize(("mask", "example"), examples())
@pytest.mark.parametrize("around", ["{}", "x {} y", "({})", "key={},", '"{}"', "[{}]", "\t{}\r\n"])
def test_every_example_of_the_page_becomes_its_mask(mask, example, around):
    """Alone and between what often stands around it in a log."""
    word = example.strip("</:") if mask == "(text)" else mask
    before, _, after = around.partition("{}")
    assert log(around.format(example)).split() == [
        *log(before).split(),
        *word.split(),
        *log(after).split(),
    ]


@pytest.mark.parametrize(
    ("before", "after"), re.findall(r"^    (.*)\n    (.*)\n", PAGE, re.MULTILINE)
)
def test_every_line_of_the_page_becomes_what_stands_below_it(before, after):
    """Whole lines, in the formats of real logs."""
    assert after in (log(before), log(before, "log, split"))


@pytest.mark.parametrize(("before", "after"), re.findall(r"`([^`]*)` is\s+`([^`]*)`", PAGE))
def test_what_the_page_says_in_passing_is_true(before, after):
    """The names in the running text."""
    assert after in (log(before), log(before, "log, split"))


# Examples.


@pytest.mark.parametrize(
    "name", ["utf8", "ipv4", "md5", "log4j", "s3", "sha256", "x509", "jk2_init", "h264", "e820"]
)
def test_a_name_with_some_digits_stays_itself(name):
    """Fewer than four digits beside letters are part of a name."""
    assert log(name) == name


@pytest.mark.parametrize(
    ("line", "words"),
    [
        # Longest match.
        ("192.0.2.44.5", "<num>"),
        ("192.0.2", "<num>"),
        ("10.0.0.1:80:x", "<ip> x"),
        ("/10.0.0.1. ", "<ip>"),
        ("/10.0.0.1/a", "<path>"),
        ("0:0:0:0:0:0:0:0:2181", "<ip> <num>"),
        ("00:1a:2b:3c:4e", "<num> 1a 2b 3c 4e"),
        ("2031-02-09 22:99", "<date> <num> <num>"),
        ("2031-02-09x", "<num> <num> 09x"),
        ("Jun 14", "jun <num>"),
        ("May be", "may be"),
        ("1e5x", "1e5x"),
        # What must stand before and after.
        ("std::vector Foo::Add", "std vector foo add"),
        ("and/or read/write", "and or read write"),
        ("x/var/log", "x var log"),
        ("file:/var/log", "file <path>"),
        ("<a>b</a>", "a b a"),
        ("https://example.org/", "https <url>"),
        ("jdbc:mysql://db1/x", "jdbc mysql <url>"),
        ("12 ms 3 GiB", "<num> ms <num> gib"),
        ("12個 /tmp/é", "12個 <path> é"),
        ("adj=0.0userId=0", "adj <num> 0userid <num>"),
        # Names.
        ("a__b_ _c_ __ _1_2", "a_b c <num>_<num>"),
        ("a_-1 a_-b a_--1 a_ -1", "a_<num> a b a <num> a <num>"),
        ("f_2031-02-09.gz", "f_<date> gz"),
        ("user20310209x_9f4ef6_12ms", "user<num>x_<hex>_<duration>"),
        ("é_1 中_文 a_\u0301b", "é_<num> 中_文 a b"),
        ("a_https://b", "a_https <url>"),
    ],
)  # fmt: skip
def test_a_line_is_cut_as_a_person_would(line, words):
    """What is longest counts, if it stands by itself."""
    assert log(line) == words == " ".join(naive.log(line))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("addStoredBlock", "add stored block"),
        ("HTTPServerError", "http server error"),
        ("getURL", "get url"),
        ("X509Certificate", "x509 certificate"),
        ("B2B x86ISA", "b2b x86isa"),
        ("ÉtatInitial e\u0301TAT", "état initial e\u0301 tat"),
        ("job1700000000001Done", "job<num> done"),
        ("HttpServer://a", "http server <url>"),
    ],
)
def test_a_name_in_parts_is_cut_where_its_case_changes(name, parts):
    """At a capital after a small letter, and at the last capital before one."""
    assert log(name, "log, split") == parts
    assert log(name) != parts or " " in name


def test_a_saved_model_goes_on_cutting_as_it_did(tmp_path):
    """The preset and its option are in the file, and in a copy."""
    model = Word2Vec(vector_size=4, min_count=1, text="log", split_identifiers=True)
    model.learn_one("addStoredBlock blk_20310209 from 192.0.2.44")
    model.save(tmp_path / "model")
    loaded = Word2Vec.load(tmp_path / "model")
    for each in (model, loaded, model.copy()):
        assert each.config.split_identifiers
        each.learn_one("maxRetryCount=7")
        assert sorted(each.snapshot().index_to_key) == sorted(
            ["add", "stored", "block", "blk", "<num>", "from", "<ip>", "max", "retry", "count"]
        )


# Against the twin.

FRAGMENTS = [
    *(example for _, example in examples()),
    *"017abfFzZeETéÉ中µ\u0301\u00b2_-:/\\.~,;?=%()[]<>\"'+ \t\n\u00a0\0\U00020000\ufffd",
    "12", "123", "1234", "20310209", "0x", "__", "\U000e0100", "_-", "::", "//", "..", "  ",
    "Jan", "Sun, ", "Sun ", " AM", " +0100", " UTC 2031", "addStored", "HTTPServer", "max_retry",
    "http", "</a>", "C:", "x" * 256,
]  # fmt: skip
LINES = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
PIECES = st.lists(
    LINES.map(str.encode) | st.binary(max_size=6) | st.text(max_size=6).map(str.encode), max_size=4
).map(b"".join)


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=1000, deadline=None)
@given(LINES)
def test_a_random_line_is_cut_as_the_twin_cuts_it(preset, line):
    """Any mixture of what is recognised, and of what nearly is."""
    assert cut([line.encode()], preset) == expected([line.encode()], preset)


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=6), st.data())
def test_random_bytes_are_cut_as_the_twin_cuts_them(preset, records, data):
    """No record takes anything of the next, however they are grouped into batches."""
    whole = cut(records, preset)
    assert whole == expected(records, preset)
    place = data.draw(st.integers(0, len(records)))
    parts = cut(records[:place], preset), cut(records[place:], preset)
    assert tuple(a + b for a, b in zip(*parts, strict=True)) == whole


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=80, deadline=None)
@given(PIECES, st.integers(0, 12))
def test_a_piece_may_end_at_any_word(preset, record, before):
    """What was cut before a piece's end, and what comes after, is what it would be in one."""
    record = b"w " * (PIECE_TOKENS - before) + record
    found = cut([record, b"next"], preset)
    # An oversize word after a full piece begins one, too, in every preset.
    assume(found[2] == 0)
    assert found == expected([record, b"next"], preset)


@pytest.mark.parametrize(
    "before", [b"x", b"x9", "é".encode(), "中".encode(), "\U00020000".encode()]
)
@pytest.mark.parametrize("more", [b"", b"\x80", b"\xe4\xb8", b"-", b"\xc2\xa0"])
@pytest.mark.parametrize("after", [b"Cafe12", b"Cafe20310209", b"://a b", b"</a>"])
def test_a_piece_that_begins_within_a_name_knows_what_stands_before(before, more, after):
    """Whether something may begin there depends on the last character of the piece before."""
    record = b"w " * (PIECE_TOKENS - 1) + before + more + after
    for preset in PRESETS:
        assert cut([record], preset) == expected([record], preset)


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=6), st.integers(0, 40))
def test_a_block_may_end_anywhere(preset, records, more):
    """With as little room as one record needs, the pieces and all that is counted are the same."""
    found = expected(records, preset)
    most = max((len(words) for words, _ in found[0]), default=0)
    longest = max(map(len, records))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_BLOCK_WORDS", most + more % 3 + 1)
        patch.setattr(text, "_BLOCK_TEXT", 4 * longest + more)
        assert cut(records, preset) == found


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "unit", [b"1s ", b"1s_", b"1B ", b"1 ", b"1_", b"aB", b"\xc4\xb0 ", b"\xff"]
)
@pytest.mark.parametrize("times", [1, 2, 3, 100, 500])
def test_what_grows_most_fits_into_the_room_there_is(preset, unit, times):
    """The masks that are longest beside their text, and names of one letter."""
    assert cut([unit * times], preset) == expected([unit * times], preset)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "unit", ["/", "/-", "~/", "1.", "1s", "1.1s", "1:", "a::", "aB", ",123", "_", "a1", "://",
             "\\\\a", "Jan ", ".", "0_-"],
)  # fmt: skip
def test_a_long_line_of_anything_takes_no_longer_than_its_length(preset, unit):
    """What is read and then not matched is read again, but only a bounded number of times."""
    record = (unit * 300_000).encode()
    began = time.process_time()
    assert all(block.pieces for block in text_of(preset).blocks(batch([record])))
    # Quadratic, these would take minutes at least.
    assert time.process_time() - began < 10
