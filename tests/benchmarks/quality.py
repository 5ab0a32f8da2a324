"""What the vectors of one pass are worth."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import say, spread

SIMILARITIES = {"WordSim353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}
ANALOGIES = "questions-words.txt"
SCORES = (*SIMILARITIES, "analogies")
SEEDS = (1, 2, 3)
OURS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("defaults", {}),
    ("defaults, input vectors", {"snapshot": {"combine": "input"}}),
    (
        "replay and refresh",
        {
            "replay_tokens": 8_000_000,
            "refresh_contexts": 650_000,
            "snapshot": {"combine": "input", "refresh": True},
        },
    ),
)
"""What is measured of stream-w2v: a name, and options of its worker."""

SIDES: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    *((f"stream-w2v, {name}", "our_side", options) for name, options in OURS),
    ("gensim, alpha .025 (default)", "gensim_side", {"alpha": 0.025}),
    ("gensim, alpha .05", "gensim_side", {"alpha": 0.05}),
)


def _test_data() -> Path:
    """Find the evaluation sets in gensim's package, without importing it into this process."""
    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("gensim is not installed: pip install -e '.[bench]'")
    return Path(spec.submodule_search_locations[0]) / "test" / "test_data"


def score(vectors: str | Path) -> dict[str, float]:
    """Score a file of vectors by every set."""
    folder = _test_data()
    similarities = {name: str(folder / file) for name, file in SIMILARITIES.items()}
    analogies = str(folder / ANALOGIES)
    return work(
        "our_side", "score", vectors=str(vectors), similarities=similarities, analogies=analogies
    ).answer


def _options(options: Mapping[str, Any]) -> str:
    config = {name: value for name, value in options.items() if name != "snapshot"}
    arguments = {"Word2Vec": config, "snapshot": options["snapshot"]}
    return ", then ".join(
        f"`{call}({', '.join(f'{name}={value!r}' for name, value in given.items())})`"
        for call, given in arguments.items()
    )


def measure(setting: Setting) -> Section:
    """Train one pass with each side and score the vectors with the same code."""
    vectors = setting.folder / "quality.bin"
    scores: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in SIDES}
    beside: dict[str, int] = {}
    seeds = SEEDS[:1] if setting.quick else SEEDS
    for seed in seeds:
        for name, module, options in SIDES:
            say(f"quality: {name}, seed {seed}")
            made = work(
                module, "train", path=str(setting.text), out=str(vectors), seed=seed, **options
            ).answer
            beside[name] = made.get("beside", 0)
            scores[name].append({"words": made["words"], "cpu": made["cpu"], **score(vectors)})
    rows = [
        [
            name,
            *(spread([one[key] for one in found], ".3f") for key in SCORES),
            spread([one["words"] for one in found], ",.0f"),
            spread([one["cpu"] for one in found], ".3g", " s"),
        ]
        for name, found in scores.items()
    ]
    return Section(
        title="Quality of one pass",
        columns=("", *SCORES, "words with a vector", "CPU"),
        rows=rows,
        notes=(
            f"{setting.corpus['frequent_types']:,} words of the text occur at least 5 times.",
            "Spearman's correlation for the similarities; for the analogies the share that 3CosAdd "
            "gets right, looking among all words. The sets are those in gensim's package. "
            "Questions with a word that has no vector are left out. All vectors are scored by "
            "`stream_w2v.evaluation`.",
            "CPU: from the text to vectors in memory, gensim's scan for a vocabulary included.",
            *(
                f"*{name}*: {_options(options)}; {beside[name] / 1e6:.0f} MB beside the model."
                for name, module, options in SIDES
                if module == "our_side" and beside[name]
            ),
            f"Seeds: {', '.join(map(str, seeds))}. Median and range.",
        ),
        raw=scores,
    )
