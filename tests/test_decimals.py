"""float32 to decimal text and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_w2v.decimals import from_text, to_text
from stream_w2v.errors import FormatError

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROWS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=FLOATS)


@given(ROWS, st.sampled_from(" \t"))
def test_every_number_reads_back_as_itself(rows, separator):
    """Zeros of both signs, subnormal and huge numbers come back to the bit."""
    lines = [line.encode() for line in to_text(rows, separator)]
    again = from_text("file", lines, rows.shape[1], 1)
    assert again.dtype == np.float32
    assert again.tobytes() == rows.tobytes()


def test_numbers_have_the_fewest_digits():
    """Of the numbers that vectors are made of, each is as short as numpy's own repr."""
    rng = np.random.default_rng(1)
    rows = (rng.standard_normal((500, 4)) * 10.0 ** rng.integers(-9, 4, (500, 4))).astype("f4")
    for line, row in zip(to_text(rows, " "), rows, strict=True):
        for text, number in zip(line.split(), row, strict=True):
            digits = np.format_float_scientific(number, trim="-").partition("e")[0]
            ours = np.format_float_scientific(float(text), trim="-").partition("e")[0]
            assert len(ours) <= len(digits)


def test_text_is_plain():
    """What is written is what a person would write."""
    rows = np.array([[0.1, -0.25, 3, 1e-7], [0, -0.0, 1 / 3, 123456.78]], np.float32)
    assert list(to_text(rows, " ")) == ["0.1 -0.25 3 1e-07", "0 -0 0.33333334 123456.78"]


@pytest.mark.parametrize(
    "line",
    [b"1 2", b"1 2 3 4", b"", b"\n", b"1 x 3", b"1 1_0 3", b"1 0x1 3", b"1,2,3", b"1 2 3 # 4"],
)
def test_a_line_that_is_not_d_numbers_is_named(line):
    """The error gives the file and the number of the line, wherever in the block it is."""
    for place in range(3):
        lines = [b"1 2 3"] * 3
        lines[place] = line
        with pytest.raises(FormatError, match=f"^file, line {10 + place}: expected 3 numbers$"):
            from_text("file", lines, 3, 10)


def test_lines_that_are_all_of_another_length_are_refused():
    """A block may agree with itself and still be wrong."""
    with pytest.raises(FormatError, match="line 1: expected 3 numbers"):
        from_text("file", [b"1 2", b"3 4"], 3, 1)
