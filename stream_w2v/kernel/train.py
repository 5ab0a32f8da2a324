"""Training one piece: the windows of its words, their noise words, and the rates of every row.

With several threads each has the most frequent words' rows to itself for a while (``Private``):
rows that both write all the time would travel between the processors' caches at every window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, inlined, pasted
from stream_w2v.kernel.noise import draw_row
from stream_w2v.kernel.random import advance, below, generator, mix
from stream_w2v.kernel.rates import PER_ROW, common_rate, rates_from_windows, share_rates
from stream_w2v.kernel.simd import load_address, prefetch
from stream_w2v.kernel.window import (
    BLOCK,
    block_loss,
    prefetch_row,
    score_block,
    train_block,
    used_bytes,
)

WIDE, NARROW = 6, 4
"""Outputs in a block: six fill the registers, four waste fewer when few are left."""

_WINDOWS_AHEAD = 2
"""Windows between asking for a row and training it: one is too short for main memory."""

CHUNK = 64
"""Windows whose noise words are drawn together."""

LOSS_EVERY = 128
"""The loss is computed for one window in so many: it costs a third of a window."""

_LOSS = np.uint64(0x1055)


class Weights(NamedTuple):
    """What is learnt.

    Attributes
    ----------
    input_vectors, output_vectors
        float32 ``[max_vocab_size, stride]``, 64-byte aligned, stride a multiple of 16; what lies
        beyond the vector size is 0 and stays 0.
    input_windows, output_windows
        float32 ``[max_vocab_size]``: windows that the row has taken part in, on either side. Near
        2^24 float32 rounds what is added; there the rate has long been next to nothing.
    """

    input_vectors: NDArray[np.float32]
    output_vectors: NDArray[np.float32]
    input_windows: NDArray[np.float32]
    output_windows: NDArray[np.float32]


class Private(NamedTuple):
    """The first rows, mostly those of the most frequent words, for one of several threads.

    Attributes
    ----------
    ours
        ``Weights`` of as many rows, which the thread trains; none with one thread.
    before
        ``Weights``, as they were taken: the difference is what the thread has learnt.
    share
        How much of the difference is given back. All threads take their steps from the same rows,
        so the sum of what N threads have learnt is a step N times as long.
    """

    ours: Weights
    before: Weights
    share: float


@compiled
def take_rows(weights, private):
    """Copy the first rows of the weights."""
    for mine in (private.ours, private.before):
        for row in range(len(mine.input_windows)):
            mine.input_windows[row] = weights.input_windows[row]
            mine.output_windows[row] = weights.output_windows[row]
            for k in range(mine.input_vectors.shape[1]):
                mine.input_vectors[row, k] = weights.input_vectors[row, k]
                mine.output_vectors[row, k] = weights.output_vectors[row, k]


@compiled
def give_rows(weights, private):
    """Add what was learnt since they were taken."""
    ours, before, share = private
    _give(
        weights.input_vectors, weights.input_windows, ours.input_vectors, ours.input_windows,
        before.input_vectors, before.input_windows, np.float32(share),
    )  # fmt: skip
    _give(
        weights.output_vectors, weights.output_windows, ours.output_vectors, ours.output_windows,
        before.output_vectors, before.output_windows, np.float32(share),
    )  # fmt: skip


@compiled
def _give(vectors, windows, our_vectors, our_windows, vectors_before, windows_before, share):
    """Add what was learnt of one side."""
    for row in range(len(our_windows)):
        for k in range(our_vectors.shape[1]):
            vectors[row, k] += share * (our_vectors[row, k] - vectors_before[row, k])
        windows[row] += our_windows[row] - windows_before[row]


@compiled
def _draw(kept, begin, end, random, option, noise, scratch, weights, ours):
    """Choose the outputs of the windows ``begin..end - 1``: the centres and their noise words.

    Of each output its address, its weight and its windows so far are put where the window kernel
    reads them. A noise word that was drawn before counts at its first place, one that equals the
    centre not at all; their own places go to the row of zeros, so that no row stands in a block
    twice. Returns the generator's state.
    """
    draws, rows, lanes = scratch.draws, scratch.rows, scratch.lanes
    table, size = noise.table, noise.state[0].size
    addresses = scratch.output_addresses
    output_weights, rates = scratch.output_weights, scratch.output_rates
    nothing = scratch.nothing.ctypes.data
    windows_at = weights.output_windows.ctypes.data
    base, private_base = weights.output_vectors.ctypes.data, ours.output_vectors.ctypes.data
    stride = weights.output_vectors.strides[0]
    private = len(ours.output_windows)
    outputs = option.negative + 1
    # Simple loops, one thing at a time: the processor overlaps their many cache misses.
    for k in range((end - begin) * option.negative):
        random = advance(random)
        draws[k] = mix(random)
        prefetch(table.ctypes.data + 8 * below(draws[k], size))
    for c in range(end - begin):
        rows[c * outputs] = kept[begin + c]
        for j in range(1, outputs):
            row = draw_row(table, size, draws[c * option.negative + j - 1])
            rows[c * outputs + j] = row
            prefetch(windows_at + 4 * row)
    for c in range(end - begin):
        drawn = rows[c * outputs : (c + 1) * outputs]
        # A filter of 64 bits finds most windows free of repetitions.
        seen = np.uint64(0)
        for j in range(outputs):
            row = drawn[j]
            bit = np.uint64(1) << np.uint64(row & 63)
            first = j if seen & bit == 0 else _first_place(drawn, row)
            seen |= bit
            lane = lanes[j]
            if first == j:
                if row < private:
                    windows = ours.output_windows[row]
                    ours.output_windows[row] = windows + np.float32(1.0)
                    addresses[c, lane] = private_base + row * stride
                else:
                    windows = weights.output_windows[row]
                    weights.output_windows[row] = windows + np.float32(1.0)
                    addresses[c, lane] = base + row * stride
                rates[c, lane] = windows
                output_weights[c, lane] = np.float32(1.0)
            else:
                if first > 0:
                    output_weights[c, lanes[first]] += np.float32(1.0)
                output_weights[c, lane] = np.float32(0.0)
                addresses[c, lane] = nothing
    return random


@compiled
def _first_place(drawn, row):
    """Return where a row stands first."""
    place = 0
    while drawn[place] != row:
        place += 1
    return place


@inlined
def four_addresses(addresses):
    """Read the outputs of a narrow block."""
    return (
        load_address(addresses),
        load_address(addresses + 8),
        load_address(addresses + 16),
        load_address(addresses + 24),
    )


@inlined
def six_addresses(addresses):
    """Read the outputs of a wide block."""
    return (
        *four_addresses(addresses),
        load_address(addresses + 32),
        load_address(addresses + 40),
    )


@compiled
def choose_outputs(centre, begin, random, option, noise, scratch, weights, ours):
    """Choose a wide block of one window's outputs, the first of which is its number ``begin``.

    The centre comes first of all, then noise words; those that equal it do not count. Addresses
    and weights go to ``scratch.looked_outputs`` and ``looked_weights``, a row that two places name
    to both: this is for looking at outputs, not for moving them. Returns the generator's state.
    """
    table, size = noise.table, noise.state[0].size
    stride = weights.output_vectors.strides[0]
    base, our_base = weights.output_vectors.ctypes.data, ours.output_vectors.ctypes.data
    private = len(ours.output_windows)
    for j in range(WIDE):
        row = centre if begin + j == 0 else np.int64(-1)
        if 0 < begin + j <= option.negative:
            random = advance(random)
            row = draw_row(table, size, mix(random))
            if row == centre:
                row = np.int64(-1)
        scratch.looked_weights[j] = np.float32(row >= 0)
        if row < 0:
            scratch.looked_outputs[j] = scratch.nothing.ctypes.data
        else:
            scratch.looked_outputs[j] = (our_base if row < private else base) + row * stride
    return random


@compiled
def _look(kept, n, windows, noise, weights, scratch, ours, option):
    """Return the loss of the windows that are sampled, before any is trained, and their pairs.

    Of the piece's n windows, the first of which is number ``windows`` of all, every
    ``LOSS_EVERY``-th is looked at, with noise words of its own.
    """
    loss = 0.0
    pairs = 0
    stride = weights.input_vectors.strides[0]
    private = len(ours.input_windows)
    base, our_base = weights.input_vectors.ctypes.data, ours.input_vectors.ctypes.data
    row_bytes, half = used_bytes(option.vector_size)
    inputs = scratch.looked_inputs
    for c in range(-windows % LOSS_EVERY, n, LOSS_EVERY):
        random = generator(option.seed ^ _LOSS, np.uint64(windows + c))
        m = 0
        for p in range(max(0, c - scratch.radii[c]), min(n, c + scratch.radii[c] + 1)):
            if p != c:
                row = kept[p]
                inputs[m] = (our_base if row < private else base) + row * stride
                m += 1
        inputs[m] = scratch.nothing.ctypes.data
        pairs += m
        for begin in range(0, option.negative + 1, WIDE):
            random = choose_outputs(
                np.int64(kept[c]), begin, random, option, noise, scratch, weights, ours
            )
            score_block(
                inputs.ctypes.data, m, six_addresses(scratch.looked_outputs.ctypes.data),
                scratch.errors.ctypes.data, row_bytes, half,
            )  # fmt: skip
            loss += block_loss(scratch.errors, m, scratch.looked_weights, begin == 0)
    return loss, pairs


@pasted
def train_piece(kept, n, random, words, new, noise, weights, scratch, ours, option, counter):
    """Train every window of the ``n >= 2`` words of a piece.

    Parameters
    ----------
    kept, n
        int32, the words' rows, and how many.
    random
        The state of the piece's generator.
    words
        The number of words before the piece in the stream.
    new
        Whether it has never been trained: only then its loss is that of what is not known yet.
    noise, weights, scratch
        ``NoiseArrays``, ``Weights``, ``Scratch``.
    ours
        ``Weights`` of the first rows, which are this thread's own.
    option, counter
        Records of ``OPTIONS`` and ``COUNTERS``.
    """
    radii, turns = scratch.radii, scratch.turns
    input_rates = scratch.input_rates
    input_windows, our_windows = weights.input_windows, ours.input_windows
    windows_at = input_windows.ctypes.data
    start, slope, floor = option.rate_start, option.rate_slope, option.min_learning_rate
    negative, window = option.negative, option.window
    stride = weights.input_vectors.strides[0]
    input_base, our_base = weights.input_vectors.ctypes.data, ours.input_vectors.ctypes.data
    private = len(our_windows)
    row_bytes, half = used_bytes(option.vector_size)
    part_bytes = scratch.errors.strides[0]
    targets_at, errors_at = scratch.targets.ctypes.data, scratch.errors.ctypes.data
    outputs_at = scratch.output_addresses.ctypes.data
    weights_at = scratch.output_weights.ctypes.data
    output_rates_at = scratch.output_rates.ctypes.data
    chunk, width = scratch.output_addresses.shape
    blocks = width // BLOCK

    # The windows come first, for they say how often each row takes part.
    turns[: n + 1] = 0
    for c in range(n):
        random = advance(random)
        radius = 1 + below(mix(random), window)
        radii[c] = radius
        turns[max(0, c - radius)] += 1
        turns[min(n, c + radius + 1)] -= 1
        prefetch(windows_at + 4 * kept[c])
    within = 0
    rows_at = scratch.row_addresses
    for p in range(n):
        within += turns[p]
        row = kept[p]
        rows_at[p] = (our_base if row < private else input_base) + row * stride
        if p < window + _WINDOWS_AHEAD:
            prefetch_row(rows_at[p], stride)
        # A centre is no context of its own.
        taken = np.float32(within - 1)
        if row < private:
            input_rates[p] = our_windows[row]
            our_windows[row] += taken
        else:
            input_rates[p] = input_windows[row]
            input_windows[row] += taken
    per_row = option.schedule == PER_ROW
    common = np.float32(
        common_rate(option.schedule, option.learning_rate, floor, option.rate_tokens, words)
    )
    if per_row:
        rates_from_windows(input_rates.ctypes.data, n, start, slope, floor)
    else:
        input_rates[:n] = common
    share_rates(input_rates[:n], negative + 1)

    if new:
        loss, pairs = _look(kept, n, counter.windows, noise, weights, scratch, ours, option)
        counter.loss += loss
        counter.loss_pairs += pairs

    # The inputs of a window stand side by side if its centre is left out: `addresses` and
    # `other_rates` are of all kept words but the centre, and moving on changes one of each.
    addresses, other_rates = scratch.input_addresses, scratch.other_rates
    addresses_at, rates_at = addresses.ctypes.data, other_rates.ctypes.data
    for p in range(1, n):
        addresses[p - 1] = rows_at[p]
        other_rates[p - 1] = input_rates[p]
    addresses[n - 1] = scratch.nothing.ctypes.data

    for begin in range(0, n, chunk):
        end = min(n, begin + chunk)
        random = _draw(kept, begin, end, random, option, noise, scratch, weights, ours)
        if per_row:
            rates_from_windows(output_rates_at, (end - begin) * width, start, slope, floor)
        else:
            scratch.output_rates[:] = common
        for c in range(begin, end):
            if c > 0:
                addresses[c - 1] = rows_at[c - 1]
                other_rates[c - 1] = input_rates[c - 1]
            entering = rows_at[min(c + window + _WINDOWS_AHEAD, n - 1)]
            low = max(0, c - radii[c])
            m = min(n - 1, c + radii[c]) - low
            inputs = addresses_at + 8 * low
            rates = rates_at + 4 * low
            now = c - begin
            share_rates(scratch.output_rates[now], m)
            soon = min(c + _WINDOWS_AHEAD, end - 1) - begin
            for block in range(blocks):
                lane = block * BLOCK
                at = 4 * (now * width + lane)
                outputs = outputs_at + 2 * at
                following = outputs_at + 8 * (soon * width + lane)
                targets = targets_at + 4 * lane
                if negative + 1 - block * WIDE > NARROW:
                    train_block(
                        inputs, rates, m, six_addresses(outputs),
                        (*six_addresses(following), entering),
                        targets, weights_at + at, output_rates_at + at, errors_at, part_bytes,
                        row_bytes, half,
                    )  # fmt: skip
                else:
                    train_block(
                        inputs, rates, m, four_addresses(outputs),
                        (*four_addresses(following), entering),
                        targets, weights_at + at, output_rates_at + at, errors_at, part_bytes,
                        row_bytes, half,
                    )  # fmt: skip
    counter.windows += n
