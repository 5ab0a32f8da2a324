"""Checkpoints: whole or absent, model and place together, and nobody else writes beside."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_model import HARD, STREAM, state_of

from stream_w2v import Batch, Source, Trainer, Word2Vec
from stream_w2v.checkpoint import Checkpoint, Checkpoints, checkpoint_files, load_checkpoint
from stream_w2v.errors import (
    ConfigError,
    FormatError,
    SourceError,
    SourceNotFoundError,
    StorageError,
    VersionError,
)
from stream_w2v.storage import write_tensors
from stream_w2v.stream import dead_letters

KEEPING = {"replay_tokens": 300, "replay_passes": 2, "refresh_contexts": 100}


def small(**options: Any) -> Word2Vec:
    """Return a model that has learnt a little."""
    model = Word2Vec(**{**HARD, **options})
    model.learn_many(STREAM[:50])
    return model


def numbers(directory: Path) -> list[int]:
    """Return the numbers of the checkpoints there, the newest first."""
    return [int(path.stem.split("-")[1]) for path in checkpoint_files(directory)]


class Numbered(Source):
    """Records whose positions say how many came, from wherever it is told to go on."""

    def __init__(self, texts: Sequence[str], then: Exception | None = None) -> None:
        self.texts = texts
        self.then = then
        self.begin = 0
        self.committed: list[Any] = []

    def seek(self, positions: Any) -> None:
        """Go on after so many."""
        self.begin = positions.get("part", {"at": 0})["at"]

    def __iter__(self) -> Iterator[Batch]:
        for place, text in enumerate(self.texts[self.begin :], self.begin + 1):
            data = text.encode()
            dead = {"odd": place // 2}
            yield Batch(data, np.array([len(data)]), {"part": {"at": place, "dead": dead}})
        if self.then is not None:
            raise self.then

    def commit(self, positions: Any) -> None:
        """Remember what is durable."""
        self.committed.append(positions["part"]["at"])


# Copies.


@pytest.mark.parametrize("options", [{}, KEEPING])
def test_a_copy_goes_on_as_the_model_does_and_by_itself(options):
    """It has every part of the state, and shares none."""
    model = small(**options)
    copied = model.copy()
    before = state_of(model)
    assert state_of(copied) == before
    copied.learn_many(STREAM[50:])
    assert state_of(model) == before
    model.learn_many(STREAM[50:])
    assert state_of(copied) == state_of(model)


# The directory.


def test_what_is_saved_is_loaded(tmp_path):
    """Model, positions and what is said of the run; and the model goes on as the first would."""
    model = small(**KEEPING)
    with Checkpoints(tmp_path / "new" / "state", run={"source": ["a"]}) as checkpoints:
        assert checkpoints.load() is None
        checkpoints.save(model, {"a": 7})
        saved = checkpoints.load()
        assert checkpoints.durable == {"a": 7}
    assert saved is not None
    assert (saved.positions, saved.run) == ({"a": 7}, {"source": ["a"]})
    assert saved.path == tmp_path / "new" / "state" / "checkpoint-000000000001.safetensors"
    for each in (model, saved.model):
        each.learn_many(STREAM[50:])
    assert state_of(saved.model) == state_of(model)


def test_the_newest_are_kept(tmp_path):
    """As many as asked for, and numbers go on after a restart."""
    model = small()
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for place in range(5):
            checkpoints.save(model, {"a": place})
    assert numbers(tmp_path) == [5, 4]
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        saved = checkpoints.load()
        assert saved is not None
        assert saved.positions == {"a": 4}
        checkpoints.save(model, {"a": 5})
    assert numbers(tmp_path) == [6]
    assert load_checkpoint(tmp_path).positions == {"a": 5}


def test_writing_does_not_wait_and_what_is_learnt_meanwhile_is_not_in_it(tmp_path, monkeypatch):
    """The checkpoint is of the moment at which it was started."""
    go = threading.Event()
    save = Word2Vec.save

    def slow(self: Word2Vec, *arguments: Any) -> None:
        go.wait(60)
        save(self, *arguments)

    monkeypatch.setattr(Word2Vec, "save", slow)
    model = small(**KEEPING)
    then = state_of(model)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.start(model, {"a": 50})
        assert checkpoints.busy
        model.learn_many(STREAM[50:])
        assert checkpoints.durable is None
        assert numbers(tmp_path) == []
        go.set()
        checkpoints.finish()
        assert not checkpoints.busy
        assert checkpoints.durable == {"a": 50}
    assert state_of(load_checkpoint(tmp_path).model) == then != state_of(model)


def test_two_trainers_do_not_share_a_directory(tmp_path):
    """The second is told who has it, in this process or another, until the first is gone."""
    first = Checkpoints(tmp_path)
    with pytest.raises(StorageError, match=f"process {os.getpid()} trains into .* already"):
        Checkpoints(tmp_path)
    other = "from stream_w2v.checkpoint import Checkpoints; import sys; Checkpoints(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-c", other, tmp_path], capture_output=True, text=True, check=False
    )
    assert f"process {os.getpid()} trains into" in run.stderr
    first.close()
    first.close()
    Checkpoints(tmp_path).close()


def test_a_killed_trainer_leaves_no_lock_and_nothing_half_written(tmp_path):
    """The next one removes what a power failure would leave."""
    left_over = tmp_path / ".stream-w2v-0123456789abcdef.tmp"
    left_over.write_bytes(b"half")
    (tmp_path / "other.txt").write_text("stays")
    hold = (
        "from stream_w2v.checkpoint import Checkpoints; import sys, time\n"
        "c = Checkpoints(sys.argv[1]); print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match=f"process {holder.pid} trains"):
            Checkpoints(tmp_path)
        holder.send_signal(signal.SIGKILL)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.load() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "other.txt"]


def test_a_file_of_the_users_own_stays_as_it_is(tmp_path):
    """Whatever it is called."""
    mine = tmp_path / "lock"
    mine.write_text("of my bicycle")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(small(), {"a": 1})
    assert mine.read_text() == "of my bicycle"
    assert load_checkpoint(tmp_path).positions == {"a": 1}


def test_a_bad_bound_or_directory_is_refused(tmp_path):
    """Before anything is trained."""
    with pytest.raises(ConfigError, match="keep must be at least 1 checkpoint, not 0"):
        Checkpoints(tmp_path, keep=0)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file: "):
        Checkpoints(tmp_path / "file")


def test_a_read_only_directory_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    """In one line that says what to do."""
    # To root every directory is writeable.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(StorageError, match="Permission denied; change the permissions or write"):
        Checkpoints(tmp_path)


# Damage.


def test_of_a_damaged_checkpoint_nothing_is_used_wherever_the_damage_is(tmp_path, caplog):
    """Cut short, or with one bit flipped, at every 1 % of its length: the one before is used."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(small(), {"a": 1})
        checkpoints.save(small(seed=2), {"a": 2})
        newest = checkpoint_files(tmp_path)[0]
        whole = newest.read_bytes()
        for percent in range(100):
            at = len(whole) * percent // 100
            flipped = bytearray(whole)
            flipped[at] ^= 1 << percent % 8
            for damaged in (whole[:at], bytes(flipped)):
                newest.write_bytes(damaged)
                saved = checkpoints.load()
                assert saved is not None
                assert saved.positions == {"a": 1}
                assert not newest.exists()
        assert checkpoints.load() is not None
    assert len(caplog.records) == 200
    for record in caplog.records:
        assert record.levelno == logging.WARNING
        assert str(newest) in record.message


