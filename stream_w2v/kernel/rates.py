"""Learning rates of the rows of one piece, from how many windows each row has trained in.

``per-row``: a row that has taken part in n windows has the rate ``(a + b n) ^ -3/4``. A stream has
no known end, so nothing can fall towards it; but each row knows how much it has learnt, and a word
that arrives late starts as fast as the first ones did. The power lies between 1/2 and 1, as
Robbins & Monro (1951) ask of rates that forget their start and still converge. a sets the first
rate, ``a = rate ^ -4/3``, and b how soon it falls.

The other schedules give every row the same rate, a function of the tokens seen so far.
"""

from __future__ import annotations

import numpy as np

from stream_w2v.kernel.compile import compiled, inlined
from stream_w2v.kernel.simd import (
    BYTES,
    LANES,
    divide,
    fma,
    load,
    maximum,
    multiply,
    splat,
    square_root,
    store,
)

PER_ROW, LINEAR, INVERSE_SQRT, CONSTANT = range(4)

STEADY = 12
"""Errors that one step of a row may sum at the full rate; more share it. An input's step sums one
for each output of the window, an output's one for each input. Unbounded, the sum of 60 errors of
the same sign at a first rate of 0.2 throws a row further than the next step can bring it back; the
defaults (six outputs, at most ten inputs) stay below."""


@compiled
def common_rate(schedule, learning_rate, floor, scale, tokens):
    """Rate of every row after ``tokens`` tokens; ``scale`` is a number of tokens.

    ``linear`` falls from the learning rate to the floor over ``scale`` tokens, ``inverse-sqrt`` is
    ``learning_rate / sqrt(1 + tokens / scale)``.
    """
    rate = learning_rate
    if schedule == LINEAR:
        rate = floor + (learning_rate - floor) * max(0.0, 1.0 - tokens / scale)
    elif schedule == INVERSE_SQRT:
        rate = learning_rate / np.sqrt(1.0 + tokens / scale)
    return max(rate, floor)


@inlined
def share_rates(rates, errors):
    """Scale rates, a float32 array, in place for steps that sum so many errors each."""
    if errors > STEADY:
        scale = np.float32(STEADY / errors)
        for k in range(len(rates)):
            rates[k] *= scale


@compiled
def rates_from_windows(values, count, start, slope, floor):
    """Turn numbers of windows into per-row rates, in place.

    ``values`` is the address of aligned float32, ``count`` how many; up to 15 more are
    overwritten. ``start`` and ``slope`` are a and b of the formula, ``floor`` the least rate.
    """
    a = splat(np.float32(start))
    b = splat(np.float32(slope))
    least = splat(np.float32(floor))
    one = splat(np.float32(1.0))
    for k in range(0, count, LANES):
        address = values + k * (BYTES // LANES)
        root = square_root(fma(b, load(address), a))
        store(address, maximum(divide(one, multiply(root, square_root(root))), least))
