"""The training calls: each record in turn is counted, admitted, thinned, and only then trained.

:func:`learn` is one call for many records, without the GIL. When it needs memory that it cannot
get itself it returns early, having changed nothing that a second look would change again; its
caller makes room and calls again, and it goes on at the same word. So how records are grouped
into calls, and when arrays grow, never changes a bit of the result.

Several threads share the work in two calls: :func:`prepare` counts and thins, one thread at a
time, and writes what is to be trained into a plan; :func:`train` trains the plan while others do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point, pasted
from stream_w2v.kernel.contexts import remember_context
from stream_w2v.kernel.count import DONE, PLAN_FULL, SCALE_FULL, count_piece, thin
from stream_w2v.kernel.noise import build_table, staleness
from stream_w2v.kernel.random import generator
from stream_w2v.kernel.replay import due_pass, read_piece, remember_piece, stamp_rows
from stream_w2v.kernel.tokenise import PIECE_TOKENS
from stream_w2v.kernel.train import give_rows, take_rows, train_piece

_LARGEST_INCREMENT = 2.0**40
"""The increment of a decaying count at which all counts must be scaled down by it."""

_REPLAY = np.uint64(0x4EB1A7)

OPTIONS = np.dtype(
    [
        ("seed", np.uint64),
        ("vector_size", np.int64),
        ("window", np.int64),
        ("negative", np.int64),
        ("min_count", np.int64),
        ("rare_count", np.int64),  # occurrences up to which a word is rare
        ("max_candidates", np.int64),
        ("sample", np.float64),
        ("replay_sample", np.float64),
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
        ("replays", np.int64),  # pieces trained again
        ("records", np.int64),
        ("words", np.int64),  # words seen, known or not
        ("kept", np.int64),  # words left after pruning and subsampling
        ("windows", np.int64),
        ("loss", np.float64),  # summed over the sampled windows, each before it was learnt
        ("loss_pairs", np.int64),  # pairs of words in the sampled windows
        ("invalid", np.int64),  # characters that were not UTF-8
        ("oversize", np.int64),  # words left out for their length
        ("evicted", np.int64),
        ("forgotten", np.int64),  # waiting words dropped when their table was full
    ]
)

CURSOR = np.dtype(
    [
        ("piece", np.int64),
        ("word", np.int64),
        ("changed", np.int64),
        ("planned", np.int64),  # pieces in the plan
        ("planned_rows", np.int64),
    ]
)


class Plan(NamedTuple):
    """Pieces that are counted and thinned, and wait to be trained.

    Attributes
    ----------
    rows
        int32: the rows of the words that are left, piece after piece.
    ends
        int64 ``[p]``: where each piece ends in ``rows``.
    random
        uint64 ``[p]``: the states of the pieces' generators.
    words
        int64 ``[p]``: words before the piece in the stream.
    new
        uint8 ``[p]``: whether the piece has never been trained.
    """

    rows: NDArray[np.int32]
    ends: NDArray[np.int64]
    random: NDArray[np.uint64]
    words: NDArray[np.int64]
    new: NDArray[np.uint8]


class Scratch(NamedTuple):
    """Memory that means nothing between records. n is ``PIECE_TOKENS``, w the window.

    Attributes
    ----------
    found, numbers
        int32 ``[n]``: the row of each word of the piece in hand, or -1, and which of the word's
        occurrences it is.
    places
        int32 ``[n]``: how many of the words left stand before each word.
    radii, turns
        int32 ``[n + 1]``: each centre's window, and how many windows each position is in.
    input_rates
        float32 ``[n]``, aligned: the learning rate of each kept word's input row.
    row_addresses
        int64 ``[n]``: the input rows of the kept words.
    input_addresses, other_rates
        int64 and float32 ``[n]``: the input rows of the kept words but the centre, and the rates.
    draws, rows
        uint64 ``[c * negative]``, int32 ``[c * (negative + 1)]``: for drawing the outputs of c
        windows, random numbers and rows.
    lanes
        int64 ``[negative + 1]``: where each output of a window is in the next three.
    output_addresses, output_weights, output_rates
        int64, float32, float32 ``[c, b * BLOCK]``, aligned: the outputs of c windows, in b blocks.
    looked_inputs, looked_outputs, looked_weights
        int64 ``[2 w + 1]``, int64 and float32 ``[BLOCK]``, aligned: a window whose loss is
        computed, or a context that is refreshed.
    targets
        float32 ``[b * BLOCK]``, aligned: 1 for the centre, 0 for noise.
    errors
        float32 ``[3, 2 w + 1, BLOCK]``: of the window in hand, see ``window.train_block``.
    nothing, copy
        float32 ``[stride]``, aligned: the row of an output that does not count, 0; and a row that
        is refreshed.
    cursor
        ``CURSOR`` ``[1]``: where the call in hand is.
    """

    found: NDArray[np.int32]
    numbers: NDArray[np.int32]
    places: NDArray[np.int32]
    radii: NDArray[np.int32]
    turns: NDArray[np.int32]
    input_rates: NDArray[np.float32]
    row_addresses: NDArray[np.int64]
    input_addresses: NDArray[np.int64]
    other_rates: NDArray[np.float32]
    draws: NDArray[np.uint64]
    rows: NDArray[np.int32]
    lanes: NDArray[np.int64]
    output_addresses: NDArray[np.int64]
    output_weights: NDArray[np.float32]
    output_rates: NDArray[np.float32]
    looked_inputs: NDArray[np.int64]
    looked_outputs: NDArray[np.int64]
    looked_weights: NDArray[np.float32]
    targets: NDArray[np.float32]
    errors: NDArray[np.float32]
    nothing: NDArray[np.float32]
    copy: NDArray[np.float32]
    cursor: NDArray[np.void]


@compiled
def _plan_piece(
    tokens, vocabulary, noise, weights, contexts, ring, scratch, plan, options, counters
):
    """Count and thin the next piece, and plan it, with those of the past whose time has come."""
    option = options[0]
    counter = counters[0]
    cursor = scratch.cursor[0]
    piece = cursor.piece
    first = tokens.ends[piece - 1] if piece > 0 else 0
    last = tokens.ends[piece]
    status = count_piece(
        tokens, first, last, vocabulary, noise, weights, contexts, scratch, option, cursor,
        counter.pieces,
    )  # fmt: skip
    if status != DONE:
        return status
    words = vocabulary.state[0]
    mass = noise.state[0]
    # At the limit too: before the first table the staleness is 1, which may be the limit.
    if staleness(mass.mass, mass.built_mass) >= option.noise_staleness:
        build_table(noise, vocabulary.rows[: words.rows_end]["count"], option.ns_exponent)
    count, sample = last - first, option.sample
    random = generator(option.seed, np.uint64(counter.pieces))
    # The piece itself, which is pass 0, then those that are due: in one loop, so that thinning
    # and planning are compiled once.
    turn = 0
    while True:
        kept = plan.rows[cursor.planned_rows :]
        n, random = thin(scratch.found, count, vocabulary, sample, random, kept, scratch.places)
        if turn == 0:
            counter.kept += n
            if contexts is not None:
                _remember_rare(tokens, first, count, contexts, scratch, kept, n)
            if ring is not None:
                remember_piece(ring, scratch.found, count)
        if n >= 2:
            cursor.planned_rows += n
            plan.ends[cursor.planned] = cursor.planned_rows
            plan.random[cursor.planned] = random
            plan.words[cursor.planned] = counter.words
            plan.new[cursor.planned] = turn == 0
            cursor.planned += 1
        turn = 0
        if ring is not None:
            turn = due_pass(ring)
        if turn == 0:
            break
        count, sample = read_piece(ring, ring.places[turn], scratch.found), option.replay_sample
        ring.places[turn] += count
        stamp_rows(scratch.found, count, vocabulary, counter.pieces)
        random = generator(option.seed ^ _REPLAY, np.uint64(counter.replays))
        counter.replays += 1
    counter.pieces += 1
    counter.records += tokens.closes[piece]
    counter.words += last - first
    cursor.piece += 1
    if option.half_life > 0.0:
        # From now on an occurrence counts for more than the older ones: the same as lowering
        # every count, but for the scale, on which nothing depends.
        words.increment *= 2.0 ** ((last - first) / option.half_life)
        if words.increment > _LARGEST_INCREMENT:
            return SCALE_FULL
    return DONE


@pasted
def _remember_rare(tokens, first, count, contexts, scratch, kept, n):
    """Keep the contexts of a piece's rare words."""
    for i in range(count):
        number = scratch.numbers[i]
        if number > 0:
            place = scratch.places[i]
            row = scratch.found[i]
            own = np.int64(row >= 0 and place < n and kept[place] == row)
            remember_context(contexts, tokens.hashes[first + i], number, kept, n, place, own)