def test_damaged_checkpoints_are_never_a_new_beginning(tmp_path):
    """If none is whole that is an error, the next time too; nothing is moved or removed."""
    with Checkpoints(tmp_path) as checkpoints:
        for place in range(2):
            checkpoints.save(small(), {"a": place})
        for path in checkpoint_files(tmp_path):
            path.write_bytes(b"rubbish")
        for _ in range(2):
            with pytest.raises(FormatError, match=r"no checkpoint in .* is whole: restore one"):
                checkpoints.load()
    assert numbers(tmp_path) == [2, 1]
    with pytest.raises(FormatError, match=r"no checkpoint in .* is whole"):
        load_checkpoint(tmp_path)


def test_a_damaged_one_takes_no_whole_ones_place(tmp_path):
    """It is set aside under another name, to be looked at."""
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for place in range(2):
            checkpoints.save(small(), {"a": place})
        newest = checkpoint_files(tmp_path)[0]
        newest.write_bytes(b"rubbish")
        checkpoints.load()
        checkpoints.save(small(), {"a": 2})
        assert numbers(tmp_path) == [3, 1]
        assert newest.with_name(newest.name + ".damaged").read_bytes() == b"rubbish"


def test_a_link_that_leads_nowhere_is_a_damaged_checkpoint(tmp_path, caplog):
    """Its volume may not be mounted: so it is never a new beginning either."""
    newest = tmp_path / "checkpoint-000000000002.safetensors"
    newest.symlink_to(tmp_path / "gone")
    with pytest.raises(FormatError, match="is whole: restore one, or start a new directory"):
        load_checkpoint(tmp_path)
    small().save(tmp_path / "checkpoint-000000000001.safetensors", {"positions": {}, "run": {}})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.load() is not None
    assert f"there is no file {newest}; looking for the checkpoint before it" in caplog.text
    assert newest.with_name(newest.name + ".damaged").is_symlink()


