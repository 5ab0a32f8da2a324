"""How training is going, for a person: live on a terminal, else a plain line now and then."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_w2v.model import Word2Vec
from stream_w2v.output import silence
from stream_w2v.stream import Sink, Source
from stream_w2v.vectors import KeyedVectors

_log = logging.getLogger(__name__)
_LIVE_SECONDS = 0.5
_PLAIN_SECONDS = 5.0
_BAR_WIDTH = 20
_SHARE = re.compile(r"(.*?) ?(\d+) %")


@dataclass(frozen=True, slots=True)
class Report:
    """What is said at one moment. Rates and loss are over the time since the report before.

    Attributes
    ----------
    percent
        Share of the source that has been read, if the source knows.
    position
        What else the source says about where it stands.
    loss
        Mean loss of a pair of words before it was learnt; None if no window was looked at.
    """

    seconds: float
    percent: int | None
    position: str
    records: int
    words: int
    records_per_second: float
    words_per_second: float
    vocabulary: int
    loss: float | None
    learning_rate: float
    staleness: float

    def speed(self) -> str:
        """Return how far and how fast it goes."""
        return (
            f"{_clock(self.seconds)}; {short(self.words)} words, {short(self.words_per_second)}/s; "
            f"{short(self.records_per_second)} records/s"
        )

    def state(self) -> str:
        """Return how the model is doing."""
        loss = "-" if self.loss is None else f"{self.loss:.3f}"
        return (
            f"vocabulary {self.vocabulary:,}; loss {loss}; "
            f"learning rate {self.learning_rate:.4f}; noise staleness {self.staleness:.3f}"
        )

    def __str__(self) -> str:
        place = [] if self.percent is None else [f"{self.percent} %"]
        place += [self.position] if self.position else []
        return "; ".join([*place, self.speed(), self.state()])


class Progress:
    """Reports on a model that reads a source, each time :meth:`update` is called and it is due.

    Live on a terminal, else as plain lines; or, ``as_log``, as records of the library's logger.

    A context manager: what it shows live is there while it is entered. When what it writes to is
    closed it falls silent, and training goes on.
    """

    def __init__(
        self,
        model: Word2Vec,
        source: Source,
        stream: TextIO | None = None,
        *,
        as_log: bool = False,
    ) -> None:
        self._as_log = as_log
        self._model = model
        self._source = source
        self._stream = sys.stderr if stream is None else stream
        self._console = Console(file=self._stream, highlight=False)
        live = self._stream.isatty() and not self._console.is_dumb_terminal and not as_log
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True) if live else None
        )
        self._every = _LIVE_SECONDS if live else _PLAIN_SECONDS
        self._begin = self._last = time.monotonic()
        self._due = self._begin + self._every
        self._before = model.counters

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
            self.say("starting (the very first run compiles, which takes a while)")
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            with _going_on(self._stream):
                self._live.stop()

    def update(self) -> None:
        """Report if a report is due."""
        if time.monotonic() >= self._due:
            report = self._report()
            with _going_on(self._stream):
                if self._as_log:
                    _log.info("%s", report, extra={"facts": asdict(report)})
                elif self._live is None:
                    print(report, file=self._stream, flush=True)
                else:
                    self._live.update(_picture(report), refresh=True)
            self._due = time.monotonic() + self._every

    def say(self, what: str) -> None:
        """Show, on a terminal only, what is being done instead of training."""
        if self._live is not None:
            with _going_on(self._stream):
                self._live.update(Text(what, style="dim"), refresh=True)

    def _report(self) -> Report:
        model, before, now = self._model, self._before, time.monotonic()
        after = model.counters
        more = {name: after[name] - before[name] for name in after}
        status = self._source.status()
        share = _SHARE.fullmatch(status)
        report = Report(
            seconds=now - self._begin,
            percent=int(share[2]) if share else None,
            position=share[1] if share else status,
            records=int(after["records"]),
            words=int(after["words"]),
            records_per_second=more["records"] / (now - self._last),
            words_per_second=more["words"] / (now - self._last),
            vocabulary=len(model.vocabulary),
            loss=more["loss"] / more["loss_pairs"] if more["loss_pairs"] else None,
            learning_rate=model.learning_rate,
            staleness=model.noise.staleness,
        )
        self._before, self._last = after, now
        return report


class Announced(Sink):
    """A sink that says on the progress display that it is being written to."""

    def __init__(self, sink: Sink, progress: Progress, what: str) -> None:
        self._sink = sink
        self._progress = progress
        self._what = what
        self.every = sink.every

    def write(self, vectors: KeyedVectors) -> None:
        """Say so, and write."""
        self._progress.say(self._what)
        self._sink.write(vectors)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


def short(number: float) -> str:
    """Return a number in few characters: 1.23 M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _picture(report: Report) -> Group:
    place: list[RenderableType] = []
    if report.percent is not None:
        place = [ProgressBar(100, report.percent, width=_BAR_WIDTH), f"{report.percent} %"]
    if report.position:
        place.append(Text(report.position))
    first = Table.grid(padding=(0, 1))
    first.add_row(*place, report.speed())
    return Group(first, Text(report.state()))


@contextlib.contextmanager
def _going_on(stream: TextIO) -> Iterator[None]:
    """Silence a stream whose reader has gone; it must not end hours of training."""
    try:
        yield
    except OSError:
        silence(stream)
