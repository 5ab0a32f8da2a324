"""The clocks of a worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def clocked() -> Iterator[dict[str, float]]:
    """Measure a block: at its end ``wall`` and ``cpu`` are its seconds, CPU of all threads."""
    clocks: dict[str, float] = {}
    cpu, wall = time.process_time(), time.perf_counter()
    yield clocks
    clocks["wall"] = time.perf_counter() - wall
    clocks["cpu"] = time.process_time() - cpu
