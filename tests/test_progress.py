"""What is said while training runs."""

import io
import re
from collections.abc import Iterator

import pytest

from stream_w2v import Batch, KeyedVectors, Sink, Source, Word2Vec
from stream_w2v.progress import Announced, Progress, Report, short


class Somewhere(Source):
    """Says where it stands, and has nothing."""

    said = "corpus.txt 43 %"

    def __iter__(self) -> Iterator[Batch]:
        yield from ()

    def status(self) -> str:
        """Return what a test put there."""
        return self.said


class Terminal(io.StringIO):
    """Takes itself for a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.fixture
def model() -> Word2Vec:
    """Return a model of a few words."""
    model = Word2Vec(vector_size=8, min_count=1)
    model.learn_many(["one two three", "one two", "three four"] * 400)
    return model


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a report due at every update."""
    monkeypatch.setattr("stream_w2v.progress._LIVE_SECONDS", 0.0)
    monkeypatch.setattr("stream_w2v.progress._PLAIN_SECONDS", 0.0)


def test_without_a_terminal_a_plain_line_comes_when_it_is_due(
    model: Word2Vec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has every figure; what happened before the display began counts as total only."""
    stream, source = io.StringIO(), Somewhere()
    with Progress(model, source, stream) as progress:
        progress.update()
        progress.say("writing")
        assert stream.getvalue() == ""
    always(monkeypatch)
    with Progress(model, source, stream) as progress:
        progress.update()
        source.said = "stdin 7.1 MB"
        model.learn_many(["one two three four"] * 100_000)
        progress.update()
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(
        r"43 %; corpus\.txt; 0:00; 2\.8 k words, 0/s; 0 records/s; vocabulary 4; loss -; "
        r"learning rate 0\.\d{4}; noise staleness 0\.0\d\d",
        first,
    )
    assert re.fullmatch(
        r"stdin 7\.1 MB; 0:\d\d; 403 k words, [\d.]+ [kM]/s; [\d.]+ [kM] records/s; vocabulary 4; "
        r"loss [\d.]+; learning rate 0\.\d{4}; noise staleness 0\.0\d\d",
        second,
    )


def test_on_a_terminal_there_is_a_bar(model: Word2Vec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines that replace each other, and what is being done instead."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    always(monkeypatch)
    stream = Terminal()
    with Progress(model, Somewhere(), stream) as progress:
        progress.update()
        progress.say("writing v.txt")
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", stream.getvalue())
    assert "starting" in shown
    assert re.search(r"━+.* 43 % corpus\.txt 0:00; 2\.8 k words, 0/s; 0 records/s *\n", shown)
    assert re.search(r"vocabulary 4; loss -; learning rate 0\.\d{4}; noise staleness", shown)
    assert "writing v.txt" in shown


def test_a_dumb_terminal_gets_plain_lines(model: Word2Vec, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not show anything else."""
    monkeypatch.setenv("TERM", "dumb")
    always(monkeypatch)
    stream = Terminal()
    with Progress(model, Somewhere(), stream) as progress:
        progress.update()
    assert stream.getvalue().startswith("43 %; corpus.txt; ")
    assert "\x1b" not in stream.getvalue()


def test_a_reader_that_has_gone_does_not_end_the_training(
    model: Word2Vec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows is written nowhere."""
    always(monkeypatch)
    with open("/dev/full", "w") as stream:  # noqa: PTH123
        progress = Progress(model, Somewhere(), stream)
        progress.update()
        progress.update()


def test_a_sink_is_announced(model: Word2Vec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The display says what is written, and the sink gets it all."""
    calls: list[object] = []

    class Kept(Sink):
        def write(self, vectors: KeyedVectors) -> None:
            calls.append(vectors)

        def close(self) -> None:
            calls.append("closed")

    progress = Progress(model, Somewhere(), io.StringIO())
    monkeypatch.setattr(progress, "say", calls.append)
    sink, snapshot = Announced(Kept(), progress, "writing it"), model.snapshot()
    sink.write(snapshot)
    sink.close()
    assert calls == ["writing it", snapshot, "closed"]


def test_numbers_are_short() -> None:
    """Three digits and a unit."""
    numbers = [0, 0.161, 999, 1234, 7_700, 999_000, 1_234_567, 2.5e9, 7e12]
    assert [short(number) for number in numbers] == [
        "0", "0.161", "999", "1.23 k", "7.7 k", "999 k", "1.23 M", "2.5 G", "7 T",
    ]  # fmt: skip


def test_a_long_run_counts_hours() -> None:
    """Seconds alone would be hard to read."""
    report = Report(3723.9, None, "", 1, 2, 3.0, 4.0, 5, None, 0.1, 0.2)
    assert report.speed().startswith("1:02:03; ")
