"""A text whose language drifts: what forgetting gains there, and what it costs elsewhere."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.benchmarks import corpus
from tests.benchmarks.child import work
from tests.benchmarks.quality import SCORES, SEEDS, score
from tests.benchmarks.report import Section
from tests.benchmarks.setting import DriftingText, Setting
from tests.benchmarks.timeline import Timeline, shuffle
from tests.benchmarks.turns import say, spread

NOTHING, RECOMMENDED = "nothing forgotten", "half_life 500 k"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    NOTHING: {},
    "half_life 100 k": {"half_life": 1e5},
    "half_life 250 k": {"half_life": 2.5e5},
    RECOMMENDED: {"half_life": 5e5},
    "half_life 1 M": {"half_life": 1e6},
    "half_life 2 M": {"half_life": 2e6},
    "half_life 4 M": {"half_life": 4e6},
    "floor .001": {"min_learning_rate": 0.001},
    "floor .005": {"min_learning_rate": 0.005},
    "floor .01": {"min_learning_rate": 0.01},
    "floor .02": {"min_learning_rate": 0.02},
    "floor .05": {"min_learning_rate": 0.05},
    "half_life 500 k, floor .005": {"half_life": 5e5, "min_learning_rate": 0.005},
    "half_life 500 k, floor .02": {"half_life": 5e5, "min_learning_rate": 0.02},
    "10,000 rows": {"max_vocab_size": 10_000},
    "10,000 rows, half_life 500 k": {"max_vocab_size": 10_000, "half_life": 5e5},
    "10,000 rows, half_life 2 M": {"max_vocab_size": 10_000, "half_life": 2e6},
}
PLOTTED = (NOTHING, RECOMMENDED, "half_life 2 M", "floor .005")
QUICK_SETTINGS = PLOTTED
SCORED = (NOTHING, RECOMMENDED, "half_life 1 M", "half_life 2 M", "half_life 4 M")
"""Those whose vectors are scored on texts that do not drift."""

MEASURES = ("fixed", "calibrated", "contexts")
STREAMS = ("drifting", "shuffled")
SHUFFLE_SEED = 5
SLOTS = 60
"""Parts of a stream that a plot shows the mean loss of."""

WORDS = ("climate", "arms", "green", "transition", "pandemic", "soviet")
"""Words whose use changed between 1946 and 2022, as long as the United Nations talk."""


@dataclass(frozen=True, slots=True)
class _Results:
    """Everything that the sections of this module share.

    Attributes
    ----------
    timeline
        Of the drifting text.
    series
        Losses by stretch: ``series[stream][setting][measure]``.
    parts
        The parts of the text after which there are snapshots.
    vectors
        Files: ``vectors[setting]``, one for each such part.
    final
        Files: the vectors at the end, ``final[stream][setting]``.
    """

    timeline: Timeline
    series: Mapping[str, Mapping[str, Mapping[str, list[float]]]]
    parts: Sequence[int]
    vectors: Mapping[str, Sequence[Path]]
    final: Mapping[str, Mapping[str, Path]]


@cache
def _results(setting: Setting, text: DriftingText) -> _Results:
    shuffled = setting.folder / "shuffled.txt"
    lines = shuffle(text.path, shuffled, SHUFFLE_SEED)
    timeline = Timeline.read(text.index, lines)
    parts = timeline.quarters()
    series: dict[str, dict[str, dict[str, list[float]]]] = {stream: {} for stream in STREAMS}
    vectors: dict[str, list[Path]] = {}
    final: dict[str, dict[str, Path]] = {stream: {} for stream in STREAMS}
    names = QUICK_SETTINGS if setting.quick else tuple(SETTINGS)
    for number, name in enumerate(names):
        files = [setting.folder / f"drift-{number}-{part}.bin" for part in parts]
        end = setting.folder / f"shuffled-{number}.bin"
        for stream, path, snapshots in (
            (
                "drifting",
                text.path,
                {f: timeline.ends[p] for f, p in zip(files, parts, strict=True)},
            ),
            ("shuffled", shuffled, {end: lines}),
        ):
            say(f"drift: {name}, {stream}")
            series[stream][name] = work(
                "prequential", "learn", path=str(path), config=SETTINGS[name],
                snapshots={str(file): line for file, line in snapshots.items()},
            ).answer["series"]  # fmt: skip
        vectors[name] = files
        final["drifting"][name], final["shuffled"][name] = files[-1], end
    return _Results(timeline, series, parts, vectors, final)


@cache
def _followed(setting: Setting, text: DriftingText) -> dict[str, list[dict[str, float]]]:
    """Return how far the neighbours of each setting are those of the recent text alone."""
    results = _results(setting, text)
    followed: dict[str, list[dict[str, float]]] = {name: [] for name in results.vectors}
    out = str(setting.folder / "recent.bin")
    for place, part in enumerate(results.parts):
        first, last = results.timeline.recent(part)
        label = results.timeline.labels[part]
        say(f"drift: neighbours, {label}")
        words = work(
            "neighbours", "recent", path=str(text.path), first=first, last=last, out=out
        ).answer["words"]
        for name, files in results.vectors.items():
            found = work(
                "neighbours", "compare", vectors=str(files[place]), recent_vectors=out, words=words
            )
            followed[name].append({"label": label, **found.answer})
    return followed


def _cell(values: Sequence[float], base: Sequence[float]) -> str:
    """Write a mean loss, and its difference to the one that forgets nothing."""
    mean = statistics.fmean(values)
    return f"{mean:.4f}" if values is base else f"{mean:.4f} ({mean - statistics.fmean(base):+.4f})"


def _error(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the standard error of the mean difference, as if stretches were independent."""
    differences = [value - other for value, other in zip(values, base, strict=True)]
    return statistics.stdev(differences) / len(differences) ** 0.5


