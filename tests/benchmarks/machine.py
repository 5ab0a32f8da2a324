"""What the figures were measured on."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("stream-w2v", "gensim", "numba", "numpy", "scipy")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe() -> dict[str, str]:
    """Describe processor, memory, system and versions."""
    return {
        "processor": _processor(),
        "cores": f"{psutil.cpu_count(logical=False)} cores, {psutil.cpu_count()} threads",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def today() -> str:
    """Return the date."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
