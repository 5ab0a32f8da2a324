"""Speed of training alone."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import Turns, middle, spread, take_turns

SIZES = (100, 300)


def _row(setting: Setting, size: int, turns: Turns) -> list[str]:
    tokens = setting.corpus["tokens"]
    rates = [
        [tokens / run.answer["cpu"] / 1e6 for run in side] for side in zip(*turns, strict=True)
    ]
    ratios = {
        clock: [theirs.answer[clock] / ours.answer[clock] for ours, theirs in turns]
        for clock in ("cpu", "wall")
    }
    alone = [theirs.answer["cpu"] / ours.answer["alone_cpu"] for ours, theirs in turns]
    with_scan = [
        (theirs.answer["cpu"] + theirs.answer["vocabulary_cpu"]) / ours.answer["cpu"]
        for ours, theirs in turns
    ]
    return [
        f"d={size}",
        *(middle(rate, unit=" M/s") for rate in rates),
        *(spread(ratio, unit="x") for ratio in (*ratios.values(), alone, with_scan)),
    ]


def _take_turns(setting: Setting, title: str, size: int) -> Turns:
    options = {"path": str(setting.text), "vector_size": size}
    return take_turns(
        title,
        partial(work, "our_side", "kernel", **options),
        partial(work, "gensim_side", "kernel", workers=1, **options),
        setting.pairs,
    )


def measure(setting: Setting) -> Section:
    """Compare the training calls, by the CPU seconds that they take."""
    rows = []
    raw: dict[str, Any] = {}
    for size in SIZES[:1] if setting.quick else SIZES:
        name = f"kernel, d={size}"
        turns = _take_turns(setting, name, size)
        rows.append(_row(setting, size, turns))
        raw[name] = [{"stream-w2v": ours.answer, "gensim": theirs.answer} for ours, theirs in turns]
    return Section(
        title="Training call, one thread",
        columns=(
            "",
            "stream-w2v, tokens per CPU second",
            "gensim",
            "ratio, CPU",
            "ratio, wall",
            "ratio, CPU, our words cut before",
            "ratio, CPU, gensim's vocabulary scan included",
        ),
        rows=rows,
        notes=(
            "stream-w2v: `learn_batch` over a `FileSource` that was read into memory. It "
            "tokenises, counts and builds the vocabulary on the way, and all of that is included; "
            "but for the words in *our words cut before*, which is what the thread that learns has "
            "left to do in a `Trainer`.",
            "gensim: `Word2Vec.train(corpus_file=...)`. Its vocabulary was built before, by a scan "
            "of its own, which only the last column includes.",
            "Both clocks start when compiled code is loaded. CPU is that of all threads.",
        ),
        raw=raw,
    )
