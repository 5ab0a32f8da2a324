"""How far the training call is from what the processor and its memory could do."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

SIZES = (100, 300)


def measure(setting: Setting) -> Section:
    """Relate the useful arithmetic, and the rows it needs, to the measured limits of one core."""
    raw: dict[str, list[dict[str, Any]]] = {}
    for size in SIZES[:1] if setting.quick else SIZES:
        say(f"roofline, d={size}")
        raw[f"d={size}"] = [
            work("our_side", "roofline", path=str(setting.text), vector_size=size).answer
            for _ in range(setting.pairs)
        ]
    return Section(
        title="Roofline",
        columns=(
            "",
            "peak of fused multiply-adds",
            "useful in training",
            "share",
            "memory, read and written back",
            "rows touched in training",
            "share",
            "operations per byte",
        ),
        rows=[_row(name, runs) for name, runs in raw.items()],
        notes=(
            "The peak is that of twelve independent sums in registers, measured in the same "
            "process. Useful are six operations for each dimension of each pair of an input and an "
            "output (two for the score, four for the updates), over the CPU time of the whole "
            "call; tokenising, counting, drawing and waiting for memory are in the time only.",
            "Memory is one pass after the other over 512 MiB, in the same process, each number "
            "read and written back, which counts as two. Rows touched are one input row (the one "
            "that enters the window) and all output rows of each window, read and written back, as "
            "if no cache held any: frequent words' rows never leave the caches, so memory carries "
            "less than that. Rows are read in no order, and memory in order is faster.",
            "Left of the corner of the two lines memory would be the limit, right of it the "
            "arithmetic.",
        ),
        raw=raw,
    )


def _row(name: str, runs: list[dict[str, Any]]) -> list[str]:
    def giga(key: str, unit: str) -> str:
        return middle([run[key] / 1e9 for run in runs], ".0f", unit)

    def share(part: str, limit: str) -> str:
        return spread([100 * run[part] / run[limit] for run in runs], ".0f", " %")

    return [
        name,
        giga("peak", " GFLOP/s"),
        giga("useful", " GFLOP/s"),
        share("useful", "peak"),
        giga("bandwidth", " GB/s"),
        giga("touched", " GB/s"),
        share("touched", "bandwidth"),
        middle([run["useful"] / run["touched"] for run in runs], ".1f"),
    ]
