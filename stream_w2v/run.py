"""One run of the command: a model over a source, into the files that were asked for."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from stream_w2v.checkpoint import Checkpoint, Checkpoints, file_name
from stream_w2v.connectors import open_source
from stream_w2v.connectors.kafka_options import check_apart, is_topic
from stream_w2v.drift import DRIFT_SECONDS, DriftFile
from stream_w2v.errors import ConfigError, FormatError
from stream_w2v.formats import format_of
from stream_w2v.model import Word2Vec
from stream_w2v.output import check_no_source, check_not_followed, check_output, say_json
from stream_w2v.progress import Announced, Progress, short
from stream_w2v.snapshot import DEFAULT_COMBINATION
from stream_w2v.stream import Sink, Source
from stream_w2v.trainer import Totals, Trainer
from stream_w2v.vectors import KeyedVectors, VectorsFile

if TYPE_CHECKING:
    from stream_w2v.metrics import Metrics

_log = logging.getLogger(__name__)


_SOURCE_OPTIONS = ("follow", "field", "record_start", "dead_letters", "start")

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
    drift, drift_every
        Where lines on what has drifted go, and how often.
    field, record_start, dead_letters, start
        Options of the source, None for what is usual there.
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
    drift: str | None = None
    drift_every: float | None = None
    field: str | None = None
    record_start: str | None = None
    dead_letters: str | None = None
    start: str | None = None
    checkpoint_every: int | None = None
    checkpoint_seconds: float | None = None
    checkpoint_keep: int = 3

    def written(self) -> dict[str, str]:
        """Return the files that it writes, by the option that names them."""
        named = {
            "--vectors": self.vectors,
            "--save": self.save,
            "--drift": self.drift,
            "--dead-letters": self.dead_letters,
        }
        return {
            option: path
            for option, path in named.items()
            if path and not is_topic(path) and not path.startswith("topic:")
        }

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
        paths = [*kept.sources, kept.vectors, kept.save, kept.drift, kept.dead_letters]
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
    return path != "-" and not (rest if separator else path).startswith(("/", "topic:"))


def open_reader(run: Run, checkpoints: Path | None = None, *, until_end: bool = False) -> Source:
    """Make the source of a run, once it is sure that its outputs can be written.

    Parameters
    ----------
    run
        The run.
    checkpoints
        Where its checkpoints go.
    until_end
        Whether to read files that were followed as such, and yet only what is there now.
    """
    written = run.written()
    for path in written.values():
        check_output(Path(path))
        check_no_source(Path(path), run.sources)
    for (first, path), (second, other) in itertools.combinations(written.items(), 2):
        if os.path.realpath(path) == os.path.realpath(other):
            msg = f"{first} and {second} name the same file"
            raise ConfigError(msg)
    if run.follow:
        grow = [Path(path) for path in written.values()]
        for file in grow if checkpoints is None else [*grow, checkpoints / file_name(1)]:
            check_not_followed(file, run.sources)
    for source in filter(is_topic, run.sources):
        for output in filter(None, (run.vectors, run.save)):
            check_apart(source, output, run.dead_letters)
    if "--vectors" in written:
        format_of(written["--vectors"], run.format)
    options: dict[str, Any] = {name: getattr(run, name) for name in _SOURCE_OPTIONS}
    if until_end and not any(map(is_topic, run.sources)):
        options |= {"follow": True, "until_end": True}
    given = {name: value for name, value in options.items() if value is not None}
    return open_source(run.sources, **given)


def read_topic(uri: str) -> KeyedVectors:
    """Read vectors from a Kafka topic."""
    with _kafka_needed():
        from stream_w2v.connectors.kafka_vectors import read_vectors
    return read_vectors(uri)


def _sinks(run: Run) -> Iterator[tuple[Sink, str]]:
    """Make the sinks of a run, each with what is said while it is written to."""
    if run.vectors:
        yield _sink(run.vectors, run.format), f"writing {run.vectors}"
    if run.drift:
        yield DriftFile(run.drift, run.drift_every or DRIFT_SECONDS), "looking for drift"


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
    as_log: bool = False,
    metrics: str | None = None,
) -> None:
    """Train as a run says, show how it goes, and say what came of it.

    Parameters
    ----------
    run, reader, start, checkpoints
        What to do, from where, and where its checkpoints go.
    quiet
        Whether to show nothing.
    as_json
        Whether to print what came of it as JSON.
    as_log
        Whether to show it as records of the library's logger, for a program to read.
    metrics
        Where to serve metrics, if anywhere.
    """
    model = start.model
    progress = None if quiet else Progress(model, reader, as_log=as_log)
    sinks = [
        sink if progress is None else Announced(sink, progress, what) for sink, what in _sinks(run)
    ]
    served, nothing = _metrics(metrics), contextlib.nullcontext()

    def say(what: str, facts: Mapping[str, Any] | None = None) -> None:
        if as_log and not quiet:
            _log.info("%s", what, extra={"facts": facts or {}})
        elif not quiet:
            with contextlib.suppress(OSError):
                print(what, file=sys.stderr, flush=True)

    if served is not None:
        say(f"metrics are served at http://{served.address}/metrics")

    def watch() -> None:
        if progress is not None:
            progress.update()
        if served is not None:
            served.update(trainer)

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
        on_batch=watch,
    )
    with _stopping(trainer) as received, served or nothing, progress or nothing:
        totals = trainer.run()
        if run.save is not None:
            if progress is not None:
                progress.say(f"saving {run.save}")
            model.save(run.save)
    paths = {
        "vectors": run.vectors if totals.snapshots else None,
        "save": run.save,
        "drift": run.drift,
        "checkpoint": checkpoints and str(checkpoints.directory),
    }
    written = [path for path in paths.values() if path]
    say(_summary(totals, model, received, written), asdict(totals))
    if as_json:
        say_json(asdict(totals) | {"vocabulary": len(model.vocabulary)} | paths)


def _metrics(address: str | None) -> Metrics | None:
    if address is None:
        return None
    from stream_w2v.metrics import Metrics

    return Metrics(address)


@contextlib.contextmanager
def _stopping(trainer: Trainer) -> Iterator[list[signal.Signals]]:
    """Let the first SIGINT or SIGTERM stop the trainer, and one that comes later abort.

    Not one that comes at once: ``timeout`` sends its signal to a process, then to all of its group.

    SIGHUP has the source look again, unless it comes from a terminal: then it stops the trainer.

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

    def reload(*_: object) -> None:
        trainer.source.reload()

    handlers: dict[signal.Signals, Callable[[int, object], None]]
    handlers = {signal.SIGINT: handle, signal.SIGTERM: handle}
    # What a terminal sends when it closes is what services are sent to look again.
    handlers[signal.SIGHUP] = handle if sys.stderr.isatty() else reload
    before = {number: signal.getsignal(number) for number in handlers}
    try:
        for number, handler in handlers.items():
            # Who started us may have said that we are not to be interrupted (nohup, &).
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, handler)
        yield received
    finally:
        for number in handlers:
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
