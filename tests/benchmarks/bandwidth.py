"""How fast one core reads memory and writes it back, far beyond its caches."""

from __future__ import annotations

import time

from numba import njit

from stream_w2v.kernel.memory import aligned_zeros

_BYTES = 1 << 29
"""Many times the last cache, whatever processor it is."""


@njit
def _update(values, share):
    for i in range(len(values)):
        values[i] -= share * values[i]


def bytes_per_second() -> float:
    """Return the best of five measurements; what is read and written back counts twice."""
    values = aligned_zeros(_BYTES // 4)
    _update(values, values[0])
    best = 0.0
    for _ in range(5):
        clock = time.process_time()
        _update(values, values[0])
        best = max(best, 2 * values.nbytes / (time.process_time() - clock))
    return best
