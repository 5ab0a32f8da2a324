"""One window: the scores, the errors, the update.

A window has m inputs (the context words' input vectors x_i) and n outputs (the output vectors
y_j of the centre and of its noise words). Its objective is Goldberg & Levy's equation 4, summed
over the context words, which share the noise words:

    sum_i ( -log s(y_0 . x_i) - sum_{j>0} w_j log s(-y_j . x_i) )

with s the logistic function and w_j how often noise word j was drawn. With the errors
``e_ij = w_j (t_j - s(y_j . x_i))``, t_0 = 1 and t_j = 0 for noise, the step is

    x_i += r_i sum_j e_ij y_j        y_j += q_j sum_i e_ij x_i

with a learning rate for every row, r_i for inputs and q_j for outputs. Outputs are taken in blocks
of six or four, whose rows stay in registers; more than six are trained as steps one after the
other. Within a block all gradients use the values from before it, but for a context word that
occurs twice: it is updated twice, and its second turn sees the first.
"""

from __future__ import annotations

import numpy as np

from stream_w2v.kernel.compile import compiled, inlined
from stream_w2v.kernel.simd import (
    BYTES,
    LANES,
    add_products,
    add_weighted,
    add_weighted_sum,
    half_products,
    load_address,
    load_each,
    load_each_half,
    load_like,
    load_twice,
    load_unaligned,
    multiply,
    prefetch,
    prefetch_each,
    sigmoid,
    splat,
    splat_pair,
    store,
    store_each,
    store_unaligned,
    subtract,
    sum_lanes,
    zeros_like,
)

BLOCK = 8
"""Floats for each input in the matrix of errors: a block's outputs, and two unused lanes."""

_PREFETCHED_BYTES = 512
"""Of a longer row only the start is prefetched: asking for more costs more than it hides."""


@inlined
def _pair_scores(x0, x1, ys, row_bytes, half):
    """Scores of two inputs against a block: lane j is x0 . y_j, lane 8 + j is x1 . y_j."""
    sums = half_products(x0, x1, ys, row_bytes) if half else zeros_like(ys, 2)
    for offset in range(0, row_bytes, BYTES):
        sums = add_products(sums, x0, x1, ys, offset)
    return sum_lanes(sums)


@inlined
def _score(inputs, m, ys, scores, row_bytes, half):
    """Write the scores of a window's inputs against a block, two inputs at a time."""
    for i in range(0, m, 2):
        x0 = load_address(inputs + 8 * i)
        x1 = load_address(inputs + 8 * i + 8)
        store_unaligned(scores + 4 * BLOCK * i, _pair_scores(x0, x1, ys, row_bytes, half))


@inlined
def _update(inputs, m, ys, values, input_steps, output_steps, offset):
    """Move the inputs and outputs, of which ``values`` holds the floats at ``offset``."""
    # The rates are in the steps, so each sum starts from the value that it moves.
    moved = values
    for i in range(m):
        at = 4 * BLOCK * i
        x_address = load_address(inputs + 8 * i) + offset
        x = load_like(x_address, values)
        moved = add_weighted(moved, output_steps + at, x)
        store(x_address, add_weighted_sum(x, input_steps + at, values))
    store_each(ys, offset, moved)


