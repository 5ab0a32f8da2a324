"""Counting the words of a piece, admitting new ones, and choosing those to train.

Words are counted and admitted first, then frequent ones are thinned, and only what is left makes
contexts. All of it is a function of the words alone, never of a vector.
"""

from __future__ import annotations

import numpy as np

from stream_w2v.kernel.compile import compiled, inlined, pasted
from stream_w2v.kernel.contexts import forget_contexts
from stream_w2v.kernel.lookup import (
    admit,
    find,
    prefetch_found,
    prefetch_slot,
    stop_waiting,
    wait,
    waiting_count,
)
from stream_w2v.kernel.noise import power
from stream_w2v.kernel.random import advance, generator, mix, unit

DONE, ROWS_FULL, TABLE_FULL, WORDS_FULL, CANDIDATES_FULL, SCALE_FULL, PLAN_FULL = range(7)
"""How a call of the kernel ends: everything is done, or there must be more room of some kind."""

_AHEAD = 8
"""Words between asking for a row of the vocabulary and reading it."""

_ALL_KEPT = (3.0 - 5.0**0.5) / 2.0
"""The x at which sqrt(x) + x is 1."""

_INITIAL_VECTORS = np.uint64(0x5EED)


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
def count_piece(
    tokens, first, last, vocabulary, noise, weights, contexts, scratch, option, cursor, piece
):
    """Count the words of a piece and admit new ones; return DONE or what is full.

    ``scratch.found`` gets the row of each word, ``scratch.numbers`` which occurrence of its word
    it is, 0 for one that is not rare (or if no contexts are kept).
    """
    state = vocabulary.state[0]
    rows, found, numbers = vocabulary.rows, scratch.found, scratch.numbers
    hashes, starts, lengths = tokens.hashes, tokens.starts, tokens.lengths
    increment, exponent = state.increment, option.ns_exponent
    rare = np.int64(0)
    if contexts is not None:
        rare = option.rare_count
    rare_until = rare * increment
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
        number = 0
        if row >= 0:
            before = rows[row].count
            count = before + increment
            rows[row].count = count
            rows[row].stamp = piece
            total += increment
            mass += power(count, exponent) - power(before, exponent)
            if before <= rare_until:
                if count <= rare_until:
                    number = round(count / increment)
                elif contexts is not None:
                    forget_contexts(contexts, hashes[i], rare)
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
            if seen <= rare:
                number = seen
        found[i - first] = row
        numbers[i - first] = number
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


@compiled
def thin(rows, count, vocabulary, sample, random, kept, places):
    """Keep the known words of a piece, frequent ones with probability sqrt(x) + x.

    x is ``sample`` over the word's share of all counts so far (Mikolov et al. 2013, as word2vec.c
    computes it).

    Parameters
    ----------
    rows, count
        int32, the rows of the words, -1 for one that has none; and how many they are.
    vocabulary
        ``VocabularyArrays``.
    sample
        The threshold; 0 keeps every known word.
    random
        The generator's state, uint64.
    kept
        int32, written: the rows that are left.
    places
        int32, written: how many were left before each word.

    Returns
    -------
    (int, uint64)
        How many are left, and the generator's state.
    """
    known = vocabulary.rows
    scaled = sample * vocabulary.state[0].total
    n = 0
    for i in range(count):
        row = rows[i]
        places[i] = n
        if row < 0:
            continue
        if sample > 0.0:
            occurrences = known[row].count
            if scaled < _ALL_KEPT * occurrences:
                random = advance(random)
                # u < sqrt(x) + x, without the root and the quotient.
                beyond = unit(mix(random)) * occurrences - scaled
                if beyond >= 0.0 and beyond * beyond >= scaled * occurrences:
                    continue
        kept[n] = row
        n += 1
    return n, random
