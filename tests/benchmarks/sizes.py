"""Speed by the size of the vocabulary, and by the length of the records."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

TOKENS = 5_000_000
QUICK_TOKENS = 500_000
CASES = ((74_000, 100), (1_000_000, 100), (5_000_000, 100), (74_000, 300), (1_000_000, 300))
"""Words and vector size; the first case of each vector size is what the others are compared to."""

QUICK_CASES = ((74_000, 100), (200_000, 100))
LENGTHS = (None, 8, 1000)
"""Tokens in a record; None leaves the lines as they are."""

Runs = dict[tuple[int, int], list[dict[str, Any]]]


def vocabularies(setting: Setting) -> Section:
    """Measure learning text over ever more words, which all have their rows already."""
    cases = QUICK_CASES if setting.quick else CASES
    tokens = QUICK_TOKENS if setting.quick else TOKENS
    runs: Runs = {case: [] for case in cases}
    for turn in range(setting.pairs):
        for words, size in cases:
            say(f"sizes: {words:,} words, d={size}, turn {turn + 1} of {setting.pairs}")
            options = {"words": words, "vector_size": size, "tokens": tokens}
            run = work("large_side", "kernel", **options)
            runs[words, size].append({**run.answer, "peak": run.peak})
    return Section(
        title="Large vocabularies",
        columns=(
            "",
            "tokens per CPU second",
            "of that with the smallest",
            "tokens kept",
            "ns of CPU per window",
            "times that with the smallest",
            "peak memory",
            "bound of the arrays",
        ),
        rows=[_row(runs, case) for case in cases],
        notes=(
            f"Generated text of {tokens:,} tokens, records of 50: the frequencies fall as 1 / rank "
            "down to the last word, so the rare words come far more often than in any language. "
            "Every word has its row, and its count, before the clock starts, and "
            "`max_vocab_size` is the number of words, so nothing is admitted or evicted. "
            "All else as it is by default. `learn_batch`, batches in memory.",
            "Frequent words are a smaller part of a text over more words, so more of its tokens "
            "are left by subsampling and make windows: the figures for each window show the "
            "memory alone. Shares are taken within each turn.",
        ),
        raw={f"{words} words, d={size}": found for (words, size), found in runs.items()},
    )


def _row(runs: Runs, case: tuple[int, int]) -> list[str]:
    words, size = case
    found = runs[case]
    smallest = runs[next(other for other in runs if other[1] == size)]
    rates = [run["words"] / run["cpu"] for run in found]
    first = [run["words"] / run["cpu"] for run in smallest]
    per_window, first_per_window = (
        [1e9 * run["cpu"] / run["windows"] for run in some] for some in (found, smallest)
    )
    return [
        f"{words:,} words, d={size}",
        middle([rate / 1e6 for rate in rates], unit=" M/s"),
        spread([a / b for a, b in zip(rates, first, strict=True)], ".2f", "x"),
        f"{found[0]['kept'] / found[0]['words']:.0%}",
        middle(per_window, ".0f", " ns"),
        spread([a / b for a, b in zip(per_window, first_per_window, strict=True)], ".2f", "x"),
        middle([run["peak"] / 2**20 for run in found], ",.0f", " MiB"),
        f"{found[0]['bound'] / 2**20:,.0f} MiB",
    ]


def records(setting: Setting) -> Section:
    """Measure the same tokens in short, usual and long records."""
    runs: dict[str, list[dict[str, Any]]] = {}
    mean = setting.corpus["tokens"] / setting.corpus["lines"]
    for turn in range(setting.pairs):
        for length in LENGTHS:
            name = f"as it is, {mean:.0f} on average" if length is None else f"{length:,}"
            say(f"records: {name}, turn {turn + 1} of {setting.pairs}")
            options = {"path": str(setting.text), "length": length}
            runs.setdefault(name, []).append(work("our_side", "records", **options).answer)
    rates = {name: [run["words"] / run["cpu"] for run in found] for name, found in runs.items()}
    first = next(iter(rates.values()))
    return Section(
        title="Length of the records",
        columns=(
            "tokens in a record",
            "tokens per CPU second",
            "of that as it is",
            "ns of CPU per window",
            "context words in a window",
        ),
        rows=[
            [
                name,
                middle([rate / 1e6 for rate in rates[name]], unit=" M/s"),
                spread([a / b for a, b in zip(rates[name], first, strict=True)], ".2f", "x"),
                middle([1e9 * run["cpu"] / run["windows"] for run in found], ".0f", " ns"),
                middle([run["inputs"] for run in found], ".2f"),
            ]
            for name, found in runs.items()
        ],
        notes=(
            "The same tokens in the same order, cut into records anew. Windows end with their "
            "record, so short ones have fewer contexts: less to learn, and less to share between "
            "a window's words.",
        ),
        raw=runs,
    )
