"""How far the training call is from what the processor could do."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

SIZES = (100, 300)


def measure(setting: Setting) -> Section:
    """Relate the useful arithmetic to the measured peak of one core."""
    rows = []
    raw: dict[str, Any] = {}
    for size in SIZES[:1] if setting.quick else SIZES:
        say(f"roofline, d={size}")
        runs = [
            work("our_side", "roofline", path=str(setting.text), vector_size=size).answer
            for _ in range(setting.pairs)
        ]
        rows.append(
            [
                f"d={size}",
                middle([run["peak"] / 1e9 for run in runs], ".0f", " GFLOP/s"),
                middle([run["useful"] / 1e9 for run in runs], ".0f", " GFLOP/s"),
                spread([100 * run["useful"] / run["peak"] for run in runs], ".0f", " %"),
            ]
        )
        raw[f"d={size}"] = runs
    return Section(
        title="Roofline",
        columns=("", "peak of fused multiply-adds", "useful in training", "share"),
        rows=rows,
        notes=(
            "The peak is that of twelve independent sums in registers, measured in the same "
            "process. Useful are six operations for each dimension of each pair of an input and an "
            "output (two for the score, four for the updates), over the CPU time of the whole "
            "call; tokenising, counting, drawing and waiting for memory are in the time only.",
        ),
        raw=raw,
    )
