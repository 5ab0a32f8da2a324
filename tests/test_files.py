"""FileSource: every byte once, records that nothing but the content decides, clear errors."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_w2v.connectors import FileSource, files, inputs
from stream_w2v.connectors.files import record_ends
from stream_w2v.errors import ConfigError, SourceError, SourceNotFoundError
from stream_w2v.stream import Batch, dead_letters

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BOM = b"\xef\xbb\xbf"
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstd.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
# The bytes that decide about cuts, crowded together, and a few others.
contents = (
    st.lists(
        st.sampled_from([b"\n", b" ", b"a", b"bcdefgh", b"\r\n", b"\0", b"\t"])
        | st.text(max_size=5).map(lambda text: text.encode())
        | st.binary(max_size=5),
        max_size=60,
    )
    .map(b"".join)
    # Hypothesis finds the magic numbers in the source, but backwards too these are to be texts.
    .filter(lambda content: not content.startswith(inputs._MAGICS))
    .filter(lambda content: not content[::-1].startswith(inputs._MAGICS))
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file that the examples of one property may overwrite in turn."""
    return tmp_path_factory.mktemp("scratch") / "content"


def places(offsets: dict[Any, int], *finished: Any) -> dict[str, Any]:
    """Return positions."""
    return {
        str(path): {"next": offset, "finished": path in finished}
        for path, offset in offsets.items()
    }


def bare(positions: Mapping[str, Any]) -> dict[str, Any]:
    """Return positions without what tells the bytes before them from others."""
    return {
        path: {key: value for key, value in place.items() if key != "tail"}
        if isinstance(place, dict)
        else place
        for path, place in positions.items()
    }


def records_of(batches: Iterable[Batch]) -> list[bytes]:
    """Take batches apart, and check that they are as the contract says."""
    records = []
    for batch in batches:
        data = bytes(batch.data)
        starts = [0, *batch.ends[:-1]]
        assert batch.ends.dtype == np.int64
        assert not len(batch) or batch.ends[-1] == len(data)
        records += [data[start:end] for start, end in zip(starts, batch.ends, strict=False)]
    return records


def read(*paths: str | Path, **options: Any) -> list[bytes]:
    """Return all records of the files."""
    with FileSource(paths, **options) as source:
        return records_of(source)


def whole_lines(content: bytes) -> list[bytes]:
    """Return the lines that have their line break."""
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def naive_records(content: bytes, limit: int) -> list[bytes]:
    """Cut lines as the documentation says, one byte at a time."""
    records = []
    while content:
        length = content.find(b"\n") + 1 or len(content)
        if length > limit:
            spaces = [i for i in range(limit) if content[i : i + 1] in b" \t\r\v\f"]
            boundaries = [i for i in range(limit - 3, limit + 1) if content[i] & 0xC0 != 0x80]
            length = spaces[-1] + 1 if spaces else (boundaries or [limit])[-1]
        records.append(content[:length])
        content = content[length:]
    return records


# Records


def test_lines_are_records_with_their_line_breaks(tmp_path: Path) -> None:
    """A record is a line with its break; the last line needs none; nothing else is special."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\ntwo\r\n\0three\x0b\xff\nfour")
    assert read(path) == [b"one\n", b"\n", b"two\r\n", b"\0three\x0b\xff\n", b"four"]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    """An empty file is no error, and contributes nothing."""
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.gz").touch()
    assert read(tmp_path / "a.txt", tmp_path / "b.gz") == []


def test_a_byte_order_mark_belongs_to_no_record(tmp_path: Path) -> None:
    """A mark at a file's start is passed over, counted in the position, and left alone inside."""
    (tmp_path / "a").write_bytes(BOM + b"one\n" + BOM + b"two\n")
    (tmp_path / "b").write_bytes(gzip.compress(BOM + b"three"))
    (tmp_path / "c").write_bytes(BOM[:2])
    (tmp_path / "d").write_bytes(BOM)
    with FileSource(tmp_path / "*", batch_bytes=1) as source:
        batches = list(source)
    assert records_of(batches) == [b"one\n", BOM + b"two\n", b"three", BOM[:2]]
    assert bare(batches[0].positions) == places({tmp_path / "a": 7})