def test_a_newer_version_is_refused_though_there_are_older_checkpoints(tmp_path):
    """Going back would throw away what was learnt since."""
    model = small()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(model, {"a": 1})
        path = tmp_path / "checkpoint-000000000002.safetensors"
        write_tensors(path, "stream-w2v-model", 999, model.tensors(), {})
        with pytest.raises(VersionError, match=r"was written by a newer stream-w2v .*; upgrade"):
            checkpoints.load()
    assert numbers(tmp_path) == [2, 1]


def test_a_saved_model_is_no_checkpoint(tmp_path):
    """It does not know its place, so to go on from it would learn things twice."""
    small().save(tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match="does not know its place in a stream"):
        load_checkpoint(tmp_path / "model.safetensors")
    with pytest.raises(SourceNotFoundError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path)


def test_a_full_disk_is_an_error_and_the_older_checkpoint_is_intact(tmp_path):
    """While it is written in another thread, too: the error comes up in the one that trains."""
    script = (
        "import sys, resource, signal\n"
        "from stream_w2v import Word2Vec\n"
        "from stream_w2v.checkpoint import Checkpoints\n"
        "from stream_w2v.errors import StorageError\n"
        "checkpoints = Checkpoints(sys.argv[1])\n"
        "model = Word2Vec(vector_size=64, min_count=1)\n"
        "model.learn_one('a b c')\n"
        "checkpoints.save(model, {'a': 1})\n"
        "model.learn_one(' '.join(map(str, range(5000))))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "checkpoints.start(model, {'a': 2})\n"
        "try:\n"
        "    checkpoints.finish()\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert "File too large; raise the limit on file sizes" in run.stdout
    assert load_checkpoint(tmp_path).positions == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "checkpoint-000000000001.safetensors",
    ]


# A trainer.


