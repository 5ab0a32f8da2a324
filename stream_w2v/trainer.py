"""Trainer: a source read to its end through a model, with snapshots on the way."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

from stream_w2v.checkpoint import Checkpoints
from stream_w2v.errors import ConfigError, EmptyVocabularyError, SourceError, StorageError
from stream_w2v.model import Word2Vec
from stream_w2v.snapshot import DEFAULT_COMBINATION, check_snapshot
from stream_w2v.stream import Batch, Positions, Sink, Source, dead_letters
from stream_w2v.text import TokenBlock
from stream_w2v.workers import Workers

_CHECKPOINT_SECONDS = 60.0
"""How often there is a checkpoint unless told otherwise: what a crash costs in time."""

_AHEAD = 3
"""Batches that are read and cut into words before they are needed, at most."""

_log = logging.getLogger(__name__)


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
    dead
        Records that the source left out because they could not be read.
    snapshots
        Snapshots that all sinks took.
    checkpoints, longest_pause
        Checkpoints written, and for how many seconds at most training waited for one.
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
    dead: int
    snapshots: int
    checkpoints: int
    longest_pause: float


_COUNTED = ("records", "words", "kept", "invalid", "oversize", "evicted", "forgotten")


class Trainer:
    """Reads a source through a model, and hands snapshots to sinks.

    One thread, the *feeder*, reads, decompresses and cuts records into words a few batches ahead,
    and another writes checkpoints. All else happens in the thread that calls :meth:`run`, so what
    is learnt does not depend on timing; but a model with several ``workers`` cuts and learns in as
    many threads. A trainer runs once.

    Parameters
    ----------
    model
        What learns.
    source
        Where the records come from; :meth:`run` closes it.
    positions
        Where the source is to go on, as a :class:`Checkpoint` of the model says.
    sinks
        Where snapshots go: one at the end of the run, which closes them.
    snapshot_every
        Seconds after which the sinks get a snapshot in between, unless they have an ``every`` of
        their own; training waits for them. If one cannot be written, that is a warning, and the
        next one is tried when it is due.
    checkpoints
        Where checkpoints go: one at the beginning, unless the run goes on from one, and one at the
        end, whatever ends it in order. It stays open.
    checkpoint_every, checkpoint_seconds
        Records and seconds after which there is one in between; if neither is given, a minute. It
        is written while training goes on.
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
        Where the source goes on after what was learnt, as of a moment at which no thread was
        learning: now, if the model has one worker, and once :meth:`run` has returned or raised what
        its source raised.
    checkpoint_time
        When the last checkpoint was begun, by ``time.monotonic``; None before there is one.
    last_pause
        For how many seconds training waited for it.

    Raises
    ------
    ConfigError
        If ``snapshot_every``, a sink's ``every`` or another interval is not positive, ``combine``
        not known, or there is nothing to refresh from.
    """

    def __init__(
        self,
        model: Word2Vec,
        source: Source,
        sinks: Sequence[Sink] = (),
        *,
        positions: Positions | None = None,
        checkpoints: Checkpoints | None = None,
        checkpoint_every: int | None = None,
        checkpoint_seconds: float | None = None,
        snapshot_every: float | None = None,
        combine: str = DEFAULT_COMBINATION,
        refresh: bool = False,
        release: bool = False,
        on_batch: Callable[[], None] | None = None,
    ) -> None:
        for name, interval in (
            ("checkpoint_every", checkpoint_every),
            ("checkpoint_seconds", checkpoint_seconds),
            ("snapshot_every", snapshot_every),
            *(("every", sink.every) for sink in sinks),
        ):
            if interval is not None and not interval > 0:
                msg = f"{name} must be more than 0, not {interval}"
                raise ConfigError(msg)
        check_snapshot(model.config, combine, refresh)
        self.model = model
        self.source = source
        self.sinks = tuple(sinks)
        self.positions: Positions = dict(positions or {})
        self._checkpoints = checkpoints
        if checkpoint_every is None and checkpoint_seconds is None:
            checkpoint_seconds = _CHECKPOINT_SECONDS
        self._checkpoint_due = _Due(model, checkpoint_seconds, checkpoint_every)
        self._sinks_due = [
            (sink, _Due(model, snapshot_every if sink.every is None else sink.every))
            for sink in self.sinks
        ]
        self._committed = checkpoints.durable if checkpoints else None
        self.checkpoint_time: float | None = None
        self.last_pause = self._longest_pause = 0.0
        self._snapshots = 0
        self._failing: set[Sink] = set()
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
            If no word has a vector at the end, unless the run was stopped and can go on.
        SourceError
            If the source broke off. What came before is learnt, and in a checkpoint; the sinks got
            no last snapshot.
        StorageError
            If the last snapshot, or a checkpoint, could not be written.
        DivergedError
            If the vectors are no longer finite.
        """
        begin = time.monotonic()
        before = self.model.counters
        dead = dead_letters(self.positions).total()
        written = self._checkpoints.written if self._checkpoints else 0
        feeder = threading.Thread(target=self._feed, name="stream-w2v feeder", daemon=True)
        with ExitStack() as cleaning:
            for sink in self.sinks:
                cleaning.callback(sink.close)
            cleaning.callback(self._end_feeder, feeder)
            self.source.seek(self.positions)
            feeder.start()
            self._learn()
            self._checkpoint(last=True)
            if len(self.model.vocabulary) > 0:
                self._snapshot(self.sinks, last=True)
            elif not (self._stopped and self._checkpoints):
                # A run that was stopped may have its words after it goes on.
                raise EmptyVocabularyError(self._why_empty())
        after = self.model.counters
        return Totals(
            seconds=time.monotonic() - begin,
            stopped=self._stopped,
            dead=dead_letters(self.positions).total() - dead,
            snapshots=self._snapshots,
            checkpoints=(self._checkpoints.written if self._checkpoints else 0) - written,
            longest_pause=self._longest_pause,
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

    def _end_feeder(self, feeder: threading.Thread) -> None:
        self._ended = True
        self._room.release()
        self.source.close()
        if feeder.ident is not None:
            feeder.join()

    def _learn(self) -> None:
        positions = self.positions
        with Workers(self.model.learn_batch, self.model.config.workers) as workers:
            while not self._stopped:
                ready = self._ready.get()
                if self._stopped or ready is None:
                    break
                if isinstance(ready, BaseException):
                    workers.finish()
                    self.positions = positions
                    if isinstance(ready, SourceError):
                        self._checkpoint(last=True)
                    raise ready
                workers.put(ready.work)
                self._room.release()
                positions = ready.positions
                begin = time.monotonic()
                checkpoint = self._is_checkpoint_due()
                due = [(sink, when) for sink, when in self._sinks_due if when.now()]
                if checkpoint or due:
                    workers.finish()
                if workers.idle:
                    self.positions = positions
                if checkpoint:
                    self._checkpoint()
                    self.last_pause = time.monotonic() - begin
                    self._longest_pause = max(self._longest_pause, self.last_pause)
                if due:
                    self._snapshot([sink for sink, _ in due])
                    for _, when in due:
                        when.again()
                self._commit()
                if self._on_batch is not None:
                    self._on_batch()
        self.positions = positions

    def _is_checkpoint_due(self) -> bool:
        if self._checkpoints is None or self._checkpoints.busy:
            return False
        # Now is when one that could not be written comes up.
        self._checkpoints.finish()
        # The first one keeps where the source began, which another time may be elsewhere.
        return self._checkpoints.newest is None or self._checkpoint_due.now()

    def _checkpoint(self, *, last: bool = False) -> None:
        """Write a checkpoint, unless all is as in the one before."""
        if self._checkpoints is None:
            return
        if (self.model.records, self.positions) != self._checkpoints.newest:
            write = self._checkpoints.save if last else self._checkpoints.start
            write(self.model, self.positions)
        self._checkpoint_due.again()
        self.checkpoint_time = time.monotonic()
        if last:
            self._checkpoints.finish()
            self._commit()

    def _commit(self) -> None:
        """Tell the source what is durable."""
        durable = self._checkpoints.durable if self._checkpoints else None
        if durable is not None and durable is not self._committed:
            self._committed = durable
            self.source.commit(durable)

    def _snapshot(self, sinks: Sequence[Sink], *, last: bool = False) -> None:
        if not sinks:
            return
        take = self.model.release if last and self._release else self.model.snapshot
        vectors = take(combine=self._combine, refresh=self._refresh)
        for sink in sinks:
            try:
                sink.write(vectors)
            except StorageError as error:
                # A full disk, or a broker that is away, ends no months of training.
                if last:
                    raise
                if sink not in self._failing:
                    _log.warning("%s; training goes on, and this is tried again", error)
                self._failing.add(sink)
            else:
                if sink in self._failing:
                    _log.warning("snapshots are written again")
                self._failing.discard(sink)
        self._snapshots += not self._failing

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


class _Due:
    """When something is to be done again: after so many seconds or records, or never."""

    def __init__(
        self, model: Word2Vec, seconds: float | None = None, records: int | None = None
    ) -> None:
        self._model = model
        self._seconds = math.inf if seconds is None else seconds
        self._records = math.inf if records is None else records
        self.again()

    def now(self) -> bool:
        return (
            time.monotonic() - self._time >= self._seconds
            or self._model.records - self._at >= self._records
        )

    def again(self) -> None:
        self._time = time.monotonic()
        self._at = self._model.records


@dataclass(frozen=True, slots=True)
class _Ready:
    """A batch, perhaps cut into words already, and the positions after it."""

    work: list[TokenBlock] | Batch
    positions: Positions
