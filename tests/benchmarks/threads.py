"""Two training threads: how much faster they are, and what their vectors are worth."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.quality import SCORES, score
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

COMBINATIONS = ("input", "sum")


def _ours(setting: Setting, workers: int, seed: int) -> dict[str, Any]:
    out = {combine: str(setting.folder / f"threads-{combine}.bin") for combine in COMBINATIONS}
    options = {"path": str(setting.text), "workers": workers, "seed": seed, "out": out}
    made = work("our_side", "threads", **options).answer
    return {**made, "scores": {combine: score(path) for combine, path in out.items()}}


def _theirs(setting: Setting, workers: int, seed: int) -> dict[str, Any]:
    out = str(setting.folder / "threads-gensim.bin")
    options = {"path": str(setting.text), "workers": workers, "seed": seed, "out": out}
    made = work("gensim_side", "kernel", vector_size=100, **options).answer
    return {**made, "scores": {"input": score(out)}}


SIDES = {
    "stream-w2v, 1 worker": (_ours, 1),
    "stream-w2v, 2 workers": (_ours, 2),
    "gensim, 2 workers": (_theirs, 2),
}
"""What does it, and with how many workers."""


def measure(setting: Setting) -> Section:
    """Compare one and two threads of ours with two of gensim's, by the clock on the wall."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    for seed in range(1, setting.pairs + 1):
        for name, (side, workers) in SIDES.items():
            say(f"two threads: {name}, seed {seed}")
            runs[name].append(side(setting, workers, seed))
    one, _, theirs = runs.values()
    return Section(
        title="Two threads",
        columns=(
            "",
            "tokens per second",
            "times our one worker",
            "times gensim's two",
            "vectors",
            *SCORES,
        ),
        rows=[row for name in SIDES for row in _rows(setting, name, runs[name], one, theirs)],
        notes=(
            "stream-w2v: `Trainer` over a `FileSource`. With one worker, one thread reads and "
            "tokenises and one learns, and the result is bit-reproducible. With two, both do all "
            "of it, and the result is not. gensim: `train(corpus_file=...)` alone, its vocabulary "
            "was built before.",
            "`input`: a word's input vector. `sum`: with half of its output vector added. Both are "
            "snapshots of the same runs.",
            f"d=100, seeds 1 to {setting.pairs}; ratios by the clock on the wall, within each "
            "turn. Scores as under *Quality of one pass*.",
        ),
        raw=runs,
    )


def _rows(
    setting: Setting,
    name: str,
    found: list[dict[str, Any]],
    one: list[dict[str, Any]],
    theirs: list[dict[str, Any]],
) -> list[list[str]]:
    rate = middle([setting.corpus["tokens"] / run["wall"] / 1e6 for run in found], unit=" M/s")
    ratios = ["" if found is other else _times(found, other) for other in (one, theirs)]
    return [
        [
            *((name, rate, *ratios) if place == 0 else ("", "", "", "")),
            combine,
            *(spread([run["scores"][combine][key] for run in found], ".3f") for key in SCORES),
        ]
        for place, combine in enumerate(found[0]["scores"])
    ]


def _times(found: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    return spread([b["wall"] / a["wall"] for a, b in zip(found, other, strict=True)], unit="x")