def _slots(values: Sequence[float]) -> list[float]:
    """Return the means of even parts of a series."""
    slots = min(SLOTS, len(values))
    bounds = [len(values) * slot // slots for slot in range(slots + 1)]
    return [round(statistics.fmean(values[low:high]), 5) for low, high in pairwise(bounds)]


def _raw(results: _Results, stream: str) -> dict[str, Any]:
    """Return what a stream's plot is drawn from, and the means of all settings."""
    series = results.series[stream]
    tokens = _slots(series[NOTHING]["tokens"])
    lines = series[NOTHING]["line"]
    starts = [int(lines[len(lines) * slot // len(tokens)]) for slot in range(len(tokens))]
    return {
        "tokens": [round(count) for count in tokens],
        "labels": [results.timeline.label(line) for line in starts],
        "plotted": {
            name: {measure: _slots(series[name][measure]) for measure in MEASURES}
            for name in PLOTTED
        },
        "means": {
            name: {
                measure: {
                    "mean": round(statistics.fmean(found[measure]), 5),
                    "error": round(_error(found[measure], series[NOTHING][measure]), 5),
                }
                for measure in (*MEASURES, "own")
            }
            for name, found in series.items()
        },
    }


def measure(setting: Setting) -> Section | None:
    """Measure the loss of each stretch before it is learnt, in order of time and shuffled."""
    text = setting.drift
    if text is None:
        return None
    results, followed = _results(setting, text), _followed(setting, text)
    rows = []
    for name in results.vectors:
        row = [name]
        for stream in STREAMS:
            series = results.series[stream]
            row += [_cell(series[name][key], series[NOTHING][key]) for key in MEASURES]
        row.append(f"{statistics.fmean(one['share'] for one in followed[name]):.1%}")
        own = results.series["drifting"]
        rows.append([*row, f"{statistics.fmean(own[name]['own']):.4f}"])
    raw = {stream: _raw(results, stream) for stream in STREAMS}
    errors = [
        one["error"]
        for name, found in raw["drifting"]["means"].items()
        if "rows" not in name
        for key, one in found.items()
        if key != "own"
    ]
    facts = text.facts
    return Section(
        title="A text that drifts",
        columns=(
            "",
            "fixed noise",
            "calibrated",
            "among contexts",
            "shuffled: fixed noise",
            "calibrated",
            "among contexts",
            "neighbours as in the recent text",
            "loss by its own noise",
        ),
        rows=rows,
        notes=(
            f"Text: `{text.name}`, {facts['tokens']:,} tokens, {facts['lines']:,} lines, from "
            f"{results.timeline.labels[0]} to {results.timeline.labels[-1]}; *shuffled*: the same "
            "lines in random order, which is a text that does not drift. One pass over each.",
            "The loss of every 20,000 tokens under the model before it learns them (in nats, the "
            "mean over the whole text; in brackets the difference to the first line): 2,000 pairs "
            "of a centre and a context are drawn from what comes next, each with its other words, "
            "once, and the same for all settings. Pairs with a word that came fewer than 5 times "
            "so far are left out, for nobody has a vector for it; a word that was evicted scores "
            "0, so the lines with few rows are to be compared with each other. The standard error "
            "of a difference on the drifting text is at most "
            f"{max(errors):.4f} (without those of few rows).",
            "*Fixed noise*: the loss of the objective, with 5 noise words by the counts of the "
            "whole text to the power 3/4. A model that trained with other noise is at a "
            "disadvantage, or an advantage, that says nothing of its vectors: half_life lowers "
            "this on the shuffled text, too. *Calibrated*: to each score the log of the model's "
            "own noise share of the word over the fixed one is added, which is exact for a model "
            "that has learnt its objective. *Among contexts*: minus the log of the softmax of the "
            "true context among 20 others, given the centre; no noise distribution enters it.",
            "*Neighbours*: what share of each word's ten nearest are the same in vectors of the "
            "latest eighth of the labels alone (learnt five times over), among the words that "
            "come 50 times or more there; the mean of four snapshots, after each quarter.",
            "*By its own noise*: `loss / loss_pairs` of the counters. Lines are not comparable: "
            "fresher noise is harder to tell from the text.",
        ),
        raw={
            **raw,
            "followed": followed,
            "settings": {name: SETTINGS[name] for name in results.vectors},
        },
    )


def neighbours(setting: Setting) -> Section | None:
    """Show the neighbours of words whose use changed."""
    text = setting.drift
    if text is None:
        return None
    results = _results(setting, text)
    labels = [results.timeline.labels[part] for part in results.parts]
    shown = {
        name: [
            work("neighbours", "show", vectors=str(file), words=WORDS).answer
            for file in results.vectors[name]
        ]
        for name in (NOTHING, RECOMMENDED)
    }
    return Section(
        title="Neighbours that move",
        columns=("", "", *labels),
        rows=[
            [word if name == NOTHING else "", name, *(", ".join(at.get(word, [])) for at in found)]
            for word in WORDS
            for name, found in shown.items()
        ],
        notes=(
            "The five nearest of the 8,000 most frequent words, in snapshots of one model, after "
            f"the text up to and with the label; `{text.name}`. Empty: no vector yet. The words "
            "were chosen by hand, as ones whose use is known to have changed.",
        ),
        raw=shown,
    )


def stationary(setting: Setting) -> Section | None:
    """Score the vectors that forgetting leaves of texts that do not drift."""
    text = setting.drift
    if text is None:
        return None
    results = _results(setting, text)
    names = [name for name in SCORED if name in results.vectors]
    scores: dict[str, dict[str, list[dict[str, float]]]] = {}
    for stream in STREAMS:
        scores[f"{text.name}, {stream}"] = {
            name: [score(results.final[stream][name])] for name in names
        }
    corpus_scores: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    out = setting.folder / "forgetting.bin"
    for seed in SEEDS[:1] if setting.quick else SEEDS:
        for name in names:
            say(f"drift: {name}, {setting.corpus['name']}, seed {seed}")
            work(
                "our_side", "train", path=str(setting.text), out=str(out), seed=seed,
                **SETTINGS[name],
            )  # fmt: skip
            corpus_scores[name].append(score(out))
    scores[setting.corpus["name"]] = corpus_scores
    return Section(
        title="Forgetting where nothing drifts",
        columns=("text", "", *SCORES),
        rows=[
            [
                label if name == NOTHING else "",
                name,
                *(spread([one[key] for one in found], ".3f") for key in SCORES),
            ]
            for label, by_name in scores.items()
            for name, found in by_name.items()
        ],
        notes=(
            "Scores as under *Quality of one pass*, of the vectors at the end; the texts that "
            f"drift, or are shuffled, with seed 1, `{setting.corpus['name']}` with "
            f"{len(corpus_scores[NOTHING])}: median and range.",
        ),
        raw=scores,
    )


def unpacked(path: Path, index: Path | None, folder: Path, tokens: int | None) -> DriftingText:
    """Unpack a text and count what it has."""
    target = folder / "drifting.txt"
    corpus.unpack(path, target, tokens)
    facts = work("corpus", "describe", path=str(target), min_count=5).answer
    return DriftingText(target, path.name, index, facts)
