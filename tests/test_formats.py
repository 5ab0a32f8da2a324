"""Files of word vectors: what is written comes back, and nothing else is taken for vectors."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import gensim.models
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_w2v.errors import (
    ConfigError,
    EmptyVocabularyError,
    FormatError,
    SourceNotFoundError,
    StorageError,
)
from stream_w2v.formats import Table, format_of, read_table, read_word2vec, write_table
from stream_w2v.storage import write_tensors

WORDS = ["the", "größe", "日本", "a\u00a0b", "\u200d", '"quoted"', "#", "12"]
VECTORS = np.random.default_rng(1).standard_normal((8, 5)).astype(np.float32)
COUNTS = np.arange(8, 0, -1) * 10
TABLE = Table(WORDS, VECTORS, COUNTS)

ENDINGS = [".txt", ".bin", ".safetensors", ".tsv"]
ENDINGS += [ending + ".gz" for ending in ENDINGS]

words = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\v\f\r "), min_size=1)
any_words = st.text() | st.text(" \n\ud800a")
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw, words):
    """Draw small tables."""
    keys = draw(st.lists(words, unique=True, min_size=1, max_size=6))
    shape = len(keys), draw(st.integers(1, 5))
    counts = draw(
        st.none()
        | hnp.arrays(np.int64, len(keys), elements=st.integers(0, 2**62))
        | hnp.arrays(np.float64, len(keys), elements=st.floats(0, 1e12))
    )
    return Table(keys, draw(hnp.arrays(np.float32, shape, elements=floats)), counts)


def save(path: Path, table: Table = TABLE) -> Path:
    """Write a table as the ending of its path says."""
    write_table(path, table, format_of(path))
    return path


def same(table: Table, other: Table) -> bool:
    """Tell whether two tables hold the same words and the same bits."""
    return list(table.keys) == list(other.keys) and (
        table.vectors.tobytes() == other.vectors.tobytes()
    )


def names(directory: Path) -> list[str]:
    """Return the names of all files in a directory."""
    return [path.name for path in directory.iterdir()]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_table_comes_back(tmp_path, ending):
    """Every format is found out by its content, and gives the words and numbers it was given."""
    table = read_table(save(tmp_path / f"vectors{ending}"))
    assert same(table, TABLE)
    if "txt" not in ending and "bin" not in ending:
        np.testing.assert_array_equal(table.counts, COUNTS)


@given(tables(words))
@example(Table(["a"], np.array([[1e-45, 3.4028235e38, -0.0]], np.float32)))
def test_any_words_and_numbers_come_back_from_the_plain_formats(tmp_path_factory, table):
    """Unicode words without ASCII white space and finite float32 survive to the bit."""
    base = tmp_path_factory.getbasetemp()
    assert same(read_word2vec(save(base / "v.txt", table), binary=False), table)
    assert same(read_word2vec(save(base / "v.bin", table), binary=True), table)
    again = read_table(save(base / "v.tsv", table))
    assert same(again, table)
    assert (again.counts is None) == (table.counts is None)
    if table.counts is not None:
        np.testing.assert_array_equal(again.counts, table.counts)


@given(tables(any_words))
def test_safetensors_hold_any_word(tmp_path_factory, table):
    """White space, nothing at all and broken Unicode are words to safetensors."""
    again = read_table(save(tmp_path_factory.getbasetemp() / "v.safetensors", table))
    assert same(again, table)
    if table.counts is not None:
        assert again.counts.dtype == table.counts.dtype
        np.testing.assert_array_equal(again.counts, table.counts)


@pytest.mark.parametrize("ending", [".txt", ".bin", ".txt.gz", ".bin.gz"])
def test_gensim_reads_what_is_written(tmp_path, ending):
    """To gensim our text and binary files hold the same words and the same numbers."""
    path = save(tmp_path / f"vectors{ending}")
    theirs = gensim.models.KeyedVectors.load_word2vec_format(path, binary="bin" in ending)
    assert theirs.index_to_key == WORDS
    np.testing.assert_array_equal(theirs.vectors, VECTORS)


@pytest.mark.parametrize("ending", [".txt", ".bin", ".txt.gz", ".bin.gz"])
def test_what_gensim_writes_is_read(tmp_path, ending):
    """We find the same words and the same numbers in gensim's files."""
    theirs = gensim.models.KeyedVectors(5)
    theirs.add_vectors(WORDS, VECTORS)
    path = tmp_path / f"vectors{ending}"
    theirs.save_word2vec_format(os.fspath(path), binary="bin" in ending)
    assert same(read_table(path), TABLE)


