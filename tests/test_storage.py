"""Files that are whole or absent, and files of tensors that are verified on reading."""

import errno
import gzip
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_w2v.errors import FormatError, SourceError, SourceNotFoundError, StorageError
from stream_w2v.storage import (
    TEMPORARY,
    atomic_write,
    kind_of,
    open_input,
    open_output,
    read_tensors,
    write_tensors,
)

KIND = "stream-w2v-test"
TENSORS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "ends": np.array([3, 5], np.int64),
    "flags": np.array([True, False, True]),
    "empty": np.zeros((0, 4), np.float64),
}
METADATA = {"records": 7, "name": "größer", "nested": {"list": [1, 2.5, None]}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a good file of TENSORS and METADATA."""
    path = tmp_path / "model.safetensors"
    write_tensors(path, KIND, 1, TENSORS, METADATA)
    return path


def names(directory: Path) -> list[str]:
    """Return the names of all files in a directory."""
    return [path.name for path in directory.iterdir()]


# atomic_write


def test_atomic_write_replaces_a_file_only_at_the_end(tmp_path):
    """Until the block ends, a reader sees the old content; then it sees all of the new."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert len(list(tmp_path.glob(TEMPORARY))) == 1
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_atomic_write_leaves_the_old_file_when_the_block_raises(tmp_path, error):
    """Any exception, an interrupt too, passes through and leaves nothing behind."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_atomic_write_syncs_the_file_and_then_its_directory(tmp_path, monkeypatch):
    """The content is on the disk before the rename, and the rename before it returns."""
    calls = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor):
        directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("directory" if directory else "file")
        sync(descriptor)

    def rename(self, target):
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    assert calls == ["file", "rename", "directory"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_atomic_write_gives_a_new_file_the_mode_that_open_would(tmp_path, mask):
    """The umask decides, as for any other file."""
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "file"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_atomic_write_keeps_the_mode_of_the_old_file(tmp_path):
    """Who could read the old file can read the new one."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o640)
    with atomic_write(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("exists", [True, False])
def test_atomic_write_writes_through_a_symbolic_link(tmp_path, exists):
    """The link stays a link, and what it points at is written, there or not."""
    (tmp_path / "away").mkdir()
    target, link = tmp_path / "away" / "target", tmp_path / "link"
    if exists:
        target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "away") == ["target"]


def test_atomic_write_writes_to_a_pipe_directly(tmp_path):
    """A named pipe stays one, and its reader gets the content."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with atomic_write(pipe) as file:
        file.write(b"new")
    reader.join()
    assert got == [b"new"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("to_file", [True, False])
def test_atomic_write_writes_to_stdout(tmp_path, to_file):
    """/dev/stdout is written to, whether it is a pipe or a file, and what was there stays."""
    script = (
        "from stream_w2v.storage import atomic_write\n"
        "print('before', flush=True)\n"
        "with atomic_write('/dev/stdout') as file: file.write(b'new')\n"
    )
    command = [sys.executable, "-c", script]
    if to_file:
        with (tmp_path / "out").open("wb") as out:
            subprocess.run(command, stdout=out, check=True)
        printed = (tmp_path / "out").read_bytes()
    else:
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    assert printed == b"before\nnew"


def test_atomic_write_to_a_full_device_is_a_storage_error():
    """The error is one line: what, where, and what to do."""
    with pytest.raises(StorageError) as caught, atomic_write("/dev/full") as file:
        file.write(b"new")
    assert str(caught.value) == (
        "cannot write /dev/full: No space left on device; free some space or write elsewhere"
    )


def test_atomic_write_on_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    """ENOSPC shows at the latest when the file is synced."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"), atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_file_over_the_size_limit_leaves_the_old_file(tmp_path):
    """A real failing write, of tensors larger than RLIMIT_FSIZE, changes nothing."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = (
        "import resource, sys, numpy as np\n"
        "from stream_w2v.storage import write_tensors\n"
        "from stream_w2v.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: write_tensors(sys.argv[1], 'k', 1, {'a': np.ones(100_000)}, {})\n"
        "except StorageError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, os.fspath(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == (
        f"cannot write {path}: File too large; "
        "raise the limit on file sizes (ulimit -f) or write elsewhere\n"
    )
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_atomic_write_names_what_is_wrong_with_the_path(tmp_path):
    """A missing directory, a directory and a file for a directory are each said plainly."""
    (tmp_path / "file").touch()
    for path, said in {
        tmp_path / "no" / "file": "No such file or directory; make the directory first",
        tmp_path: "Is a directory; name a file in it",
        tmp_path / "file" / "x": "Not a directory; a part of the path is a file; write elsewhere",
        tmp_path / ("x" * 300): "File name too long; choose a shorter name",
    }.items():
        with pytest.raises(StorageError) as caught, atomic_write(path):
            pass
        assert str(caught.value) == f"cannot write {path}: {said}"
    assert names(tmp_path) == ["file"]


def test_atomic_write_does_not_replace_a_read_only_file(tmp_path, monkeypatch):
    """A file that may not be written to is not replaced by way of its directory."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o400)
    # To root every file is writeable.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(StorageError, match="Permission denied"), atomic_write(path):
        pass
    assert path.read_bytes() == b"old"


