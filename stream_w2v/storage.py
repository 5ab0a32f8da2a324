"""Files that are whole or absent, and that are verified when they are read.

A file of tensors is a plain safetensors file, which any reader of that format opens. Its
``__metadata__`` holds what it is and a SHA-256 of every part:

    format      the kind of file, such as ``stream-w2v-model``
    version     the version of that kind
    metadata    the caller's own metadata, as JSON
                (more than a megabyte of it is a tensor, ``.metadata``, and here is nothing)
    digests     JSON: for every tensor the SHA-256 of its dtype, its shape and its bytes
    sha256      SHA-256 of the four values above
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from stream_w2v.errors import (
    FormatError,
    SourceError,
    SourceNotFoundError,
    StorageError,
    VersionError,
)

StrPath = str | os.PathLike[str]
Tensors = Mapping[str, NDArray[Any]]

TEMPORARY = ".stream-w2v-*.tmp"
"""What a temporary file is called; one that is left over (the power failed) can be removed."""

GZIP_MAGIC = b"\x1f\x8b"
_GZIP_LEVEL = 1  # digits shrink to 46 %; level 9 takes 17 times as long to reach 41 %

_NONSENSE = (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RecursionError)
"""What comes of a dtype that the library knows and numpy does not, and of what was made up."""

_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
_HEADER_LIMIT = 100_000_000  # the format's own
_LONG = 1 << 20  # metadata of so many bytes are no part of it: other readers expect it to be short
_LONG_METADATA = ".metadata"
_PIECE = 1 << 24  # gzip holds all that it is given at once
_PARTS = ("format", "version", "metadata", "digests")

_REMEDIES = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) or write elsewhere",
    errno.ENOENT: "make the directory first",
    errno.ENOTDIR: "a part of the path is a file; write elsewhere",
    errno.EISDIR: "name a file in it",
    errno.EACCES: "change the permissions or write elsewhere",
    errno.EPERM: "change the permissions or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def atomic_write(path: StrPath) -> Iterator[BinaryIO]:
    """Open a file that replaces the one at ``path`` only once it is whole and on the disk.

    Until the block ends well, what stood at ``path`` stays as it was; if the block raises,
    nothing is left of the new file. A symbolic link keeps pointing where it did, an old file's
    permissions are kept, and what is not a regular file (a pipe, ``/dev/stdout``) is written to
    directly.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    try:
        if _is_stream(path):
            with Path(path).open("ab") as stream:
                yield stream
        else:
            with _replacing(Path(os.path.realpath(path))) as file:
                yield file
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: StrPath, error: OSError) -> StorageError:
    """Say why a path cannot be written, and what to do about it."""
    remedy = _REMEDIES.get(error.errno or 0, "write elsewhere")
    return StorageError(f"cannot write {os.fspath(path)}: {error.strerror or error}; {remedy}")


def _is_stream(path: StrPath) -> bool:
    # By name too: where stdout goes to a file, /dev/stdout is one, but is not ours to replace.
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):  # noqa: PTH100
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - path may be a str
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode)


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    # Opened first, so that nothing but the disk itself can fail after the rename.
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        mode = _mode_of(target)
        temporary = target.with_name(TEMPORARY.replace("*", secrets.token_hex(8)))
        # As open() makes a file: 0o666 less the umask.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if mode is not None:
                    os.fchmod(descriptor, mode)
                yield file
                file.flush()
                os.fsync(descriptor)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(directory)
    finally:
        os.close(directory)


def _mode_of(target: Path) -> int | None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    # A rename would not ask whether the old file may be written to.
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(mode)


def _sync_directory(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        # Some network file systems cannot sync a directory, and say so with EINVAL.
        if error.errno != errno.EINVAL:
            raise


@contextmanager
def open_output(path: StrPath) -> Iterator[BinaryIO]:
    """Open a file as :func:`atomic_write` does; what ends in ``.gz`` is compressed."""
    with atomic_write(path) as file:
        if not os.fspath(path).endswith(".gz"):
            yield file
            return
        # No name and no time inside, so that equal contents are equal files.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as compressed:
            yield cast(BinaryIO, compressed)


@contextmanager
def open_input(path: StrPath) -> Iterator[io.BufferedReader]:
    """Open a file to read; what starts as gzip does is decompressed, whatever its name.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    SourceError
        If it cannot be read.
    FormatError
        If it is gzip, and damaged.
    """
    try:
        with Path(path).open("rb") as file:
            if file.peek(2)[:2] != GZIP_MAGIC:
                yield file
            else:
                with gzip.GzipFile(fileobj=file) as compressed:
                    # GzipFile reads lines slowly by itself.
                    yield io.BufferedReader(cast(io.RawIOBase, compressed))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"{os.fspath(path)} is a damaged gzip file: {error}"
        raise FormatError(msg) from error
    except FileNotFoundError as error:
        msg = f"there is no file {os.fspath(path)}"
        raise SourceNotFoundError(msg) from error
    except OSError as error:
        msg = f"cannot read {os.fspath(path)}: {error.strerror or error}"
        raise SourceError(msg) from error


def sync_directory(path: StrPath) -> None:
    """See to it that what was made in a directory is there after a power failure."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync_directory(directory)
    finally:
        os.close(directory)


def write_tensors(
    path: StrPath, kind: str, version: int, tensors: Tensors, metadata: Mapping[str, Any]
) -> None:
    """Write tensors and JSON-serialisable metadata as one self-verifying safetensors file.

    The bytes go from the arrays straight to the file: safetensors' own writer would copy them
    first, or (as of 0.8) replace the file behind our back.

    Raises
    ------
    StorageError
        If the file cannot be written; what stood there is intact.
    """
    with open_output(path) as file:
        for part in _parts_of(kind, version, tensors, metadata):
            file.write(part)


def tensors_to_bytes(
    kind: str, version: int, tensors: Tensors, metadata: Mapping[str, Any]
) -> bytes:
    """Return what :func:`write_tensors` would write."""
    return b"".join(_parts_of(kind, version, tensors, metadata))


def _parts_of(
    kind: str, version: int, tensors: Tensors, metadata: Mapping[str, Any]
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a file: its header, then the arrays, of which nothing is copied."""
    about = json.dumps(metadata)
    if len(about) >= _LONG:
        tensors = {**tensors, _LONG_METADATA: np.frombuffer(about.encode(), np.uint8)}
        about = ""
    # Widest items first, as the library orders them, so that every tensor is aligned.
    arrays = {
        name: np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        for name, array in sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)
    }
    digests = {name: _digest(array) for name, array in arrays.items()}
    parts = [kind, str(version), about, json.dumps(digests)]
    header: dict[str, Any] = {
        "__metadata__": dict(zip(_PARTS, parts, strict=True)) | {"sha256": _seal(parts)},
    }
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    yield len(encoded).to_bytes(8, "little")
    yield encoded
    for array in arrays.values():
        content = _bytes_of(array)
        for start in range(0, len(content), _PIECE):
            yield content[start : start + _PIECE]


