"""Where a command writes: standard output, and the files that it was asked for."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from stream_w2v.errors import ConfigError, StorageError


def say(text: str) -> None:
    """Print to standard output."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Such as `| head`: whoever reads has seen enough.
        silence(sys.stdout)
    except OSError as error:
        silence(sys.stdout)
        msg = f"cannot write to standard output: {error.strerror}"
        raise StorageError(msg) from error


def say_json(value: Any) -> None:
    """Print JSON to standard output."""
    say(json.dumps(value, indent=2))


def printable(word: str) -> str:
    """Return a word as a terminal may be given it: a stream's words may hold control codes."""
    if not sys.stdout.isatty() or word.isprintable():
        return word
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in word)


def check_output(path: Path) -> None:
    """Refuse now what could not be written after hours of training."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        msg = f"{path} is a directory: name a file in it"
        raise ConfigError(msg)
    if not target.parent.is_dir():
        msg = f"cannot write {path}: there is no directory {target.parent}"
        raise ConfigError(msg)
    needed = [target] if target.exists() else []
    if not needed or target.is_file():  # a new file takes the place of the old one
        needed.append(target.parent)
    for place in needed:
        if not os.access(place, os.W_OK):
            msg = f"cannot write {path}: no permission to write to {place}"
            raise ConfigError(msg)


def check_no_source(path: Path, sources: Sequence[str]) -> None:
    """Refuse to write over what is to be read."""
    if not path.is_file():
        return
    for source in sources:
        matches = [source] if Path(source).exists() else glob.glob(source, recursive=True)  # noqa: PTH207
        if any(path.samefile(match) for match in matches):
            msg = f"{path} is one of the sources, and would be overwritten"
            raise ConfigError(msg)


def check_not_followed(path: Path, patterns: Sequence[str]) -> None:
    """Refuse to write what would be read as it grows."""
    target = Path(os.path.realpath(path))
    for pattern in patterns:
        whole = os.path.realpath(pattern)
        # Too much matches then rather than too little: ** goes through any number of folders.
        if fnmatch.fnmatchcase(str(target), whole) if "**" in whole else target.match(whole):
            msg = f"{path} would be followed, because {pattern} matches it: write it elsewhere"
            raise ConfigError(msg)


def silence(stream: TextIO) -> None:
    """Send what is written to a stream from now on nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
