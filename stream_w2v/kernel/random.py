"""Random numbers that are a function of the seed and the place in the stream.

The n-th piece of the stream has a generator of its own, made of the seed and n. So nothing about
randomness needs saving but n, and pieces could be trained in any order with the same draws.

The generator is splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
2014): a counter in steps of the golden ratio, scrambled.
"""

from __future__ import annotations

import numpy as np

from stream_w2v.kernel.compile import inlined

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@inlined
def mix(value):
    """Scramble a uint64: every bit of the result depends on every bit of the value."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@inlined
def generator(seed, number):
    """Return the first state (uint64) of generator ``number`` under a seed, both uint64."""
    return mix(mix(seed + GOLDEN) + number * GOLDEN)


@inlined
def advance(state):
    """Return the next state; ``mix`` of it is the next draw."""
    return state + GOLDEN


@inlined
def below(draw, bound):
    """Map the high half of a draw to 0..bound - 1, for an int64 bound below 2^31."""
    return np.int64(((draw >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@inlined
def unit(draw):
    """Map a draw to a float64 in 0 <= u < 1."""
    return np.float64(draw >> np.uint64(11)) * (1.0 / 9007199254740992.0)
