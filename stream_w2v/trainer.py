"""Trainer: a source read to its end through a model, with snapshots on the way."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

from stream_w2v.errors import ConfigError, EmptyVocabularyError
from stream_w2v.model import Word2Vec
from stream_w2v.snapshot import DEFAULT_COMBINATION, check_snapshot
from stream_w2v.stream import Batch, Positions, Sink, Source
from stream_w2v.text import TokenBlock
from stream_w2v.workers import Workers

_AHEAD = 3
"""Batches that are read and cut into words before they are needed, at most."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What one run did.

    Attributes
    ----------
    seconds
        How long it took, from the first read to the last snapshot.
    stopped
        Whether it ended because of :meth:`Trainer.stop`, and not at the end of the source.
    records, words, kept, invalid, oversize, evicted, forgotten
        How far the model's counters of these names went up.
    """

    seconds: float
    stopped: bool
    records: int
    words: int
    kept: int
    invalid: int
    oversize: int
    evicted: int
    forgotten: int


_COUNTED = ("records", "words", "kept", "invalid", "oversize", "evicted", "forgotten")


class Trainer:
    """Reads a source through a model, and hands snapshots to sinks.

    One thread, the *feeder*, reads, decompresses and cuts records into words a few batches ahead.
    All else happens in the thread that calls :meth:`run`, so what is learnt does not depend on
    timing; but a model with several ``workers`` cuts and learns in as many threads. A trainer runs
    once.

    Parameters
    ----------
    model
        What learns.
    source
        Where the records come from; :meth:`run` closes it.
    sinks
        Where snapshots go: one at the end of the run, which closes them.
    snapshot_every
        Seconds after which the sinks get a snapshot in between; training waits for them.
    combine, refresh
        Of the snapshots: see :meth:`Word2Vec.snapshot`.
    release
        Whether the last snapshot takes the model's memory, which ends the model: see
        :meth:`Word2Vec.release`.
    on_batch
        Called after each batch, and while the source is idle once every poll interval.

    Attributes
    ----------
    positions
        Where the source goes on after what was learnt.

    Raises
    ------
    ConfigError
        If ``snapshot_every`` is not positive, ``combine`` not known, or there is nothing to refresh
        from.
    """

    def __init__(
        self,
        model: Word2Vec,
        source: Source,
        sinks: Sequence[Sink] = (),
        *,
        snapshot_every: float | None = None,
        combine: str = DEFAULT_COMBINATION,
        refresh: bool = False,
        release: bool = False,
        on_batch: Callable[[], None] | None = None,
    ) -> None:
        if snapshot_every is not None and not snapshot_every > 0:
            msg = f"snapshot_every must be more than 0 seconds, not {snapshot_every}"
            raise ConfigError(msg)
        check_snapshot(model.config, combine, refresh)
        self.model = model
        self.source = source
        self.sinks = tuple(sinks)
        self.positions: Positions = {}
        self._snapshot_every = snapshot_every
        self._combine = combine
        self._refresh = refresh
        self._release = release
        self._on_batch = on_batch
        # None is the end, or a reason to look whether to stop.
        self._ready: SimpleQueue[_Ready | BaseException | None] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._stopped = False
        self._ended = False

    def run(self) -> Totals:
        """Learn all that the source yields, write the last snapshot, and close everything.

        Raises
        ------
        EmptyVocabularyError
            If no word has a vector at the end.
        SourceError
            If the source broke off. What came before is learnt; nothing was written.
        StorageError
            If a sink could not write.
        DivergedError
            If the vectors are no longer finite.
        """
        begin = time.monotonic()
        before = self.model.counters
        feeder = threading.Thread(target=self._feed, name="stream-w2v feeder", daemon=True)
        feeder.start()
        with ExitStack() as cleaning:
            for sink in self.sinks:
                cleaning.callback(sink.close)
            cleaning.callback(feeder.join)
            cleaning.callback(self.source.close)
            cleaning.callback(self._end_feeder)
            self._learn()
            if len(self.model.vocabulary) == 0:
                raise EmptyVocabularyError(self._why_empty())
            self._snapshot(last=self._release)
        after = self.model.counters
        return Totals(
            seconds=time.monotonic() - begin,
            stopped=self._stopped,
            **{name: int(after[name] - before[name]) for name in _COUNTED},
        )

    def stop(self) -> None:
        """Make :meth:`run` finish the batch in hand and return as at the end of the source.

        This may be called from any thread and from a signal handler.
        """
        self._stopped = True
        # The one queue whose put may interrupt itself.
        self._ready.put(None)

    def _feed(self) -> None:
        # Several workers have the time to cut their batches themselves.
        ahead = self.model.config.workers == 1
        try:
            for batch in self.source:
                self._room.acquire()
                if self._ended:
                    return
                work = list(self.model.tokenise(batch)) if ahead else batch
                self._ready.put(_Ready(work, batch.positions))
            self._ready.put(None)
        except BaseException as error:
            # For the thread that learns to raise.
            self._ready.put(error)

    def _end_feeder(self) -> None:
        self._ended = True
        self._room.release()

    def _learn(self) -> None:
        every = self._snapshot_every
        due = math.inf if every is None else time.monotonic() + every
        positions = self.positions
        with Workers(self.model.learn_batch, self.model.config.workers) as workers:
            while not self._stopped:
                ready = self._ready.get()
                if self._stopped or ready is None:
                    break
                if isinstance(ready, BaseException):
                    workers.finish()
                    self.positions = positions
                    raise ready
                workers.put(ready.work)
                self._room.release()
                positions = ready.positions
                now = time.monotonic()
                if now >= due:
                    workers.finish()
                if workers.idle:
                    self.positions = positions
                if every is not None and now >= due:
                    self._snapshot()
                    due = time.monotonic() + every
                if self._on_batch is not None:
                    self._on_batch()
        self.positions = positions

    def _snapshot(self, *, last: bool = False) -> None:
        if self.sinks:
            take = self.model.release if last else self.model.snapshot
            vectors = take(combine=self._combine, refresh=self._refresh)
            for sink in self.sinks:
                sink.write(vectors)

    def _why_empty(self) -> str:
        counters = self.model.counters
        records, words, oversize = (int(counters[n]) for n in ("records", "words", "oversize"))
        nothing = "no word was learnt" + (" before the run was stopped" if self._stopped else "")
        if records == 0:
            return f"{nothing}: the source gave no record"
        if words == 0:
            long = f", words too long: {oversize}" if oversize else ""
            return f"{nothing}: the source gave none; records read: {records}{long}"
        remedy = "lower min_count"
        if counters["forgotten"]:
            remedy += f", or raise max_candidates: {int(counters['forgotten'])} were forgotten"
        return (
            f"{nothing}: of the {words} words seen "
            f"none occurred {self.model.config.min_count} times; {remedy}"
        )


@dataclass(frozen=True, slots=True)
class _Ready:
    """A batch, perhaps cut into words already, and the positions after it."""

    work: list[TokenBlock] | Batch
    positions: Positions
