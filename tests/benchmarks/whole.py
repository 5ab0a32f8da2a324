"""Whole processes: how long they take, and how much memory."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from functools import cache

from tests.benchmarks.child import Run, run, work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import Turns, middle, say, spread, take_turns


def _command() -> list[str]:
    script = shutil.which("stream-w2v", path=sysconfig.get_path("scripts"))
    if script is None:
        sys.exit("the command stream-w2v is not installed beside this Python: pip install -e .")
    return [script]


@cache
def _runs(setting: Setting, workers: int) -> Turns:
    """Train from file to file by turns, each side as its users would."""
    text = str(setting.text)
    ours_out, theirs_out = (str(setting.folder / f"{name}.bin") for name in ("ours", "theirs"))

    def train(source: str) -> list[str]:
        return [*_command(), "train", source, "--vectors", ours_out, "--quiet"]

    def ours() -> Run:
        return run([*train(text), "--workers", str(workers)])

    def theirs() -> Run:
        return work("gensim_side", "train", path=text, out=theirs_out, workers=workers)

    say("whole processes: warming up")
    head = setting.folder / "head.txt"
    head.write_bytes(b"a few words to compile with\n" * 100)
    run([*train(str(head)), "--workers", str(workers)])
    return take_turns(f"whole processes, {workers} threads", ours, theirs, setting.pairs)


def _raw(turns: Turns) -> list[dict[str, dict[str, float]]]:
    return [
        {
            name: {"wall": one.wall, "cpu": one.cpu, "peak": one.peak}
            for name, one in (("stream-w2v", ours), ("gensim", theirs))
        }
        for ours, theirs in turns
    ]


def end_to_end(setting: Setting) -> Section:
    """Compare how long they take, from the start of the process to its end."""
    rows = []
    raw = {}
    for workers in (1, 2):
        turns = _runs(setting, workers)
        raw[f"{workers} workers"] = _raw(turns)
        for title, clock in (("wall", "wall"), ("CPU, all threads", "cpu")):
            ours, theirs = (
                [getattr(one, clock) for one in side] for side in zip(*turns, strict=True)
            )
            ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
            seconds = (middle(side, unit=" s") for side in (ours, theirs))
            rows.append([f"workers {workers}, {title}", *seconds, spread(ratios, unit="x")])
    return Section(
        title="From file to file",
        columns=("", "stream-w2v", "gensim", "ratio"),
        rows=rows,
        notes=(
            "stream-w2v: `stream-w2v train TEXT --vectors OUT.bin --quiet --workers N`, with "
            "compiled code cached. With one worker a thread beside it reads and tokenises ahead.",
            "gensim: a script with `Word2Vec(corpus_file=TEXT, workers=N)` and "
            "`save_word2vec_format(binary=True)`.",
            "From the start of the process to its end: imports, vocabulary, training, writing.",
        ),
        raw=raw,
    )


def memory(setting: Setting) -> Section:
    """Compare peak memory: of training alone, and of the same whole processes."""
    turns = _runs(setting, 1)
    say("memory: processes that only import, and that only train")
    text = str(setting.text)
    rows = []
    raw: dict[str, object] = {}
    for title, imports, peaks in (
        (
            "training, by the library",
            (work("our_side", "load").peak, work("gensim_side", "load").peak),
            [
                (
                    work("our_side", "learn", path=text).peak,
                    work("gensim_side", "learn", path=text).peak,
                )
            ],
        ),
        (
            "from file to file, by the command",
            (work("our_side", "load_command").peak, work("gensim_side", "load").peak),
            [(ours.peak, theirs.peak) for ours, theirs in turns],
        ),
    ):
        sides = list(zip(*peaks, strict=True))
        nets = [[peak - base for peak in side] for side, base in zip(sides, imports, strict=True)]
        ratios = [ours / theirs for ours, theirs in zip(*nets, strict=True)]
        rows.append(
            [
                title,
                *(middle([value / 2**20 for value in side], ".0f", " MiB") for side in nets),
                spread(ratios, unit="x"),
                *(f"{base / 2**20:.0f} MiB" for base in imports),
            ]
        )
        raw[title] = {"imports": imports, "peaks": peaks}
    return Section(
        title="Memory",
        columns=(
            "peak above imports",
            "stream-w2v",
            "gensim",
            "ours / theirs",
            "our imports",
            "gensim's",
        ),
        rows=rows,
        notes=(
            "Peak resident memory of a process, less that of one that only imports the library, or "
            "for our command also reads a command line. It has a thread that reads and tokenises "
            "ahead. It writes from the memory that the model had: with `--save`, which needs the "
            "model afterwards, it writes from a copy, as `snapshot()` does.",
        ),
        raw=raw,
    )
