"""The loop between a source, a model and sinks: order, ends, stops and failures."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Container, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from stream_w2v import Batch, KeyedVectors, Sink, Source, Trainer, Word2Vec
from stream_w2v.errors import (
    ConfigError,
    EmptyVocabularyError,
    SourceError,
    StorageError,
    StreamW2VError,
)

TEXTS = [f"the quick fox {n} jumps over the lazy dog {n % 7}" for n in range(40)]


def model(**options: Any) -> Word2Vec:
    """Return a small model that learns every word."""
    return Word2Vec(**{"vector_size": 8, "min_count": 1, "sample": 0, **options})


class Listed(Source):
    """Yields records, each as a batch of its own, and then ends, fails or waits to be closed."""

    def __init__(self, texts: Sequence[str], then: str | Exception = "end") -> None:
        self.texts = texts
        self.then = then
        self.read = 0
        self.thread: threading.Thread | None = None
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Batch]:
        self.thread = threading.current_thread()
        for text in self.texts:
            self.read += 1
            data = text.encode()
            yield Batch(data, np.array([len(data)]), {"listed": self.read})
        if isinstance(self.then, Exception):
            raise self.then
        if self.then == "wait":
            self.closed.wait()

    def close(self) -> None:
        """End an iteration that waits."""
        self.closed.set()

    def is_over(self) -> bool:
        """Whether it is closed, and the thread that read it has ended."""
        return self.closed.is_set() and not (self.thread and self.thread.is_alive())


class Kept(Sink):
    """Keeps every snapshot, or fails, always or in these places."""

    def __init__(
        self, error: Exception | None = None, places: Container[int] = range(sys.maxsize)
    ) -> None:
        self.snapshots: list[KeyedVectors] = []
        self.closed = 0
        self.error = error
        self.places = places
        self.offered = 0

    def write(self, vectors: KeyedVectors) -> None:
        """Keep a snapshot."""
        self.offered += 1
        if self.error is not None and self.offered - 1 in self.places:
            raise self.error
        self.snapshots.append(vectors)

    def close(self) -> None:
        """Count how often this is called."""
        self.closed += 1


def test_a_run_learns_what_the_model_learns_alone() -> None:
    """The trainer adds nothing: the state is that of learn_many, bit for bit."""
    alone, trained, sink = model(), model(), Kept()
    alone.learn_many(TEXTS)
    source = Listed(TEXTS)
    trainer = Trainer(trained, source, [sink])
    totals = trainer.run()
    expected = alone.tensors()
    assert all(np.array_equal(expected[name], array) for name, array in trained.tensors().items())
    assert trainer.positions == {"listed": len(TEXTS)}
    (last,) = sink.snapshots
    assert sorted(last) == sorted(alone.snapshot())
    assert sink.closed == 1
    assert source.is_over()
    assert (totals.records, totals.words, totals.stopped) == (len(TEXTS), 10 * len(TEXTS), False)
    assert 0 < totals.seconds < 60


def test_several_workers_learn_every_record_once() -> None:
    """The positions after the run are those after all of them, and the words are the same."""
    alone, trained, sink = model(), model(workers=3), Kept()
    alone.learn_many(TEXTS)
    trainer = Trainer(trained, Listed(TEXTS), [sink], snapshot_every=1e-6)
    totals = trainer.run()
    assert (totals.records, totals.words) == (len(TEXTS), 10 * len(TEXTS))
    assert trainer.positions == {"listed": len(TEXTS)}
    assert len(sink.snapshots) > 1
    last = sink.snapshots[-1]
    expected = alone.snapshot()
    for word in expected:
        assert last.get_vecattr(word, "count") == expected.get_vecattr(word, "count")


def test_an_error_in_a_worker_ends_the_run() -> None:
    """It is raised where run was called, whatever the other workers do."""

    def tokenizer(text: str) -> list[str]:
        if "fox 3 " in text:
            msg = "no 3"
            raise ValueError(msg)
        return text.split()

    source = Listed(TEXTS)
    with pytest.raises(ValueError, match="no 3"):
        Trainer(model(workers=2, text=tokenizer), source).run()
    assert source.is_over()


def test_snapshots_are_combined_and_refreshed_as_asked() -> None:
    """The sinks get what the model's own snapshot is, with the same options."""
    for options in ({"combine": "input"}, {"combine": "sum", "refresh": True}):
        learner, sink = model(replay_tokens=50, refresh_contexts=100), Kept()
        Trainer(learner, Listed(TEXTS), [sink], **options).run()
        expected = learner.snapshot(**options)
        np.testing.assert_array_equal(sink.snapshots[0].vectors, expected.vectors)


