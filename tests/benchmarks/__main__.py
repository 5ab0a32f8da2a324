"""The command: measure, and write the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import (
    alarms,
    continual,
    corpus,
    drift,
    following,
    kernel,
    machine,
    messages,
    one_by_one,
    peers,
    quality,
    roofline,
    sizes,
    snapshots,
    soak,
    startup,
    threads,
    topics,
    whole,
)
from tests.benchmarks.child import ChildFailedError, work
from tests.benchmarks.report import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import say

SECTIONS = {
    "kernel": kernel.measure,
    "threads": threads.measure,
    "roofline": roofline.measure,
    "sizes": sizes.vocabularies,
    "records": sizes.records,
    "end-to-end": whole.end_to_end,
    "memory": whole.memory,
    "startup": startup.measure,
    "quality": quality.measure,
    "peers": peers.measure,
    "continual": continual.measure,
    "pause": snapshots.pause,
    "snapshots": snapshots.throughput,
    "checkpoint": snapshots.checkpoint,
    "messages": messages.measure,
    "river": topics.measure,
    "rivertext": one_by_one.measure,
    "following": following.following,
    "soak": soak.measure,
    "unique": following.unique,
    "drift": drift.measure,
    "drift-neighbours": drift.neighbours,
    "drift-elsewhere": drift.stationary,
    "drift-alarms": alarms.measure,
    "drift-swapped": alarms.swapped,
    "drift-words": alarms.words,
}
QUICK_TOKENS = 500_000
QUICK_SOAK_TOKENS = 5_000_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--corpus",
        type=Path,
        required=True,
        help="a text, one record a line, plain or compressed (gzip, bzip2, xz, zstd)",
    )
    parser.add_argument("--pairs", type=int, default=5, help="how often the two take turns")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build"),
        help="folder for the page, its plots and the raw figures; sections that are not measured "
        "stay as they are there",
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path("build/peers"),
        help="folder with an environment for each peer that has one of its own (make peers)",
    )
    parser.add_argument(
        "--workers",
        type=lambda counts: tuple(int(count) for count in counts.split(",")),
        default=(2,),
        help="numbers of threads to compare with one, such as 2,4,8 (2)",
    )
    parser.add_argument(
        "--soak-tokens", type=int, default=1_000_000_000, help="how much endless text is learnt"
    )
    parser.add_argument(
        "--drift-corpus",
        type=Path,
        help="a text in order of time, one record a line; without it the sections of drift are "
        "left out",
    )
    parser.add_argument(
        "--drift-index",
        type=Path,
        help="a table with tabs: in the first column a label of the drifting text's lines, such "
        "as the year, in the third the first line that it is of, from 0",
    )
    parser.add_argument(
        "--only",
        type=lambda names: names.split(","),
        default=list(SECTIONS),
        help=f"some of {','.join(SECTIONS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a short look whether all works, nothing to quote"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(SECTIONS):
        parser.error(f"--only: there is no section {', '.join(sorted(unknown))}")
    if not arguments.corpus.is_file():
        parser.error(f"--corpus: there is no file {arguments.corpus}")
    for name in ("drift_corpus", "drift_index"):
        path = getattr(arguments, name)
        if path is not None and not path.is_file():
            parser.error(f"--{name.replace('_', '-')}: there is no file {path}")
    if min(arguments.workers) < 2:
        parser.error("--workers must be numbers of at least 2")
    for name in ("pairs", "soak_tokens"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return arguments


def _command(arguments: argparse.Namespace) -> str:
    """Write the command anew, without the folders of this machine."""
    parts = ["python -m tests.benchmarks", f"--corpus {arguments.corpus.name}"]
    parts.append(f"--pairs {arguments.pairs}")
    if arguments.workers != (2,):
        parts.append(f"--workers {','.join(map(str, arguments.workers))}")
    if "soak" in arguments.only:
        parts.append(f"--soak-tokens {arguments.soak_tokens}")
    for name in ("drift_corpus", "drift_index"):
        if getattr(arguments, name) is not None:
            parts.append(f"--{name.replace('_', '-')} {getattr(arguments, name).name}")
    if arguments.only != list(SECTIONS):
        parts.append(f"--only {','.join(arguments.only)}")
    return " ".join([*parts, *(["--quick"] if arguments.quick else [])])


def main() -> None:
    """Measure what was asked for."""
    arguments = _arguments()
    if arguments.quick:
        arguments.pairs = min(arguments.pairs, 2)
        arguments.soak_tokens = min(arguments.soak_tokens, QUICK_SOAK_TOKENS)
    with tempfile.TemporaryDirectory(prefix="stream-w2v-benchmark-") as folder:
        text = Path(folder, "text.txt")
        say(f"unpacking {arguments.corpus}")
        tokens = QUICK_TOKENS if arguments.quick else None
        corpus.unpack(arguments.corpus, text, tokens)
        # Counted elsewhere: this process has to stay small.
        facts = work("corpus", "describe", path=str(text), min_count=5).answer
        drifting = None
        if arguments.drift_corpus is not None:
            drifting = drift.unpacked(
                arguments.drift_corpus, arguments.drift_index, Path(folder), tokens
            )
        setting = Setting(
            text=text,
            corpus={"name": arguments.corpus.name, **facts},
            folder=Path(folder),
            pairs=arguments.pairs,
            workers=arguments.workers,
            soak_tokens=arguments.soak_tokens,
            peers=arguments.peers,
            drift=drifting,
            quick=arguments.quick,
        )
        report = Report(arguments.out, machine.describe(), setting.corpus, SECTIONS)
        try:
            for name in SECTIONS:
                if name in arguments.only:
                    section = SECTIONS[name](setting)
                    if section is None:
                        say(f"{name}: left out, it needs --drift-corpus")
                        continue
                    report.add(name, section, machine.today(), _command(arguments))
        except ChildFailedError as error:
            sys.exit(str(error))
    # There is none if every section that was asked for had to be left out.
    if report.page.exists():
        print(report.page.read_text(encoding="utf-8"))
        say(f"written to {report.page}")


if __name__ == "__main__":
    main()
