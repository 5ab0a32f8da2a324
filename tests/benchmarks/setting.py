"""What every section of the benchmark is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    soak_tokens
        How much endless text is learnt.
    peers
        Where :mod:`tests.benchmarks.peers` finds an environment for each of them.
    quick
        Measure less of everything: to see that it works, not to quote.
    """

    text: Path
    corpus: Mapping[str, Any]
    folder: Path
    pairs: int
    soak_tokens: int
    peers: Path
    quick: bool