def test_a_sink_may_have_a_cadence_of_its_own() -> None:
    """Others keep the trainer's; all of them get the last snapshot."""
    often, seldom, last = Kept(), Kept(), Kept()
    often.every, seldom.every = 1e-9, 1e9
    Trainer(model(), Listed(TEXTS), [often, seldom, last]).run()
    assert len(often.snapshots) == len(TEXTS) + 1
    assert (len(seldom.snapshots), len(last.snapshots)) == (1, 1)
    assert often.snapshots[-1] is seldom.snapshots[0] is last.snapshots[0]
    others = [Kept(), Kept()]
    others[0].every = 1e9
    Trainer(model(), Listed(TEXTS), others, snapshot_every=1e-9).run()
    assert [len(sink.snapshots) for sink in others] == [1, len(TEXTS) + 1]
    seldom.every = 0
    with pytest.raises(ConfigError, match="every must be more than 0, not 0"):
        Trainer(model(), Listed(TEXTS), [seldom])


def test_totals_are_those_of_the_run_not_of_the_model() -> None:
    """A model that had learnt before counts on; the totals start at 0."""
    learner = model()
    learner.learn_many(TEXTS)
    totals = Trainer(learner, Listed([*TEXTS[:3], "x" * 300, "\ufffd"])).run()
    assert (totals.records, totals.oversize, totals.invalid) == (5, 1, 0)
    assert learner.records == len(TEXTS) + 5


def test_a_source_that_breaks_off_is_an_error_after_all_that_came_before() -> None:
    """Every earlier batch is learnt, nothing is written, and all is closed."""
    learner, sink, error = model(), Kept(), SourceError("it broke off")
    source = Listed(TEXTS, then=error)
    with pytest.raises(SourceError, match="it broke off"):
        Trainer(learner, source, [sink]).run()
    assert learner.records == len(TEXTS)
    assert sink.snapshots == []
    assert sink.closed == 1
    assert source.is_over()


def test_an_error_of_the_callers_tokenizer_is_raised_where_run_was_called() -> None:
    """It happens in the feeder, and the caller sees it as it is."""

    def tokenizer(text: str) -> list[str]:
        if "fox 20 " in text:
            raise LookupError(text)
        return text.split()

    learner = model(text=tokenizer)
    trainer = Trainer(learner, Listed(TEXTS))
    with pytest.raises(LookupError, match="the quick fox 20 "):
        trainer.run()
    assert learner.records == 20
    assert trainer.positions == {"listed": 20}


def test_stop_finishes_the_batch_in_hand_and_writes_the_last_snapshot() -> None:
    """Batches that were read ahead are not learnt; the positions say so."""
    learner, sink, source = model(), Kept(), Listed(TEXTS)

    def stop_at_seven() -> None:
        if learner.records == 7:
            trainer.stop()

    trainer = Trainer(learner, source, [sink], on_batch=stop_at_seven)
    totals = trainer.run()
    assert (totals.records, totals.stopped) == (7, True)
    assert trainer.positions == {"listed": 7}
    assert len(sink.snapshots) == 1
    assert source.is_over()


def test_stop_ends_a_run_whose_source_is_silent() -> None:
    """It does not wait for the next batch."""
    source = Listed(TEXTS, then="wait")
    trainer = Trainer(model(), source)
    timer = threading.Timer(0.3, trainer.stop)
    timer.start()
    begin = time.monotonic()
    assert trainer.run().records == len(TEXTS)
    assert time.monotonic() - begin < 5
    assert source.is_over()


