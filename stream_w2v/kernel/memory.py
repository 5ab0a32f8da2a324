"""Arrays that start on a cache line, as the vector loads and stores need."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from stream_w2v.kernel.simd import BYTES, LANES

# Linux's flag for memory that is promised to nobody until it is written; Python names it from 3.13.
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if hasattr(mmap, "MADV_HUGEPAGE") else 0)


def stride_of(vector_size: int) -> int:
    """Return how many float32 a row of ``vector_size`` takes: whole vectors of 16."""
    return -(-vector_size // LANES) * LANES


def aligned_zeros(*shape: int) -> NDArray[np.float32]:
    """Return float32 zeros on a 64-byte boundary."""
    size = 4 * math.prod(shape)
    buffer = np.zeros(size + BYTES, dtype=np.uint8)
    offset = -buffer.ctypes.data % BYTES
    return buffer[offset : offset + size].view(np.float32).reshape(shape)


def reserved_zeros(count: int, kind: npt.DTypeLike, *, huge: bool = False) -> NDArray[Any]:
    """Return ``count`` zeros on a page boundary that take memory only where they are written.

    So an array can have its final size from the start, and growing copies nothing.

    Parameters
    ----------
    count, kind
        How many elements, and their dtype.
    huge
        Whether to ask for pages of 2 MB: for what is read at random all the time, and would miss
        the processor's cache of page addresses at every row.

    Raises
    ------
    MemoryError
        If there are not so many addresses.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    try:
        memory = mmap.mmap(-1, max(1, count) * np.dtype(kind).itemsize, flags=flags)
    except (OSError, OverflowError) as error:
        raise MemoryError(str(error)) from error
    if huge and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=kind, count=count)


def touched(count: int, kind: npt.DTypeLike, *, huge: bool = False) -> NDArray[Any]:
    """Return ``count`` zeros in memory that is there already.

    To get new memory takes longer than to fill it. Parameters are those of :func:`reserved_zeros`.
    """
    array = reserved_zeros(count, kind, huge=huge)
    array.fill(0)
    return array


def grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a copy with ``size`` elements, the new ones 0 and not yet taking memory."""
    result = reserved_zeros(size, array.dtype)
    result[: len(array)] = array
    return result