def test_no_byte_order_mark_is_looked_for_after_a_restart(tmp_path: Path) -> None:
    """The same three bytes in the middle of a file are content."""
    path = tmp_path / "a"
    path.write_bytes(b"one\n" + BOM + b"two\n")
    with FileSource(path) as source:
        source.seek(places({path: 4}))
        assert records_of(source) == [BOM + b"two\n"]


def test_a_long_line_is_cut_after_the_last_space_that_fits(tmp_path: Path) -> None:
    """Words stay whole where they can."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"one two three\nfour five\n")
    assert read(path, max_record_bytes=10) == [b"one two ", b"three\n", b"four five\n"]


def test_a_long_word_is_cut_between_characters(tmp_path: Path) -> None:
    """A character is never torn; bytes that are no UTF-8 are cut at the limit."""
    path = tmp_path / "a.txt"
    path.write_bytes("ab€€🎉".encode() + b"\n" + b"\x80" * 9)
    assert read(path, max_record_bytes=4) == [
        b"ab",
        "€".encode(),
        "€".encode(),
        "🎉".encode(),
        b"\n",
        b"\x80" * 4,
        b"\x80" * 4,
        b"\x80",
    ]


@settings(deadline=None)  # files on a busy machine take their time
@given(contents, st.integers(4, 40), st.booleans())
@example(b"", 4, True)
@example(b"abcd", 4, True)
@example(b"abcd\n", 4, False)
def test_records_are_cut_as_documented(content: bytes, limit: int, ended: bool) -> None:
    """The vectorised cutting equals the naive one, and holds back only what is unfinished."""
    expected = naive_records(content, limit)
    if not ended and expected and not content.endswith(b"\n"):
        expected.pop()
    assert (
        record_ends(content, limit, ended=ended).tolist()
        == np.cumsum([len(record) for record in expected], dtype=int).tolist()
    )


@settings(deadline=None)
@given(contents, st.integers(1, 300), st.integers(4, 40))
def test_batches_never_change_the_records(
    scratch: Path, content: bytes, batch_bytes: int, limit: int
) -> None:
    """Whatever the batch size, the records are the same, and together they are the content."""
    scratch.write_bytes(content)
    records = read(scratch, batch_bytes=batch_bytes, max_record_bytes=limit)
    assert records == naive_records(content.removeprefix(BOM), limit)


@settings(deadline=None)
@given(contents, st.sampled_from(list(COMPRESSED)), st.integers(1, 300), st.integers(0, 300))
def test_a_compressed_file_has_the_records_of_the_plain_one(
    scratch: Path, content: bytes, form: str, batch_bytes: int, split: int
) -> None:
    """Compression changes nothing, nor does a second member."""
    compress = COMPRESSED[form]
    scratch.write_bytes(compress(content[:split]) + compress(content[split:]))
    assert read(scratch, batch_bytes=batch_bytes) == naive_records(content.removeprefix(BOM), 999)


@settings(deadline=None)
@given(
    content=contents,
    form=st.sampled_from(["", *COMPRESSED]),
    sizes=st.tuples(st.integers(1, 100), st.integers(1, 100)),
    limit=st.integers(4, 40),
    stop=st.integers(0, 50),
)
def test_a_resumed_run_reads_what_an_uninterrupted_one_does(
    scratch: Path, content: bytes, form: str, sizes: tuple[int, int], limit: int, stop: int
) -> None:
    """Going on from any batch, with any batch size, gives the rest of the same records."""
    scratch.write_bytes(COMPRESSED[form](content) if form else content)
    first, second = scratch.with_name("1"), scratch.with_name("2")
    first.write_bytes(content[::-1])
    second.write_bytes(scratch.read_bytes())
    paths = [first, second, scratch]
    expected = read(*paths, max_record_bytes=limit)
    before: list[Batch] = []
    with FileSource(paths, batch_bytes=sizes[0], max_record_bytes=limit) as source:
        for batch in source:
            if len(before) == stop:
                break
            before.append(batch)
    positions = json.loads(json.dumps(before[-1].positions)) if before else {}
    with FileSource(paths, batch_bytes=sizes[1], max_record_bytes=limit) as source:
        source.seek(positions)
        assert records_of(before) + records_of(source) == expected


# Batches and positions


def test_batches_are_of_about_the_size_asked_for(tmp_path: Path) -> None:
    """No batch is much larger than batch_bytes, and few are much smaller."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"some words in a line\n" * 10_000)
    with FileSource(path, batch_bytes=10_000) as source:
        sizes = [len(batch.data) for batch in source]
    assert sum(sizes) == 210_000
    assert max(sizes) <= 20_000
    assert len(sizes) <= 42


