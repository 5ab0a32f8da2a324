"""Checkpoints: a model and its place in the stream, in one file, so that neither is alone.

A checkpoint is a saved model (:meth:`Word2Vec.save`) whose metadata hold the source's positions.
Both are from the same moment, between two records, so whoever goes on from it learns every record
exactly once, however the run before ended.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Self

from stream_w2v.config import Tokenizer
from stream_w2v.errors import (
    ConfigError,
    FormatError,
    SourceNotFoundError,
    StorageError,
    VersionError,
)
from stream_w2v.model import Word2Vec
from stream_w2v.storage import TEMPORARY, StrPath, storage_error, sync_directory
from stream_w2v.stream import Positions

PIPELINE = "pipeline"
"""What is said of a run whose checkpoints hold a pipeline of river beside the model."""

_NAME = re.compile(r"checkpoint-(\d{12})\.safetensors")
_DAMAGED = ".damaged"
_LOCK = ".lock"
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
    newest
        How many records the newest one has learnt, and its positions; None before there is one.
    durable
        The positions in the newest one that is safely on the disk; None if this object has written
        none.
    written
        How many it has written.

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
        self.newest: tuple[int, Positions] | None = None
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
            If there are checkpoints, but none is whole, or they hold a pipeline of river and this
            is not for one, or the other way round.
        VersionError
            If the newest was written by another version.
        ConfigError
            If the model needs ``text`` and it was not given.
        """
        found = _newest(self.directory, text, workers, set_aside=True)
        if found is not None:
            # Who goes on without it would remove what was learnt, checkpoint by checkpoint.
            if (PIPELINE in found.run) != (PIPELINE in self.run):
                what = (
                    "holds a pipeline of river: go on with it in Python, with PipelineCheckpoints"
                    if PIPELINE in found.run
                    else "holds word vectors alone, and no pipeline: use another directory"
                )
                msg = f"{found.path} {what}"
                raise FormatError(msg)
            self.newest = (found.model.records, found.positions)
        return found

    def save(self, model: Word2Vec, positions: Positions) -> None:
        """Write a checkpoint, and come back when it is on the disk.

        Whether the one before it, which :meth:`start` began, could be written does not matter then.

        Raises
        ------
        StorageError
            If it could not be written; older ones are intact.
        """
        self._joined()
        self._write(model, positions)

    def start(self, model: Word2Vec, positions: Positions) -> None:
        """Copy the model, and write the copy in another thread.

        Raises
        ------
        StorageError
            If the one before it could not be written.
        """
        self.finish()
        self._writer = _Writer(self, model.copy(), positions)
        self._writer.start()
        self.newest = (model.records, positions)

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
        error = self._joined()
        if error is not None:
            raise error

    def _joined(self) -> BaseException | None:
        """Wait for the writer, and return why it failed, if it did."""
        writer = self._writer
        if writer is None:
            return None
        writer.join()
        # Only now: whoever is interrupted while it waits must not let go of what still writes.
        self._writer = None
        return writer.error

    def close(self) -> None:
        """Let others write into the directory. Closing twice is harmless."""
        self._joined()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(error[1], SystemExit):
            # The process ends at once, and with it the lock and what is half written.
            return
        try:
            if error[1] is None:
                self.finish()
        finally:
            self.close()

    def _write(self, model: Word2Vec, positions: Positions) -> None:
        numbers = [_number(path) for path in self.directory.glob("checkpoint-*")]
        path = self.directory / file_name(max(numbers, default=0) + 1)
        model.save(path, {"positions": dict(positions), "run": self.run})
        self.newest = (model.records, positions)
        self.durable = positions
        self.written += 1
        for old in checkpoint_files(self.directory)[self.keep :]:
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                _log.warning("cannot remove the old checkpoint %s: %s", old, error)


class _Writer(threading.Thread):
    """Writes one checkpoint. A daemon: a process that is aborted does not wait for it."""

    def __init__(self, checkpoints: Checkpoints, model: Word2Vec, positions: Positions) -> None:
        super().__init__(name="stream-w2v checkpoint", daemon=True)
        self.error: BaseException | None = None
        self._todo = (checkpoints, model, positions)

    def run(self) -> None:
        try:
            checkpoints, model, positions = self._todo
            # So that the copy's memory goes when it is written, not at the next checkpoint.
            del self._todo
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
        except (FormatError, SourceNotFoundError) as error:
            if not os.path.lexists(path):
                # A trainer has removed it meanwhile, and there is a newer one.
                return _newest(directory, text, workers, set_aside=set_aside)
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
    positions, run = (model.metadata.get(name) for name in ("positions", "run"))
    if not (isinstance(positions, Mapping) and isinstance(run, Mapping)):
        msg = f"{path} is a saved model, but no checkpoint: it does not know its place in a stream"
        raise FormatError(msg)
    return Checkpoint(model, positions, run, path)


def file_name(number: int) -> str:
    """Return what a checkpoint's file is called."""
    return f"checkpoint-{number:012}.safetensors"


def _number(path: Path) -> int:
    match = _NAME.match(path.name)
    return int(match[1]) if match else 0


def _locked(directory: Path) -> FileIO:
    """Return a file that is locked until it is closed."""
    with ExitStack() as failing:
        try:
            if not directory.is_dir():
                directory.mkdir(parents=True, exist_ok=True)
                sync_directory(directory.parent)
            if not os.access(directory, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            file = failing.enter_context((directory / _LOCK).open("a+b", buffering=0))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().decode(errors="replace").strip()
            msg = f"process {owner} trains into {directory} already: use another directory"
            raise StorageError(msg) from error
        except OSError as error:
            raise storage_error(directory, error) from error
        failing.pop_all()
    return file
