"""What a snapshot does with its copy: list the words, gather their rows, refresh rare words.

The refresh trains the rare words' vectors once more, on all the contexts that were kept of them,
against output rows that stay as they are. So each word is a logistic regression of its own, on
its own contexts: convex, and in no need of the other words' turns.
"""

from __future__ import annotations

import numpy as np

from stream_w2v.kernel.compile import entry_point
from stream_w2v.kernel.contexts import REACH, context_slot
from stream_w2v.kernel.random import advance, below, generator, mix
from stream_w2v.kernel.simd import BYTES, LANES, fma, load, splat, store_unaligned
from stream_w2v.kernel.train import WIDE, choose_outputs, six_addresses
from stream_w2v.kernel.window import BLOCK, train_input, used_bytes

_REFRESH = np.uint64(0xAF4E54)


@entry_point
def list_words(known, since, rows, counts, starts, lengths):
    """List the words that were last seen in a piece from ``since`` on, by ascending row.

    One pass over ``known``, the ``ROW`` of each row: training waits meanwhile.

    Parameters
    ----------
    known, since
        ``ROW`` ``[rows_end]``; the number of the piece, 0 for every word.
    rows, starts, lengths
        int64, written, at most as far as they go: the words' rows, and where their bytes are.
    counts
        float64, written: their counts, in the unit of ``known``.

    Returns
    -------
    int
        How many there are, even if there is no room for all.
    """
    n = 0
    for row in range(len(known)):
        if known[row].word_length > 0 and known[row].stamp >= since:
            if n < len(rows):
                rows[n] = row
                counts[n] = known[row].count
                starts[n] = known[row].word_start
                lengths[n] = known[row].word_length
            n += 1
    return n


@entry_point
def gather(matrix, rows, vectors):
    """Copy rows of a matrix, the first columns: ``vectors`` is float32 ``[len(rows), d]``.

    Training waits: vector by vector takes little more than half as long as number by number.
    """
    d = vectors.shape[1]
    whole = d // LANES * LANES
    for i in range(len(rows)):
        source = matrix.ctypes.data + rows[i] * matrix.strides[0]
        target = vectors.ctypes.data + i * vectors.strides[0]
        for at in range(0, 4 * whole, BYTES):
            store_unaligned(target + at, load(source + at))
        for k in range(whole, d):
            vectors[i, k] = matrix[rows[i], k]


@entry_point
def gather_sums(matrix, other, rows, share, vectors):
    """Copy rows of a matrix with those of another added, times ``share``, a float32."""
    d = vectors.shape[1]
    whole = d // LANES * LANES
    for i in range(len(rows)):
        source = matrix.ctypes.data + rows[i] * matrix.strides[0]
        added = other.ctypes.data + rows[i] * other.strides[0]
        target = vectors.ctypes.data + i * vectors.strides[0]
        for at in range(0, 4 * whole, BYTES):
            total = fma(splat(share), load(added + at), load(source + at))
            store_unaligned(target + at, total)
        for k in range(whole, d):
            vectors[i, k] = matrix[rows[i], k] + share * other[rows[i], k]


@entry_point
def gather_more(matrix, rows, share, vectors):
    """Add rows of a matrix, the first columns, times ``share``, a float32."""
    for i in range(len(rows)):
        for k in range(vectors.shape[1]):
            vectors[i, k] += share * matrix[rows[i], k]


@entry_point
def reorder(vectors, order):
    """Put the rows of a matrix in another order, in its own memory.

    Row i becomes what row ``order[i]`` was; ``order``, int64, is used up.
    """
    for begin in range(len(order)):
        if order[begin] == begin:
            continue
        # Follow the cycle that starts here, each row to where it is wanted.
        i = begin
        while order[i] != begin:
            following = order[i]
            for k in range(vectors.shape[1]):
                vectors[i, k], vectors[following, k] = vectors[following, k], vectors[i, k]
            order[i] = i
            i = following
        order[i] = i


@entry_point
def refresh(vectors, rows, vocabulary, noise, weights, contexts, scratch, private, options, passes):
    """Train copies of the rare words' input vectors on the contexts that were kept.

    Parameters
    ----------
    vectors
        float32 ``[len(rows), d]``: the copies, updated.
    rows
        int64, the words' rows.
    vocabulary, noise, weights, contexts
        ``VocabularyArrays``, ``NoiseArrays``, ``Weights``, ``Contexts``: only read.
    scratch, private, options
        ``Scratch``; ``Private``, of no rows; ``OPTIONS`` ``[1]``.
    passes
        How often each context is looked at. The rate falls linearly to 0, from what the row's is
        under the per-row schedule: a common rate may have fallen too low for words that are rare.
    """
    option = options[0]
    known = vocabulary.rows
    row_bytes, half = used_bytes(option.vector_size)
    outputs_at = scratch.looked_outputs.ctypes.data
    weights_at = scratch.looked_weights.ctypes.data
    targets_at = scratch.targets.ctypes.data
    errors_at = scratch.errors.ctypes.data
    x = scratch.copy
    d = vectors.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        occurrences = np.int64(np.rint(known[row].count / vocabulary.state[0].increment))
        if occurrences > option.rare_count:
            continue
        value = known[row].hash
        found = 0
        for number in range(1, option.rare_count + 1):
            found += context_slot(contexts, value, number) >= 0
        if found == 0:
            continue
        for k in range(d):
            x[k] = vectors[i, k]
        windows = np.float64(weights.input_windows[row])
        rate = (option.rate_start + option.rate_slope * windows) ** -0.75
        random = generator(option.seed ^ _REFRESH, value)
        step = 0
        for _ in range(passes):
            for number in range(1, option.rare_count + 1):
                slot = context_slot(contexts, value, number)
                if slot < 0:
                    continue
                now = np.float32(rate * (1.0 - step / (found * passes)))
                step += 1
                for k in range(2 * REACH):
                    centre = np.int64(contexts.rows[slot, k])
                    distance = REACH - k if k < REACH else k - REACH + 1
                    random = advance(random)
                    # The centre's own window, which has to reach this far.
                    if centre < 0 or distance > 1 + below(mix(random), option.window):
                        continue
                    for begin in range(0, option.negative + 1, WIDE):
                        random = choose_outputs(
                            centre, begin, random, option, noise, scratch, weights, private.ours
                        )
                        lane = begin // WIDE * BLOCK
                        train_input(
                            x.ctypes.data, six_addresses(outputs_at), targets_at + 4 * lane,
                            weights_at, now, errors_at, row_bytes, half,
                        )  # fmt: skip
        for k in range(d):
            vectors[i, k] = x[k]