def test_a_line_without_end_is_never_held_whole(tmp_path: Path) -> None:
    """A file that is one line comes in bounded batches, also when it is highly compressed."""
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(3_000_000)))
    with FileSource(path, batch_bytes=1000, max_record_bytes=10_000) as source:
        sizes = [len(batch.data) for batch in source]
    assert sum(sizes) == 3_000_000
    assert max(sizes) <= 30_000


def test_small_files_share_a_batch(tmp_path: Path) -> None:
    """A batch may span files; a line that ends with its file is a record of its own."""
    for name in "abc":
        (tmp_path / name).write_text(f"{name} one\n{name} two")
    with FileSource(tmp_path / "*") as source:
        (batch,) = source
    assert records_of([batch]) == [b"a one\n", b"a two", b"b one\n", b"b two", b"c one\n", b"c two"]
    paths = [tmp_path / name for name in "abc"]
    assert bare(batch.positions) == places(dict.fromkeys(paths, 11), *paths)


def test_positions_are_offsets_in_the_decompressed_content(tmp_path: Path) -> None:
    """Each names the next record of a file that was touched; a batch keeps its own."""
    (tmp_path / "a").write_bytes(gzip.compress(b"one\ntwo\n"))
    (tmp_path / "b").write_bytes(b"three\n")
    a, b = tmp_path / "a", tmp_path / "b"
    with FileSource([a, b], batch_bytes=4) as source:
        positions = [batch.positions for batch in source]
    assert [*map(bare, positions)] == [places({a: 4}), places({a: 8}), places({a: 8, b: 6}, a)]


def test_a_file_is_the_same_however_it_is_named(tmp_path: Path, monkeypatch) -> None:
    """From another directory, by a link; and another one of the same name is another file."""
    (tmp_path / "a").write_bytes(b"one\ntwo\n")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "a").write_bytes(b"other\n")
    monkeypatch.chdir(tmp_path)
    with FileSource("a", batch_bytes=1) as source:
        positions = next(iter(source)).positions
    for name, left in (("link", b"two\n"), ("deeper/../a", b"two\n"), ("deeper/a", b"other\n")):
        with FileSource(name) as source:
            source.seek(positions)
            assert records_of(source) == [left]
    monkeypatch.chdir(tmp_path / "deeper")
    with FileSource("a") as source:
        source.seek(positions)
        assert records_of(source) == [b"other\n"]


def test_a_second_iteration_goes_on(tmp_path: Path) -> None:
    """Leaving the loop loses nothing that was not handed out."""
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo\nthree\n")
    with FileSource(path, batch_bytes=4) as source:
        assert records_of([next(iter(source))]) == [b"one\n"]
        assert records_of(source) == [b"two\n", b"three\n"]
        assert list(source) == []


def test_seek_keeps_the_positions_of_files_that_are_not_read_now(tmp_path: Path) -> None:
    """A file that was rotated away stays in the positions."""
    path = tmp_path / "a"
    path.write_bytes(b"one\n")
    with FileSource(path) as source:
        source.seek({"gone": 7})
        (batch,) = source
    assert bare(batch.positions) == {"gone": 7, **places({path: 4}, path)}


def test_a_finished_compressed_file_is_not_decompressed_again(tmp_path: Path) -> None:
    """Its first bytes are looked at and no more: even damage goes unseen."""
    a, b = tmp_path / "a.gz", tmp_path / "b.gz"
    a.write_bytes(gzip.compress(b"one\n")[:-1])
    b.write_bytes(gzip.compress(b"two\nthree\n"))
    with FileSource([a, b]) as source:
        source.seek(places({a: 4, b: 4}, a))
        assert records_of(source) == [b"three\n"]


