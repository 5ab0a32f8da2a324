"""One run of the command: a model over a source, into the files that were asked for."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from stream_w2v.checkpoint import Checkpoint, Checkpoints
from stream_w2v.connectors import open_source
from stream_w2v.connectors.kafka_options import check_apart, is_topic
from stream_w2v.errors import ConfigError, FormatError
from stream_w2v.formats import format_of
from stream_w2v.model import Word2Vec
from stream_w2v.output import check_no_source, check_output, say_json
from stream_w2v.progress import Announced, Progress, short
from stream_w2v.snapshot import DEFAULT_COMBINATION
from stream_w2v.stream import Sink, Source
from stream_w2v.trainer import Totals, Trainer
from stream_w2v.vectors import KeyedVectors, VectorsFile

_AT_ONCE_SECONDS = 1.0
"""Signals that come so soon after the first one are the same wish to stop."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run does beside learning. Its checkpoints keep it, for ``resume`` to do the same.

    Attributes
    ----------
    sources, follow
        What to read, as the user named it; and whether to wait for more at its end, None for what
        is usual there.
    vectors, format, vectors_every, combine, refresh
        Where vectors go, and how.
    save
        Where the whole model goes at the end.
    checkpoint_every, checkpoint_seconds, checkpoint_keep
        How often there is a checkpoint, in records and in seconds, and how many are kept.
    """

    sources: Sequence[str]
    follow: bool | None = None
    vectors: str | None = None
    format: str | None = None
    vectors_every: float | None = None
    combine: str = DEFAULT_COMBINATION
    refresh: bool = False
    save: str | None = None
    checkpoint_every: int | None = None
    checkpoint_seconds: float | None = None
    checkpoint_keep: int = 3

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-serialisable values, with the directory that its paths are from."""
        return {**asdict(self), "directory": os.getcwd()}  # noqa: PTH109

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **changes: Any) -> Run:
        """Build it from what :meth:`to_dict` returned, in the same directory.

        Parameters
        ----------
        values
            What it returned.
        **changes
            What is to be otherwise.

        Raises
        ------
        FormatError
            If it is not such a mapping: the program that wrote the checkpoint was not the command.
        ConfigError
            If it names relative paths that are not changed, and the directory is another one.
        """
        values = dict(values)
        directory = values.pop("directory", "")
        if "sources" not in values or not set(values) <= {field.name for field in fields(cls)}:
            msg = "the checkpoint does not say what was read: go on with train --checkpoint"
            raise FormatError(msg)
        kept = cls(**(values | dict.fromkeys(changes)))
        paths = [*kept.sources, kept.vectors, kept.save]
        relative = [path for path in paths if path and _is_relative(path)]
        if relative and directory != os.getcwd():  # noqa: PTH109
            msg = f"the run named {relative[0]} in the directory {directory}: resume it from there"
            raise ConfigError(msg)
        return cls(**(values | changes))


def _is_relative(path: str) -> bool:
    """Whether a path, or a URI, or an option in it, means another file in another directory."""
    kind, separator, rest = path.partition("://")
    if separator and kind.lower() != "file":
        named = re.findall(r"(?:dead_letters=|file=|location=|keytab=|file:)([^&]*)", unquote(rest))
        return any(not name.startswith(("/", "topic:")) for name in named)
    return path != "-" and not (rest if separator else path).startswith("/")


def open_reader(run: Run) -> Source:
    """Make the source of a run, once it is sure that its outputs can be written."""
    topic = run.vectors is not None and is_topic(run.vectors)
    for path in (None if topic else run.vectors, run.save):
        if path:
            check_output(Path(path))
            check_no_source(Path(path), run.sources)
    for source in filter(is_topic, run.sources):
        for output in filter(None, (run.vectors, run.save)):
            check_apart(source, output)
    if run.vectors and not topic:
        format_of(run.vectors, run.format)
    options = {} if run.follow is None else {"follow": run.follow}
    return open_source(run.sources, **options)


