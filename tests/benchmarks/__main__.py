"""The command: measure, and write the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import corpus, kernel, machine, quality, report, roofline, startup, whole
from tests.benchmarks.child import ChildFailedError, work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import say

SECTIONS = ("kernel", "threads", "roofline", "end-to-end", "memory", "startup", "quality")
QUICK_TOKENS = 500_000


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
        default=Path("build/benchmark.md"),
        help="the page; the raw figures go beside it as .json",
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
    if arguments.pairs < 1:
        parser.error("--pairs must be at least 1")
    return arguments


def _measure(setting: Setting, only: list[str]) -> list[Section]:
    sections = []
    if "kernel" in only:
        sections.append(kernel.measure(setting))
    if "threads" in only:
        sections.append(kernel.threads(setting))
    if "roofline" in only:
        sections.append(roofline.measure(setting))
    if "end-to-end" in only or "memory" in only:
        turns = whole.runs(setting)
        if "end-to-end" in only:
            sections.append(whole.end_to_end(turns))
        if "memory" in only:
            sections.append(whole.memory(setting, turns))
    if "startup" in only:
        sections.append(startup.measure(setting))
    if "quality" in only:
        sections.append(quality.measure(setting))
    return sections


def main() -> None:
    """Measure what was asked for."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="stream-w2v-benchmark-") as folder:
        text = Path(folder, "text.txt")
        say(f"unpacking {arguments.corpus}")
        corpus.unpack(arguments.corpus, text, QUICK_TOKENS if arguments.quick else None)
        # Counted elsewhere: this process has to stay small.
        facts = work("corpus", "describe", path=str(text), min_count=5).answer
        setting = Setting(
            text=text,
            corpus={"name": arguments.corpus.name, **facts},
            folder=Path(folder),
            pairs=min(arguments.pairs, 2) if arguments.quick else arguments.pairs,
            quick=arguments.quick,
        )
        try:
            sections = _measure(setting, arguments.only)
        except ChildFailedError as error:
            sys.exit(str(error))
        described = machine.describe()
    report.write(arguments.out, described, setting.corpus, sections)
    print(report.page(described, setting.corpus, sections))
    say(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