@compiled
def train_block(
    inputs,
    input_rates,
    m,
    ys,
    following,
    targets,
    weights,
    output_rates,
    errors,
    part_bytes,
    row_bytes,
    half,
):
    """Train the inputs of a window against one block of outputs. Every argument is an address.

    Parameters
    ----------
    inputs
        int64 ``[m + 1]``, the addresses of the rows; the last is read if m is odd, and its row is
        not used.
    input_rates
        float32 ``[m]``, learning rates of the inputs.
    m
        The number of inputs, itself.
    ys
        A tuple of the outputs' addresses, all different but for rows of weight 0.
    following
        A tuple of rows of windows soon to come: they are asked for meanwhile.
    targets, weights, output_rates
        float32 ``[BLOCK]``, aligned to 32 bytes: t_j, w_j and q_j.
    errors
        float32 ``[3, m + 1, BLOCK]``, written: e_ij, r_i e_ij and q_j e_ij, each part
        ``part_bytes`` after the one before.
    row_bytes, half
        Bytes of a row that are read 64 at a time, itself, a multiple of 64; and whether 32 bytes
        follow that are used, too.
    """
    target = load_twice(targets)
    weight = load_twice(weights)
    output_rate = load_twice(output_rates)
    input_steps = errors + part_bytes
    output_steps = input_steps + part_bytes
    _score(inputs, m, ys, errors, row_bytes, half)
    # In a loop of its own, because a sigmoid takes long to come out: here the processor works on
    # several at a time, there each would wait for its scores.
    for i in range(0, m, 2):
        at = 4 * BLOCK * i
        pair = multiply(weight, subtract(target, sigmoid(load_unaligned(errors + at))))
        store_unaligned(errors + at, pair)
        store_unaligned(input_steps + at, multiply(pair, splat_pair(input_rates + 4 * i)))
        store_unaligned(output_steps + at, multiply(pair, output_rate))
    for offset in range(0, row_bytes, BYTES):
        values = load_each(ys, offset)
        _update(inputs, m, ys, values, input_steps, output_steps, offset)
        # Spread out, because only so many lines can be on their way at a time.
        prefetch_each(following, offset)
    if half:
        half_values = load_each_half(ys, row_bytes)
        _update(inputs, m, ys, half_values, input_steps, output_steps, row_bytes)
        prefetch_each(following, row_bytes)


@compiled
def score_block(inputs, m, ys, scores, row_bytes, half):
    """Compute the scores of a window's inputs against one block of outputs; change no row.

    Parameters are addresses as in :func:`train_block`; ``scores``, float32 ``[m + 1, BLOCK]``, is
    written.
    """
    _score(inputs, m, ys, scores, row_bytes, half)


@compiled
def block_loss(scores, m, weights, with_centre):
    """Sum over inputs and outputs of ``-log s(+-score)``; infinite if a score is beyond 700.

    Parameters
    ----------
    scores
        float32 ``[1.., .., BLOCK]``, the first part as :func:`score_block` wrote it for ``m``
        inputs.
    weights
        float32: how often each output of the block counts.
    with_centre
        Whether the first output is the centre; the others are noise.
    """
    loss = 0.0
    for i in range(m):
        for j in range(len(weights)):
            if weights[j] > 0:
                score = np.float64(scores[0, i, j])
                if with_centre and j == 0:
                    score = -score
                loss += weights[j] * np.log1p(np.exp(score))
    return loss


@compiled
def train_input(x, ys, targets, weights, rate, errors, row_bytes, half):
    """Train one input against one block of outputs that stay as they are.

    ``x`` is the address of the input's row, ``rate`` a float32; the others are as in
    :func:`train_block`, ``errors`` float32 ``[2, BLOCK]``.
    """
    scores = _pair_scores(x, x, ys, row_bytes, half)
    pair = multiply(load_twice(weights), subtract(load_twice(targets), sigmoid(scores)))
    store_unaligned(errors, multiply(pair, splat(rate)))
    for offset in range(0, row_bytes, BYTES):
        values = load_each(ys, offset)
        store(x + offset, add_weighted_sum(load_like(x + offset, values), errors, values))
    if half:
        half_values = load_each_half(ys, row_bytes)
        x += row_bytes
        store(x, add_weighted_sum(load_like(x, half_values), errors, half_values))


@inlined
def used_bytes(vector_size):
    """Return how many bytes of a row are read 64 at a time, and whether 32 more follow."""
    rest = vector_size % LANES
    if 0 < rest <= LANES // 2:
        return 4 * (vector_size - rest), True
    return 4 * (vector_size + -vector_size % LANES), False


@inlined
def prefetch_row(address, row_bytes):
    """Ask for the start of a row."""
    for offset in range(0, min(row_bytes, _PREFETCHED_BYTES), BYTES):
        prefetch(address + offset)
