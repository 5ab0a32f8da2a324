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

from stream_w2v.kernel.compile import compiled, entry_point, inlined, pasted
from stream_w2v.kernel.lookup import (
    admit,
    find,
    prefetch_found,
    prefetch_slot,
    stop_waiting,
    wait,
    waiting_count,
)
from stream_w2v.kernel.noise import build_table, draw_row, power, staleness
from stream_w2v.kernel.random import advance, below, generator, mix, unit
from stream_w2v.kernel.rates import PER_ROW, common_rate, rates_from_windows, share_rates
from stream_w2v.kernel.simd import load_address, prefetch
from stream_w2v.kernel.window import BLOCK, block_loss, prefetch_row, train_block

DONE, ROWS_FULL, TABLE_FULL, WORDS_FULL, CANDIDATES_FULL, SCALE_FULL = range(6)
"""What :func:`learn` returns: everything is learnt, or what there must be more of."""

WIDE, NARROW = 6, 4
"""Outputs in a block: six fill the registers, four waste fewer when few are left."""

_AHEAD = 8
"""Words between asking for a row of the vocabulary and reading it."""

_WINDOWS_AHEAD = 2
"""Windows between asking for a row and training it: one is too short for main memory."""

CHUNK = 64
"""Windows whose noise words are drawn together."""

LOSS_EVERY = 256
"""The loss is computed for one window in so many: it would cost 2 % at each."""

_LARGEST_INCREMENT = 2.0**40
"""The increment of a decaying count at which all counts must be scaled down by it."""

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


class Scratch(NamedTuple):
    """Memory that means nothing between records. n is ``PIECE_TOKENS``, w the window.

    Attributes
    ----------
    found
        int32 ``[n]``: the row of each word of the piece in hand, or -1.
    kept
        int32 ``[n]``: the rows of the words that are left.
    radii, turns
        int32 ``[n + 1]``: each centre's window, and how many windows each position is in.
    input_rates
        float32 ``[n]``, aligned: the learning rate of each kept word's input row.
    input_addresses, other_rates
        int64 and float32 ``[n]``: the input rows of the kept words but the centre, and the rates.
    rows
        int32 ``[c * (negative + 1)]``: rows of the outputs of c windows, for drawing.
    lanes
        int64 ``[negative + 1]``: where each output of a window is in the next three.
    output_addresses, output_weights, output_rates
        int64, float32, float32 ``[c, b * BLOCK]``, aligned: the outputs of c windows, in b blocks.
    targets
        float32 ``[b * BLOCK]``, aligned: 1 for the centre, 0 for noise.
    errors
        float32 ``[3, 2 w + 1, BLOCK]``: of the window in hand, see ``window.train_block``.
    nothing
        float32 ``[stride]``, aligned, 0: the row of an output that does not count.
    cursor
        ``CURSOR`` ``[1]``: where the call in hand is.
    """

    found: NDArray[np.int32]
    kept: NDArray[np.int32]
    radii: NDArray[np.int32]
    turns: NDArray[np.int32]
    input_rates: NDArray[np.float32]
    input_addresses: NDArray[np.int64]
    other_rates: NDArray[np.float32]
    rows: NDArray[np.int32]
    lanes: NDArray[np.int64]
    output_addresses: NDArray[np.int64]
    output_weights: NDArray[np.float32]
    output_rates: NDArray[np.float32]
    targets: NDArray[np.float32]
    errors: NDArray[np.float32]
    nothing: NDArray[np.float32]
    cursor: NDArray[np.void]


@inlined
def _begin_vectors(weights, row, value, seed, vector_size):
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


