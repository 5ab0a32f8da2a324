"""Files of word vectors, read and written: each format as a pair of functions over a table.

    word2vec          .txt          "n d", then "word 0.1 0.2 ..." a line
    word2vec-binary   .bin          "n d", then "word ", d float32 (little-endian) and a line break
    safetensors       .safetensors  holds any word, and the counts; verified when it is read
    tsv               .tsv          TensorFlow projector: numbers here, words in <name>_metadata.tsv
    vocab             .vocab        "word count" a line, as word2vec.c -save-vocab; only written

Each ending may be followed by ``.gz``. A file holds finite numbers only. Its words are UTF-8; only
safetensors holds a word with ASCII white space in it, at which readers of the others split.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stream_w2v.decimals import NUMBER, from_text, to_text
from stream_w2v.errors import ConfigError, EmptyVocabularyError, FormatError, StorageError
from stream_w2v.storage import StrPath, open_input, open_output, read_tensors, write_tensors

KIND = "stream-w2v-vectors"
VERSION = 1

ENDINGS = {
    ".txt": "word2vec",
    ".bin": "word2vec-binary",
    ".safetensors": "safetensors",
    ".tsv": "tsv",
    ".vocab": "vocab",
}

_BLOCK = 1024  # rows that are turned to or from text at once
_CHUNK = 1 << 20  # bytes
_LONGEST_WORD = 1 << 16
_GZIP_RATIO = 1032  # deflate cannot do better
_BREAKS = re.compile("[\t-\r ]")
_HEADER = re.compile(rb"(\d{1,18}) (\d{1,18})[ \t\r]*\n")
_NOT_TEXT = re.compile(rb"[^\t\r\n -~]")


@dataclass(frozen=True, slots=True)
class Table:
    """Words with their vectors (float32 ``[n, d]``) and, where known, their counts (``[n]``)."""

    keys: Sequence[str]
    vectors: NDArray[np.float32]
    counts: NDArray[Any] | None = None


def format_of(path: StrPath, named: str | None = None) -> str:
    """Return the format that is named, or else the one that a path's ending asks for.

    Raises
    ------
    ConfigError
        If it is none of those known.
    """
    formats = list(ENDINGS.values())
    if named is not None and named not in formats:
        msg = f"format must be one of {', '.join(formats)}, not {named!r}"
        raise ConfigError(msg)
    ending = Path(os.fspath(path).removesuffix(".gz")).suffix
    found = named or ENDINGS.get(ending)
    if found is None:
        msg = (
            f"cannot tell the format of {os.fspath(path)}: "
            f"let it end in {', '.join(ENDINGS)} (and .gz), or name a format"
        )
        raise ConfigError(msg)
    return found


def write_table(path: StrPath, table: Table, form: str) -> None:
    """Write a table in a format that :func:`format_of` returned.

    Raises
    ------
    EmptyVocabularyError
        If the table is empty.
    StorageError
        If the format cannot hold the table, or the file cannot be written; what stood there is
        intact.
    """
    _check_writable(path, table, form)
    if form == "safetensors":
        _write_safetensors(path, table)
    elif form == "tsv":
        _write_tsv(path, table)
    elif form == "vocab":
        with open_output(path) as file:
            file.writelines(_vocab_lines(table))
    else:
        with open_output(path) as file:
            file.write(b"%d %d\n" % table.vectors.shape)
            file.writelines((_binary_rows if form == "word2vec-binary" else _text_rows)(table))


def _check_writable(path: StrPath, table: Table, form: str) -> None:
    name = os.fspath(path)
    if not table.keys:
        msg = f"there is no word to write to {name}"
        raise EmptyVocabularyError(msg)
    if form == "vocab" and table.counts is None:
        msg = f"cannot write {name}: these vectors came without counts"
        raise StorageError(msg)
    row = _first_infinite(table.vectors)
    if row is not None:
        msg = f"cannot write {name}: the vector of {table.keys[row]!r} is not finite"
        raise StorageError(msg)
    if form == "safetensors":
        return
    for word in table.keys:
        if not _encodable(word):
            msg = (
                f"cannot write {name}: the word {word!r} is empty, holds white space or is not "
                f"Unicode, which the format {form} has no way to say; use safetensors"
            )
            raise StorageError(msg)


def _encodable(word: str) -> bool:
    try:
        return bool(word.encode()) and not _BREAKS.search(word)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _first_infinite(vectors: NDArray[np.float32]) -> int | None:
    for start in range(0, len(vectors), _BLOCK):
        finite = np.isfinite(vectors[start : start + _BLOCK]).all(axis=1)
        if not finite.all():
            return start + int(finite.argmin())
    return None


def _blocks(table: Table) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, len(table.keys), _BLOCK))


def read_table(path: StrPath) -> Table:
    """Read a file of vectors, in whichever of the formats it is.

    Raises
    ------
    FormatError
        If it is in none of them, or damaged.
    SourceNotFoundError, SourceError
        If there is no such file, or it cannot be read.
    """
    with open_input(path) as file:
        start = file.read(9)
        file.seek(0)
        first = file.readline(_CHUNK)
    if start[8:] == b"{":
        return _read_safetensors(path)
    if _HEADER.fullmatch(first):
        return read_word2vec(path)
    fields = first.rstrip(b"\r\n").split(b"\t")
    # A number alone is no reason to ask for the words that belong to it.
    if all(map(NUMBER.fullmatch, fields)) and (len(fields) > 1 or _metadata_path(path).exists()):
        return _read_tsv(path, len(fields))
    msg = (
        f"{os.fspath(path)} holds no vectors that can be read: expected word2vec text or binary "
        "(its first line is two numbers), safetensors, or a projector's .tsv"
    )
    raise FormatError(msg)


# word2vec, text and binary


def _text_rows(table: Table) -> Iterator[bytes]:
    for block in _blocks(table):
        lines = to_text(table.vectors[block], " ")
        yield "".join(map("{} {}\n".format, table.keys[block], lines)).encode()


def _binary_rows(table: Table) -> Iterator[bytes]:
    for block in _blocks(table):
        rows = zip(table.keys[block], table.vectors[block].astype("<f4"), strict=True)
        yield b"".join(b"%b %b\n" % (word.encode(), row.tobytes()) for word, row in rows)


def read_word2vec(path: StrPath, binary: bool | None = None, errors: str = "strict") -> Table:
    """Read word2vec's text or binary format; None looks which of them it is.

    ``errors`` says what to do with a word that is not UTF-8, as in ``bytes.decode``: word2vec.c
    cuts a long word anywhere. Of a word that comes twice the first is kept.
    """
    name = os.fspath(path)
    with open_input(path) as file:
        header = _HEADER.fullmatch(file.readline(64))
        if header is None:
            msg = f"{name} is not in word2vec's format: its first line is not two numbers"
            raise FormatError(msg)
        n, d = int(header[1]), int(header[2])
        # Before memory is set aside for what a damaged first line promises.
        size = Path(path).stat().st_size
        if not isinstance(file.raw, io.FileIO):
            size *= _GZIP_RATIO
        if min(n, d) < 1 or n * (2 * d + 1) > size:
            msg = f"{name} is cut short or damaged: it cannot hold {n} words of {d} numbers"
            raise FormatError(msg)
        if binary is None:
            start = file.tell()
            binary = not _is_text(file.readline(32 * d + _LONGEST_WORD), d)
            file.seek(start)
        vectors = np.empty((n, d), np.float32)
        words = (_read_binary if binary else _read_text)(name, file, vectors)
        if len(words) < n:
            msg = f"{name} is cut short: it ends in word {len(words) + 1} of {n}"
            raise FormatError(msg)
        if file.read(_CHUNK).strip():
            msg = f"{name} is damaged: it goes on after the {n} words that it promises"
            raise FormatError(msg)
    return _table(name, words, vectors, None, errors)


def _is_text(line: bytes, d: int) -> bool:
    numbers = line.partition(b" ")[2]
    fields = numbers.split()
    if len(fields) == d and all(map(NUMBER.fullmatch, fields)):
        return True
    # Damaged text: binary numbers are not that long without an unprintable byte.
    return len(numbers) >= 16 and not _NOT_TEXT.search(numbers)


def _read_text(name: str, file: BinaryIO, vectors: NDArray[np.float32]) -> list[bytes]:
    words: list[bytes] = []
    while lines := list(islice(file, min(_BLOCK, len(vectors) - len(words)))):
        rows = [line.partition(b" ") for line in lines]
        numbers = [row[2] for row in rows]
        done = len(words)
        block = from_text(name, numbers, vectors.shape[1], done + 2)
        vectors[done : done + len(lines)] = block
        words += [row[0] for row in rows]
    return words


def _read_binary(name: str, file: BinaryIO, vectors: NDArray[np.float32]) -> list[bytes]:
    n, d = vectors.shape
    words: list[bytes] = []
    data, at = b"", 0
    for row in range(n):
        space = data.find(b" ", at)
        while space < 0 or len(data) <= space + 4 * d:
            if space < 0 and len(data) - at > _LONGEST_WORD:
                msg = f"{name} is damaged: word {row + 1} of {n} has no end"
                raise FormatError(msg)
            more = file.read(_CHUNK + 4 * d)
            if not more:
                return words
            data, at = data[at:] + more, 0
            space = data.find(b" ")
        # word2vec.c ends a row with a line break, gensim does not.
        words.append(data[at:space].lstrip(b"\n"))
        vectors[row] = np.frombuffer(data, "<f4", d, space + 1)
        at = space + 1 + 4 * d
    if data[at:].strip():
        msg = f"{name} is damaged: it goes on after the {n} words that it promises"
        raise FormatError(msg)
    return words


def _table(
    name: str,
    words: Sequence[bytes],
    vectors: NDArray[np.float32],
    counts: NDArray[Any] | None,
    errors: str = "strict",
) -> Table:
    """Check what was read, and drop the words that came before."""
    try:
        keys = [word.decode(errors=errors) for word in words]
    except UnicodeDecodeError as error:
        msg = f"{name} holds a word that is not UTF-8: {error.object[:40]!r}"
        raise FormatError(msg) from error
    if not all(keys):
        msg = f"{name} is damaged: word {keys.index('') + 1} of {len(keys)} is empty"
        raise FormatError(msg)
    row = _first_infinite(vectors)
    if row is not None:
        msg = f"{name}: the vector of {keys[row]!r} is not finite"
        raise FormatError(msg)
    first = {word: row for row, word in reversed([*enumerate(keys)])}
    if len(first) < len(keys):
        kept = sorted(first.values())
        keys = [keys[row] for row in kept]
        vectors = vectors[kept]
        counts = None if counts is None else counts[kept]
    return Table(keys, vectors, counts)


# The counts alone


def _vocab_lines(table: Table) -> Iterator[bytes]:
    assert table.counts is not None  # _check_writable saw to it
    # word2vec.c reads whole numbers; counts that decay are none.
    for word, count in zip(table.keys, table.counts.tolist(), strict=True):
        yield f"{word} {round(count)}\n".encode()


# TensorFlow's projector


def _metadata_path(path: StrPath) -> Path:
    path = Path(path)
    zipped = ".gz" if path.name.endswith(".gz") else ""
    stem = path.name.removesuffix(".gz").removesuffix(".tsv")
    return path.with_name(f"{stem}_metadata.tsv{zipped}")


def _write_tsv(path: StrPath, table: Table) -> None:
    with open_output(_metadata_path(path)) as metadata:
        if table.counts is None:  # the projector takes a single column without a title
            metadata.writelines(f"{word}\n".encode() for word in table.keys)
        else:
            metadata.write(b"word\tcount\n")
            for word, count in zip(table.keys, table.counts.tolist(), strict=True):
                metadata.write(f"{word}\t{count}\n".encode())
        metadata.flush()
        # Within, so that neither old file goes before both new ones are written.
        with open_output(path) as file:
            for block in _blocks(table):
                lines = to_text(table.vectors[block], "\t")
                file.write("".join(map("{}\n".format, lines)).encode())


def _read_tsv(path: StrPath, d: int) -> Table:
    name, beside = os.fspath(path), _metadata_path(path)
    blocks: list[NDArray[np.float32]] = []
    with open_input(path) as file:
        while lines := list(islice(file, _BLOCK)):
            blocks.append(from_text(name, lines, d, len(blocks) * _BLOCK + 1))
    vectors = np.concatenate(blocks)
    with open_input(beside) as file:
        rows = [line.rstrip(b"\r\n").split(b"\t") for line in file]
    titles = rows.pop(0) if rows and len(rows[0]) > 1 else [b"word"]
    if len(rows) != len(vectors) or any(len(row) != len(titles) for row in rows):
        msg = f"{beside} does not fit {name}: expected a line for each of {len(vectors)} vectors"
        raise FormatError(msg)
    counts = None
    if b"count" in titles:
        column = titles.index(b"count")
        try:
            texts = [row[column] for row in rows]
            counts = np.array([int(text) if text.isdigit() else float(text) for text in texts])
        except ValueError as error:
            msg = f"{beside} holds a count that is not a number"
            raise FormatError(msg) from error
    return _table(name, [row[0] for row in rows], vectors, counts)


# safetensors


def _write_safetensors(path: StrPath, table: Table) -> None:
    # surrogatepass: any str that Python holds comes back.
    words = [word.encode(errors="surrogatepass") for word in table.keys]
    tensors: dict[str, NDArray[Any]] = {
        "vectors": table.vectors,
        "words": np.frombuffer(b"".join(words), np.uint8),
        "ends": np.cumsum([len(word) for word in words], dtype=np.int64),
    }
    if table.counts is not None:
        tensors["counts"] = table.counts
    write_tensors(path, KIND, VERSION, tensors, {})


def _read_safetensors(path: StrPath) -> Table:
    tensors, _ = read_tensors(path, KIND, VERSION)
    text, ends = tensors["words"].tobytes(), tensors["ends"].tolist()
    words = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    keys = [word.decode(errors="surrogatepass") for word in words]
    return Table(keys, tensors["vectors"], tensors.get("counts"))