@compiled
def _train(noise, weights, scratch, plan, private, options, counter):
    """Train what is planned, and empty the plan."""
    cursor = scratch.cursor[0]
    begin = np.int64(0)
    for k in range(cursor.planned):
        end = plan.ends[k]
        train_piece(
            plan.rows[begin:end], end - begin, plan.random[k], plan.words[k], plan.new[k], noise,
            weights, scratch, private.ours, options[0], counter,
        )  # fmt: skip
        begin = end
    cursor.planned = 0
    cursor.planned_rows = 0


@entry_point
def learn(
    tokens, pieces, vocabulary, noise, weights, contexts, ring, scratch, plan, private, options,
    counters,
):  # fmt: skip
    """Learn the pieces of ``tokens`` from the cursor on.

    Parameters
    ----------
    tokens, pieces
        The words (``Tokens``), and how many pieces they are.
    vocabulary, noise, weights, contexts, ring
        ``VocabularyArrays``, ``NoiseArrays``, ``Weights``, ``Contexts``, ``Ring``: updated. The
        last two may be None; what is not used is not compiled either.
    scratch, plan
        ``Scratch``; its cursor says where to start, and where to go on after an early return.
        ``Plan``, with room for a piece and those that come again with it.
    private
        ``Private``, of no rows.
    options, counters
        ``OPTIONS`` ``[1]``; ``COUNTERS`` ``[1]``, updated.

    Returns
    -------
    int
        DONE, or what the caller must make room in before calling again.
    """
    cursor = scratch.cursor[0]
    while cursor.piece < pieces:
        status = _plan_piece(
            tokens, vocabulary, noise, weights, contexts, ring, scratch, plan, options, counters
        )
        _train(noise, weights, scratch, plan, private, options, counters[0])
        if status != DONE:
            return status
    return DONE


