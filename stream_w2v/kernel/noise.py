"""The noise distribution: an alias table over the rows, and how stale it is.

Row i is drawn with probability ``m_i / M``, where ``m_i = count_i ** ns_exponent`` is its mass and
M their sum. The table is that of Walker's alias method as Vose builds it (A linear algorithm for
generating random numbers with a given distribution, 1991): a draw costs one random number and one
look.

Masses change with every word, the table only now and then. While counts only grow, the total
variation distance between the live distribution and the table is at most
``1 - M_built / M_live``: a row whose share fell still has at least ``m_built / M_live``, so what
the shares lost in all is at most what the total gained. Counting adds to M as it goes, so the
bound is known at every record.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point, inlined
from stream_w2v.kernel.random import advance, below, generator, mix

NOISE_STATE = np.dtype(
    [
        ("mass", np.float64),  # M now
        ("built_mass", np.float64),  # M when the table was built; 0 before
        ("size", np.int64),  # rows in the table
        ("rebuilds", np.int64),
    ]
)


class NoiseArrays(NamedTuple):
    """The noise distribution's memory.

    Attributes
    ----------
    table
        uint64 ``[max_vocab_size]``: an entry's high half is the threshold under which its own row
        is drawn, its low half the row to draw otherwise.
    shares, order
        float64 and int32 ``[max_vocab_size]``, for building.
    state
        ``NOISE_STATE`` ``[1]``.
    """

    table: NDArray[np.uint64]
    shares: NDArray[np.float64]
    order: NDArray[np.int32]
    state: NDArray[np.void]


_LOW_HALF = np.uint64(0xFFFFFFFF)


@inlined
def power(count, exponent):
    """``count ** exponent``; by two square roots for the usual 3/4, which is five times as fast."""
    if exponent == 0.75:
        root = np.sqrt(count)
        return root * np.sqrt(root)
    return count**exponent


@inlined
def staleness(mass, built_mass):
    """Bound on the total variation distance between the table and the live distribution."""
    if built_mass <= 0.0:
        return 1.0 if mass > 0.0 else 0.0
    return max(0.0, 1.0 - built_mass / mass)


@compiled
def build_table(noise, counts, exponent):
    """Build the alias table from the counts of the rows: float64, 0 for a free row."""
    table, shares, order, states = noise
    state = states[0]
    rows = len(counts)
    mass = 0.0
    heaviest = 0
    for row in range(rows):
        shares[row] = power(counts[row], exponent) if counts[row] > 0.0 else 0.0
        mass += shares[row]
        if shares[row] > shares[heaviest]:
            heaviest = row
    # Summed anew, so that no rounding of the running sum lasts.
    state.mass = mass
    state.built_mass = mass
    state.rebuilds += 1
    state.size = rows if mass > 0.0 else 0
    if mass <= 0.0:
        return
    # Rows below the average share from the front, the others from the back.
    small = 0
    large = rows
    scale = rows / mass
    for row in range(rows):
        shares[row] *= scale
        if shares[row] < 1.0:
            order[small] = row
            small += 1
        else:
            large -= 1
            order[large] = row
    # Each small row is filled up by a large one, which may become small itself. Rows are taken
    # from the ends of both lists, so the list of small ones never runs into the other.
    while small > 0 and large < rows:
        small -= 1
        low = order[small]
        high = order[large]
        table[low] = (np.uint64(shares[low] * 4294967296.0) << np.uint64(32)) | np.uint64(high)
        shares[high] -= 1.0 - shares[low]
        if shares[high] < 1.0:
            large += 1
            order[small] = high
            small += 1
    # What is left has share 1 but for rounding. A row without mass must never be drawn.
    for k in range(small):
        row = order[k]
        threshold = np.uint64(min(shares[row], 0.9999999997) * 4294967296.0)
        table[row] = (threshold << np.uint64(32)) | np.uint64(heaviest)
    for k in range(large, rows):
        table[order[k]] = (_LOW_HALF << np.uint64(32)) | np.uint64(order[k])


@inlined
def draw_row(table, size, draw):
    """Draw a row: the high half of a random uint64 picks the entry, its low half the side."""
    row = below(draw, size)
    entry = table[row]
    if draw & _LOW_HALF < entry >> np.uint64(32):
        return row
    return np.int64(entry & _LOW_HALF)


@entry_point
def rebuild(noise, counts, exponent):
    """Build the table; for calls from Python."""
    build_table(noise, counts, exponent)


@entry_point
def draw_rows(noise, seed, rows):
    """Fill ``rows`` (int64) with independent draws."""
    state = generator(np.uint64(seed), np.uint64(0))
    for i in range(len(rows)):
        state = advance(state)
        rows[i] = draw_row(noise.table, noise.state[0].size, mix(state))
