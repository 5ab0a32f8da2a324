"""Checkpoints: a model and its place in the stream, in one file, so that neither is alone.

A checkpoint is a saved model (:meth:`Word2Vec.save`) whose metadata hold the source's positions.
Both are from the same moment, between two records, so whoever goes on from it learns every record
exactly once, however the run before ended.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from stream_w2v.config import Tokenizer
from stream_w2v.errors import (
    ConfigError,
    FormatError,
    SourceNotFoundError,
    StorageError,
    VersionError,
)
from stream_w2v.model import Word2Vec
from stream_w2v.storage import TEMPORARY, StrPath, storage_error
from stream_w2v.stream import Positions

_NAME = re.compile(r"checkpoint-(\d{12})\.safetensors")
_DAMAGED = ".damaged"
_LOCK = "lock"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model and where its source goes on.

    Attributes
    ----------
    model
        The model.
    positions
        The source's positions after what the model has learnt.
    run
        What else was said of the run, JSON-serialisable.
    path
        The file that it was read from.
    """

    model: Word2Vec
    positions: Positions = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None


class Checkpoints:
    """A directory of checkpoints, of which the newest few are kept.

    Nobody else can write there until :meth:`close`, or the end of the process.

    Parameters
    ----------
    directory
        Where they are; it is made if it is not there.
    keep
        How many to keep.
    run
        What to keep in each beside model and positions, JSON-serialisable.

    Attributes
    ----------
    keep, run
        As above; they may be changed.
    durable
        The positions in the newest one that is safely on the disk; None if this object has written
        none.
    written
        How many it has written.
    longest_pause
        For how many seconds training waited, at most, while a model was copied.

    Raises
    ------
    ConfigError
        If ``keep`` is less than 1.
    StorageError
        If the directory cannot be made or written to, or another trainer uses it.
    """

    def __init__(
        self, directory: StrPath, keep: int = 3, *, run: Mapping[str, Any] | None = None
    ) -> None:
        if keep < 1:
            msg = f"keep must be at least 1 checkpoint, not {keep}"
            raise ConfigError(msg)
        self.directory = Path(directory)
        self.durable: Positions | None = None
        self.written = 0
        self.longest_pause = 0.0
        self.keep = keep
        self.run = dict(run or {})
        self._writer: _Writer | None = None
        self._lock = _locked(self.directory)
        for left_over in self.directory.glob(TEMPORARY):
            left_over.unlink(missing_ok=True)

    def load(
        self, *, text: str | Tokenizer | None = None, workers: int | None = None
    ) -> Checkpoint | None:
        """Load the newest checkpoint that is whole; None if there is none yet.

        One that is damaged is named in a warning and set aside, and the one before it is loaded.

        Parameters
        ----------
        text, workers
            As :meth:`Word2Vec.load` takes them.

        Raises
        ------
        FormatError
            If there are checkpoints, but none is whole.
        VersionError
            If the newest was written by another version.
        ConfigError
            If the model needs ``text`` and it was not given.
        """
        return _newest(self.directory, text, workers, set_aside=True)

    def save(self, model: Word2Vec, positions: Positions) -> None:
        """Write a checkpoint, and come back when it is on the disk.

        Raises
        ------
        StorageError
            If it, or the one before it, could not be written; older ones are intact.
        """
        self.finish()
        self._write(model, positions)

    def start(self, model: Word2Vec, positions: Positions) -> None:
        """Copy the model, and write the copy in another thread.

        Raises
        ------
        StorageError
            If the one before it could not be written.
        """
        self.finish()
        begin = time.perf_counter()
        copied = model.copy()
        self.longest_pause = max(self.longest_pause, time.perf_counter() - begin)
        self._writer = _Writer(self, copied, positions)
        self._writer.start()

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._writer is not None and self._writer.is_alive()

    def finish(self) -> None:
        """Wait for the one that is being written.

        Raises
        ------
        StorageError
            If it could not be written.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.join()
            if writer.error is not None:
                raise writer.error

    def close(self) -> None:
        """Let others write into the directory. Closing twice is harmless."""
        if self._writer is not None:
            self._writer.join()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, model: Word2Vec, positions: Positions) -> None:
        numbers = [_number(path) for path in self.directory.glob("checkpoint-*")]
        path = self.directory / f"checkpoint-{max(numbers, default=0) + 1:012}.safetensors"
        model.save(path, {"positions": dict(positions), "run": self.run})
        self.durable = positions
        self.written += 1
        for old in checkpoint_files(self.directory)[self.keep :]:
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(old, error) from error


class _Writer(threading.Thread):
    """Writes one checkpoint. A daemon: whoever aborts the process does not want to wait for it."""

    def __init__(self, checkpoints: Checkpoints, model: Word2Vec, positions: Positions) -> None:
        super().__init__(name="stream-w2v checkpoint", daemon=True)
        self.error: BaseException | None = None
        self._todo = (checkpoints, model, positions)

    def run(self) -> None:
        checkpoints, model, positions = self._todo
        try:
            checkpoints._write(model, positions)
        except BaseException as error:
            self.error = error


def checkpoint_files(directory: StrPath) -> list[Path]:
    """Return the checkpoints in a directory, the newest first."""
    found = (path for path in Path(directory).iterdir() if _NAME.fullmatch(path.name))
    return sorted(found, reverse=True)


def load_checkpoint(
    path: StrPath, *, text: str | Tokenizer | None = None, workers: int | None = None
) -> Checkpoint:
    """Load a checkpoint, or the newest whole one of a directory, to look at it.

    Parameters
    ----------
    path
        A file or a directory.
    text, workers
        As :meth:`Word2Vec.load` takes them.

    Raises
    ------
    SourceNotFoundError
        If there is none.
    FormatError
        If it is damaged, or no checkpoint; or the directory holds none that is whole.
    """
    if not Path(path).is_dir():
        return _read(Path(path), text, workers)
    found = _newest(Path(path), text, workers, set_aside=False)
    if found is None:
        msg = f"there is no checkpoint in {os.fspath(path)}"
        raise SourceNotFoundError(msg)
    return found


def _newest(
    directory: Path, text: str | Tokenizer | None, workers: int | None, *, set_aside: bool
) -> Checkpoint | None:
    damaged: list[Path] = []
    for path in checkpoint_files(directory):
        try:
            found = _read(path, text, workers)
        except VersionError:
            raise
        except FormatError as error:
            _log.warning("%s; looking for the checkpoint before it", error)
            damaged.append(path)
            continue
        for one in damaged if set_aside else ():
            # So that it takes no whole one's place among those that are kept.
            one.replace(one.with_name(one.name + _DAMAGED))
        return found
    if damaged:
        msg = f"no checkpoint in {directory} is whole: restore one, or start a new directory"
        raise FormatError(msg)
    return None


def _read(path: Path, text: str | Tokenizer | None, workers: int | None) -> Checkpoint:
    model = Word2Vec.load(path, text=text, workers=workers)
    try:
        positions, run = model.metadata["positions"], model.metadata["run"]
    except KeyError as error:
        msg = f"{path} is a saved model, but no checkpoint: it does not know its place in a stream"
        raise FormatError(msg) from error
    return Checkpoint(model, positions, run, path)


def _number(path: Path) -> int:
    match = _NAME.match(path.name)
    return int(match[1]) if match else 0


def _locked(directory: Path) -> BinaryIO:
    """Return a file that is locked until it is closed."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / _LOCK).open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().decode(errors="replace").strip()
            file.close()
            msg = f"process {owner} trains into {directory} already: use another directory"
            raise StorageError(msg) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
    except OSError as error:
        raise storage_error(directory, error) from error
    return file
