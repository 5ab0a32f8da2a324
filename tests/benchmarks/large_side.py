"""stream-w2v with a large vocabulary: ``python -m tests.benchmarks.large_side``.

The vocabulary is filled before any clock starts (``tests/benchmarks/zipf.py``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.child import answer
from tests.benchmarks.clock import clocked

_SOME_TOKENS = 200_000
_AT_REST = 1.0
"""Seconds for which learning is watched before a snapshot is taken."""


def kernel(words: int, vector_size: int, tokens: int) -> dict[str, Any]:
    """Measure learning text over so many words, from batches that lie in memory."""
    from stream_w2v.memory import memory_bound
    from tests.benchmarks import zipf

    model = zipf.filled(words, vector_size=vector_size)
    warm, *batches = zipf.batches(words, zipf.BATCH_TOKENS + tokens, seed=1)
    model.learn_batch(warm)
    before = model.counters
    with clocked() as clocks:
        for batch in batches:
            model.learn_batch(batch)
    after = model.counters
    names = ("words", "kept", "windows", "evicted")
    return {
        **clocks,
        **{name: after[name] - before[name] for name in names},
        "rows": len(model.vocabulary),
        "bound": memory_bound(model.config),
    }


def snapshots(words: int, vector_size: int, times: int) -> dict[str, Any]:
    """Measure how long snapshots stop the training, and what it takes to copy as many bytes."""
    import numpy as np

    from tests.benchmarks import zipf

    model = zipf.filled(words, vector_size=vector_size)
    batches = list(zipf.batches(words, _SOME_TOKENS, seed=1))
    for batch in batches:
        model.learn_batch(batch)
    held = _watch_lock(model)
    source, target = (np.ones((words, vector_size), np.float32) for _ in range(2))

    def copy_anew() -> None:
        np.copyto(np.empty_like(source), source)

    looks = []
    # The first round loads compiled code, and gets memory that later ones find at hand.
    for _ in range(1 + times):
        look: dict[str, Any] = {
            "copy": _timed(lambda: np.copyto(target, source)),
            "copy_to_new_memory": _timed(copy_anew),
        }
        for combine in ("input", "sum"):
            held.clear()
            whole = _timed(lambda combine=combine: model.snapshot(combine=combine))
            look[combine] = {"held": held[-1], "whole": whole}
        begin = int(model.counters["pieces"])
        for batch in batches:
            model.learn_batch(batch)
        held.clear()
        clock = time.perf_counter()
        touched = model.snapshot(combine="input", since=begin)
        whole = time.perf_counter() - clock
        look["since"] = {"held": held[-1], "whole": whole, "share": len(touched) / words}
        for combine in ("input", "sum"):
            look[combine].update(_gaps(model, combine))
        looks.append(look)
    return {"looks": looks[1:], "bytes": source.nbytes}


def checkpoints(words: int, vector_size: int, times: int) -> dict[str, Any]:
    """Measure how long a checkpoint stops the training, and what it takes to copy its bytes."""
    import tempfile

    import numpy as np

    from stream_w2v.checkpoint import Checkpoints
    from tests.benchmarks import zipf

    model = zipf.filled(words, vector_size=vector_size)
    for batch in zipf.batches(words, _SOME_TOKENS, seed=1):
        model.learn_batch(batch)
    size = sum(tensor.nbytes for tensor in model.tensors().values())
    held = _watch_lock(model)
    source, target = (np.ones(size, np.uint8) for _ in range(2))

    def copy_anew() -> None:
        np.copyto(np.empty_like(source), source)

    looks = []
    with tempfile.TemporaryDirectory() as folder, Checkpoints(folder, keep=1) as directory:
        for _ in range(1 + times):
            look = {
                "copy": _timed(lambda: np.copyto(target, source)),
                "copy_to_new_memory": _timed(copy_anew),
            }
            held.clear()
            look["start"] = _timed(lambda: directory.start(model, {"part": 1}))
            look["held"] = held[-1]
            look["write"] = _timed(directory.finish)
            looks.append(look)
    return {"looks": looks[1:], "bytes": size}


def _timed(action: Callable[[], object]) -> float:
    clock = time.perf_counter()
    action()
    return time.perf_counter() - clock


def _watch_lock(model: Any) -> list[float]:
    """Return a list that gets the seconds for which each call keeps the others waiting."""
    held: list[float] = []
    whole = model._learner.whole

    @contextmanager
    def watched() -> Iterator[None]:
        with whole():
            clock = time.perf_counter()
            try:
                yield
            finally:
                held.append(time.perf_counter() - clock)

    model._learner.whole = watched
    return held


def _gaps(model: Any, combine: str) -> dict[str, float]:
    """Return the longest time that a record takes, with a snapshot beside it and without."""
    record = "ba be bi bo bu ca ce ci co cu"
    longest = {}
    for name in ("at_rest", "gap"):
        other = threading.Thread(
            target=time.sleep if name == "at_rest" else lambda: model.snapshot(combine=combine),
            args=(_AT_REST,) if name == "at_rest" else (),
        )
        longest[name] = 0.0
        other.start()
        before = time.perf_counter()
        while other.is_alive():
            model.learn_one(record)
            now = time.perf_counter()
            longest[name] = max(longest[name], now - before)
            before = now
        other.join()
    return longest


if __name__ == "__main__":
    answer(kernel=kernel, snapshots=snapshots, checkpoints=checkpoints)
