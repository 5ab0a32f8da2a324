"""What snapshots cost: how long training waits, and how much slower it is."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

WORDS = 1_000_000
QUICK_WORDS = 50_000
TIMES = 5
EVERY = 1.0
COMBINATIONS = ("input", "sum")


def pause(setting: Setting) -> Section:
    """Measure how long a snapshot of a large vocabulary stops the training."""
    words = QUICK_WORDS if setting.quick else WORDS
    say(f"snapshots of {words:,} words")
    times = 2 if setting.quick else TIMES
    answer = work("large_side", "snapshots", words=words, vector_size=100, times=times).answer
    looks = answer["looks"]
    names = {
        '`combine="input"`': "input",
        '`combine="sum"`': "sum",
        f"`since`, {looks[0]['since']['share']:.1%} of the words": "since",
    }

    def milliseconds(values: list[float]) -> str:
        return spread([1e3 * value for value in values], ".0f", " ms")

    rows = [
        [
            name,
            milliseconds([look[key]["held"] for look in looks]),
            spread([look[key]["held"] / look["copy"] for look in looks], ".2f", "x"),
            *(
                milliseconds([look[key][gap] for look in looks]) if gap in looks[0][key] else ""
                for gap in ("gap", "at_rest")
            ),
            milliseconds([look[key]["whole"] for look in looks]),
        ]
        for name, key in names.items()
    ]
    copies = [milliseconds([look[key] for look in looks]) for key in ("copy", "copy_to_new_memory")]
    return Section(
        title="Pause for a snapshot",
        columns=(
            "",
            "training waits",
            "times the copy of an array",
            "longest `learn_one` beside it",
            "and beside none",
            "whole call",
        ),
        rows=rows,
        notes=(
            f"{words:,} words, d=100: the vectors take {answer['bytes'] / 2**20:,.0f} MiB. "
            f"`numpy.copyto` of an array as large takes {copies[0]} into memory that was written "
            f"before, and {copies[1]} into memory that is new.",
            "Training waits while the lock is held: the rows, the counts and the bytes of the "
            "words are copied meanwhile. Getting the memory comes before, putting the words in "
            "order after.",
            "The longest `learn_one` is that of a thread which calls it again and again, of ten "
            "words each, while another takes the snapshot; Python lets one of the two run at a "
            "time outside compiled code, which is in it.",
            "`since`: the words seen in a text of 200,000 tokens after the snapshot before.",
        ),
        raw=answer,
    )


def checkpoint(setting: Setting) -> Section:
    """Measure how long a checkpoint of a large vocabulary stops the training."""
    words = QUICK_WORDS if setting.quick else WORDS
    say(f"checkpoints of {words:,} words")
    times = 2 if setting.quick else TIMES
    answer = work("large_side", "checkpoints", words=words, vector_size=100, times=times).answer
    looks = answer["looks"]

    def milliseconds(key: str) -> str:
        return spread([1e3 * look[key] for look in looks], ".0f", " ms")

    row = [
        milliseconds("start"),
        *(
            spread([look["start"] / look[copy] for look in looks], ".2f", "x")
            for copy in ("copy", "copy_to_new_memory")
        ),
        milliseconds("write"),
    ]
    return Section(
        title="Pause for a checkpoint",
        columns=(
            "training waits",
            "times the copy of an array",
            "times that into new memory",
            "written after that",
        ),
        rows=[row],
        notes=(
            f"{words:,} words, d=100: the state takes {answer['bytes'] / 2**20:,.0f} MiB. "
            f"`numpy.copyto` of an array as large takes {milliseconds('copy')} into memory that "
            f"was written before, and {milliseconds('copy_to_new_memory')} into memory that is "
            "new. `Checkpoints.start` copies into new memory.",
            "It is written, with its digests, by another thread while training goes on.",
        ),
        raw=answer,
    )


def throughput(setting: Setting) -> Section:
    """Measure training with a snapshot every second, against none."""
    sides: dict[str, tuple[float | None, str]] = {
        "none": (None, "input"),
        **{f'`combine="{combine}"`': (EVERY, combine) for combine in COMBINATIONS},
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for turn in range(setting.pairs):
        for name, (every, combine) in sides.items():
            say(f"a snapshot every second: {name}, turn {turn + 1} of {setting.pairs}")
            options = {"path": str(setting.text), "every": every, "combine": combine}
            runs[name].append(work("our_side", "train_with_snapshots", **options).answer)
    tokens = setting.corpus["tokens"]
    rows = []
    for name, found in runs.items():
        longer = {
            clock: [
                100 * (a[clock] / b[clock] - 1) for a, b in zip(found, runs["none"], strict=True)
            ]
            for clock in ("wall", "cpu")
        }
        rows.append(
            [
                name,
                middle([run["snapshots"] for run in found], ".0f"),
                middle([tokens / run["wall"] / 1e6 for run in found], unit=" M/s"),
                *("" if name == "none" else spread(longer[c], "+.1f", " %") for c in longer),
            ]
        )
    return Section(
        title="Training with a snapshot every second",
        columns=("", "snapshots", "tokens per second", "time more, wall", "CPU"),
        rows=rows,
        notes=(
            "`Trainer(..., snapshot_every=1)` over a `FileSource`, with a sink that does nothing: "
            "training waits for the whole call of `snapshot`. One more snapshot is taken at the "
            "end, and is in the time.",
        ),
        raw=runs,
    )
