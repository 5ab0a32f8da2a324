"""A billion tokens: what is flat, what grows, and how."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import say

BOUNDS = {"max_vocab_size": 200_000, "max_candidates": 1_000_000}
"""Low enough that a billion tokens reach both: words are evicted, waiting counts are halved."""

QUICK_BOUNDS = {"max_vocab_size": 10_000, "max_candidates": 50_000}
SHOWN = (0.01, 0.1, 0.5, 1.0)


def rates(looks: list[dict[str, Any]], clock: str) -> list[float]:
    """Return tokens per second between each look and the one before."""
    starts = [{"tokens": 0, clock: 0.0}, *looks]
    return [
        (end["tokens"] - start["tokens"]) / (end[clock] - start[clock])
        for start, end in pairwise(starts)
    ]


def _row(look: dict[str, Any], cpu: float, wall: float) -> list[str]:
    return [
        f"{look['tokens'] / 1e6:.3g} M",
        f"{cpu / 1e6:.3g} M/s",
        f"{wall / 1e6:.3g} M/s",
        f"{look['resident'] / 2**20:,.0f} MiB",
        *(f"{look[name]:,.0f}" for name in ("rebuilds", "words", "evicted", "forgotten")),
    ]


def measure(setting: Setting) -> Section:
    """Learn endless text under low bounds, and see that nothing grows that should not."""
    tokens = setting.soak_tokens
    bounds = QUICK_BOUNDS if setting.quick else BOUNDS
    say(f"soak: {tokens:,} tokens")
    answer = work("our_side", "soak", tokens=tokens, config=bounds).answer
    looks = answer["looks"]
    lines = list(zip(looks, rates(looks, "cpu"), rates(looks, "wall"), strict=True))
    shown = [next(line for line in lines if line[0]["tokens"] >= tokens * part) for part in SHOWN]
    return Section(
        title="Soak",
        columns=(
            "tokens so far",
            "tokens per CPU second since the look before",
            "per second",
            "resident memory",
            "noise rebuilds",
            "words with a vector",
            "evicted so far",
            "forgotten while waiting",
        ),
        rows=[_row(*line) for line in shown],
        notes=(
            "Generated text (`tests/benchmarks/endless.py`): the frequencies of English words, "
            "with a tail that has no end, so that new words keep coming. Only the calls of "
            "`learn_batch` are timed, not the making of the text. The process is looked at a "
            "hundred times.",
            f"max_vocab_size {bounds['max_vocab_size']:,}, max_candidates "
            f"{bounds['max_candidates']:,}, all else as it is by default: the arrays may take "
            f"{answer['bound'] / 2**20:,.0f} MiB at most. Interpreter, libraries and compiled code "
            "come on top.",
            "An eviction takes a tenth of the words at once, and rebuilds the noise table each "
            "time; the other rebuilds are those that the growing counts ask for.",
        ),
        raw={**bounds, **answer},
    )