@pasted
def _count(tokens, first, last, vocabulary, noise, weights, scratch, options, piece):
    """Count the words of a piece and admit new ones; return DONE or what is full."""
    option = options[0]
    state = vocabulary.state[0]
    cursor = scratch.cursor[0]
    rows, found = vocabulary.rows, scratch.found
    hashes, starts, lengths = tokens.hashes, tokens.starts, tokens.lengths
    increment, exponent = state.increment, option.ns_exponent
    # Sums in registers: through memory each addition would wait for the one before. They go on
    # from the state's, so that an early return does not change the order of the additions.
    total, mass = state.total, noise.state[0].mass
    status = DONE
    for i in range(first + cursor.word, last):
        if i + 2 * _AHEAD < last:
            prefetch_slot(vocabulary, hashes[i + 2 * _AHEAD])
        if i + _AHEAD < last:
            prefetch_found(vocabulary, hashes[i + _AHEAD])
        row = find(vocabulary, hashes[i], tokens.text, starts[i], np.int64(lengths[i]))
        if row >= 0:
            before = rows[row].count
            count = before + increment
            rows[row].count = count
            rows[row].stamp = piece
            total += increment
            mass += power(count, exponent) - power(before, exponent)
        else:
            value, length = hashes[i], np.int64(lengths[i])
            seen = waiting_count(vocabulary, value) + 1
            if seen >= option.min_count:
                if state.rows == len(rows):
                    status = ROWS_FULL
                elif 2 * (state.rows + 1) > len(vocabulary.table):
                    status = TABLE_FULL
                elif state.words_end + length > len(vocabulary.words):
                    status = WORDS_FULL
            elif seen == 1 and (
                state.candidates == option.max_candidates
                or 4 * (state.candidates + 1) > 3 * len(vocabulary.candidate_counts)
            ):
                status = CANDIDATES_FULL
            if status != DONE:
                cursor.word = i - first
                break
            if seen >= option.min_count:
                stop_waiting(vocabulary, value)
                count = seen * increment
                row = admit(vocabulary, value, tokens.text, starts[i], length, count, piece)
                total += count
                mass += power(count, exponent)
                _begin_vectors(weights, row, value, option.seed, option.vector_size)
                cursor.changed = 1
            else:
                wait(vocabulary, value)
        found[i - first] = row
    state.total = total
    noise.state[0].mass = mass
    if status != DONE:
        return status
    if cursor.changed:
        # An earlier occurrence in this piece had no row yet, or its row went to another word.
        for i in range(first, last):
            scratch.found[i - first] = find(
                vocabulary, hashes[i], tokens.text, starts[i], np.int64(lengths[i])
            )
    cursor.word = 0
    cursor.changed = 0
    return DONE


@pasted
def _thin(rows, count, vocabulary, sample, random, kept):
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


@compiled
def _draw(begin, end, random, negative, noise, scratch, output_windows, base, stride):
    """Choose the outputs of the windows ``begin..end - 1``: the centres and their noise words.

    Of each output its address, its weight and its windows so far are put where the window kernel
    reads them. A noise word that was drawn before counts at its first place, one that equals the
    centre not at all; their own places go to the row of zeros, so that no row stands in a block
    twice. Returns the generator's state.
    """
    kept, rows, lanes = scratch.kept, scratch.rows, scratch.lanes
    table, size = noise.table, noise.state[0].size
    addresses = scratch.output_addresses
    weights, rates = scratch.output_weights, scratch.output_rates
    nothing = scratch.nothing.ctypes.data
    windows_at = output_windows.ctypes.data
    outputs = negative + 1
    # Simple loops, one thing at a time: the processor overlaps their many cache misses.
    for c in range(end - begin):
        rows[c * outputs] = kept[begin + c]
        for j in range(1, outputs):
            random = advance(random)
            row = draw_row(table, size, mix(random))
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
                windows = output_windows[row]
                output_windows[row] = windows + np.float32(1.0)
                rates[c, lane] = windows
                weights[c, lane] = np.float32(1.0)
                addresses[c, lane] = base + row * stride
            else:
                if first > 0:
                    weights[c, lanes[first]] += np.float32(1.0)
                weights[c, lane] = np.float32(0.0)
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
def _four(addresses):
    """Read the outputs of a narrow block."""
    return (
        load_address(addresses),
        load_address(addresses + 8),
        load_address(addresses + 16),
        load_address(addresses + 24),
    )


@inlined
def _six(addresses):
    """Read the outputs of a wide block."""
    return (*_four(addresses), load_address(addresses + 32), load_address(addresses + 40))