@pytest.mark.parametrize("options", [{}, KEEPING])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, options):
    """Wherever it was broken off, and however often."""
    alone = Word2Vec(**{**HARD, **options})
    alone.learn_many(STREAM)
    for end in (1, 40, 41, 150, len(STREAM)):
        with Checkpoints(tmp_path) as checkpoints:
            start = checkpoints.load() or Checkpoint(Word2Vec(**{**HARD, **options}))
            trainer = Trainer(
                start.model,
                Numbered(STREAM[:end], SourceError("the cable was cut")),
                positions=start.positions,
                checkpoints=checkpoints,
            )
            with pytest.raises(SourceError, match="the cable was cut"):
                trainer.run()
        assert load_checkpoint(tmp_path).positions["part"]["at"] == end
    assert state_of(load_checkpoint(tmp_path).model) == state_of(alone)
    assert dead_letters(load_checkpoint(tmp_path).positions) == {"odd": len(STREAM) // 2}


@pytest.mark.parametrize("workers", [1, 3])
def test_checkpoints_come_after_so_many_records(tmp_path, workers):
    """In between and at the end; each knows as many records as its positions say."""
    source = Numbered(STREAM)
    with Checkpoints(tmp_path, keep=1000) as checkpoints:
        model = Word2Vec(**HARD, workers=workers)
        trainer = Trainer(model, source, checkpoints=checkpoints, checkpoint_every=20)
        totals = trainer.run()
        assert totals.checkpoints == checkpoints.written == len(numbers(tmp_path)) > 2
        assert totals.longest_pause > 0
        assert totals.dead == len(STREAM) // 2
    for path in checkpoint_files(tmp_path):
        saved = load_checkpoint(path)
        assert saved.model.records == saved.positions["part"]["at"]
    assert load_checkpoint(tmp_path).model.records == len(STREAM)
    # The source hears of what is durable, and of nothing else.
    assert source.committed == sorted(source.committed)
    assert source.committed[-1] == len(STREAM)


def test_checkpoints_come_after_so_many_seconds(tmp_path):
    """And not at every batch."""
    with Checkpoints(tmp_path, keep=1000) as checkpoints:
        model = Word2Vec(**HARD)
        Trainer(model, Numbered(STREAM), checkpoints=checkpoints, checkpoint_seconds=1e-6).run()
        many = checkpoints.written
        Trainer(model, Numbered(STREAM), checkpoints=checkpoints, checkpoint_seconds=1e6).run()
        assert checkpoints.written == many + 1 > 4


def test_nothing_is_written_when_nothing_has_changed(tmp_path):
    """A run that goes on at the end of its source leaves its checkpoint as it is."""
    for _ in range(3):
        with Checkpoints(tmp_path) as checkpoints:
            start = checkpoints.load() or Checkpoint(Word2Vec(**HARD))
            Trainer(
                start.model,
                Numbered(STREAM),
                positions=start.positions,
                checkpoints=checkpoints,
            ).run()
    # At the beginning and at the end of the first run.
    assert numbers(tmp_path) == [2, 1]


def test_the_first_checkpoint_keeps_where_the_source_began(tmp_path):
    """A source that begins at the latest record begins elsewhere after a crash."""
    waiting = threading.Event()

    class Waits(Numbered):
        def __iter__(self) -> Iterator[Batch]:
            yield Batch(b"", np.array([], dtype=np.int64), {"part": {"at": 7}})
            waiting.wait(60)

    with Checkpoints(tmp_path) as checkpoints:
        trainer = Trainer(Word2Vec(**HARD), Waits([]), checkpoints=checkpoints)
        thread = threading.Thread(target=trainer.run)
        thread.start()
        while not numbers(tmp_path):
            assert thread.is_alive()
        assert load_checkpoint(tmp_path).positions == {"part": {"at": 7}}
        trainer.stop()
        waiting.set()
        thread.join(60)


def test_a_failed_checkpoint_ends_the_run(tmp_path, monkeypatch):
    """To go on would lose more with every record."""

    def full(*_: object) -> None:
        msg = "No space left on device"
        raise StorageError(msg)

    monkeypatch.setattr(Word2Vec, "save", full)
    with Checkpoints(tmp_path) as checkpoints:
        trainer = Trainer(
            Word2Vec(**HARD), Numbered(STREAM), checkpoints=checkpoints, checkpoint_every=1
        )
        with pytest.raises(StorageError, match="No space left"):
            trainer.run()


@pytest.mark.parametrize("name", ["checkpoint_every", "checkpoint_seconds"])
def test_an_interval_must_be_positive(name):
    """Zero would mean a checkpoint all the time."""
    with pytest.raises(ConfigError, match=f"{name} must be more than 0, not 0"):
        Trainer(Word2Vec(), Numbered(STREAM), **{name: 0})


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_that_is_not_the_sources_leaves_no_wrong_checkpoint(tmp_path, workers):
    """Of what is behind it nobody knows how much was learnt; the checkpoint before is right."""
    batches = 0

    def breaks() -> None:
        nonlocal batches
        batches += 1
        if batches == 30:
            msg = "not from the source"
            raise SourceError(msg)

    with Checkpoints(tmp_path) as checkpoints:
        trainer = Trainer(
            Word2Vec(**HARD, workers=workers),
            Numbered(STREAM),
            checkpoints=checkpoints,
            checkpoint_every=1000,
            on_batch=breaks,
        )
        with pytest.raises(SourceError, match="not from the source"):
            trainer.run()
    saved = load_checkpoint(tmp_path)
    assert saved.model.records == saved.positions["part"]["at"] < 30


@pytest.mark.parametrize("workers", [1, 3])
def test_all_that_came_before_a_source_broke_off_is_in_a_checkpoint(tmp_path, workers):
    """With several threads, too."""
    with Checkpoints(tmp_path) as checkpoints:
        trainer = Trainer(
            Word2Vec(**HARD, workers=workers),
            Numbered(STREAM, SourceError("the cable was cut")),
            checkpoints=checkpoints,
        )
        with pytest.raises(SourceError, match="the cable was cut"):
            trainer.run()
    saved = load_checkpoint(tmp_path)
    assert saved.model.records == saved.positions["part"]["at"] == len(STREAM)


def test_a_checkpoint_that_could_not_be_written_is_heard_of_soon(tmp_path, monkeypatch):
    """Not when the next one is due, which may be hours later."""
    calls = []
    save = Word2Vec.save

    def fails_at_first(self: Word2Vec, *arguments: Any) -> None:
        calls.append(self.records)
        if len(calls) == 1:
            msg = "No space left on device"
            raise StorageError(msg)
        save(self, *arguments)

    monkeypatch.setattr(Word2Vec, "save", fails_at_first)
    learnt = 0

    def slowly() -> None:
        nonlocal learnt
        learnt += 1
        time.sleep(0.001)

    with Checkpoints(tmp_path) as checkpoints:
        trainer = Trainer(
            Word2Vec(**HARD), Numbered(STREAM * 10), checkpoints=checkpoints, on_batch=slowly
        )
        with pytest.raises(StorageError, match="No space left"):
            trainer.run()
    assert learnt < len(STREAM) * 10 / 2
    # Leaving the block without asking tells it as well; a later one that is written makes up.
    calls.clear()
    with pytest.raises(StorageError, match="No space left"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.start(small(), {"a": 1})
    calls.clear()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.start(small(), {"a": 1})
        checkpoints.save(small(), {"a": 2})
    assert load_checkpoint(tmp_path).positions == {"a": 2}


# Killed.


def test_a_run_that_is_killed_ten_times_is_the_undisturbed_one():
    """At random moments, and while a checkpoint is being written; each life goes on further."""
    said = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--kills=10", "--lines=60000", "--longest=0.4"],
        cwd=Path(__file__).parent.parent, check=True, capture_output=True, text=True, timeout=300,
    ).stdout  # fmt: skip
    found = re.match(
        r"files: 10 kills, (\d+) of them .*: every model bit-identical; .* (\d+) ch", said
    )
    assert found is not None, said
    assert int(found[1]) > 0
    assert int(found[2]) > 2