def test_files_that_were_left_half_read_are_not_taken_for_finished(tmp_path: Path) -> None:
    """Whatever was read after them, every file is read from its position to its end."""
    a, b = tmp_path / "a.gz", tmp_path / "b.gz"
    a.write_bytes(gzip.compress(b"one\ntwo\n"))
    b.write_bytes(gzip.compress(b"three\n"))
    with FileSource([a, b]) as source:
        source.seek(places({a: 4, b: 6}, b))
        assert records_of(source) == [b"two\n"]


def test_a_plain_file_that_grew_is_read_on(tmp_path: Path) -> None:
    """What was appended to a finished file comes first on resume."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one\ntwo\n")
    b.write_bytes(b"three\n")
    with FileSource([a, b]) as source:
        source.seek(places({a: 4, b: 0}, a))
        assert records_of(source) == [b"two\n", b"three\n"]


@pytest.mark.parametrize("form", ["", *COMPRESSED])
def test_a_file_shorter_than_its_position_is_an_error(tmp_path: Path, form: str) -> None:
    """A log that was truncated or replaced is not silently read from the wrong place."""
    path = tmp_path / "a"
    path.write_bytes(COMPRESSED[form](b"one\n") if form else b"one\n")
    with FileSource(path) as source:
        source.seek(places({path: 9}))
        with pytest.raises(SourceError, match=r"a was truncated or replaced: it has 4 bytes .* 9$"):
            list(source)


# Which files


def test_globs_are_sorted_where_they_stand_and_files_read_once(tmp_path: Path) -> None:
    """Arguments keep their order, a glob's matches are sorted, repeats and links are dropped."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/er/d.txt", "z.log"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "link.txt").symlink_to("a.txt")
    patterns = [f"{tmp_path}/z.log", f"{tmp_path}/**/*.txt", f"{tmp_path}/deep/../a.txt"]
    assert read(*patterns) == [
        b"z.log\n",
        b"a.txt\n",
        b"b.txt\n",
        b"deep/c.txt\n",
        b"deep/er/d.txt\n",
    ]


def test_a_glob_passes_over_directories(tmp_path: Path) -> None:
    """Only files are read, and a glob that finds only directories finds nothing."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("one\n")
    assert read(tmp_path / "*") == [b"one\n"]
    with pytest.raises(SourceNotFoundError, match=r"/d\* matches no file$"):
        FileSource(tmp_path / "d*")


def test_a_path_that_exists_is_no_glob(tmp_path: Path) -> None:
    """A name with brackets is taken as it is."""
    (tmp_path / "[a].txt").write_text("brackets\n")
    (tmp_path / "a.txt").write_text("plain\n")
    assert read(tmp_path / "[a].txt") == [b"brackets\n"]


@pytest.mark.parametrize("name", ["missing.txt", "file/below", "nul\0byte"])
def test_a_missing_file_is_named_at_once(tmp_path: Path, name: str) -> None:
    """Nothing is read before every path is known to exist."""
    (tmp_path / "file").touch()
    with pytest.raises(SourceNotFoundError, match=r"does not exist: check the path$"):
        FileSource([tmp_path / "file", tmp_path / name])


def test_a_directory_is_refused_with_the_glob_to_write(tmp_path: Path) -> None:
    """The error shows what was probably meant."""
    with pytest.raises(SourceNotFoundError) as caught:
        FileSource(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is a directory: name its files, for example {tmp_path}/*"
    )


def test_a_file_that_may_not_be_read_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions are checked before anything is trained."""
    (tmp_path / "a").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SourceError, match=r"a cannot be read: permission denied$"):
        FileSource(tmp_path / "a")


def test_a_path_that_cannot_be_looked_up_is_named_at_once(tmp_path: Path) -> None:
    """Other failures of the file system are one line too."""
    with pytest.raises(SourceError, match=r"cannot be read: File name too long$"):
        FileSource(tmp_path / ("a" * 1000))