def read_tensors(
    path: StrPath, kind: str, version: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote, and verify every byte of it.

    Parameters
    ----------
    path
        The file, which may be compressed with gzip.
    kind
        What the file must be.
    version
        The version that the caller understands.

    Returns
    -------
    tuple
        The tensors, in memory of their own that can be written to, and the metadata.

    Raises
    ------
    FormatError
        If the file is damaged, is something else, or was written by another version.
    SourceNotFoundError, SourceError
        If there is no such file, or it cannot be read.
    """
    with open_input(path) as file:
        if isinstance(file.raw, io.FileIO):
            return _read_plain(path, path, kind, version)
        # The library reads files, not streams.
        with tempfile.NamedTemporaryFile(prefix="stream-w2v-") as plain:
            shutil.copyfileobj(file, plain)
            plain.flush()
            return _read_plain(path, plain.name, kind, version)


def tensors_from_bytes(
    data: bytes, kind: str, version: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what :func:`tensors_to_bytes` returned, and verify every byte of it.

    Raises
    ------
    FormatError
        If they are damaged, are something else, or were made by another version.
    """
    # The library verifies files only.
    with tempfile.NamedTemporaryFile(prefix="stream-w2v-") as plain:
        plain.write(data)
        plain.flush()
        return _read_plain("what was pickled", plain.name, kind, version)


def kind_of(path: StrPath) -> str | None:
    """Return the kind of file that :func:`write_tensors` wrote; None if it is none of those.

    Nothing is verified: that is done when the file is read.

    Raises
    ------
    SourceNotFoundError, SourceError
        If there is no such file, or it cannot be read.
    FormatError
        If it is gzip, and damaged.
    """
    with open_input(path) as file:
        length = int.from_bytes(file.read(8), "little")
        # Most files end here: few others have a brace in this place.
        if length > _HEADER_LIMIT or file.peek(1)[:1] != b"{":
            return None
        try:
            header = json.loads(file.read(length))
            return str(header["__metadata__"]["format"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def _read_plain(
    path: StrPath, plain: StrPath, kind: str, version: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the file ``plain``, which is called ``path`` in what is said about it."""
    name = os.fspath(path)
    try:
        with safe_open(plain, framework="np") as file:
            about, digests = _read_metadata(name, file.metadata(), kind, version)
            if set(file.keys()) != set(digests):
                msg = f"{name} is damaged: it does not hold the tensors that it says it holds"
                raise FormatError(msg)
            tensors = {}
            for key, digest in digests.items():
                # A copy: the library's numpy arrays never alias the file.
                tensors[key] = file.get_tensor(key)
                if _digest(tensors[key]) != digest:
                    msg = f"{name} is damaged: the tensor {key!r} is not what was written"
                    raise FormatError(msg)
            about = about or tensors.pop(_LONG_METADATA).tobytes().decode()
            return tensors, json.loads(about)
    except FormatError:
        raise
    except _NONSENSE as error:
        msg = f"{name} is damaged, or not a safetensors file: {error}"
        raise FormatError(msg) from error


def _read_metadata(
    name: str, header: Mapping[str, str] | None, kind: str, version: int
) -> tuple[str, dict[str, str]]:
    """Return the metadata as JSON, and the digests."""
    if header is None or "sha256" not in header:
        msg = f"{name} is a safetensors file, but not one of stream-w2v's"
        raise FormatError(msg)
    parts = [header.get(part, "") for part in _PARTS]
    if header["sha256"] != _seal(parts):
        msg = f"{name} is damaged: its metadata is not what was written"
        raise FormatError(msg)
    found, number, metadata, digests = parts
    if found != kind:
        msg = f"{name} is of the kind {found}, where {kind} is needed"
        raise FormatError(msg)
    if int(number) > version:
        msg = f"{name} was written by a newer stream-w2v (format {number}); upgrade"
        raise VersionError(msg)
    if int(number) < version:
        msg = (
            f"{name} was written by an older stream-w2v (format {number}), and cannot be read: "
            "go on with that version, or train anew"
        )
        raise VersionError(msg)
    return metadata, json.loads(digests)


def _seal(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape}".encode())
    digest.update(_bytes_of(array))
    return digest.hexdigest()


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
