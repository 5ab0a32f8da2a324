"""Topics of texts that come one by one, in pipelines of river: what word vectors add."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import say, spread

STREAMS: Mapping[str, tuple[str, int | None]] = {
    "news": ("wikinews", None),
    "encyclopedia": ("wikipedia", 20_000),
}
"""What each is called, its function in ``examples/streams.py``, and how much of it is taken."""

QUICK_TEXTS = 600

Runs = dict[str, list[dict[str, Any]]]


def measure(setting: Setting) -> Section:
    """Predict the topic of each text, then learn it, with one pipeline after the other."""
    known = work("topics_side", "ways").answer
    ways = known["ways"]
    rows: list[list[str]] = []
    raw = {}
    for stream, (function, most) in STREAMS.items():
        texts = QUICK_TEXTS if setting.quick else most
        runs: Runs = {name: [] for name in ways}
        for name, way in ways.items():
            for seed in range(1, 1 + (1 if setting.quick else way["seeds"])):
                say(f"river: {stream}, {name}, seed {seed}")
                options = {"stream": function, "texts": texts, "seed": seed}
                runs[name].append(work("topics_side", "progressive", way=name, **options).answer)
        for name, way in ways.items():
            rows.append([stream, *_row(name, way["without"], runs)])
        # Which texts were right is worth no more than the figures that it gave.
        raw[stream] = {
            name: [{**run, "hits": _accuracy(run["hits"])} for run in found]
            for name, found in runs.items()
        }
    sizes = {stream: next(iter(found.values()))[0]["texts"] for stream, found in raw.items()}
    return Section(
        title="In a river pipeline",
        columns=(
            "stream",
            "pipeline",
            "accuracy",
            "second half",
            "macro F1",
            "gained by the word vectors, points",
            "CPU, µs per text",
            "memory, MiB",
            "what river counts of it",
        ),
        rows=rows,
        notes=(
            "Progressive validation: `predict_one` of each text, then `learn_one`; the first has "
            "no prediction, and counts as wrong. The news are the "
            f"{sizes['news']:,} passages of `wikinews()` in `examples/streams.py`, which drift. "
            f"The encyclopedia is the first {sizes['encyclopedia']:,} of the 45,915 shuffled "
            "paragraphs of `wikipedia()`, where nothing drifts; all of them would take more than "
            "twice as long. Each has eight topics.",
            f"river {known['river']}. Rates are those of `SGD` in "
            "`OneVsRestClassifier(LogisticRegression(...))`: .01 is river's own, 6 is the best for "
            "TFIDF alone on the encyclopedia, 10 on the news. `FeatureHasher` makes 4,096 numbers "
            "of the counts of `BagOfWords`.",
            "Word2Vec: `Word2VecTransformer(vector_size=100, min_count=2, pooling='sif')`, added "
            "as it is, or a third of it. For topics: with `min_count=1`, `window=40`, "
            "`replay_tokens=10_000` and `replay_passes=10`, and each vector stretched to the "
            "length at which it learns as it does alone at a rate of .4, where it has length 1: "
            "beside TFIDF at a rate of 10 this is a fifth.",
            "Gained: by how many points of accuracy a row is above the one without word vectors "
            "at the same rate, and the standard error of that, from the differences text by text. "
            "In brackets: seeds 1 to 3 of the word vectors; the error is that of seed 1.",
            "CPU is that of predicting and learning, with compiled code loaded before. Memory is "
            "what the process grew by meanwhile. river's own count leaves out the weights of its "
            "logistic regression, and words that are keys.",
        ),
        raw=raw,
    )


def _row(name: str, without: str | None, runs: Runs) -> list[str]:
    found = runs[name]
    hits = [run["hits"] for run in found]
    return [
        name,
        spread([_accuracy(one) for one in hits], ".4f"),
        spread([_accuracy(one[len(one) // 2 :]) for one in hits], ".4f"),
        spread([run["f1"] for run in found], ".4f"),
        _gained(hits, runs[without][0]["hits"]) if without else "",
        spread([1e6 * run["cpu"] / run["texts"] for run in found], ",.0f"),
        spread([run["resident"] / 2**20 for run in found], ".0f"),
        spread([run["counted"] / 2**20 for run in found], ".1f"),
    ]


def _accuracy(hits: str) -> float:
    return hits.count("1") / len(hits)


def _gained(hits: list[str], without: str) -> str:
    """Write the mean of the differences text by text, in points, and its standard error."""
    points = [
        [100 * (int(one) - int(other)) for one, other in zip(some, without, strict=True)]
        for some in hits
    ]
    error = statistics.stdev(points[0]) / math.sqrt(len(without))
    return f"{spread([statistics.fmean(some) for some in points], '+.2f')} ± {error:.2f}"
