"""A text that goes on: ninety updates, of a hundredth of the text each, after the first tenth."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks.child import Run, work
from tests.benchmarks.quality import SCORES, score
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread, take_turns


def _seconds(run: Run, clock: str) -> float:
    return sum(update[clock] for update in run.answer["updates"])


def measure(setting: Setting) -> Section:
    """Compare the updates of a model by text that goes on, and what they leave."""

    def side(module: str, **options: Any) -> Run:
        return work(module, "continual", path=str(setting.text), out=out(module), **options)

    def out(name: str) -> str:
        return str(setting.folder / f"continual-{name}.bin")

    turns = take_turns(
        "continual", partial(side, "our_side"), partial(side, "gensim_side"), setting.pairs
    )
    scores = [score(out("our_side")), score(out("gensim_side"))]
    say("continual: gensim at twice its rate")
    faster = side("gensim_side", alpha=0.05)
    scores.append(score(out("gensim_side")))

    ours, theirs = zip(*turns, strict=True)
    sides = {
        "stream-w2v, defaults": ours,
        "gensim, alpha .025 (default)": theirs,
        "gensim, alpha .05": (faster,),
    }
    rows = []
    for (name, runs), scored in zip(sides.items(), scores, strict=True):
        words = runs[0].answer["words"]
        rows.append(
            [
                name,
                *(middle([_seconds(run, c) for run in runs], unit=" s") for c in ("cpu", "wall")),
                f"{words:,} ({words / setting.corpus['frequent_types']:.0%})",
                *(f"{scored[key]:.3f}" for key in SCORES),
            ]
        )
    ratios = {
        clock: [_seconds(second, clock) / _seconds(first, clock) for first, second in turns]
        for clock in ("cpu", "wall")
    }
    return Section(
        title="A text that goes on",
        columns=("", "90 updates, CPU", "wall", "words with a vector", *SCORES),
        rows=rows,
        notes=(
            f"gensim's updates take {spread(ratios['cpu'])} times the CPU seconds, and "
            f"{spread(ratios['wall'])} times the seconds on the wall.",
            "The first tenth of the text is learnt, then the rest in 90 pieces of a hundredth; "
            "only these 90 updates are timed. stream-w2v: `learn_batch(piece)`. gensim: "
            "`build_vocab(piece, update=True)` and `train(piece, ...)` with `workers=1`, lists of "
            "words made ready before the clock starts.",
            "gensim counts each piece alone, so a word has to come `min_count` times within one. "
            "Its learning rate falls from alpha to .0001 in every call, as it does unless told "
            "otherwise.",
            "Words: also as a share of those that occur at least 5 times in the whole text. "
            "Scores as under *Quality of one pass*, seed 1.",
        ),
        raw={
            name: {"runs": [run.answer for run in runs], "scores": scored}
            for (name, runs), scored in zip(sides.items(), scores, strict=True)
        },
    )