def test_a_file_that_vanishes_before_its_turn_is_an_error(tmp_path: Path) -> None:
    """What was read before it is still handed out."""
    for name in "ab":
        (tmp_path / name).write_text(f"{name}\n")
    with FileSource([tmp_path / "a", tmp_path / "b"]) as source:
        (tmp_path / "b").unlink()
        batches = iter(source)
        assert records_of([next(batches)]) == [b"a\n"]
        with pytest.raises(SourceError, match=r"b cannot be read: No such file or directory$"):
            next(batches)


@pytest.mark.parametrize(
    ("option", "value", "low"),
    [("batch_bytes", 0, 1), ("max_record_bytes", 3, 4), ("batch_bytes", 1 << 31, 1)],
)
def test_a_size_out_of_range_is_refused(option: str, value: int, low: int) -> None:
    """The message gives the range."""
    with pytest.raises(ConfigError) as caught:
        FileSource("-", **{option: value})
    assert str(caught.value) == f"{option} must be from {low} to 1073741824, not {value}"


def test_no_paths_are_refused() -> None:
    """A source of nothing is a mistake."""
    with pytest.raises(ConfigError, match="no file was named"):
        FileSource([])


def test_file_uris_are_paths(tmp_path: Path) -> None:
    """After file:// percent escapes are decoded; a plain path is taken as it is."""
    (tmp_path / "a b").write_text("one\n")
    (tmp_path / "c%20d").write_text("two\n")
    uris = [f"file://{tmp_path}/a%20b", f"{tmp_path}/c%20d"]
    with FileSource.from_uris(uris, batch_bytes=100) as source:
        assert records_of(source) == [b"one\n", b"two\n"]


# Compression


@pytest.mark.parametrize("form", COMPRESSED)
def test_the_format_is_told_by_the_bytes_not_the_name(tmp_path: Path, form: str) -> None:
    """A wrong or missing suffix does not matter."""
    (tmp_path / "a.txt").write_bytes(COMPRESSED[form](b"one\n"))
    (tmp_path / f"b.{form}").write_bytes(b"two\n")
    assert read(tmp_path / "*") == [b"one\n", b"two\n"]


@pytest.mark.parametrize("text", [b"B", b"BZ", b"BZh9", b"BZh9\n", b"(", b"P", b"P*M\n"])
def test_a_text_that_begins_like_a_magic_number_is_text(tmp_path: Path, text: bytes) -> None:
    """Only a whole magic number makes a compressed file."""
    path = tmp_path / "a.txt"
    path.write_bytes(text)
    assert read(path) == [text]


def test_zeros_between_and_after_members_are_padding(tmp_path: Path) -> None:
    """Tapes and block devices pad gzip files, and xz allows it."""
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"one\n") + bytes(9) + gzip.compress(b"two\n") + bytes(100_000))
    assert read(path) == [b"one\n", b"two\n"]


def test_zstd_skippable_frames_are_skipped(tmp_path: Path) -> None:
    """Parallel compressors put one before the data."""
    path = tmp_path / "a"
    path.write_bytes(b"\x5a\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(b"one\n"))
    assert read(path) == [b"one\n"]


def test_zstd_windows_beyond_the_default_are_read(tmp_path: Path) -> None:
    """Archives written with --long need no option."""
    path = tmp_path / "a"
    window = bytes([(28 - 10) << 3])
    last_raw_block = (4 << 3 | 1).to_bytes(3, "little")
    path.write_bytes(b"\x28\xb5\x2f\xfd\0" + window + last_raw_block + b"one\n")
    assert read(path) == [b"one\n"]


def test_a_zip_archive_is_refused(tmp_path: Path) -> None:
    """Training on its bytes would be silent nonsense."""
    path = tmp_path / "text8.zip"
    path.write_bytes(b"PK\x03\x04...")
    with pytest.raises(SourceError, match=r"text8.zip is a zip archive, .*: unpack it first$"):
        read(path)


@pytest.mark.parametrize("piece", [7, 1 << 16])
@pytest.mark.parametrize("form", COMPRESSED)
def test_a_compressed_file_cut_anywhere_gives_its_whole_records_and_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, piece: int
) -> None:
    """Every cut is noticed, in headers too, except between members, where none can be seen."""
    monkeypatch.setattr(inputs, "_COMPRESSED_BYTES", piece)
    content = b"".join(b"%d words in line\n" % number for number in range(40))
    members = [COMPRESSED[form](content), COMPRESSED[form](b"the last\nof all")]
    packed = b"".join(members)
    path = tmp_path / f"a.{form}"
    for cut in range(len(packed)):
        path.write_bytes(packed[:cut])
        with FileSource(path, batch_bytes=50) as source:
            batches = []
            if cut in (0, len(members[0])):
                batches = list(source)
            else:
                with pytest.raises(SourceError, match=rf"a.{form} is damaged or cut short"):
                    batches.extend(source)
        records = records_of(batches)
        assert records == whole_lines(content + b"the last\n")[: len(records)]
        if cut >= len(members[0]):
            assert records[:40] == whole_lines(content)
        if form == "gz" and cut < len(members[0]):
            assert records == whole_lines(zlib.decompressobj(31).decompress(packed[:cut]))


