"""The text that both programs train on, as a plain file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from tests.benchmarks.child import answer

if TYPE_CHECKING:
    from stream_w2v.stream import Batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": zstd.open,
}

_BATCH_BYTES = 1 << 17


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        head = file.read(6)
    for magic, opener in OPENERS.items():
        if head.startswith(magic):
            return cast("IO[bytes]", opener(path, "rb"))
    return path.open("rb")


def unpack(path: Path, target: Path, tokens: int | None = None) -> None:
    """Write the text, or the lines that hold its first so many tokens, to a plain file."""
    with _open(path) as source, target.open("wb") as file:
        if tokens is None:
            shutil.copyfileobj(source, file, 1 << 20)
            return
        for line in source:
            file.write(line)
            tokens -= len(line.split())
            if tokens <= 0:
                return


def pieces(path: str) -> Iterator[bytes]:
    """Yield the first tenth of a plain text, then the rest in hundredths, all of whole lines."""
    size = -(-Path(path).stat().st_size // 100)
    with Path(path).open("rb") as file:
        piece = file.read(10 * size)
        while piece:
            piece += file.readline()
            yield piece if piece.endswith(b"\n") else piece + b"\n"
            piece = file.read(size)


def recut(path: str, words: int) -> Iterator[Batch]:
    """Yield the words of a plain text in records of so many, in batches as a source makes them."""
    # Here, because the process that starts all others has to stay small.
    import numpy as np

    from stream_w2v.stream import Batch

    text = b" ".join(Path(path).read_bytes().split()) + b" "
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord(" "))[words - 1 :: words] + 1
    records = max(1, _BATCH_BYTES * len(ends) // len(text))
    begin = 0
    for first in range(0, len(ends), records):
        some = ends[first : first + records]
        yield Batch(text[begin : some[-1]], some - begin)
        begin = int(some[-1])


def describe(path: str, min_count: int) -> dict[str, Any]:
    """Count what the text has, on white space: run it in a process of its own."""
    counts: Counter[bytes] = Counter()
    lines = 0
    with Path(path).open("rb") as file:
        for line in file:
            counts.update(line.split())
            lines += 1
    return {
        "bytes": Path(path).stat().st_size,
        "lines": lines,
        "tokens": counts.total(),
        "types": len(counts),
        "frequent_types": sum(count >= min_count for count in counts.values()),
    }


if __name__ == "__main__":
    answer(describe=describe)
