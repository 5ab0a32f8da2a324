"""What every test starts from."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive():
    """Undo that a shell has SIGINT ignored by what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
