"""The most fused multiply-adds that one core does, measured with the kernel's own vectors."""

from __future__ import annotations

import time

from numba import njit

from stream_w2v.kernel.memory import aligned_zeros
from stream_w2v.kernel.simd import add_products, store, sum_lanes, zeros_like

_FLOPS = 12 * 16 * 2  # twelve sums of sixteen lanes, a product and an addition each


@njit
def _multiply_add(rows, start, times):
    sums = zeros_like(rows, 2)
    for _ in range(times):
        sums = add_products(sums, start, start, rows, 0)
    store(start, sum_lanes(sums))


def flops_per_second() -> float:
    """Return the best of five measurements."""
    memory = aligned_zeros(7 * 16)
    start = memory.ctypes.data
    rows = tuple(start + 64 * i for i in range(1, 7))
    _multiply_add(rows, start, 1)
    times = 5_000_000
    best = 0.0
    for _ in range(5):
        clock = time.process_time()
        _multiply_add(rows, start, times)
        best = max(best, times * _FLOPS / (time.process_time() - clock))
    return best