@settings(deadline=None)
@given(st.sampled_from(list(COMPRESSED)), st.binary(min_size=1, max_size=9), st.integers(0, 10**6))
def test_damage_is_an_error_that_says_where(
    scratch: Path, form: str, damage: bytes, place: int
) -> None:
    """Whatever is overwritten, there is either the whole content or one line about the file."""
    content = b"".join(b"%d words in line\n" % number for number in range(40))
    packed = bytearray(COMPRESSED[form](content))
    place = place % (len(packed) - 10) + 10  # without its magic number it is taken for text
    packed[place : place + len(damage)] = damage
    scratch.write_bytes(packed)
    try:
        records = read(scratch)
    except SourceError as error:
        assert str(error).startswith(f"{scratch} is damaged or cut short")
        assert "\n" not in str(error)
    else:
        # Only a checksum, which zstd leaves out by default, tells damage that is well-formed.
        assert form == "zst" or b"".join(records) == content


def test_damage_comes_after_the_records_before_it(tmp_path: Path) -> None:
    """A wrong checksum is found at the end, when everything has been handed out."""
    packed = bytearray(gzip.compress(b"one\ntwo\nbegun"))
    packed[-8] ^= 1
    path = tmp_path / "a.gz"
    path.write_bytes(packed)
    with FileSource(path) as source:
        batches = iter(source)
        assert records_of([next(batches)]) == [b"one\n", b"two\n"]
        with pytest.raises(SourceError) as caught:
            next(batches)
        assert str(caught.value) == (
            f"{path} is damaged or cut short: its content breaks off after 13 bytes "
            "(Error -3 while decompressing data: incorrect data check)"
        )
        with pytest.raises(SourceError, match="damaged"):
            list(source)


# Standard input and pipes


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.FileIO]:
    """Give the writing end of a pipe that is standard input, polled often."""
    monkeypatch.setattr(inputs, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(files, "POLL_SECONDS", 0.02)
    reading, writing = os.pipe()
    with open(reading) as stdin, io.FileIO(writing, "w") as writer:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stdin)
        yield writer


def test_standard_input_is_read_to_its_end(pipe: io.FileIO) -> None:
    """A dash reads the pipe and counts its position, however often it is given."""
    pipe.write(b"one\ntwo")
    pipe.close()
    with FileSource(["-", "-"]) as source:
        batches = list(source)
    assert records_of(batches) == [b"one\n", b"two"]
    assert bare(batches[-1].positions) == places({"-": 7}, "-")
    assert not sys.stdin.closed


def test_a_slow_pipe_delivers_what_has_come(pipe: io.FileIO) -> None:
    """Whole lines come within the poll interval, and a silent pipe gives empty batches."""
    with FileSource("-") as source:
        batches = iter(source)
        assert len(next(batches)) == 0
        pipe.write(b"one\ntw")
        assert records_of([next(batches)]) == [b"one\n"]
        assert len(next(batches)) == 0
        pipe.write(b"o\n")
        assert records_of([next(batches)]) == [b"two\n"]


