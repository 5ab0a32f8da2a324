"""float32 to decimal text and back, exactly, a block of rows at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_w2v.errors import FormatError

NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf(inity)?)", re.IGNORECASE)
"""What :func:`from_text` takes for a number."""


def to_text(rows: NDArray[np.float32], separator: str) -> Iterator[str]:
    """Yield each row as a line of numbers, each with the fewest digits that read back as it."""
    # %.9g is exact for any float32 and drops zeros at the end, so it prints just the digits that
    # rounding has left. One such call for a row takes half the time of a repr for each number.
    pattern = separator.join(["%.9g"] * rows.shape[1])
    return (pattern % tuple(row) for row in _rounded(rows).tolist())


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Round every number to the fewest decimal digits (6 to 9) that still read back as it."""
    exact = values.astype(np.float64)
    rounded = exact.copy()
    with np.errstate(divide="ignore"):  # zero stays as it is
        exponent = np.floor(np.log10(np.abs(exact)))
    for digits in (9, 8, 7, 6):
        places = digits - 1 - exponent
        # Up to 10**22 a power is exact, so that dividing by it gives the double nearest to the
        # decimal. What is out of that range is printed with nine digits.
        scale = np.power(10.0, np.where((places >= 0) & (places <= 22), places, np.nan))
        candidate = np.rint(exact * scale) / scale
        np.copyto(rounded, candidate, where=candidate.astype(np.float32) == values)
    return rounded


def from_text(name: str, lines: Sequence[bytes], d: int, first: int) -> NDArray[np.float32]:
    """Turn lines of d numbers each into rows.

    Raises
    ------
    FormatError
        If a line is anything else; it names the file, and counts from ``first``, the number of
        the first line.
    """
    if all(map(bytes.strip, lines)):  # loadtxt would skip an empty line
        text = (line.decode("ascii", "replace") for line in lines)
        try:
            rows = np.loadtxt(text, dtype=np.float32, comments=None, ndmin=2)
        except ValueError:
            pass  # which line it was is found out below
        else:
            if rows.shape[1] == d:
                return rows
    number = first
    for number, line in enumerate(lines, first):  # noqa: B007 - used after the loop
        fields = line.split()
        if len(fields) != d or not all(map(NUMBER.fullmatch, fields)):
            break
    msg = f"{name}, line {number}: expected {d} numbers"
    raise FormatError(msg)