def test_atomic_write_into_a_read_only_directory_is_a_storage_error(tmp_path):
    """Nothing can be made in a directory that may not be written to."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"), atomic_write(tmp_path / "file"):
        pass


def test_a_directory_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    """EINVAL is how some network file systems say that they have no such operation."""
    sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


# open_output, open_input


def test_what_ends_in_gz_is_compressed_and_read_back(tmp_path):
    """The same content gives the same file, and any gzip reader opens it."""
    for name in ("a.gz", "b.gz"):
        with open_output(tmp_path / name) as file:
            file.write(b"content" * 100)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"content" * 100
    (tmp_path / "a.gz").rename(tmp_path / "misnamed.txt")
    with open_input(tmp_path / "misnamed.txt") as file:
        assert file.read() == b"content" * 100


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\xff" * 20])
def test_open_input_reports_damaged_gzip(tmp_path, damage):
    """A cut and an overwritten file of gzip are format errors."""
    path = tmp_path / "file.gz"
    path.write_bytes(damage(gzip.compress(os.urandom(1000))))
    with pytest.raises(FormatError, match=f"{path} is a damaged gzip file"), open_input(path) as f:
        f.read()


def test_open_input_reports_what_cannot_be_read(tmp_path):
    """A file that is missing and one that cannot be read are different errors."""
    with pytest.raises(SourceNotFoundError, match="there is no file"), open_input(tmp_path / "no"):
        pass
    with pytest.raises(SourceError, match=f"cannot read {tmp_path}: Is a directory"):
        read_tensors(tmp_path, KIND, 1)


# write_tensors, read_tensors


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.gz"])
def test_tensors_and_metadata_come_back(tmp_path, name):
    """Dtypes, shapes, values and metadata are those that were written."""
    write_tensors(tmp_path / name, KIND, 1, TENSORS, METADATA)
    tensors, metadata = read_tensors(tmp_path / name, KIND, 1)
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for key, expected in TENSORS.items():
        assert tensors[key].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[key], expected)


DTYPES = st.sampled_from(["?", "u1", "i1", "<u2", "<i2", ">i4", "<u4", "<i8", ">f4", "<f8", "<f2"])


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5),
        hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)),
        max_size=4,
    ),
    st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False) | st.none()),
)
def test_any_tensors_come_back(tmp_path_factory, tensors, metadata):
    """Whatever names, shapes, byte orders and metadata there are, reading returns them."""
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    write_tensors(path, KIND, 1, tensors, metadata)
    again, about = read_tensors(path, KIND, 1)
    assert about == metadata
    assert again.keys() == tensors.keys()
    for key, expected in tensors.items():
        assert again[key].dtype == expected.dtype.newbyteorder("=")
        assert again[key].tobytes() == expected.astype(again[key].dtype).tobytes()


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.gz"])
def test_long_metadata_are_not_in_the_header(tmp_path, name):
    """Which readers expect to be short, and of which 100 MB are the most that the format has."""
    path, metadata = tmp_path / name, {**METADATA, "long": ["größer"] * 100_000}
    write_tensors(path, KIND, 1, TENSORS, metadata)
    tensors, about = read_tensors(path, KIND, 1)
    assert about == metadata
    assert tensors.keys() == TENSORS.keys()
    assert kind_of(path) == KIND
    if name.endswith(".gz"):
        return
    assert int.from_bytes(path.read_bytes()[:8], "little") < 10_000
    assert safetensors.numpy.load_file(path).keys() == {*TENSORS, ".metadata"}
    damaged = path.read_bytes().replace(b'"records": 7', b'"records": 8')
    path.write_bytes(damaged)
    with pytest.raises(FormatError, match=r"is damaged: the tensor '\.metadata' is not what was"):
        read_tensors(path, KIND, 1)


def test_tensors_of_any_layout_are_written_in_order(tmp_path):
    """A transposed and a strided array are written as what they show."""
    array = np.arange(24.0).reshape(4, 6)
    write_tensors(tmp_path / "file", KIND, 1, {"t": array.T, "s": array[::2, ::3]}, {})
    tensors, _ = read_tensors(tmp_path / "file", KIND, 1)
    np.testing.assert_array_equal(tensors["t"], array.T)
    np.testing.assert_array_equal(tensors["s"], array[::2, ::3])


def test_tensors_read_own_their_memory(saved):
    """What is read can be written to, and the file does not change with it."""
    before = saved.read_bytes()
    tensors, _ = read_tensors(saved, KIND, 1)
    tensors["weights"] += 1
    assert saved.read_bytes() == before


def test_the_file_is_a_plain_safetensors_file(saved):
    """The library itself reads the tensors, and finds its own layout."""
    tensors = safetensors.numpy.load_file(saved)
    for key, expected in TENSORS.items():
        np.testing.assert_array_equal(tensors[key], expected)
    size = int.from_bytes(saved.read_bytes()[:8], "little")
    header = json.loads(saved.read_bytes()[8 : 8 + size])
    assert size % 8 == 0
    assert header["__metadata__"]["format"] == KIND
    assert header["__metadata__"]["version"] == "1"


def test_metadata_that_is_not_json_is_refused_before_anything_is_written(tmp_path):
    """A mistake of the caller's does not touch the file."""
    with pytest.raises(TypeError):
        write_tensors(tmp_path / "file", KIND, 1, {}, {"set": {1}})
    assert names(tmp_path) == []


