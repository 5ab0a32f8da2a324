"""Kill a training process again and again, and see whether anything is lost or learnt twice.

``python -m tests.crash --kills 200`` kills a run over files so often, at random moments and every
other time while a checkpoint is being written, and goes on with it each time. In the end the model
must be, bit for bit, that of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stream_w2v import Word2Vec
from stream_w2v.checkpoint import Checkpoint, checkpoint_files, load_checkpoint
from stream_w2v.cli import main as stream_w2v
from stream_w2v.storage import TEMPORARY

_LONGEST_LIFE = 120.0
"""Seconds after which a process that nobody kills counts as one that hangs."""

WARM = {"vector_size": 16, "min_count": 2}


@dataclass
class Deaths:
    """What was done to a run.

    Attributes
    ----------
    kills, while_writing
        How often it was killed, and how often of these while a checkpoint was being written.
    newest
        The number of the newest checkpoint that any of them had left.
    lives
        Seconds for which each process lived.
    """

    kills: int = 0
    while_writing: int = 0
    newest: int = 0
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
                for path in checkpoint_files(directory)[:1] if directory.is_dir() else ():
                    deaths.newest = max(deaths.newest, int(path.stem.split("-")[1]))
        code = process.wait(_LONGEST_LIFE)
        if code is None:
            process.kill()
            msg = f"the command did not come to an end after {deaths}"
            raise RuntimeError(msg)
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


def same_counts(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints have counted the same: records, words, and every word."""
    mine, theirs = (
        {
            **{name: one.model.counters[name] for name in ("records", "words")},
            **dict(zip(words_of(one.model), one.model.vocabulary.counts, strict=True)),
        }
        for one in (a, b)
    )
    return a.positions == b.positions and mine == theirs


def words_of(model: Word2Vec) -> list[str]:
    """Return the words of a model, in the order of its rows."""
    return model.vocabulary.words(np.arange(model.vocabulary.rows_end))


def warm_up() -> None:
    """Compile what the killed processes use."""
    for options in ({}, {"replay_tokens": 1000, "refresh_contexts": 100}):
        Word2Vec(**WARM, **options).learn_many(["a b c a b c"] * 100)


def rounds(
    source: str,
    options: Sequence[str],
    kills: int,
    longest: float,
    seed: int,
    folder: Path,
    equal: Callable[[Checkpoint, Checkpoint], bool] = same,
    between: Callable[[int], None] = lambda kills: None,
) -> Deaths:
    """Kill runs over a source, one after the other, until there were so many kills.

    Parameters
    ----------
    source, options
        What is trained on, and how.
    kills, longest
        How often a run is killed, and for how many seconds it lives at most.
    seed
        Of the moments.
    folder
        For checkpoints.
    equal
        What must hold between the last checkpoint of every run and that of an undisturbed one.
    between
        Called now and then with the number of kills so far, to disturb something else.
    """
    warm_up()
    draw = random.Random(seed)
    total = Deaths()
    arguments = ["train", source, *options, "--checkpoint-seconds", "0.1", "--checkpoint"]
    undisturbed = folder / "undisturbed"
    assert stream_w2v([*arguments, str(undisturbed), "--quiet"]) == 0
    expected = load_checkpoint(undisturbed)
    while total.kills < kills:
        directory = folder / f"round-{len(total.lives)}"
        some = min(kills - total.kills, 10)
        deaths = kill_often([*arguments, str(directory)], directory, some, longest, draw)
        if not equal(load_checkpoint(directory), expected):
            msg = f"after {deaths.kills} kills the model is another one (seed {seed})"
            raise AssertionError(msg)
        total.kills += deaths.kills
        total.while_writing += deaths.while_writing
        total.newest = max(total.newest, deaths.newest)
        total.lives += deaths.lives
        between(total.kills)
        print(f"{total.kills} of {kills} kills", file=sys.stderr, flush=True)
    return total


FILES_OPTIONS = (
    "--vector-size", "64", "--min-count", "2", "--max-vocab-size", "5000",
    "--replay-tokens", "50000",
)  # fmt: skip
"""Words are evicted, and a replay is in the checkpoint."""

KAFKA_OPTIONS = ("--vector-size", "64", "--min-count", "1", "--no-follow")
"""With these a word's count depends on nothing but how often it came."""


def filled_topic(address: str, partitions: int, lines: int, seed: int) -> str:
    """Make a topic of generated text; return its URI."""
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import NewTopic

    topic = f"crash-{partitions}-{lines}-{seed}"
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, partitions, 1)])
    producer = KafkaProducer(bootstrap_servers=address, compression_type="lz4", linger_ms=20)
    for number, line in enumerate(endless_text(lines, seed).splitlines()):
        producer.send(topic, line.encode(), partition=number % partitions)
    producer.close()
    admin.close()
    return f"kafka://{address}/{topic}"


def main() -> None:
    """Do it, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of each kind")
    parser.add_argument("--lines", type=int, default=150_000, help="records of the text")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds that a life may last")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--sources",
        type=lambda names: names.split(","),
        default=["files"],
        help="files, or how many partitions a topic has: some of files,1,4",
    )
    parser.add_argument("--client", default="kafka-python", help="with which topics are read")
    arguments = parser.parse_args()
    given = {name: getattr(arguments, name) for name in ("kills", "longest", "seed")}
    with tempfile.TemporaryDirectory(prefix="stream-w2v-crash-") as name:
        folder = Path(name)
        for source in arguments.sources:
            if source == "files":
                text = folder / "text.txt"
                text.write_text(endless_text(arguments.lines, arguments.seed), encoding="utf-8")
                total = rounds(str(text), FILES_OPTIONS, folder=folder / source, **given)
                said = "every model bit-identical"
            else:
                total, said = _from_kafka(int(source), arguments, folder / source, given)
            print(
                f"{source}: {total.kills} kills, {total.while_writing} of them while a checkpoint "
                f"was being written: {said}; the processes lived {np.mean(total.lives):.2f} s on "
                f"average, and left up to {total.newest} checkpoints",
                flush=True,
            )


def _from_kafka(
    partitions: int, arguments: argparse.Namespace, folder: Path, given: dict[str, Any]
) -> tuple[Deaths, str]:
    from tests.broker import Broker

    with Broker(folder / "kafka") as broker:

        def restart(kills: int) -> None:
            if partitions > 1:
                broker.kill()
                broker.start()

        # In a process of its own: where this one forks it must have no threads.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            filling = (broker.address, partitions, arguments.lines, arguments.seed)
            uri = other.submit(filled_topic, *filling).result()
        equal = same if partitions == 1 else same_counts
        total = rounds(
            f"{uri}?client={arguments.client}", KAFKA_OPTIONS,
            folder=folder / "checkpoints", equal=equal, between=restart, **given,
        )  # fmt: skip
    exact = "every model bit-identical" if partitions == 1 else "every word counted once"
    return total, exact


if __name__ == "__main__":
    main()
