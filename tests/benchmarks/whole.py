"""Whole processes: how long they take, and how much memory."""

from __future__ import annotations

import shutil
import sys
import sysconfig

from tests.benchmarks.child import Run, run, work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import Turns, middle, say, spread, take_turns


def _command() -> list[str]:
    script = shutil.which("stream-w2v", path=sysconfig.get_path("scripts"))
    if script is None:
        sys.exit("the command stream-w2v is not installed beside this Python: pip install -e .")
    return [script]


def runs(setting: Setting) -> Turns:
    """Train from file to file by turns, each side as its users would."""
    text = str(setting.text)
    ours_out, theirs_out = (str(setting.folder / f"{name}.bin") for name in ("ours", "theirs"))

    def ours() -> Run:
        return run([*_command(), "train", text, "--vectors", ours_out, "--quiet"])

    def theirs() -> Run:
        return work("gensim_side", "train", path=text, out=theirs_out)

    say("whole processes: warming up")
    head = setting.folder / "head.txt"
    head.write_bytes(b"a few words to compile with\n" * 100)
    run([*_command(), "train", str(head), "--vectors", ours_out, "--quiet"])
    return take_turns("whole processes", ours, theirs, setting.pairs)


def _raw(turns: Turns) -> list[dict[str, dict[str, float]]]:
    return [
        {
            name: {"wall": one.wall, "cpu": one.cpu, "peak": one.peak}
            for name, one in (("stream-w2v", ours), ("gensim", theirs))
        }
        for ours, theirs in turns
    ]


def end_to_end(turns: Turns) -> Section:
    """Compare how long they take, from the start of the process to its end."""
    rows = []
    for title, clock in (("wall", "wall"), ("CPU, all threads", "cpu")):
        ours, theirs = ([getattr(one, clock) for one in side] for side in zip(*turns, strict=True))
        ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
        rows.append(
            [title, middle(ours, unit=" s"), middle(theirs, unit=" s"), spread(ratios, unit="x")]
        )
    return Section(
        title="From file to file",
        columns=("", "stream-w2v", "gensim", "ratio"),
        rows=rows,
        notes=(
            "stream-w2v: `stream-w2v train TEXT --vectors OUT.bin --quiet`, one training thread, "
            "with compiled code cached.",
            "gensim: a script with `Word2Vec(corpus_file=TEXT, workers=1)` and "
            "`save_word2vec_format(binary=True)`.",
            "From the start of the process to its end: imports, vocabulary, training, writing.",
        ),
        raw={"turns": _raw(turns)},
    )


def memory(turns: Turns) -> Section:
    """Compare the peak memory of the same processes, without what imports alone take."""
    say("memory: processes that only import")
    imports = (work("our_side", "load_command").peak, work("gensim_side", "load").peak)
    peaks = [[one.peak for one in side] for side in zip(*turns, strict=True)]
    nets = [[peak - base for peak in side] for side, base in zip(peaks, imports, strict=True)]
    mebibyte = 2**20
    rows = [
        [title, *(middle([value / mebibyte for value in side], ".0f", " MiB") for side in values)]
        for title, values in (
            ("peak of the process", peaks),
            ("of which imports", [[base] for base in imports]),
            ("the rest", nets),
        )
    ]
    ratios = [b / a for a, b in zip(*nets, strict=True)]
    return Section(
        title="Memory",
        columns=("", "stream-w2v", "gensim"),
        rows=rows,
        notes=(f"gensim's rest is {spread(ratios, unit=' times')} that of stream-w2v.",),
        raw={"imports": imports, "turns": _raw(turns)},
    )