@pytest.mark.parametrize("form", COMPRESSED)
def test_a_compressed_pipe_is_recognised_byte_by_byte(pipe: io.FileIO, form: str) -> None:
    """The first bytes may trickle in, and what they say is waited for."""
    packed = COMPRESSED[form](b"one\n")
    with FileSource("-") as source:
        batches = iter(source)
        for start in range(3):
            pipe.write(packed[start : start + 1])
            assert len(next(batches)) == 0
        pipe.write(packed[3:])
        pipe.close()
        assert records_of(batches) == [b"one\n"]


def test_a_resumed_pipe_passes_over_what_was_read(pipe: io.FileIO) -> None:
    """Standard input is expected to begin anew, as when the same command is run again."""
    pipe.write(b"one\ntwo\n")
    pipe.close()
    with FileSource("-") as source:
        source.seek(places({"-": 4}))
        batches = list(source)
    assert records_of(batches) == [b"two\n"]
    assert bare(batches[-1].positions) == places({"-": 8}, "-")


def test_a_finished_pipe_is_not_waited_for(pipe: io.FileIO, tmp_path: Path) -> None:
    """On resume, standard input before the file that was reached is left alone."""
    path = tmp_path / "a"
    path.write_text("two\n")
    with FileSource(["-", path]) as source:
        source.seek(places({"-": 4, path: 0}, "-"))
        assert records_of(source) == [b"two\n"]


def test_standard_input_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirected input starts where the shell left it."""
    (tmp_path / "a").write_bytes(b"header\none\ntwo\n")
    with (tmp_path / "a").open() as stdin:
        os.lseek(stdin.fileno(), 7, os.SEEK_SET)
        monkeypatch.setattr(sys, "stdin", stdin)
        with FileSource("-") as source:
            source.seek(places({"-": 4}))
            assert records_of(source) == [b"two\n"]


def test_standard_input_may_have_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for it, as tests of commands use, is read and left open."""
    stand_in = io.TextIOWrapper(io.BytesIO(b"one\ntwo"))
    monkeypatch.setattr(sys, "stdin", stand_in)
    assert read("-") == [b"one\n", b"two"]
    assert not stand_in.closed


def test_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon without standard input gets one line about it."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match=r"^- cannot be read: standard input is closed$"):
        read("-")


def test_a_failing_read_is_an_error(tmp_path: Path) -> None:
    """What the system says about it ends up in the one line."""
    (tmp_path / "mem").symlink_to("/proc/self/mem")
    if not (tmp_path / "mem").exists():
        pytest.skip("needs /proc")
    with pytest.raises(SourceError, match=r"mem cannot be read: Input/output error$"):
        read(tmp_path / "mem")


def test_a_named_pipe_waits_for_its_writer(pipe: io.FileIO, tmp_path: Path) -> None:
    """It yields empty batches until someone writes, and ends when the writer does."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with FileSource(path) as source:
        batches = iter(source)
        assert len(next(batches)) == 0
        path.write_text("one\ntwo\n")
        assert records_of(batches) == [b"one\n", b"two\n"]


def test_closing_ends_an_iteration_that_waits_in_another_thread(
    pipe: io.FileIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side hangs, and the file is closed when close returns."""
    monkeypatch.setattr(inputs, "POLL_SECONDS", 0.3)
    source = FileSource("-")
    batches: list[Batch] = []
    reader = threading.Thread(target=lambda: batches.extend(source))
    reader.start()
    time.sleep(0.05)
    source.close()
    reader.join(timeout=5)
    assert not reader.is_alive()
    assert records_of(batches) == []