def test_every_flipped_bit_is_found(saved):
    """No single bit of the file can change unnoticed."""
    good = saved.read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        saved.write_bytes(bad)
        with pytest.raises(FormatError):
            read_tensors(saved, KIND, 1)


def test_every_truncation_is_found(saved):
    """A file cut at any length is reported, and so is one that goes on."""
    good = saved.read_bytes()
    for size in range(len(good)):
        saved.write_bytes(good[:size])
        with pytest.raises(FormatError, match=f"{saved} is damaged, or not a safetensors file"):
            read_tensors(saved, KIND, 1)
    saved.write_bytes(good + b"\0")
    with pytest.raises(FormatError):
        read_tensors(saved, KIND, 1)


def test_the_damaged_part_is_named(saved):
    """The error says which tensor is not what was written, or that it is the metadata."""
    good = saved.read_bytes()
    at = good.index(TENSORS["weights"].tobytes())
    saved.write_bytes(good[:at] + b"\x01" + good[at + 1 :])
    with pytest.raises(FormatError, match=r"is damaged: the tensor 'weights' is not what was"):
        read_tensors(saved, KIND, 1)
    saved.write_bytes(good.replace(b'records\\": 7', b'records\\": 8'))
    with pytest.raises(FormatError, match="is damaged: its metadata is not what was written"):
        read_tensors(saved, KIND, 1)
    saved.write_bytes(good.replace(b'"flags":{"dtype"', b'"flugs":{"dtype"'))
    with pytest.raises(FormatError, match="does not hold the tensors that it says it holds"):
        read_tensors(saved, KIND, 1)


