"""One measured process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class ChildFailedError(Exception):
    """A measured process did not exit with 0."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took, whole, and what it had to say.

    Attributes
    ----------
    wall, cpu
        Seconds from start to end, and of all its threads.
    peak
        Most bytes of memory in use at once.
    answer
        The JSON object that it printed as its last line; empty without one.
    """

    wall: float
    cpu: float
    peak: int
    answer: dict[str, Any]


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command from the repository's root to its end, and measure it.

    Raises
    ------
    ChildFailedError
        If it fails; the message has the end of what it wrote to stderr.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        # Not process.wait(): wait4 gives the resources of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            err.seek(0)
            tail = err.read().decode(errors="replace").strip()[-2000:]
            msg = f"{' '.join(map(str, command))} exited with {process.returncode}:\n{tail}"
            raise ChildFailedError(msg)
        out.seek(0)
        lines = out.read().decode(errors="replace").strip().splitlines()
    answer = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT, answer)


def work(
    module: str, task: str, environment: Mapping[str, str] | None = None, **options: Any
) -> Run:
    """Run one task of a worker module of this package (see :func:`answer`)."""
    name = f"{__package__}.{module}"
    return run([sys.executable, "-m", name, task, json.dumps(options)], environment)


def answer(**tasks: Any) -> None:
    """Be a worker: do the task named on the command line, and print its result as JSON."""
    task, options = sys.argv[1:3]
    print(json.dumps(tasks[task](**json.loads(options))), flush=True)
