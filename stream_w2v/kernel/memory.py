"""Arrays that start on a cache line, as the vector loads and stores need."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.simd import BYTES, LANES


def stride_of(vector_size: int) -> int:
    """Return how many float32 a row of ``vector_size`` takes: whole vectors of 16."""
    return -(-vector_size // LANES) * LANES


def aligned_zeros(*shape: int) -> NDArray[np.float32]:
    """Return float32 zeros on a 64-byte boundary; memory is taken only where it is written."""
    size = 4 * math.prod(shape)
    buffer = np.zeros(size + BYTES, dtype=np.uint8)
    offset = -buffer.ctypes.data % BYTES
    return buffer[offset : offset + size].view(np.float32).reshape(shape)