def test_closing_from_within_a_read_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler may close a source that its own thread is reading."""
    monkeypatch.setattr(files, "POLL_SECONDS", 0.01)
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo\n")
    source = FileSource(path, batch_bytes=4)

    def close_and_cut(data: bytes, limit: int, *, ended: bool) -> np.ndarray:
        source.close()
        return record_ends(data, limit, ended=ended)

    monkeypatch.setattr(files, "record_ends", close_and_cut)
    assert records_of(source) == [b"one\n"]


def test_closing_is_final_and_harmless_to_repeat(tmp_path: Path) -> None:
    """A closed source has nothing more, before its first batch or after."""
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo\n")
    source = FileSource(path, batch_bytes=4)
    next(iter(source))
    source.close()
    source.close()
    assert list(source) == []


# Progress


def test_status_is_the_share_of_all_bytes(tmp_path: Path) -> None:
    """It names the file being read, and counts compressed bytes."""
    (tmp_path / "a.txt").write_bytes(b"12345678\n" * 4)
    (tmp_path / "b.txt").write_bytes(b"12345678\n" * 4)
    with FileSource(tmp_path / "*", batch_bytes=18) as source:
        assert source.status() == "0 %"
        assert [source.status() for _ in source] == [
            "a.txt 25 %",
            "a.txt 50 %",
            "b.txt 75 %",
            "b.txt 100 %",
        ]
        assert source.status() == "100 %"


def test_status_counts_what_a_resumed_run_passes_over(tmp_path: Path) -> None:
    """A resumed run starts where the other stopped, not at nothing."""
    a, b = tmp_path / "a.gz", tmp_path / "b.txt"
    a.write_bytes(gzip.compress(os.urandom(72)))
    b.write_bytes(b"1234567\n" * 10)
    with FileSource([a, b], batch_bytes=8) as source:
        source.seek(places({a: 72, b: 32}, a))
        next(iter(source))
        done = a.stat().st_size
        assert source.status() == f"b.txt {100 * (done + 40) // (done + 80)} %"


def test_status_of_a_pipe_is_the_bytes_so_far(pipe: io.FileIO) -> None:
    """A pipe has no size to take a share of."""
    with FileSource("-") as source:
        assert source.status() == ""
        pipe.write(b"1234567\n" * 8000)
        next(iter(source))
        assert source.status() == "stdin 0.1 MB"


# Other records than lines.


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=30), st.integers(1, 40), st.data())
@settings(deadline=None, max_examples=100)
def test_fields_of_json_lines_go_on_where_they_were_left(
    values: list[str | None], size: int, data: st.DataObject
) -> None:
    """What is dead is counted once, whatever the batches and wherever reading begins again."""
    lines = [json.dumps({"text": value} if value else {"no": "text"}) for value in values]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lines.json.gz")
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        options: dict[str, Any] = {"field": "text", "batch_bytes": size}
        with FileSource(path, **options) as source:
            batches = list(source)
        assert records_of(batches) == [value.encode() for value in values if value]
        if not batches:
            return
        assert dead_letters(source._positions).total() == values.count(None)
        at = data.draw(st.integers(0, len(batches) - 1))
        with FileSource(path, **options, dead_letters=Path(folder, "dead")) as source:
            source.seek(batches[at].positions)
            rest = list(source)
        assert records_of(batches[: at + 1]) + records_of(rest) == records_of(batches)
        assert dead_letters(source._positions).total() == values.count(None)
        letters = Path(folder, "dead").read_text().splitlines()
        known = dead_letters(batches[at].positions).total()
        assert len(letters) == values.count(None) - known


def test_events_of_a_file_that_ends(tmp_path: Path) -> None:
    """The last one ends with the file."""
    path = tmp_path / "a.log"
    path.write_bytes(b"1 one\n  more\n2 two\n  more")
    assert read(path, record_start=r"\d") == [b"1 one\n  more\n", b"2 two\n  more"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_that_was_replaced_is_no_place_to_go_on(tmp_path: Path, ending: str) -> None:
    """Though it is longer: what was read of it is not there."""
    path = tmp_path / f"a.txt{ending}"
    pack = COMPRESSED["gz"] if ending else bytes
    path.write_bytes(pack(b"one\n" * 100))
    with FileSource(path, batch_bytes=8) as source:
        positions = next(iter(source)).positions
    path.write_bytes(pack(b"one more\n" * 100))
    with FileSource(path) as source:
        source.seek(positions)
        with pytest.raises(SourceError, match="was replaced: what was read of it, up to byte 8"):
            list(source)
