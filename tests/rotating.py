"""Logs that grow, rotate and are followed, at random, against what was written.

A :class:`World` is a folder with a log, its writer, whatever rotates it, and who follows it. Each
step is chosen at random; at the end every line must have been learnt once, in order, but for those
that nobody can know: deleted before they were read.

``python -m tests.rotating --sequences 10000`` runs many.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import os
import random
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stream_w2v.connectors.follow import FollowSource
from stream_w2v.stream import Batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstd.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".zst": zstd.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}


class _Impatient(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return False


class World:
    """One log and who follows it.

    Parameters
    ----------
    folder
        An empty folder.
    seed
        Decides everything.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.log = folder / "app.log"
        self.steps: list[str] = []
        self.time = 0.0
        self.number = 0
        self.written: list[bytes] = []  # whole lines, in the order of writing
        self.at_risk: set[bytes] = set()  # deleted before they were read for good
        self.partial = b""  # the beginning of a line, in the log
        self.copies: set[int] = set()  # inodes
        self.day = 0
        self.link = self.random.random() < 0.2  # the log is a link to a dated file
        self.compression = self.random.choice([*COMPRESS])
        watched = [["app.log"], ["app*.log"], ["app.log*"], ["*"]]
        self.patterns = [] if self.link else self.random.choice(watched)
        self.patterns = [str(folder / pattern) for pattern in self.patterns or ["app.log"]]
        if self.random.random() < 0.2:
            # Rotated before anybody followed: learnt only if a glob says so.
            old = folder / "app.log.1"
            old.write_bytes(self._lines(2))
            if not any(pattern.endswith("*") for pattern in self.patterns):
                self.written = []
        self._create()
        self.learnt: list[bytes] = []
        self.safe = 0  # how many of those are in the checkpoint
        self.places: dict[str, object] = {}
        self.positions: dict[str, object] = {}
        self.source: FollowSource | None = None
        self._follow()
        self.places = dict(next(self._batches).positions)
        self.checkpoint()

    # The writer and what rotates.

    def _lines(self, count: int) -> bytes:
        made = b""
        for _ in range(count):
            self.number += 1
            line = b"line %d %s" % (self.number, b"x" * self.random.choice([0, 5, 40, 400]))
            self.written.append(line)
            made += line + self.random.choice([b"\n", b"\r\n"])
        return made

    def _create(self) -> None:
        if self.link:
            self.day += 1
            dated = self.folder / f"app-2026-11-{self.day:02}.log"
            dated.touch()
            new = self.folder / "new"
            new.symlink_to(dated.name)
            new.rename(self.log)
        else:
            self.log.touch()

    def append(self) -> None:
        """Write lines, perhaps the end of one and the beginning of another."""
        with self.log.open("ab") as file:
            if self.partial:
                # What was begun is a line now.
                rest = b" end %d" % self.number
                self.written.append(self.partial + rest)
                file.write(rest + b"\n")
                self.partial = b""
            file.write(self._lines(self.random.randrange(4)))
            if self.random.random() < 0.3:
                self.number += 1
                self.partial = b"part %d:" % self.number
                file.write(self.partial)

    def _close_partial(self) -> None:
        """Count a line without line break, in a file that was rotated."""
        if self.partial:
            self.written.append(self.partial)
            self.partial = b""

    def _shift(self, first: int = 1) -> None:
        rotated = [
            path for path in self.folder.glob("app.log.*") if path.name.split(".")[2].isdigit()
        ]
        for path in sorted(rotated, key=lambda path: -int(path.name.split(".")[2])):
            name, log, number, *ending = path.name.split(".")
            path.rename(self.folder / ".".join([name, log, str(int(number) + first), *ending]))

    def _compress(self, path: Path) -> None:
        # A copy that is compressed is another file: it is known by what it was copied from, if that
        # is there still.
        if path.exists() and not path.is_symlink() and path.stat().st_ino not in self.copies:
            packed = path.with_name(path.name + self.compression)
            packed.write_bytes(COMPRESS[self.compression](path.read_bytes()))
            shutil.copystat(path, packed)
            path.unlink()

    def rotate(self) -> None:
        """Rename and create, as logrotate does; compressed at once, a cycle later, or never."""
        if self.link:
            self._close_partial()
            old = self.log.resolve()
            self._create()
            if self.random.random() < 0.3:
                self._compress(old)
            return
        self._close_partial()
        self._shift()
        if self.random.random() < 0.5:
            self._compress(self.folder / "app.log.2")
        self.log.rename(self.folder / "app.log.1")
        self._create()
        if self.random.random() < 0.3:
            self._compress(self.folder / "app.log.1")

    def rotate_dated(self) -> None:
        """Rename to a name with a date."""
        if self.link:
            return
        self._close_partial()
        self.day += 1
        dated = self.folder / f"app.log-202611{self.day:02}"
        self.log.rename(dated)
        self._create()
        if self.random.random() < 0.3:
            self._compress(dated)

    def copy_truncate(self) -> None:
        """Copy and truncate."""
        if self.link:
            return
        self._close_partial()
        self._shift()
        shutil.copy2(self.log, self.folder / "app.log.1")
        if self.random.random() < 0.2:
            self.read()
        os.truncate(self.log, 0)
        if self.random.random() < 0.3:
            self._compress(self.folder / "app.log.1")

    def copy(self) -> None:
        """Copy and go on writing to the log itself."""
        if self.link:
            return
        while self.log.stat().st_size < 1024:
            # A shorter copy is none for whom was not there when it was made.
            self.append()
        if self.partial:
            # If the copy remains and the log does not, that is its last line.
            self.at_risk.add(self.partial)
        self._shift()
        shutil.copy2(self.log, self.folder / "app.log.1")
        if self.random.random() < 0.3:
            self._compress(self.folder / "app.log.1")
        if (copy := self.folder / "app.log.1").exists():
            self.copies.add(copy.stat().st_ino)
        # It is known by what is beside it, as long as that is there.
        for _ in range(3):
            self.time += 10
            self.read(stop=False)
        self.checkpoint()

    def replace(self) -> None:
        """Put a copy in its place, as editors and ``sed -i`` do."""
        if self.partial:
            # What was begun would be a line of the old file, and go on in the new one.
            return
        new = self.folder / ".new"
        shutil.copy(self.log, new)
        new.rename(self.log.resolve())
        # What happens to it before that is seen happens to what seems to be another file.
        for _ in range(2):
            self.time += 10
            self.read(stop=False)
        self.checkpoint()

    def _risk(self, path: Path) -> None:
        """Note which lines are deleted that are not learnt for good."""
        data = UNPACK.get(path.suffix, bytes)(path.read_bytes())
        lines = data.replace(b"\r\n", b"\n").split(b"\n")
        self.at_risk |= set(lines) - set(self.learnt[: self.safe])

    def truncate(self) -> None:
        """Empty the log without a copy."""
        self._risk(self.log)
        self.partial = b""
        os.truncate(self.log, 0)

    def delete(self) -> None:
        """Delete the log and make it anew."""
        self._risk(self.log)
        if self.partial:
            self.at_risk.add(self.partial)
            self.partial = b""
        self.log.resolve().unlink()
        self._create()

    def delete_rotated(self) -> None:
        """Delete the oldest of what it was rotated to."""
        old = sorted(self.folder.glob("app.log?*"), key=lambda path: path.stat().st_mtime_ns)
        if old:
            self._risk(old[0])
            old[0].unlink()

    # Who follows.

    def _follow(self) -> None:
        self.source = FollowSource(
            self.patterns,
            poll_seconds=self.random.choice([0, 0.1]),
            batch_bytes=self.random.choice([1, 300, 1 << 17]),
        )
        self.source._clock = lambda: self.time
        self.source._wake = _Impatient()
        self.source.seek(self.positions)
        self._batches: Iterator[Batch] = iter(self.source)

    def poll(self) -> None:
        """Let some time pass, and read what there is, or some of it."""
        self.time += self.random.choice([0.25, 10])
        self.read()

    def read(self, *, stop: bool | None = None) -> None:
        """Read what there is, or some of it."""
        stop = self.random.random() < 0.2 if stop is None else stop
        for batch in self._batches:
            start = 0
            for end in batch.ends.tolist():
                self.learnt.append(bytes(batch.data[start:end]).rstrip(b"\r\n"))
                start = end
            self.places = dict(batch.positions)
            if stop or not len(batch):
                break

    def checkpoint(self) -> None:
        """Make what is learnt safe."""
        self.positions = self.places
        self.safe = len(self.learnt)

    def restart(self) -> None:
        """Stop in order and go on."""
        self.checkpoint()
        self.kill()

    def kill(self) -> None:
        """Lose what is not in the checkpoint, and go on from there."""
        self._close()
        del self.learnt[self.safe :]
        self.places = self.positions
        self._follow()

    def _close(self) -> None:
        assert self.source is not None
        self._batches.close()  # type: ignore[attr-defined]
        self.source.close()

    # All of it.

    STEPS = (
        "append", "append", "append", "append", "poll", "poll", "poll", "rotate", "rotate",
        "rotate_dated", "copy_truncate", "copy", "replace", "truncate", "delete", "delete_rotated",
        "checkpoint", "restart", "kill",
    )  # fmt: skip

    def run(self, steps: int) -> None:
        """Take so many steps, and see that every line was learnt once."""
        for _ in range(steps):
            step = self.random.choice(self.STEPS)
            self.steps.append(step)
            getattr(self, step)()
        # Emptied and filled again to the same size within the same tick of the file system's clock
        # is seen as soon as there is more.
        with self.log.open("ab") as file:
            file.write(b"\n" + self._lines(1))
        self._close_partial()
        self.random.random = lambda: 1.0  # type: ignore[method-assign]
        for _ in range(6):
            self.time += 10
            self.read()
        self._close()
        self.check()

    def check(self) -> None:
        """Compare what was learnt with what was written."""
        counts = Counter(self.learnt)
        twice = [line for line, count in counts.items() if count > 1 and line]
        assert not twice, f"learnt twice: {short(twice)}"
        unknown = set(counts) - set(self.written) - self.at_risk - {b""}
        assert not unknown, f"never written: {short(unknown)}"
        missing = [line for line in self.written if line not in counts and line not in self.at_risk]
        assert not missing, f"lost: {short(missing)}"


def short(lines: Iterable[bytes]) -> list[bytes]:
    """Return what tells lines from each other."""
    return [line.replace(b"x", b"") for line in lines]


def run(seed: int, steps: int = 25) -> None:
    """Run one sequence.

    Raises
    ------
    AssertionError
        If a line was lost or learnt twice; it says what was done.
    """
    folder = Path(tempfile.mkdtemp(prefix="stream-w2v-follow-", dir="/dev/shm"))
    world = None
    try:
        world = World(folder, seed)
        world.run(steps)
    except AssertionError as error:
        did = ", ".join(world.steps) if world else "nothing"
        msg = f"sequence {seed} of {steps}: {error}; patterns {world and world.patterns}; {did}"
        raise AssertionError(msg) from error
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Run many sequences."""
    parser = argparse.ArgumentParser(prog="python -m tests.rotating", description=__doc__)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--steps", type=int, default=25)
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.first, arguments.first + arguments.sequences):
        try:
            run(seed, arguments.steps)
        except AssertionError as error:
            failed += 1
            print(error, flush=True)
    print(f"{arguments.sequences - failed} of {arguments.sequences} sequences were exact")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
