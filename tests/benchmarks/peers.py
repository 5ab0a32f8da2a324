"""Speed against quality, for everything that learns word vectors and installs from PyPI."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.child import run, work
from tests.benchmarks.quality import OURS, SCORES, SEEDS, score
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

WAYS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    *(("stream-w2v", name, options) for name, options in OURS),
    ("stream-w2v", "defaults, 2 workers", {"workers": 2}),
    ("gensim", "1 epoch, alpha .025 (default)", {}),
    ("gensim", "1 epoch, alpha .05", {"alpha": 0.05}),
    ("gensim", "5 epochs (default)", {"epochs": 5}),
    ("fasttext", "1 epoch", {"epochs": 1}),
    ("fasttext", "5 epochs (default)", {"epochs": 5}),
    ("word2vec_matryoshka", "1 epoch", {"epochs": 1}),
    ("itembed", "1 epoch", {"epochs": 1}),
    ("itembed", "10 epochs (default)", {"epochs": 10}),
    ("rivertext", "a small part, speed only", {"tokens": 100_000}),
)
"""A library, a name, and the options of its worker."""

_OWN_WORKERS = {"stream-w2v": "our_side", "gensim": "gensim_side"}
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def peer(setting: Setting, library: str, task: str, **options: Any) -> dict[str, Any]:
    """Do a task in the library's own environment, if it has one, or else in this one."""
    own = setting.peers.resolve() / library / "bin" / "python"
    python = own if own.is_file() else Path(sys.executable)
    # -P: it must not find our modules instead of those that it asks for.
    worker = [python, "-P", Path(__file__).with_name("peer_side.py")]
    return run([*worker, task, json.dumps(options)], _ONE_THREAD).answer


def version(setting: Setting, library: str) -> str:
    """Return what is installed of a peer; empty if it cannot be imported."""
    found = peer(setting, library, "version", module=library)
    return f"{found['package']} {found['version']}" if found else ""


def _train(setting: Setting, library: str, options: Mapping[str, Any]) -> dict[str, Any]:
    out = setting.folder / "peer.bin"
    out.unlink(missing_ok=True)
    options = {"path": str(setting.text), "out": str(out), **options}
    if library in _OWN_WORKERS:
        made = work(_OWN_WORKERS[library], "train", _ONE_THREAD, **options).answer
    else:
        made = peer(setting, library, library, **options)
    tokens = made.get("tokens", setting.corpus["tokens"])
    return {
        **made,
        **{f"tokens_per_{clock}": tokens / made[clock] for clock in ("cpu", "wall")},
        **(score(out) if out.exists() else {}),
    }


def _row(name: str, runs: list[dict[str, Any]]) -> list[str]:
    if not runs:
        return [name, "not installed", *[""] * (2 + len(SCORES))]
    rates = [[one[f"tokens_per_{clock}"] / 1e6 for one in runs] for clock in ("cpu", "wall")]
    forms = {**dict.fromkeys(SCORES, ".3f"), "words": ",.0f"}
    return [
        name,
        *(middle(rate, unit=" M/s") for rate in rates),
        *(
            spread([one[key] for one in runs], form) if key in runs[0] else ""
            for key, form in forms.items()
        ),
    ]


def measure(setting: Setting) -> Section:
    """Train with each by turns and score the vectors with the same code."""
    libraries = dict.fromkeys(library for library, _, _ in WAYS if library not in _OWN_WORKERS)
    versions = {library: version(setting, library) for library in libraries}
    runs: dict[str, list[dict[str, Any]]] = {f"{library}, {name}": [] for library, name, _ in WAYS}
    seeds = SEEDS[: 1 if setting.quick else setting.pairs]
    for seed in seeds:
        for library, name, options in WAYS:
            if versions.get(library) == "":
                continue
            say(f"peers: {library}, {name}, seed {seed}")
            found = _train(setting, library, {"seed": seed, **options})
            runs[f"{library}, {name}"].append(found)
    return Section(
        title="Peers",
        columns=("", "tokens per CPU second", "per second", *SCORES, "words with a vector"),
        rows=[_row(name, found) for name, found in runs.items()],
        notes=(
            "From a text to vectors in memory, the scan for a vocabulary included; imports and "
            "writing are not. The tokens are those of the text, once, however many epochs. One "
            "training thread each unless it says workers, d=100, window 5, 5 negatives, sample "
            "1e-3, min_count 5, and otherwise as the library has it.",
            f"Versions: {', '.join(filter(None, versions.values())) or 'none installed'}. "
            "`make peers` installs each into an environment of its own, with what "
            "`tests/benchmarks/environments` says.",
            "fasttext: `minn=0, maxn=0`, so without subwords; its seed is always the same. "
            "word2vec_matryoshka: one level; it has no subsampling. itembed: a line is a set, each "
            "word meets one other of its line in an epoch; it has no window, no subsampling, and "
            "uniform noise. These two take lists of words, made before the clock started. "
            "rivertext: IWord2Vec, 32 lines a call, with tables for 100,000 words (its own are "
            "larger, and slower), the first 100,000 tokens only; its vectors are not scored.",
            f"Seeds: {', '.join(map(str, seeds))}. Scores as under *Quality of one pass*.",
        ),
        raw={"versions": versions, "runs": runs},
    )