def test_gensim_reads_the_counts(tmp_path):
    """The format vocab is what gensim takes as fvocab."""
    table = Table(["a", "b"], VECTORS[:2], np.array([7.6, 2.0]))
    save(tmp_path / "v.vocab", table)
    assert (tmp_path / "v.vocab").read_text() == "a 8\nb 2\n"
    theirs = gensim.models.KeyedVectors.load_word2vec_format(
        save(tmp_path / "v.txt", table), fvocab=os.fspath(tmp_path / "v.vocab")
    )
    assert theirs.get_vecattr("a", "count") == 8


def test_the_formats_are_what_they_are_said_to_be(tmp_path):
    """Byte by byte, for someone who writes a reader."""
    table = Table(["a", "ü"], np.array([[0.5, 1], [-2, 0.1]], np.float32), np.array([9, 3]))
    assert save(tmp_path / "v.txt", table).read_text() == "2 2\na 0.5 1\nü -2 0.1\n"
    assert (
        save(tmp_path / "v.bin", table).read_bytes()
        == (b"2 2\na " + struct.pack("<2f", 0.5, 1) + b"\n\xc3\xbc " + struct.pack("<2f", -2, 0.1))
        + b"\n"
    )
    assert save(tmp_path / "v.tsv", table).read_text() == "0.5\t1\n-2\t0.1\n"
    assert (tmp_path / "v_metadata.tsv").read_text() == "word\tcount\na\t9\nü\t3\n"
    save(tmp_path / "v.tsv", Table(table.keys, table.vectors))
    assert (tmp_path / "v_metadata.tsv").read_text() == "a\nü\n"


def test_word2vec_c_files_are_read(tmp_path):
    """Its text has a space at the end of each line; both have a break after each row."""
    (tmp_path / "c.txt").write_bytes(b"2 2\n</s> 0.004 -0.002 \nthe 0.1 0.2 \n")
    assert read_table(tmp_path / "c.txt").keys == ["</s>", "the"]
    assert read_table(tmp_path / "c.txt").vectors[1].tolist() == pytest.approx([0.1, 0.2])


def test_rows_may_span_what_is_read_at_once(tmp_path):
    """Blocks of text and chunks of binary files meet in the middle of a row."""
    n, d = 9000, 40
    rows = np.random.default_rng(1).random((n, d), dtype=np.float32)
    table = Table([f"word{row}" for row in range(n)], rows)
    for ending in (".txt", ".bin", ".tsv"):
        assert same(read_table(save(tmp_path / f"v{ending}", table)), table)


def test_of_a_word_that_comes_twice_the_first_is_kept(tmp_path):
    """Files in the wild hold such words; gensim keeps the first, too."""
    (tmp_path / "v.txt").write_bytes(b"3 1\na 1\nb 2\na 3\n")
    table = read_table(tmp_path / "v.txt")
    assert table.keys == ["a", "b"]
    assert table.vectors.tolist() == [[1], [2]]


def test_a_word_that_is_not_utf8_can_be_forced(tmp_path):
    """Strictly it is an error; word2vec.c cuts long words, so there is a way."""
    (tmp_path / "v.txt").write_bytes(b"1 1\na\xc3 1\n")
    with pytest.raises(FormatError, match="holds a word that is not UTF-8"):
        read_word2vec(tmp_path / "v.txt")
    assert read_word2vec(tmp_path / "v.txt", errors="ignore").keys == ["a"]


# What cannot be written


