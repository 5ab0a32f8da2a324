"""Files that grow: how fast they are read, how soon, and what waiting for them costs."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

FILES = 1000
LINES = 50
UNIQUE = 100_000_000
QUICK_UNIQUE = 1_000_000
UNIQUE_BOUNDS = {"max_vocab_size": 100_000, "text": "whitespace"}


def following(setting: Setting) -> Section:
    """Read and learn the text as a file that is followed, and as one that is not, by turns."""
    path = str(setting.text)
    runs: dict[str, list[dict[str, Any]]] = {"read to its end": [], "followed": []}
    for turn in range(setting.pairs):
        for name, found in runs.items():
            say(f"following: {name}, turn {turn + 1} of {setting.pairs}")
            options = {"follow": True, "until_end": True} if name == "followed" else {}
            found.append(
                {
                    what: work("our_side", task, source=path, **options).answer
                    for what, task in (("read", "read"), ("train", "train_from"))
                }
            )
    say(f"following: {FILES} idle files, and a line now and then")
    waiting = work(
        "our_side", "wait", folder=str(setting.folder / "idle"), files=FILES, lines=LINES
    ).answer
    plain = runs["read to its end"]
    size = setting.corpus["bytes"] / 1e6
    rows = [
        [
            name,
            middle([size / run["read"]["wall"] for run in found], unit=" MB/s"),
            "" if found is plain else _times(found, plain, "read"),
            middle([size / run["train"]["wall"] for run in found], unit=" MB/s"),
            "" if found is plain else _times(found, plain, "train"),
        ]
        for name, found in runs.items()
    ]
    latency = [1000 * seconds for seconds in waiting["latency"]]
    return Section(
        title="Files that grow",
        columns=("one large file", "read", "of that", "read and learnt", "of that"),
        rows=rows,
        notes=(
            "The whole text in one file, by the clock on the wall.",
            f"{FILES:,} files of which nothing comes take {100 * waiting['idle']:.2g} % of a core "
            "at the default poll.",
            f"From a line being written to its being learnt, {LINES} lines, one at a time, beside "
            f"these files: {spread(latency, '.0f', ' ms')}.",
        ),
        raw={"runs": runs, "waiting": waiting},
    )


def _times(found: list[dict[str, Any]], other: list[dict[str, Any]], what: str) -> str:
    ratios = [b[what]["wall"] / a[what]["wall"] for a, b in zip(found, other, strict=True)]
    return spread(ratios, ".2f", "x")


def unique(setting: Setting) -> Section:
    """Learn words that never come again, each a new one."""
    tokens = QUICK_UNIQUE if setting.quick else UNIQUE
    rows, raw = [], {}
    for min_count in (5, 1):
        say(f"unique words: {tokens:,}, min_count {min_count}")
        config = {**UNIQUE_BOUNDS, "min_count": min_count}
        found = work("our_side", "unique", tokens=tokens, config=config).answer
        raw[str(min_count)] = found
        early = next(look for look in found["looks"] if look["tokens"] >= tokens / 10)
        last = found["looks"][-1]
        rows.append(
            [
                str(min_count),
                f"{last['resident'] / early['resident']:.3f}x",
                f"{(last['resident'] - found['before']) / 2**20:,.0f} MiB",
                f"{found['bound'] / 2**20:,.0f} MiB",
                f"{(last['resident'] - found['before']) / found['bound']:.2f}x",
                f"{last['evicted']:,.0f}",
                f"{last['forgotten']:,.0f}",
                f"{tokens / last['cpu'] / 1e6:.3g} M/s",
            ]
        )
    return Section(
        title="Words that never come again",
        columns=(
            "min_count",
            "resident memory at the end, of that after a tenth",
            "above that before the first record",
            "bound of the arrays",
            "of the bound",
            "evicted",
            "forgotten while waiting",
            "tokens per CPU second",
        ),
        rows=rows,
        notes=(
            f"{tokens:,} different words of 32 hexadecimal digits, as the preset `whitespace` "
            f"leaves them, ten in a record; max_vocab_size {UNIQUE_BOUNDS['max_vocab_size']:,}, "
            "all else as it is by default. With min_count 5 none gets a vector, with 1 each does "
            "and is evicted. Compiled code was loaded before.",
        ),
        raw=raw,
    )
