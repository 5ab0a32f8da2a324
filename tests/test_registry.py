"""open_source: the scheme finds the installed source, and errors say what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from stream_w2v.connectors import FileSource, SourceFactory, open_source, registry
from stream_w2v.errors import ConfigError, SourceNotFoundError
from stream_w2v.stream import Batch, Source


class GreetingSource(Source):
    """Someone else's source: one record, the URIs it was made for."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def from_uris(cls, uris: Sequence[str], /, *, greeting: str = "hello") -> Self:
        """Remember the URIs and the option."""
        return cls(" ".join([greeting, *uris]).encode())

    def __iter__(self) -> Iterator[Batch]:
        yield Batch(self.data, np.array([len(self.data)]))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the source for files, someone else's, and two that cannot be loaded."""
    points = EntryPoints(
        EntryPoint(name, value, registry.GROUP)
        for name, value in {
            "file": "stream_w2v.connectors.files:FileSource",
            "greet": f"{__name__}:GreetingSource",
            "broken": "no_such_module_anywhere:Source",
            "stale": f"{__name__}:NoSuchSource",
        }.items()
    )

    def entry_points(**selection: Any) -> EntryPoints:
        return points.select(**selection)

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_the_package_registers_its_file_source(tmp_path: Path) -> None:
    """Paths, globs and the dash need no scheme, and reach the source with their options."""
    (tmp_path / "a.txt").write_bytes(b"one two\n")
    with open_source(
        [f"{tmp_path}/*.txt", f"file://{tmp_path}/a.txt"], max_record_bytes=4
    ) as source:
        assert isinstance(source, FileSource)
        assert [bytes(batch.data) for batch in source] == [b"one two\n"]
    with open_source("-") as source:
        assert isinstance(source, FileSource)


def test_errors_of_the_source_come_through() -> None:
    """What the factory raises is not disguised."""
    with pytest.raises(SourceNotFoundError, match=r"^nowhere\.txt does not exist: check the path$"):
        open_source("nowhere.txt")


@pytest.mark.usefixtures("installed")
def test_another_package_adds_a_scheme() -> None:
    """Its factory gets every URI as it was written, in order, and the options."""
    with open_source(["greet://b", "GREET://a?x=%20"], greeting="hi") as source:
        (batch,) = source
    assert batch.data == b"hi greet://b GREET://a?x=%20"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("uris", "message"),
    [
        ([], "no source was named: give a path, a glob, - or scheme://..."),
        (
            ["redis://host"],
            "no installed source reads redis:// (there is: broken://, file://, greet://, stale://)",
        ),
        (
            ["a.txt", "greet://a", "b.txt"],
            "sources of different kinds cannot be read as one: file, greet",
        ),
        (
            ["broken://"],
            "the source for broken:// cannot be loaded: No module named 'no_such_module_anywhere'",
        ),
    ],
)
def test_what_cannot_be_opened_is_one_clear_line(uris: list[str], message: str) -> None:
    """The error says what was wrong and what there is instead."""
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        open_source(uris)


@pytest.mark.usefixtures("installed")
def test_an_entry_point_without_its_class_is_one_clear_line() -> None:
    """A package that was changed but not installed again is named."""
    with pytest.raises(ConfigError, match=r"^the source for stale:// cannot be loaded: .*NoSuch"):
        open_source("stale://")


def test_no_installed_sources_are_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source tree that was never installed has no schemes at all."""
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(()))
    with pytest.raises(ConfigError, match=r"no installed source reads file:// \(there is: none\)"):
        open_source("a.txt")


def test_a_scheme_needs_its_slashes_at_the_start(tmp_path: Path) -> None:
    """A path with a colon, or with :// further on, is a path."""
    (tmp_path / "a:").mkdir()
    (tmp_path / "a:" / "b").write_bytes(b"one\n")
    with open_source(f"{tmp_path}/a://b") as source:
        assert [bytes(batch.data) for batch in source] == [b"one\n"]


def test_the_file_source_is_a_factory() -> None:
    """The type checker holds the protocol against our own source."""
    factory: SourceFactory = FileSource
    assert factory is FileSource
