"""Short messages one by one, as river's pipelines get them, against RiverText and river itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.peers import peer, version
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

TOKENS = 15
"""In a message."""

MESSAGES = 500_000
RIVERTEXT_MESSAGES = 3_000
"""Learnt in some ten seconds each."""

RIVER_MESSAGES = 200_000
FRAME_ROWS = 10_000
QUICK_SHARE = 20

LIKE_RIVERTEXT = {"vector_size": 100, "window": 5, "negative": 5, "min_count": 1}
"""It gives every word a row at once, so ours has to, too."""


@dataclass(frozen=True, slots=True)
class Case:
    """Two that are compared: a name, and what either does in a process of its own."""

    name: str
    ours: Callable[[], dict[str, Any]]
    theirs: Callable[[], dict[str, Any]]


def measure(setting: Setting) -> Section:
    """Learn messages one by one, by turns."""
    share = QUICK_SHARE if setting.quick else 1
    path = setting.folder / "one-by-one.txt"
    cut = _cut(setting.text, path, MESSAGES // share)
    rivertext = version(setting, "rivertext")

    def ours(task: str, most: int, **options: Any) -> dict[str, Any]:
        options = {"path": str(path), "most": most // share, **options}
        return work("one_by_one_side", task, **options).answer

    def theirs(thinned: bool) -> dict[str, Any]:
        options = {"path": str(path), "most": RIVERTEXT_MESSAGES // share, "thinned": thinned}
        return peer(setting, "rivertext", "rivertext_messages", **options)

    cases = [
        Case(
            f"`learn_one`, against RiverText, {thinning}",
            partial(ours, "learn", MESSAGES, options={**LIKE_RIVERTEXT, "sample": sample}),
            partial(theirs, sample > 0),
        )
        for thinning, sample in (("with subsampling", 1e-3), ("without subsampling", 0.0))
        if rivertext
    ]
    cases.append(
        Case(
            "`learn_one` and `transform_one`, against river's `BagOfWords() + TFIDF()`",
            partial(ours, "features", RIVER_MESSAGES, ours=True),
            partial(ours, "features", RIVER_MESSAGES, ours=False),
        )
    )
    cases.append(
        Case(
            f"`learn_many` of {FRAME_ROWS:,}, against our own `learn_one`",
            partial(ours, "frames", RIVER_MESSAGES, rows=FRAME_ROWS, whole=True),
            partial(ours, "frames", RIVER_MESSAGES, rows=FRAME_ROWS, whole=False),
        )
    )
    runs: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for turn in range(setting.pairs):
        for case in cases:
            say(f"rivertext: {case.name}, turn {turn + 1} of {setting.pairs}")
            runs.setdefault(case.name, []).append((case.ours(), case.theirs()))
    rows = [_row(name, found) for name, found in runs.items()]
    notes = [
        f"Messages of {TOKENS} words, cut from the text, {min(RIVER_MESSAGES // share, cut):,} of "
        "them where nothing else is said. Ratios are of the time of a message. Compiled code was "
        "loaded before.",
    ]
    if rivertext:
        notes.append(_about_rivertext(rivertext, runs[cases[0].name]))
    else:
        rows.insert(
            0, ["`learn_one`, against RiverText", "", "not installed (`make peers`)", "", ""]
        )
    same = all(one["state"] == other["state"] for one, other in runs[cases[-1].name])
    notes.append(
        "All is as it is by default against river, and in the last row but for `on='text'`, where "
        "`learn_many` gets frames of pandas that were made before. The state after it was "
        f"{'' if same else 'NOT '}the same as after `learn_one` of each row, bit for bit."
    )
    return Section(
        title="Against RiverText",
        columns=("", "messages per CPU second", "of the other", "ratio, CPU", "ratio, wall"),
        rows=rows,
        notes=notes,
        raw={"rivertext": rivertext, "runs": runs},
    )


def _row(name: str, found: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    sides = zip(*found, strict=True)
    speeds = [[run["messages"] / run["cpu"] for run in side] for side in sides]
    ratios = {
        clock: [
            (other[clock] / other["messages"]) / (one[clock] / one["messages"])
            for one, other in found
        ]
        for clock in ("cpu", "wall")
    }
    return [
        name,
        *(middle(speed, ",.0f") for speed in speeds),
        *(spread(ratio, unit="x") for ratio in ratios.values()),
    ]


def _about_rivertext(rivertext: str, found: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    ours, theirs = found[0]
    failed = [100 * run["failed"] / run["messages"] for _, run in found]
    return (
        f"{rivertext}, {theirs['messages']:,} messages ({ours['messages']:,} for us): `IWord2Vec`, "
        "by `learn_many` with a list of one message; its `learn_one` takes the letters of each "
        "word for words. Its tables are for 100,000 words (its own are larger, and slower). Both: "
        "d=100, window 5, 5 negatives, and a word has a vector from its first occurrence on. With "
        "subsampling it fails at messages of which fewer than 11 words are left, here "
        f"{spread(failed, '.0f', ' %')}; they are counted all the same. It has no option to leave "
        "subsampling out, so its function that decides on a word was replaced."
    )


def _cut(text: Path, path: Path, most: int) -> int:
    """Write messages, one a line, and return how many there are."""
    written = 0
    words: list[str] = []
    with text.open(encoding="utf-8") as source, path.open("w", encoding="utf-8") as target:
        for line in source:
            words += line.split()
            while len(words) >= TOKENS:
                target.write(" ".join(words[:TOKENS]) + "\n")
                del words[:TOKENS]
                written += 1
                if written == most:
                    return written
    return written