@pytest.mark.parametrize("word", ["", " ", "a b", "a\tb", "a\nb", "a\r", "\x0b", "\ud800"])
@pytest.mark.parametrize("ending", [".txt", ".bin", ".tsv", ".vocab"])
def test_a_word_that_a_format_cannot_hold_is_refused(tmp_path, ending, word):
    """The error names the word and the format that could, and the old file is intact."""
    path = tmp_path / f"v{ending}"
    path.write_bytes(b"old")
    with pytest.raises(StorageError) as caught:
        save(path, Table(["a", word], VECTORS[:2], COUNTS[:2]))
    assert f"the word {word!r} is empty, holds white space" in str(caught.value)
    assert "use safetensors" in str(caught.value)
    assert names(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(tmp_path, ending, value):
    """No file holds what no reader could use."""
    rows = VECTORS.copy()
    rows[5, 2] = value
    with pytest.raises(StorageError, match=f"the vector of '{WORDS[5]}' is not finite"):
        save(tmp_path / f"v{ending}", Table(WORDS, rows))
    assert names(tmp_path) == []


def test_an_empty_table_and_missing_counts_are_refused(tmp_path):
    """There is nothing to write, and the errors say what is missing."""
    with pytest.raises(EmptyVocabularyError, match="there is no word to write to"):
        save(tmp_path / "v.txt", Table([], np.empty((0, 5), np.float32)))
    with pytest.raises(StorageError, match="these vectors came without counts"):
        save(tmp_path / "v.vocab", Table(WORDS, VECTORS))
    assert names(tmp_path) == []


@pytest.mark.parametrize("ending", [".txt", ".bin", ".safetensors", ".tsv", ".txt.gz"])
def test_a_full_disk_leaves_the_old_file(tmp_path, ending):
    """A write that really fails half-way changes nothing."""
    path = save(tmp_path / f"v{ending}")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    script = (
        "import resource, sys, numpy as np\n"
        "from stream_w2v.vectors import KeyedVectors\n"
        "from stream_w2v.errors import StorageError\n"
        "rows = np.random.default_rng(1).random((2000, 50))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: KeyedVectors([f'w{i}' for i in range(2000)], rows).save(sys.argv[1])\n"
        "except StorageError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, os.fspath(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.startswith(f"cannot write {path}: File too large; ")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


# What cannot be read


@pytest.mark.parametrize("ending", [".txt", ".bin", ".safetensors", ".txt.gz", ".bin.gz"])
def test_every_truncation_is_an_error(tmp_path, ending):
    """A file cut at any length is refused, but for a line break that nobody misses."""
    path = save(tmp_path / f"v{ending}")
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        try:
            table = read_table(path)
        except FormatError as error:
            assert os.fspath(path) in str(error)
        else:
            # Text may also end within its very last number.
            assert len(good) - size <= (12 if ending == ".txt" else 1)
            assert list(table.keys) == WORDS


@given(st.binary(max_size=300))
@example(b"1 1\n")
@example(b"0 0\n")
@example(b"3 5\n" * 40)
@example(b"\x1f\x8b" + b"\0" * 20)
@example(b"\x00" * 8 + b"{")
@example(b"\xff" * 8 + b"{")
def test_rubbish_is_refused(tmp_path_factory, content):
    """Any bytes at all are a format error or a table, never anything worse."""
    path = tmp_path_factory.getbasetemp() / "rubbish"
    path.write_bytes(content)
    for read in (
        read_table,
        lambda path: read_word2vec(path, binary=True),
        lambda path: read_word2vec(path, binary=False),
    ):
        try:
            table = read(path)
        except (FormatError, SourceNotFoundError):
            continue
        assert len(table.keys) == len(table.vectors) > 0
        assert np.isfinite(table.vectors).all()


@given(st.data())
def test_damaged_files_never_crash(tmp_path_factory, data):
    """Whatever bytes are overwritten in a good file, reading it ends in order."""
    path = tmp_path_factory.getbasetemp() / "damaged"
    name = data.draw(st.sampled_from(["v.txt", "v.bin"]))
    content = bytearray(save(tmp_path_factory.getbasetemp() / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        table = read_table(path)
    except (FormatError, SourceNotFoundError):
        return
    assert len(table.keys) == len(table.vectors) > 0


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"999999999999999999 999999999999999999\na 1\n", "cannot hold 999999999999999999 words"),
        (b"100000000 100\na 1\n", "cannot hold 100000000 words of 100 numbers"),
        (b"0 5\n", "cannot hold 0 words"),
        (b"5 0\na\nb\nc\nd\ne\n", "cannot hold 5 words of 0 numbers"),
        (b"3 1\na 1\nb 2\n          ", "expected 1 numbers"),
        (b"3 1\naaaaaaa 1\nbbbbbbb 2\n", "it ends in word 3 of 3"),
        (b"1 1\na 1\nb 2\n", "goes on after the 1 words that it promises"),
        (b"2 2\na 1 2\nb 1\n", "line 3: expected 2 numbers"),
        (b"2 2\na 1 2\nb 1 2 3\n", "line 3: expected 2 numbers"),
        (b"2 2\na 1 2\nb 1 x\n", "line 3: expected 2 numbers"),
        (b"2 2\na 1 2\n\nb 1 2\n", "line 3: expected 2 numbers"),
        (b"2 2\na 1 2\nb nan 2\n", "the vector of 'b' is not finite"),
        (b"2 2\na 1 2\nb 1e99 2\n", "the vector of 'b' is not finite"),
        (b"2 1\na 1\n 2\n", "word 2 of 2 is empty"),
        (b"2 9\na 0.1 0.2 0.3 0.4\nb 0.1 0.2 0.3 0.4 0.5\n", "line 2: expected 9 numbers"),
        (b"hello world\n", "holds no vectors that can be read: expected word2vec text"),
        (b"the 100\nof 50\n", "holds no vectors that can be read"),
        (b"", "holds no vectors that can be read"),
    ],
)
def test_damage_is_named(tmp_path, content, said, compress):
    """The error says in one line what is wrong, and allocates nothing for what is promised."""
    path = tmp_path / "v"
    path.write_bytes(compress(content))
    if compress is gzip.compress and said.startswith("cannot hold 100000000"):
        said = "cannot hold"
    with pytest.raises(FormatError) as caught:
        read_table(path)
    assert said in str(caught.value)
    assert os.fspath(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_to_a_binary_file_is_named(tmp_path):
    """Binary rows that are too few, too many, endless or not numbers are told apart."""
    row = b"a " + struct.pack("<4f", 1, 2, 3, 4)
    for content, said in {
        b"3 4\n" + row * 2 + b"b" * 9: "it ends in word 3 of 3",
        b"1 4\n" + row * 2: "goes on after the 1 words",
        b"2 4\n" + row + b"b" * 100_000: "word 2 of 2 has no end",
        b"1 4\na " + struct.pack("<4f", 1, 2, np.nan, 4): "the vector of 'a' is not finite",
    }.items():
        (tmp_path / "v.bin").write_bytes(content)
        with pytest.raises(FormatError, match=said):
            read_table(tmp_path / "v.bin")


def test_what_is_not_word2vec_is_not_read_as_word2vec(tmp_path):
    """Asked for that format, the error says what its first line should be."""
    path = save(tmp_path / "v.safetensors")
    with pytest.raises(FormatError, match="its first line is not two numbers"):
        read_word2vec(path)


def test_a_tsv_needs_its_words(tmp_path):
    """Missing, too few and damaged metadata are told apart."""
    path = save(tmp_path / "v.tsv")
    metadata = tmp_path / "v_metadata.tsv"
    metadata.write_text("word\tcount\na\tmany\n" + "b\t1\n" * 7)
    with pytest.raises(FormatError, match="holds a count that is not a number"):
        read_table(path)
    metadata.write_text("a\nb\n")
    with pytest.raises(FormatError, match="expected a line for each of 8 vectors"):
        read_table(path)
    metadata.unlink()
    with pytest.raises(SourceNotFoundError, match=f"there is no file {metadata}"):
        read_table(path)


def test_a_saved_model_is_not_a_file_of_vectors(tmp_path):
    """A safetensors file of another kind is named."""
    write_tensors(tmp_path / "model", "stream-w2v-model", 1, {}, {})
    with pytest.raises(FormatError, match="is of the kind stream-w2v-model"):
        read_table(tmp_path / "model")


# format_of


def test_the_ending_tells_the_format():
    """Each ending stands for one format, with .gz and without."""
    for path, form in {
        "a/v.txt": "word2vec",
        "v.1.bin": "word2vec-binary",
        "v.safetensors": "safetensors",
        "v.tsv": "tsv",
        "v.vocab": "vocab",
    }.items():
        assert format_of(path) == format_of(path + ".gz") == format_of(Path(path)) == form
    assert format_of("v", "tsv") == format_of("v.bin", "tsv") == "tsv"


@pytest.mark.parametrize("path", ["v", "v.gz", "v.model", "txt"])
def test_an_unknown_ending_is_refused(path):
    """The error lists the endings."""
    with pytest.raises(ConfigError, match=f"cannot tell the format of {path}: let it end in .txt"):
        format_of(path)


def test_an_unknown_format_is_refused():
    """The error lists the formats."""
    with pytest.raises(ConfigError, match=r"format must be one of word2vec, .*, not 'pickle'"):
        format_of("v.txt", "pickle")
