"""The training call: each record in turn is counted, admitted, thinned, and only then trained.

:func:`learn` is one call for many records, without the GIL. When it needs memory that it cannot
get itself it returns early, having changed nothing that a second look would change again; its
caller makes room and calls again, and it goes on at the same word. So how records are grouped
into calls, and when arrays grow, never changes a bit of the result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point, inlined
from stream_w2v.kernel.lookup import admit, find, stop_waiting, wait, waiting_count
from stream_w2v.kernel.noise import build_table, draw_row, power, set_mass, staleness
from stream_w2v.kernel.random import advance, below, generator, mix, unit
from stream_w2v.kernel.rates import PER_ROW, common_rate, rates_from_windows
from stream_w2v.kernel.window import BLOCK, block_loss, prefetch_row, train_block

DONE, ROWS_FULL, WORDS_FULL, CANDIDATES_FULL = range(4)
"""What :func:`learn` returns: everything is learnt, or what there must be more of."""

WIDE, NARROW = 6, 4
"""Outputs in a block: six fill the registers, four waste fewer when few are left."""

LOSS_EVERY = 256
"""The loss is computed for one window in so many: it would cost 2 % at each."""

_RESCALE_ABOVE = 2.0**40
"""The increment of a decaying count at which all counts are scaled down by it."""

_INITIAL_VECTORS = np.uint64(0x5EED)

OPTIONS = np.dtype(
    [
        ("seed", np.uint64),
        ("vector_size", np.int64),
        ("window", np.int64),
        ("negative", np.int64),
        ("min_count", np.int64),
        ("max_candidates", np.int64),
        ("sample", np.float64),
        ("ns_exponent", np.float64),
        ("noise_staleness", np.float64),
        ("half_life", np.float64),  # in tokens; 0 never forgets
        ("schedule", np.int64),
        ("learning_rate", np.float64),
        ("min_learning_rate", np.float64),
        ("rate_start", np.float64),  # a of the per-row rate
        ("rate_slope", np.float64),  # b of the per-row rate
        ("rate_tokens", np.float64),  # scale of the linear and inverse-sqrt rates
    ]
)

COUNTERS = np.dtype(
    [
        ("pieces", np.int64),  # pieces learnt, the number of the next one's generator
        ("records", np.int64),
        ("words", np.int64),  # words seen, known or not
        ("kept", np.int64),  # words left after pruning and subsampling
        ("windows", np.int64),
        ("loss", np.float64),  # summed over the sampled windows
        ("loss_pairs", np.int64),  # pairs of words in the sampled windows
        ("invalid", np.int64),  # characters that were not UTF-8
        ("oversize", np.int64),  # words left out for their length
        ("evicted", np.int64),
        ("forgotten", np.int64),  # waiting words dropped when their table was full
    ]
)

CURSOR = np.dtype([("piece", np.int64), ("word", np.int64), ("changed", np.int64)])


class Weights(NamedTuple):
    """What is learnt.

    Attributes
    ----------
    input_vectors, output_vectors
        float32 ``[capacity, stride]``, 64-byte aligned, stride a multiple of 16; what lies
        beyond the vector size is 0 and stays 0.
    input_windows, output_windows
        float32 ``[capacity]``: windows that the row has taken part in, on either side. They stop
        at 2^24, where the rate has long been next to nothing.
    """

    input_vectors: NDArray[np.float32]
    output_vectors: NDArray[np.float32]
    input_windows: NDArray[np.float32]
    output_windows: NDArray[np.float32]


class Scratch(NamedTuple):
    """Memory that means nothing between records. n is ``PIECE_TOKENS``, w the window.

    Attributes
    ----------
    rows
        int32 ``[n]``: the row of each word of the piece in hand, or -1.
    kept
        int32 ``[n]``: the rows of the words that are left.
    radii, turns
        int32 ``[n + 1]``: each centre's window, and how many windows each position is in.
    input_rates, output_rates
        float32 ``[n]``, aligned.
    window_inputs, window_rates
        int64 and float32 ``[2 w + 1]``: the inputs of the window in hand.
    errors
        float32 ``[2 w + 1, BLOCK]``.
    outputs
        int64 ``[2, 2, 6 b]``, for b blocks: rows and addresses of the outputs of this window and
        the next.
    constants
        float32 ``[2, b, 3, 16]``, aligned: targets, weights and rates of the same.
    nothing
        float32 ``[stride]``, aligned, 0: the row of an output that does not count.
    cursor
        ``CURSOR`` ``[1]``: where the call in hand is.
    """

    rows: NDArray[np.int32]
    kept: NDArray[np.int32]
    radii: NDArray[np.int32]
    turns: NDArray[np.int32]
    input_rates: NDArray[np.float32]
    output_rates: NDArray[np.float32]
    window_inputs: NDArray[np.int64]
    window_rates: NDArray[np.float32]
    errors: NDArray[np.float32]
    outputs: NDArray[np.int64]
    constants: NDArray[np.float32]
    nothing: NDArray[np.float32]
    cursor: NDArray[np.void]


@inlined
def _begin_vectors(weights, row, value, seed, vector_size):  # type: ignore[no-untyped-def]
    """Give a row its first vectors: small random input, zero output, as word2vec does.

    The input vector is a function of the seed and the word, whatever its row.
    """
    state = generator(seed ^ _INITIAL_VECTORS, value)
    for k in range(weights.input_vectors.shape[1]):
        weights.input_vectors[row, k] = 0.0
        weights.output_vectors[row, k] = 0.0
    for k in range(vector_size):
        state = advance(state)
        weights.input_vectors[row, k] = (unit(mix(state)) - 0.5) / vector_size
    weights.input_windows[row] = 0.0
    weights.output_windows[row] = 0.0


@compiled
def _count(tokens, first, last, vocabulary, noise, weights, scratch, options, piece):  # type: ignore[no-untyped-def]
    """Count the words of a piece and admit new ones; return DONE or what is full."""
    option = options[0]
    state = vocabulary.state[0]
    cursor = scratch.cursor[0]
    rows = vocabulary.rows
    increment = state.increment
    for i in range(first + cursor.word, last):
        value = tokens.hashes[i]
        start, length = tokens.starts[i], tokens.lengths[i]
        row = find(vocabulary, value, tokens.text, start, length)
        if row >= 0:
            count = rows[row].count + increment
            rows[row].count = count
            rows[row].stamp = piece
            state.total += increment
            set_mass(noise, row, power(count, option.ns_exponent))
        else:
            seen = waiting_count(vocabulary, value) + 1
            status = DONE
            if seen >= option.min_count:
                if state.rows == len(rows):
                    status = ROWS_FULL
                elif state.words_end + length > len(vocabulary.words):
                    status = WORDS_FULL
            elif seen == 1 and (
                state.candidates == option.max_candidates
                or 4 * (state.candidates + 1) > 3 * len(vocabulary.candidate_counts)
            ):
                status = CANDIDATES_FULL
            if status != DONE:
                cursor.word = i - first
                return status
            if seen >= option.min_count:
                stop_waiting(vocabulary, value)
                count = seen * increment
                row = admit(vocabulary, value, tokens.text, start, length, count, piece)
                set_mass(noise, row, power(count, option.ns_exponent))
                _begin_vectors(weights, row, value, option.seed, option.vector_size)
                cursor.changed = 1
            else:
                wait(vocabulary, value)
        scratch.rows[i - first] = row
    if cursor.changed:
        # An earlier occurrence in this piece had no row yet, or its row went to another word.
        for i in range(first, last):
            scratch.rows[i - first] = find(
                vocabulary, tokens.hashes[i], tokens.text, tokens.starts[i], tokens.lengths[i]
            )
    cursor.word = 0
    cursor.changed = 0
    return DONE


@compiled
def _thin(rows, count, vocabulary, sample, random, kept):  # type: ignore[no-untyped-def]
    """Keep the known words of a piece, frequent ones with probability sqrt(x) + x.

    x is ``sample`` over the word's share of all counts so far (Mikolov et al. 2013, as word2vec.c
    computes it). Returns how many are kept, and the generator's state.
    """
    known = vocabulary.rows
    scaled = sample * vocabulary.state[0].total
    n = 0
    for i in range(count):
        row = rows[i]
        if row < 0:
            continue
        if sample > 0.0:
            x = scaled / known[row].count
            keep = np.sqrt(x) + x
            if keep < 1.0:
                random = advance(random)
                if unit(mix(random)) >= keep:
                    continue
        kept[n] = row
        n += 1
    return n, random


@inlined
def _draw_outputs(side, centre, random, negative, noise, scratch, output_windows, base, stride):  # type: ignore[no-untyped-def]
    """Draw the noise words of a window and ask for their rows.

    One that was drawn before counts at its first place, one that equals the centre not at all;
    their own places go to the row of zeros, so that no row stands in a block twice.
    """
    rows = scratch.outputs[side, 0]
    addresses = scratch.outputs[side, 1]
    constants = scratch.constants[side]
    table = noise.table
    size = noise.state[0].size
    nothing = scratch.nothing.ctypes.data
    rows[0] = centre
    for j in range(1, negative + 1):
        random = advance(random)
        row = draw_row(table, size, mix(random))
        weight = np.float32(1.0)
        address = base + row * stride
        block, lane = j // WIDE, j % WIDE
        for k in range(j):
            if rows[k] == row:
                if k > 0:
                    more = constants[k // WIDE, 1, k % WIDE] + np.float32(1.0)
                    constants[k // WIDE, 1, k % WIDE] = more
                    constants[k // WIDE, 1, k % WIDE + BLOCK] = more
                weight = np.float32(0.0)
                address = nothing
                row = -1
                break
        rows[j] = row
        addresses[j] = address
        constants[block, 1, lane] = weight
        constants[block, 1, lane + BLOCK] = weight
        if row >= 0:
            windows = output_windows[row]
            constants[block, 2, lane] = windows
            output_windows[row] = windows + np.float32(1.0)
            prefetch_row(address, stride)
    return random


@compiled
def _train(n, noise, weights, scratch, options, counters, words, random):  # type: ignore[no-untyped-def]
    """Train every window of the ``n >= 2`` kept words of a piece."""
    option = options[0]
    counter = counters[0]
    kept, radii, turns = scratch.kept, scratch.radii, scratch.turns
    input_rates, output_rates = scratch.input_rates, scratch.output_rates
    input_windows, output_windows = weights.input_windows, weights.output_windows
    per_row = option.schedule == PER_ROW
    start, slope, floor = option.rate_start, option.rate_slope, option.min_learning_rate
    negative = option.negative
    stride = weights.input_vectors.strides[0]
    input_base = weights.input_vectors.ctypes.data
    output_base = weights.output_vectors.ctypes.data
    window_inputs, window_rates = scratch.window_inputs, scratch.window_rates
    inputs_at, rates_at = window_inputs.ctypes.data, window_rates.ctypes.data
    errors_at = scratch.errors.ctypes.data
    blocks = scratch.constants.shape[1]

    # The windows come first, for they say how often each row takes part.
    turns[: n + 1] = 0
    for c in range(n):
        random = advance(random)
        radius = 1 + below(mix(random), option.window)
        radii[c] = radius
        turns[max(0, c - radius)] += 1
        turns[min(n, c + radius + 1)] -= 1
    within = 0
    for p in range(n):
        within += turns[p]
        row = kept[p]
        # A centre is no context of its own.
        input_rates[p] = input_windows[row]
        input_windows[row] += np.float32(within - 1)
        output_rates[p] = output_windows[row]
        output_windows[row] += np.float32(1.0)
    common = np.float32(
        common_rate(option.schedule, option.learning_rate, floor, option.rate_tokens, words)
    )
    if per_row:
        rates_from_windows(input_rates.ctypes.data, n, start, slope, floor)
        rates_from_windows(output_rates.ctypes.data, n, start, slope, floor)
    else:
        input_rates[:n] = common
        output_rates[:n] = common

    for ahead in range(n + 1):
        # The noise words of the next window are drawn and asked for while this one trains.
        if ahead < n:
            random = _draw_outputs(
                ahead & 1, kept[ahead], random, negative, noise, scratch, output_windows,
                output_base, stride,
            )  # fmt: skip
            prefetch_row(output_base + kept[ahead] * stride, stride)
            entering = ahead + option.window
            if entering < n:
                prefetch_row(input_base + kept[entering] * stride, stride)
        c = ahead - 1
        if c < 0:
            continue
        constants = scratch.constants[c & 1]
        addresses = scratch.outputs[c & 1, 1]
        for block in range(blocks):
            if per_row:
                rates_from_windows(constants[block, 2].ctypes.data, BLOCK, start, slope, floor)
            else:
                constants[block, 2, :] = common
        constants[0, 2, 0] = output_rates[c]
        addresses[0] = output_base + kept[c] * stride
        m = 0
        for p in range(max(0, c - radii[c]), min(n, c + radii[c] + 1)):
            if p != c:
                window_inputs[m] = input_base + kept[p] * stride
                window_rates[m] = input_rates[p]
                m += 1
        window_inputs[m] = window_inputs[0]
        sampled = counter.windows % LOSS_EVERY == 0
        for block in range(blocks):
            constants_at = constants[block].ctypes.data
            o = block * WIDE
            width = min(negative + 1 - o, WIDE)
            if width > NARROW:
                wide = (
                    addresses[o],
                    addresses[o + 1],
                    addresses[o + 2],
                    addresses[o + 3],
                    addresses[o + 4],
                    addresses[o + 5],
                )
                train_block(inputs_at, rates_at, m, wide, constants_at, errors_at, stride)
            else:
                narrow = (addresses[o], addresses[o + 1], addresses[o + 2], addresses[o + 3])
                train_block(inputs_at, rates_at, m, narrow, constants_at, errors_at, stride)
            if sampled:
                counter.loss += block_loss(m, width, constants[block], scratch.errors)
        if sampled:
            counter.loss_pairs += m
        counter.windows += 1


@compiled
def _age(vocabulary, noise, options, words):  # type: ignore[no-untyped-def]
    """Let ``words`` tokens pass: an occurrence now counts for more than the older ones.

    Raising the increment is the same as lowering every count, but for the scale, on which neither
    the noise nor the subsampling depends; before the scale leaves float64 it is reset.
    """
    state = vocabulary.state[0]
    state.increment *= 2.0 ** (words / options[0].half_life)
    if state.increment > _RESCALE_ABOVE:
        scale = 1.0 / state.increment
        state.increment = 1.0
        state.total *= scale
        for row in range(state.rows_end):
            count = vocabulary.rows[row].count * scale
            vocabulary.rows[row].count = count
            mass = power(count, options[0].ns_exponent) if count > 0.0 else 0.0
            noise.masses[row] = mass
        build_table(noise, state.rows_end)


@entry_point
def learn(tokens, pieces, vocabulary, noise, weights, scratch, options, counters):  # type: ignore[no-untyped-def]
    """Learn the pieces of ``tokens`` from the cursor on.

    Parameters
    ----------
    tokens, pieces
        The words (``Tokens``), and how many pieces they are.
    vocabulary, noise, weights
        ``VocabularyArrays``, ``NoiseArrays``, ``Weights``: updated.
    scratch
        ``Scratch``; its cursor says where to start, and where to go on after an early return.
    options, counters
        ``OPTIONS`` ``[1]``; ``COUNTERS`` ``[1]``, updated.

    Returns
    -------
    int
        DONE, or what the caller must make room in before calling again.
    """
    option = options[0]
    counter = counters[0]
    cursor = scratch.cursor[0]
    while cursor.piece < pieces:
        piece = cursor.piece
        first = tokens.ends[piece - 1] if piece > 0 else 0
        last = tokens.ends[piece]
        status = _count(
            tokens, first, last, vocabulary, noise, weights, scratch, options, counter.pieces
        )
        if status != DONE:
            return status
        if staleness(noise.state[0]) > option.noise_staleness:
            build_table(noise, vocabulary.state[0].rows_end)
        random = generator(option.seed, np.uint64(counter.pieces))
        n, random = _thin(
            scratch.rows, last - first, vocabulary, option.sample, random, scratch.kept
        )
        if n >= 2:
            _train(n, noise, weights, scratch, options, counters, counter.words, random)
        counter.pieces += 1
        counter.records += tokens.closes[piece]
        counter.words += last - first
        counter.kept += n
        if option.half_life > 0.0:
            _age(vocabulary, noise, options, last - first)
        cursor.piece += 1
    return DONE