@pasted
def _train(n, noise, weights, scratch, options, counters, words, random):
    """Train every window of the ``n >= 2`` kept words of a piece."""
    option = options[0]
    counter = counters[0]
    kept, radii, turns = scratch.kept, scratch.radii, scratch.turns
    input_rates = scratch.input_rates
    input_windows, output_windows = weights.input_windows, weights.output_windows
    start, slope, floor = option.rate_start, option.rate_slope, option.min_learning_rate
    negative, window = option.negative, option.window
    stride = weights.input_vectors.strides[0]
    input_base = weights.input_vectors.ctypes.data
    output_base = weights.output_vectors.ctypes.data
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
    within = 0
    for p in range(n):
        within += turns[p]
        row = kept[p]
        if p < window + _WINDOWS_AHEAD:
            prefetch_row(input_base + row * stride, stride)
        # A centre is no context of its own.
        input_rates[p] = input_windows[row]
        input_windows[row] += np.float32(within - 1)
    per_row = option.schedule == PER_ROW
    common = np.float32(
        common_rate(option.schedule, option.learning_rate, floor, option.rate_tokens, words)
    )
    if per_row:
        rates_from_windows(input_rates.ctypes.data, n, start, slope, floor)
    else:
        input_rates[:n] = common
    share_rates(input_rates[:n], negative + 1)

    # The inputs of a window stand side by side if its centre is left out: `addresses` and
    # `other_rates` are of all kept words but the centre, and moving on changes one of each.
    addresses, other_rates = scratch.input_addresses, scratch.other_rates
    addresses_at, rates_at = addresses.ctypes.data, other_rates.ctypes.data
    for p in range(1, n):
        addresses[p - 1] = input_base + kept[p] * stride
        other_rates[p - 1] = input_rates[p]
    addresses[n - 1] = scratch.nothing.ctypes.data

    for begin in range(0, n, chunk):
        end = min(n, begin + chunk)
        random = _draw(
            begin, end, random, negative, noise, scratch, output_windows, output_base, stride
        )
        if per_row:
            rates_from_windows(output_rates_at, (end - begin) * width, start, slope, floor)
        else:
            scratch.output_rates[:] = common
        for c in range(begin, end):
            if c > 0:
                addresses[c - 1] = input_base + kept[c - 1] * stride
                other_rates[c - 1] = input_rates[c - 1]
            entering = c + window + _WINDOWS_AHEAD
            if entering < n:
                prefetch_row(addresses[entering - 1], stride)
            low = max(0, c - radii[c])
            m = min(n - 1, c + radii[c]) - low
            inputs = addresses_at + 8 * low
            rates = rates_at + 4 * low
            sampled = counter.windows % LOSS_EVERY == 0
            now = c - begin
            share_rates(scratch.output_rates[now], m)
            soon = min(c + _WINDOWS_AHEAD, end - 1) - begin
            for block in range(blocks):
                lane = block * BLOCK
                at = 4 * (now * width + lane)
                outputs = outputs_at + 2 * at
                following = outputs_at + 8 * (soon * width + lane)
                targets = targets_at + 4 * lane
                count = min(negative + 1 - block * WIDE, WIDE)
                if count > NARROW:
                    train_block(
                        inputs, rates, m, _six(outputs), _six(following), targets,
                        weights_at + at, output_rates_at + at, errors_at, part_bytes, stride,
                    )  # fmt: skip
                else:
                    train_block(
                        inputs, rates, m, _four(outputs), _four(following), targets,
                        weights_at + at, output_rates_at + at, errors_at, part_bytes, stride,
                    )  # fmt: skip
                if sampled:
                    counter.loss += block_loss(
                        scratch.errors, m, scratch.targets, scratch.output_weights, now, lane, count
                    )
            if sampled:
                counter.loss_pairs += m
            counter.windows += 1


@entry_point
def learn(tokens, pieces, vocabulary, noise, weights, scratch, options, counters):
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
        state = noise.state[0]
        # At the limit too: before the first table the staleness is 1, which may be the limit.
        if staleness(state.mass, state.built_mass) >= option.noise_staleness:
            known = vocabulary.rows[: vocabulary.state[0].rows_end]
            build_table(noise, known["count"], option.ns_exponent)
        random = generator(option.seed, np.uint64(counter.pieces))
        n, random = _thin(
            scratch.found, last - first, vocabulary, option.sample, random, scratch.kept
        )
        if n >= 2:
            _train(n, noise, weights, scratch, options, counters, counter.words, random)
        counter.pieces += 1
        counter.records += tokens.closes[piece]
        counter.words += last - first
        counter.kept += n
        cursor.piece += 1
        if option.half_life > 0.0:
            # From now on an occurrence counts for more than the older ones: the same as lowering
            # every count, but for the scale, on which nothing depends.
            known = vocabulary.state[0]
            known.increment *= 2.0 ** ((last - first) / option.half_life)
            if known.increment > _LARGEST_INCREMENT:
                return SCALE_FULL
    return DONE