def test_the_feeder_reads_a_few_batches_ahead_and_no_more() -> None:
    """However slow the training is, memory is bounded."""
    source, ahead = Listed(TEXTS), []

    def look() -> None:
        time.sleep(0.01)
        ahead.append(source.read - learner.records)

    learner = model()
    Trainer(learner, source, on_batch=look).run()
    assert 2 <= max(ahead) <= 5


@pytest.mark.parametrize("place", ["sink", "observer"])
def test_an_error_while_training_ends_the_feeder_too(place: str) -> None:
    """Whatever fails is raised, and nothing is left running or open."""
    error = StorageError("the disk is full")
    sink = Kept(error if place == "sink" else None)
    source = Listed(TEXTS, then="wait")

    def fail() -> None:
        if place == "observer":
            raise error
        trainer.stop()

    trainer = Trainer(model(), source, [sink], on_batch=fail)
    with pytest.raises(StorageError, match="the disk is full"):
        trainer.run()
    assert sink.closed == 1
    assert source.is_over()


def test_snapshot_every_hands_out_snapshots_on_the_way() -> None:
    """Each holds what had been learnt by then, and changes no more."""
    sink = Kept()
    Trainer(model(), Listed(TEXTS), [sink], snapshot_every=1e-9).run()
    sizes = [len(snapshot) for snapshot in sink.snapshots]
    assert len(sizes) == len(TEXTS) + 1
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_snapshot_on_the_way_that_cannot_be_written_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is said once, and once that the next one could be; other sinks get theirs all the same."""
    failing, other = Kept(StorageError("the disk is full"), range(3, 8)), Kept()
    trainer = Trainer(model(), Listed(TEXTS), [failing, other], snapshot_every=1e-9)
    totals = trainer.run()
    assert [record.getMessage() for record in caplog.records] == [
        "the disk is full; training goes on, and this is tried again",
        "snapshots are written again",
    ]
    assert len(other.snapshots) == len(TEXTS) + 1
    assert len(failing.snapshots) == totals.snapshots == len(TEXTS) + 1 - 5
    assert failing.snapshots[-1] is other.snapshots[-1]


def test_the_last_snapshot_must_be_written() -> None:
    """Whether one before it could be or not."""
    for places in (range(3, sys.maxsize), [len(TEXTS)]):
        sink = Kept(StorageError("the disk is full"), places)
        with pytest.raises(StorageError, match="the disk is full"):
            Trainer(model(), Listed(TEXTS), [sink], snapshot_every=1e-9).run()
        assert sink.closed == 1


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_snapshot_every_must_be_positive(seconds: float) -> None:
    """The error says what was given."""
    message = f"snapshot_every must be more than 0, not {seconds}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        Trainer(model(), Listed([]), snapshot_every=seconds)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "no word was learnt: the source gave no record"),
        (["", " . "], {}, "no word was learnt: the source gave none; records read: 2"),
        (
            ["x" * 300],
            {},
            "no word was learnt: the source gave none; records read: 1, words too long: 1",
        ),
        (
            ["one two two"],
            {"min_count": 3},
            "no word was learnt: of the 3 words seen none occurred 3 times; lower min_count",
        ),
        (
            [" ".join(map(str, range(100)))],
            {"min_count": 2, "max_candidates": 10},
            "no word was learnt: of the 100 words seen none occurred 2 times; "
            "lower min_count, or raise max_candidates: 90 were forgotten",
        ),
    ],
)
def test_a_run_without_any_word_says_why(
    texts: list[str], options: dict[str, Any], message: str
) -> None:
    """Each reason has its own remedy; the sinks get nothing."""
    sink = Kept()
    with pytest.raises(EmptyVocabularyError) as caught:
        Trainer(model(**options), Listed(texts), [sink]).run()
    assert str(caught.value) == message
    assert sink.snapshots == []


def test_a_run_that_is_stopped_before_it_learns_says_so() -> None:
    """A stop that came first is not forgotten."""
    trainer = Trainer(model(), Listed([], then="wait"))
    trainer.stop()
    with pytest.raises(StreamW2VError) as caught:
        trainer.run()
    assert str(caught.value) == (
        "no word was learnt before the run was stopped: the source gave no record"
    )
