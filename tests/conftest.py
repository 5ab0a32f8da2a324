"""What every test starts from."""

import signal

import pytest

from stream_w2v import vocabulary


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive():
    """Undo that a shell has SIGINT ignored by what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small(monkeypatch) -> None:
    """Make the arrays small at first, so that each of them grows several times."""
    monkeypatch.setattr(vocabulary, "_FIRST_SLOTS", 16)
    monkeypatch.setattr(vocabulary, "_FIRST_BYTES", 64)