@entry_point
def prepare(
    tokens, pieces, vocabulary, noise, weights, contexts, ring, scratch, plan, options, counters
):
    """Count and thin the pieces of ``tokens`` from the cursor on, and plan their training.

    Parameters are those of :func:`learn`. Also returns PLAN_FULL, when the plan is to be trained
    before going on.
    """
    cursor = scratch.cursor[0]
    passes = 0
    if ring is not None:
        passes = len(ring.places) - 1
    room = len(plan.rows) - plan_rows(passes)
    while cursor.piece < pieces:
        if cursor.planned_rows > room:
            return PLAN_FULL
        status = _plan_piece(
            tokens, vocabulary, noise, weights, contexts, ring, scratch, plan, options, counters
        )
        if status != DONE:
            return status
    return DONE


@entry_point
def train(noise, weights, scratch, plan, private, options, counters):
    """Train a plan, while other threads train theirs; ``counters`` are this thread's own.

    Rows that two threads change at once may lose one of the changes (Recht et al., Hogwild, 2011).
    """
    take_rows(weights, private)
    _train(noise, weights, scratch, plan, private, options, counters[0])
    give_rows(weights, private)


@entry_point
def catch_up(vocabulary, noise, weights, ring, scratch, plan, private, options, counters):
    """Train what each pass over the ring has yet to come to, on a copy of the weights.

    The oldest comes first: the last pass up to where the one before it stands, then both to where
    the next one does, and so on. Meanwhile the rates fall linearly to 0, which settles what the
    latest windows have stirred up. ``weights``, ``options`` and ``counters`` are copies, which
    change; the other parameters are those of :func:`learn`.
    """
    option = options[0]
    counter = counters[0]
    cursor = scratch.cursor[0]
    places = ring.places
    passes = len(places) - 1
    rate, start, slope = option.learning_rate, option.rate_start, option.rate_slope
    option.min_learning_rate = 0.0
    total = passes * places[0]
    for k in range(1, passes + 1):
        total -= places[k]
    done = 0
    for stage in range(passes):
        last = places[passes - stage - 1]
        for _ in range(stage + 1):
            place = places[passes - stage]
            while place < last:
                count = read_piece(ring, place, scratch.found)
                place += count
                left = 1.0 - done / total
                done += count
                # (a + b n)^-3/4 times what is left.
                option.learning_rate = rate * left
                option.rate_start = start * left ** (-4.0 / 3.0)
                option.rate_slope = slope * left ** (-4.0 / 3.0)
                random = generator(option.seed ^ _REPLAY, np.uint64(counter.replays))
                counter.replays += 1
                n, random = thin(
                    scratch.found, count, vocabulary, option.replay_sample, random, plan.rows,
                    scratch.places,
                )  # fmt: skip
                if n >= 2:
                    cursor.planned = 1
                    plan.ends[0] = n
                    plan.random[0] = random
                    plan.words[0] = counter.words
                    plan.new[0] = 0
                    _train(noise, weights, scratch, plan, private, options, counter)


@pasted
def plan_rows(passes):
    """Return how many rows one piece may add to a plan, with those that come again."""
    return (1 + 2 * passes) * PIECE_TOKENS
