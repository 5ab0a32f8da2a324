"""Kill a training process again and again, and see whether anything is lost or learnt twice.

``python -m tests.crash --kills 200`` kills a run over files so often, at random moments and every
other time while a checkpoint is being written, and goes on with it each time. In the end the model
must be, bit for bit, that of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stream_w2v import Word2Vec
from stream_w2v.checkpoint import Checkpoint, load_checkpoint
from stream_w2v.cli import main as stream_w2v
from stream_w2v.storage import TEMPORARY

WARM = {"vector_size": 16, "min_count": 2}


@dataclass
class Deaths:
    """What was done to a run.

    Attributes
    ----------
    kills, while_writing
        How often it was killed, and how often of these while a checkpoint was being written.
    lives
        Seconds for which each process lived.
    """

    kills: int = 0
    while_writing: int = 0
    lives: list[float] = field(default_factory=list)


def kill_often(
    arguments: Sequence[str], directory: Path, kills: int, longest: float, draw: random.Random
) -> Deaths:
    """Run the command until it ends by itself; before that, kill it so often at most.

    Parameters
    ----------
    arguments
        The command's, which go on from checkpoints in ``directory`` if there are some.
    directory
        Where they are.
    kills
        How often to kill it.
    longest
        Seconds for which a process lives at most before it is killed.
    draw
        Where the moments come from.
    """
    deaths = Deaths()
    while True:
        begin = time.monotonic()
        process = _Fork(lambda: stream_w2v([*arguments, "--quiet"]))
        if deaths.kills < kills:
            process.wait(draw.uniform(0, longest))
            if deaths.kills % 2:
                process.wait(longest, lambda: _is_writing(directory))
            if process.kill():
                deaths.kills += 1
                # What is seen now was there when it died.
                deaths.while_writing += _is_writing(directory)
        code = process.wait()
        deaths.lives.append(time.monotonic() - begin)
        if code == 0:
            return deaths
        if code != -signal.SIGKILL:
            msg = f"the command ended with {code} after {deaths}"
            raise RuntimeError(msg)


def _is_writing(directory: Path) -> bool:
    return any(directory.glob(TEMPORARY))


class _Fork:
    """A copy of this process, which has imported and compiled everything already."""

    def __init__(self, work: Callable[[], int]) -> None:
        self._code: int | None = None
        self._process = os.fork()
        if self._process == 0:
            code = 70
            try:
                code = work()
            finally:
                os._exit(code)

    def wait(
        self, seconds: float = math.inf, reached: Callable[[], bool] = lambda: False
    ) -> int | None:
        """Wait for its end, or for so long, or until something is reached; return its code."""
        end = time.monotonic() + seconds
        while self._code is None and time.monotonic() < end and not reached():
            found, status = os.waitpid(self._process, os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.0005)
        return self._code

    def kill(self) -> bool:
        """Kill it, unless it has ended by itself."""
        if self.wait(0.001) is None:
            os.kill(self._process, signal.SIGKILL)
            return self.wait() == -signal.SIGKILL
        return False


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints hold the same model, bit for bit, at the same place."""
    mine, theirs = a.model.tensors(), b.model.tensors()
    return a.positions == b.positions and all(
        np.array_equal(mine[name], theirs[name], equal_nan=True) for name in mine
    )


def endless_text(lines: int, seed: int) -> str:
    """Return lines of words, of which new ones keep coming."""
    draw = np.random.default_rng(seed)
    words = np.minimum(draw.zipf(1.3, lines * 12), 10**9)
    return "".join(
        " ".join(f"w{word}" for word in line) + "\n" for line in words.reshape(lines, 12)
    )


def warm_up() -> None:
    """Compile what the killed processes use."""
    for options in ({}, {"replay_tokens": 1000, "refresh_contexts": 100}):
        Word2Vec(**WARM, **options).learn_many(["a b c a b c"] * 100)


def rounds(kills: int, lines: int, longest: float, seed: int, folder: Path) -> Deaths:
    """Kill runs over files, one after the other, until there were so many kills."""
    draw = random.Random(seed)
    warm_up()
    total = Deaths()
    text = folder / "text.txt"
    text.write_text(endless_text(lines, seed), encoding="utf-8")
    options = ["--vector-size", "64", "--min-count", "2", "--max-vocab-size", "5000"]
    options += ["--checkpoint-seconds", "0.1", "--replay-tokens", "50000"]
    undisturbed = folder / "undisturbed"
    assert stream_w2v(["train", str(text), "--checkpoint", str(undisturbed), *options, "-q"]) == 0
    expected = load_checkpoint(undisturbed)
    while total.kills < kills:
        directory = folder / f"round-{len(total.lives)}"
        arguments = ["train", str(text), "--checkpoint", str(directory), *options]
        deaths = kill_often(arguments, directory, kills - total.kills, longest, draw)
        if not same(load_checkpoint(directory), expected):
            msg = f"after {deaths.kills} kills the model is another one (seed {seed})"
            raise AssertionError(msg)
        total.kills += deaths.kills
        total.while_writing += deaths.while_writing
        total.lives += deaths.lives
        print(f"{total.kills} of {kills} kills", file=sys.stderr, flush=True)
    return total


def main() -> None:
    """Do it, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--lines", type=int, default=150_000, help="records of the text")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds that a life may last")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stream-w2v-crash-") as folder:
        total = rounds(
            arguments.kills, arguments.lines, arguments.longest, arguments.seed, Path(folder)
        )
    print(
        f"{total.kills} kills, {total.while_writing} of them while a checkpoint was being written: "
        f"every model bit-identical; the processes lived {np.mean(total.lives):.2f} s on average"
    )


if __name__ == "__main__":
    main()
