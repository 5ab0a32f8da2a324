"""Several training threads: how much faster they are, and what their vectors are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


LIBRARIES: dict[str, Callable[[Setting, int, int], dict[str, Any]]] = {
    "stream-w2v": _ours,
    "gensim": _theirs,
}


def measure(setting: Setting) -> Section:
    """Compare threads of ours with one of ours and with as many of gensim's, on the wall."""
    sides = [("stream-w2v", 1)]
    sides += [(library, count) for count in setting.workers for library in LIBRARIES]
    # Keyed by the library and, as JSON wants it, by the number of threads written out.
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {library: {} for library in LIBRARIES}
    for seed in range(1, setting.pairs + 1):
        for library, count in sides:
            say(f"threads: {library}, {count}, seed {seed}")
            made = LIBRARIES[library](setting, count, seed)
            runs[library].setdefault(str(count), []).append(made)
    return Section(
        title="Several threads",
        columns=(
            "",
            "workers",
            "tokens per second",
            "times our one worker",
            "times gensim's with as many",
            "vectors",
            *SCORES,
        ),
        rows=[row for library, count in sides for row in _rows(setting, runs, library, str(count))],
        notes=(
            "stream-w2v: `Trainer` over a `FileSource`. With one worker, one thread reads and "
            "tokenises and one learns, and the result is bit-reproducible. With several, each does "
            "both, and the result is not. gensim: `train(corpus_file=...)` alone, its vocabulary "
            "was built before.",
            "`input`: a word's input vector. `sum`: with half of its output vector added. Both are "
            "snapshots of the same runs.",
            f"d=100, seeds 1 to {setting.pairs}; ratios by the clock on the wall, within each "
            "turn. Scores as under *Quality of one pass*.",
        ),
        raw={"tokens": setting.corpus["tokens"], "runs": runs},
    )


def _rows(
    setting: Setting,
    runs: Mapping[str, Mapping[str, list[dict[str, Any]]]],
    library: str,
    count: str,
) -> list[list[str]]:
    found = runs[library][count]
    rate = middle([setting.corpus["tokens"] / run["wall"] / 1e6 for run in found], unit=" M/s")
    one, theirs = runs["stream-w2v"]["1"], runs["gensim"].get(count)
    ratios = [
        "" if other is None or other is found else _times(found, other) for other in (one, theirs)
    ]
    return [
        [
            *((library, count, rate, *ratios) if place == 0 else ("",) * 5),
            combine,
            *(spread([run["scores"][combine][key] for run in found], ".3f") for key in SCORES),
        ]
        for place, combine in enumerate(found[0]["scores"])
    ]


def _times(found: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    return spread([b["wall"] / a["wall"] for a, b in zip(found, other, strict=True)], unit="x")
