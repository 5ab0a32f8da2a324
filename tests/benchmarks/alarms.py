"""Drift of words: alarms where nothing changed, and changes that are found."""

from __future__ import annotations

import statistics
from functools import cache
from itertools import pairwise
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.quality import SEEDS
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.timeline import Timeline
from tests.benchmarks.turns import say, spread

# As in the worker, which this process must not import: it has to stay small.
THRESHOLDS = (3.0, 3.5, 4.0, 4.5)
BANDS = (10, 30, 100, 300, 1000, 3000, 10_000)
LOWS = BANDS[:-1]
ALARM = 4.0

SHARES = ((0.25, 0.5), (0.5, 0.6), (0.5, 0.75), (0.5, 1.0))
NO_COMPANY = "words by themselves"
GENERATED = (
    (2_000_000, 4_000_000, True),
    (4_000_000, 6_000_000, True),
    (2_000_000, 4_000_000, False),
)


def _false(name: str, found: list[dict[str, Any]]) -> list[str]:
    return [
        name,
        spread([one["compared"] for one in found], ",.0f"),
        *(
            spread([100 * one["above"][place] for one in found], ".3f", " %")
            for place in range(len(THRESHOLDS))
        ),
        spread([100 * one["uncounted"][THRESHOLDS.index(ALARM)] for one in found], ".3f", " %"),
        f"{statistics.median(one['kept'] for one in found):.0%}",
    ]


@cache
def _runs(setting: Setting) -> dict[str, list[dict[str, Any]]]:
    """Compare pairs of snapshots of streams that do not drift."""
    seeds = SEEDS[:1] if setting.quick else SEEDS
    runs: dict[str, list[dict[str, Any]]] = {}
    for old, new in SHARES:
        name = f"`{setting.corpus['name']}` shuffled, {old:.0%} to {new:.0%}"
        for seed in seeds:
            say(f"alarms: {name}, seed {seed}")
            found = work(
                "alarms_side", "shuffled", path=str(setting.text), seed=seed, old=old, new=new
            ).answer
            runs.setdefault(name, []).append(found)
    for old, new, company in GENERATED[:1] if setting.quick else GENERATED:
        kind = "topics" if company else NO_COMPANY
        name = f"generated, {kind}, {old / 1e6:.0f} M to {new / 1e6:.0f} M tokens"
        for seed in seeds:
            say(f"alarms: {name}, seed {seed}")
            found = work(
                "alarms_side", "generated", seed=seed, old=old, new=new, company=company
            ).answer
            runs.setdefault(name, []).append(found)
    return runs


def measure(setting: Setting) -> Section:
    """Count alarms where nothing drifts."""
    runs = _runs(setting)
    above = [
        one["above"][THRESHOLDS.index(ALARM)]
        for name, found in runs.items()
        if NO_COMPANY not in name
        for one in found
    ]
    return Section(
        title="Alarms where nothing drifts",
        columns=(
            "stream, from one snapshot to the other",
            "words compared",
            *(f"above {least}" for least in THRESHOLDS),
            f"without counts, above {ALARM}",
            "neighbours kept",
        ),
        rows=[_false(name, found) for name, found in runs.items()],
        notes=(
            "`measure_drift` between two snapshots of a model that goes on. The streams do not "
            "drift: the lines of the text in random order, another one for each seed, and "
            "generated text, in which half of a line's words are of one of 200 topics. So every "
            f"word above a threshold is a false alarm. A score above {ALARM} is an alarm: "
            f"{max(above):.3%} of the words at most, but more where words are drawn by themselves "
            "(as under *Soak*), so that none has any company. Seeds: "
            f"{len(next(iter(runs.values())))}; median and range.",
            "*Without counts*: of the same vectors, a word's place instead of its count, and all "
            "words compared. *Neighbours kept*: of the ten nearest of every so many words, those "
            "that stayed, the median.",
        ),
        raw=runs,
    )


def swapped(setting: Setting) -> Section:
    """Count words that were swapped and found."""
    rows = []
    for name, found in _runs(setting).items():
        if "swapped" in found[0]:
            bands = [[score for one in found for score in one["swapped"][str(low)]] for low in LOWS]
            rows.append([name, *(" / ".join(_shares(scores)) for scores in bands)])
    return Section(
        title="Words that were swapped",
        columns=(
            "stream, from one snapshot to the other",
            *(f"{low:,} to {high:,}" for low, high in pairwise(BANDS)),
        ),
        rows=rows,
        notes=(
            "Between the two snapshots some words stood for others as frequent, and the other way "
            "round: twelve of each band of occurrences before the first snapshot. The share that "
            f"scores above {', '.join(map(str, THRESHOLDS))}, of all seeds.",
        ),
        raw={},
    )


def _shares(scores: list[float]) -> list[str]:
    return [
        f"{statistics.fmean(score > least for score in scores):.0%}"
        for least in THRESHOLDS
        if scores
    ]


def words(setting: Setting) -> Section | None:
    """List the words that drifted most in a text that does."""
    text = setting.drift
    if text is None:
        return None
    lines = text.facts["lines"]
    timeline = Timeline.read(text.index, lines)
    _, old, _, new = timeline.quarters()
    labels = timeline.labels[old], timeline.labels[new]
    say(f"alarms: {text.name}, {labels[0]} to {labels[1]}")
    found = work(
        "alarms_side", "drifting",
        path=str(text.path), old=timeline.ends[old], new=timeline.ends[new],
    ).answer  # fmt: skip
    return Section(
        title="Words that drift",
        columns=("", "score", labels[0], labels[1], "away from", "towards"),
        rows=[
            [
                word["word"],
                f"{word['score']:.1f}",
                f"{word['then']:,}",
                f"{word['now']:,}",
                *(", ".join(word[side][:6]) for side in ("lost", "gained")),
            ]
            for word in found["words"]
        ],
        notes=(
            f"The highest scores of `measure_drift` from {labels[0]} to {labels[1]}, in "
            f"`{text.name}` in order; how often the words were seen until then, and the nearest of "
            f"the ten nearest words that changed. {found['compared']:,} words are compared, "
            f"{found['alarms']} score above {ALARM}: where a whole language drifts, that is usual, "
            "and only what goes beyond it stands out.",
        ),
        raw=found,
    )