def test_a_newer_version_and_another_kind_are_refused(saved):
    """The error says what the file is, and what to do."""
    with pytest.raises(FormatError, match=r"written by a newer stream-w2v \(format 1\); upgrade"):
        read_tensors(saved, KIND, 0)
    with pytest.raises(FormatError, match=f"is of the kind {KIND}, where stream-w2v-x is needed"):
        read_tensors(saved, "stream-w2v-x", 1)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"author": "someone"}])
def test_a_safetensors_file_of_others_is_refused(tmp_path, metadata):
    """A well-formed file that this library did not write is named as such."""
    path = tmp_path / "file"
    safetensors.numpy.save_file({"a": np.ones(2)}, path, metadata)
    with pytest.raises(FormatError, match=r"not one of stream-w2v's"):
        read_tensors(path, KIND, 1)


@pytest.mark.parametrize(
    "parts",
    [
        {"version": "one"}, {"metadata": "{"}, {"metadata": "[" * 100_000}, {"metadata": ""},
        {"digests": "{"}, {"digests": "[]"}, {"digests": "5"}, {"digests": '{"a": 5}'},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_was_made_up_is_refused(tmp_path, parts):
    """Whoever made it up can seal it, too."""
    path = tmp_path / "file"
    about = {"format": KIND, "version": "1", "metadata": "{}", "digests": "{}", **parts}
    about["sha256"] = hashlib.sha256(json.dumps(list(about.values())).encode()).hexdigest()
    safetensors.numpy.save_file({"a": np.ones(2)} if "digests" in parts else {}, path, about)
    with pytest.raises(FormatError, match=r"is damaged"):
        read_tensors(path, KIND, 1)


def test_kind_of_looks_without_reading_it_all(saved, tmp_path):
    """A file of tensors says what it is, compressed or cut short; others say nothing."""
    good = saved.read_bytes()
    nested = b"[" * 100_000
    for content, kind in [
        (good, KIND),
        (gzip.compress(good), KIND),
        (good[:-1], KIND),
        (good[:100], None),
        (b"", None),
        (b"2 3\nword 1 2 3\n", None),
        (len(nested).to_bytes(8, "little") + b"{" + nested, None),
        ((2**60).to_bytes(8, "little") + good[8:], None),
    ]:
        path = tmp_path / "file"
        path.write_bytes(content)
        assert kind_of(path) == kind
    safetensors.numpy.save_file({"a": np.ones(2)}, path)
    assert kind_of(path) is None


@given(st.binary(max_size=200))
def test_rubbish_is_refused(tmp_path_factory, content):
    """Any bytes at all give a format error, never anything worse."""
    path = tmp_path_factory.getbasetemp() / "rubbish"
    path.write_bytes(content)
    with pytest.raises(FormatError):
        read_tensors(path, KIND, 1)


def test_writing_does_not_copy_the_tensors(tmp_path):
    """The peak of memory while writing stays far below another copy of the tensors."""
    script = (
        "import resource, sys, numpy as np\n"
        "from stream_w2v.storage import write_tensors\n"
        "array = np.ones(16_000_000, np.float32)\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "write_tensors(sys.argv[1], 'k', 1, {'a': array, 'b': array[:10]}, {})\n"
        "print(peak() - before)\n"
    )
    command = [sys.executable, "-c", script, os.fspath(tmp_path / "file")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 8_000  # KiB, where the tensors are 62,500


@pytest.mark.parametrize(("part", "value"), [("dtype", "I32"), ("shape", [2, 2])])
def test_a_tensor_that_is_called_another_kind_is_refused(tmp_path, part, value):
    """The digest covers what the bytes mean, not only the bytes."""
    path = tmp_path / "tensors"
    write_tensors(path, "kind", 1, {"a": np.arange(4, dtype=np.float32)}, {})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["a"][part] = value
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + length :])
    with pytest.raises(FormatError, match="'a' is not what was written"):
        read_tensors(path, "kind", 1)
