"""Many words in little memory: their bytes, until somebody asks for them as str."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import overload

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096  # words that are decoded at once


class PackedWords(Sequence[str]):
    """Words that are decoded when they are asked for.

    Parameters
    ----------
    text
        The words' bytes.
    starts, lengths
        int64 ``[n]``: word i is ``text[starts[i]:starts[i] + lengths[i]]``.
    """

    def __init__(self, text: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self._text = text
        self._starts = starts
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        """Return a word, or a list of several."""
        if not isinstance(place, slice):
            start = int(self._starts[place])
            return self._text[start : start + int(self._lengths[place])].decode()
        text, starts = self._text, self._starts[place]
        ends = (starts + self._lengths[place]).tolist()
        return [text[start:end].decode() for start, end in zip(starts.tolist(), ends, strict=True)]

    def __iter__(self) -> Iterator[str]:
        blocks = (self[begin : begin + _BLOCK] for begin in range(0, len(self), _BLOCK))
        return chain.from_iterable(blocks)
