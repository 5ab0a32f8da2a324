"""Two programs by turns, and what their ratios say."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence

from tests.benchmarks.child import Run

Turns = list[tuple[Run, Run]]


def say(line: str) -> None:
    """Tell whoever waits what is being done."""
    print(line, file=sys.stderr, flush=True)


def take_turns(name: str, ours: Callable[[], Run], theirs: Callable[[], Run], pairs: int) -> Turns:
    """Run both so many times, one after the other, each turn in the same order."""
    turns: Turns = []
    for turn in range(pairs):
        say(f"{name}: turn {turn + 1} of {pairs}")
        turns.append((ours(), theirs()))
    return turns


def middle(values: Sequence[float], form: str = ".3g", unit: str = "") -> str:
    """Write the median."""
    return f"{statistics.median(values):{form}}{unit}"


def spread(values: Sequence[float], form: str = ".3g", unit: str = "") -> str:
    """Write the median with the smallest and the largest value, if there are several."""
    if len(values) == 1:
        return middle(values, form, unit)
    low, high = min(values), max(values)
    return f"{middle(values, form)}{unit} ({low:{form}} to {high:{form}})"
