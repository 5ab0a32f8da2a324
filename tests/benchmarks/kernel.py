"""Speed of training alone."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import Turns, middle, say, spread, take_turns

CASES = ((100, 1), (300, 1), (100, 2), (300, 2))


def _row(setting: Setting, size: int, workers: int, turns: Turns) -> list[str]:
    tokens = setting.corpus["tokens"]
    rates = [
        [tokens / run.answer["cpu"] / 1e6 for run in side] for side in zip(*turns, strict=True)
    ]
    ratios = {
        clock: [theirs.answer[clock] / ours.answer[clock] for ours, theirs in turns]
        for clock in ("cpu", "wall")
    }
    with_scan = [
        (theirs.answer["cpu"] + theirs.answer["vocabulary_cpu"]) / ours.answer["cpu"]
        for ours, theirs in turns
    ]
    return [
        f"d={size}, {workers} thread{'s' if workers > 1 else ''}",
        middle(rates[0], unit=" M/s"),
        middle(rates[1], unit=" M/s"),
        spread(ratios["cpu"], unit="x"),
        spread(ratios["wall"], unit="x"),
        spread(with_scan, unit="x"),
    ]


def measure(setting: Setting) -> Section:
    """Compare the training calls, by the CPU seconds of all their threads."""
    threads = "workers" in work("our_side", "options").answer["names"]
    cases = [case for case in CASES if threads or case[1] == 1]
    if not threads:
        say("kernel: 2 threads are left out, because Config has no option workers")
    rows = []
    raw: dict[str, Any] = {}
    for size, workers in cases[:1] if setting.quick else cases:
        options: dict[str, Any] = {
            "path": str(setting.text),
            "vector_size": size,
            "workers": workers,
        }
        name = f"kernel, d={size}, workers={workers}"
        turns = take_turns(
            name,
            partial(work, "our_side", "kernel", **options),
            partial(work, "gensim_side", "kernel", **options),
            setting.pairs,
        )
        rows.append(_row(setting, size, workers, turns))
        raw[name] = [{"stream-w2v": ours.answer, "gensim": theirs.answer} for ours, theirs in turns]
    return Section(
        title="Training call",
        columns=(
            "",
            "stream-w2v, tokens per CPU second",
            "gensim",
            "ratio, CPU",
            "ratio, wall",
            "ratio, CPU, gensim's vocabulary scan included",
        ),
        rows=rows,
        notes=(
            "stream-w2v: `learn_batch` over a `FileSource` that was read into memory. It "
            "tokenises, counts and builds the vocabulary on the way, and all of that is included.",
            "gensim: `Word2Vec.train(corpus_file=...)`. Its vocabulary was built before, by a scan "
            "of its own, which only the last column includes.",
            "Both clocks start when compiled code is loaded. CPU is that of all threads.",
            *(() if threads else ("More than one thread: this version has no option `workers`.",)),
        ),
        raw=raw,
    )
