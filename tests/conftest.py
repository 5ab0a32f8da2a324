"""What every test starts from."""

import gc
import lzma
import os
import signal
import threading
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
from broker import Broker, BrokerError

from stream_w2v import vocabulary

BROKER = "STREAM_W2V_BROKER"
"""Environment variable: the address of a broker for the tests, instead of one of their own."""

DATA = Path(__file__).parent.parent / "examples/data"


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive():
    """Undo that a shell has SIGINT ignored by what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def paragraphs() -> list[str]:
    """Return a million words of an encyclopedia."""
    with lzma.open(DATA / "wikipedia.txt.xz", "rt", encoding="utf-8") as file:
        return list(islice(file, 20_000))


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """Return a Kafka broker's address: a real one, and on CI there must be one."""
    if BROKER in os.environ:
        yield os.environ[BROKER]
        return
    with _running(tmp_path_factory.mktemp("kafka")) as running:
        yield running.address


@pytest.fixture
def own_broker(tmp_path):
    """Return a broker that a test may kill."""
    with _running(tmp_path / "kafka") as running:
        yield running


@contextmanager
def _running(folder):
    try:
        with Broker(folder) as running:
            yield running
    except BrokerError as error:
        if os.environ.get("CI") == "true":
            raise
        # Java and Maven are no part of what a user needs.
        pytest.skip(str(error))


@pytest.fixture
def hung_up():
    """See that no Kafka client's thread outlives the test."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = [thread.name for thread in set(threading.enumerate()) - before if "kafka" in thread.name]
    assert not left


@pytest.fixture
def interrupts_reach_us():
    """Keep KeyboardInterrupt out of what runs in a garbage collection, where it would be lost."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def small(monkeypatch) -> None:
    """Make the arrays small at first, so that each of them grows several times."""
    monkeypatch.setattr(vocabulary, "_FIRST_SLOTS", 16)
    monkeypatch.setattr(vocabulary, "_FIRST_BYTES", 64)