def read_topic(uri: str) -> KeyedVectors:
    """Read vectors from a Kafka topic."""
    with _kafka_needed():
        from stream_w2v.connectors.kafka_vectors import read_vectors
    return read_vectors(uri)


def _sink(name: str, format: str | None) -> Sink:
    if not is_topic(name):
        return VectorsFile(name, format)
    with _kafka_needed():
        from stream_w2v.connectors.kafka_vectors import KafkaVectorSink
    return KafkaVectorSink.from_uri(name)


@contextlib.contextmanager
def _kafka_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        msg = f"vectors in Kafka need pip install 'stream-w2v[kafka]': {error}"
        raise ConfigError(msg) from error


def execute(
    run: Run,
    reader: Source,
    start: Checkpoint,
    checkpoints: Checkpoints | None,
    *,
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Train as a run says, show how it goes, and say what came of it."""
    model = start.model
    sinks: list[Sink] = [_sink(run.vectors, run.format)] if run.vectors else []
    progress = None if quiet else Progress(model, reader)
    if progress is not None:
        sinks = [Announced(sink, progress, f"writing {run.vectors}") for sink in sinks]
    trainer = Trainer(
        model,
        reader,
        sinks,
        positions=start.positions,
        checkpoints=checkpoints,
        checkpoint_every=run.checkpoint_every,
        checkpoint_seconds=run.checkpoint_seconds,
        snapshot_every=run.vectors_every,
        combine=run.combine,
        refresh=run.refresh,
        release=run.save is None,
        on_batch=None if progress is None else progress.update,
    )
    with _stopping(trainer) as received, progress or contextlib.nullcontext():
        totals = trainer.run()
        if run.save is not None:
            if progress is not None:
                progress.say(f"saving {run.save}")
            model.save(run.save)
    paths = {
        "vectors": run.vectors if totals.snapshots else None,
        "save": run.save,
        "checkpoint": checkpoints and str(checkpoints.directory),
    }
    if not quiet:
        with contextlib.suppress(OSError):
            written = [path for path in paths.values() if path]
            print(_summary(totals, model, received, written), file=sys.stderr, flush=True)
    if as_json:
        say_json(asdict(totals) | {"vocabulary": len(model.vocabulary)} | paths)


@contextlib.contextmanager
def _stopping(trainer: Trainer) -> Iterator[list[signal.Signals]]:
    """Let the first SIGINT or SIGTERM stop the trainer, and one that comes later abort.

    Not one that comes at once: ``timeout`` sends its signal to a process, then to all of its group.

    Yields
    ------
    list
        The signals received.
    """
    received: list[signal.Signals] = []
    aborts = math.inf

    def handle(number: int, _: object) -> None:
        nonlocal aborts
        received.append(signal.Signals(number))
        now = time.monotonic()
        if now >= aborts:
            raise SystemExit(128 + number)
        aborts = min(aborts, now + _AT_ONCE_SECONDS)
        trainer.stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            # Who started us may have said that we are not to be interrupted (nohup, &).
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, handle)
        yield received
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def _summary(
    totals: Totals, model: Word2Vec, received: Sequence[signal.Signals], written: Sequence[str]
) -> str:
    stopped = f"stopped by {received[0].name}: " if received else ""
    speed = short(totals.words / totals.seconds)
    parts = [
        f"{stopped}{totals.words:,} words of {totals.records:,} records "
        f"in {totals.seconds:.1f} s ({speed} words/s)",
        f"vocabulary {len(model.vocabulary):,}",
    ]
    notable = {
        "invalid characters": totals.invalid,
        "words too long": totals.oversize,
        "words evicted": totals.evicted,
        "waiting words forgotten": totals.forgotten,
        "unreadable records left out": totals.dead,
    }
    parts += [f"{count:,} {what}" for what, count in notable.items() if count]
    if totals.checkpoints:
        pause = 1000 * totals.longest_pause
        parts.append(f"{totals.checkpoints} checkpoints (training waited {pause:.0f} ms at most)")
    return "; ".join([*parts, f"wrote {' and '.join(written)}"])
