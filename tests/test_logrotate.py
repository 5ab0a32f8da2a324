"""A log that the real logrotate rotates, and a trainer that is killed meanwhile."""

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from stream_w2v.checkpoint import load_checkpoint

MODES = {
    "create": "create",
    "copytruncate": "copytruncate",
    "compress": "create\ncompress",
    "delaycompress": "create\ncompress\ndelaycompress",
}
SECONDS = 5.0


@pytest.fixture
def logrotate():
    """Return the program, which on CI must be there."""
    # Where it is installed is no part of every user's path.
    found = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("logrotate is not installed: apt-get install logrotate")
        pytest.skip("logrotate is not installed")
    return found


class Writer(threading.Thread):
    """Writes lines, each with a word of its own, as a program that opens its log by name."""

    def __init__(self, log):
        super().__init__(daemon=True)
        self.log = log
        self.written = 0
        self.ended = threading.Event()

    def run(self):
        """Write until the end."""
        while not self.ended.wait(0.01):
            with self.log.open("ab", buffering=0) as file:
                for _ in range(20):
                    self.written += 1
                    file.write(b"the word w%d was written\n" % self.written)


def surviving(folder):
    """Return the words of all lines that are left."""
    words = set()
    for path in folder.glob("app.log*"):
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        words |= {line.split()[2].decode() for line in text.splitlines()}
    return words


def counts_of_lines(vocabulary):
    """Return how often the word of each line was learnt."""
    rows = vocabulary.rows()
    counts = zip(vocabulary.words(rows), vocabulary.counts[rows].tolist(), strict=True)
    return {word: count for word, count in counts if word[0] == "w" and word[1:].isdecimal()}


@pytest.mark.parametrize("mode", MODES)
def test_a_log_that_is_rotated_is_learnt_once_by_a_trainer_that_is_killed(
    mode, logrotate, tmp_path
):
    """Every line that logrotate leaves, each once; it may lose some itself."""
    folder, state = tmp_path / "log", tmp_path / "state"
    folder.mkdir(mode=0o755)
    log = folder / "app.log"
    log.touch()
    rules = tmp_path / "rules"
    rules.write_text(f"{log} {{\nrotate 1000\n{MODES[mode]}\n}}\n")
    rules.chmod(0o644)
    draw = random.Random(mode)
    train = [sys.executable, "-m", "stream_w2v", "train", str(log), "--follow", "--text",
             "whitespace", "--min-count", "1", "--vector-size", "8", "--checkpoint", str(state),
             "--checkpoint-seconds", "0.3", "--quiet"]  # fmt: skip
    writer = Writer(log)
    kills = 0
    trainer = subprocess.Popen(train)
    try:
        # What was rotated before anybody looked is not learnt.
        give_up = time.monotonic() + 60
        while not (state.is_dir() and any(state.glob("checkpoint-*"))):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        writer.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            death = time.monotonic() + draw.uniform(0.8, 2.5)
            while time.monotonic() < death:
                time.sleep(draw.uniform(0, 0.4))
                subprocess.run([logrotate, "-f", "-s", tmp_path / "status", rules], check=True)
            trainer.kill()
            trainer.wait()
            kills += 1
            trainer = subprocess.Popen(train)
        writer.ended.set()
        writer.join()
        expected = surviving(folder)
        give_up = time.monotonic() + 30
        while True:
            time.sleep(1)
            model = load_checkpoint(state).model
            counts = counts_of_lines(model.vocabulary)
            if expected <= set(counts) or time.monotonic() > give_up:
                break
        trainer.send_signal(signal.SIGTERM)
        assert trainer.wait(30) == 0
    finally:
        writer.ended.set()
        trainer.kill()
    assert expected <= set(counts)
    assert set(counts.values()) == {1}
    assert len(counts) == model.records
    assert kills >= 2
    assert len([*folder.iterdir()]) > 5
    # What is written between the copy, or the compression, and what ends it is lost to everybody
    # who has not the file open.
    if mode in ("create", "delaycompress"):
        assert len(counts) == writer.written
    else:
        assert len(counts) <= writer.written
