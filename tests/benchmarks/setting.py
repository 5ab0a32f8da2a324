"""What every section of the benchmark is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class DriftingText:
    """A text in order of time.

    Attributes
    ----------
    path
        The unpacked text.
    name
        Of the file that it came from.
    index
        Says which lines are of which year: see :class:`tests.benchmarks.timeline.Timeline`.
    facts
        What :func:`tests.benchmarks.corpus.describe` says of it.
    """

    path: Path
    name: str
    index: Path | None
    facts: Mapping[str, Any]


# Equal only to itself, so that what two sections share can be cached by it.
@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """The text, and how long to measure.

    Attributes
    ----------
    text
        The unpacked text.
    corpus
        What :func:`tests.benchmarks.corpus.describe` says of it.
    folder
        For whatever is written on the way; deleted at the end.
    pairs
        How often the two programs take turns.
    workers
        Numbers of threads to compare with one.
    soak_tokens
        How much endless text is learnt.
    peers
        Where :mod:`tests.benchmarks.peers` finds an environment for each of them.
    drift
        A text that drifts, if one was given.
    quick
        Measure less of everything: to see that it works, not to quote.
    """

    text: Path
    corpus: Mapping[str, Any]
    folder: Path
    pairs: int
    workers: tuple[int, ...]
    soak_tokens: int
    peers: Path
    drift: DriftingText | None
    quick: bool
