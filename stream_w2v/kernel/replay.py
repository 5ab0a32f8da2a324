"""The replay: the latest tokens as rows, in a ring, each trained again with delay.

One pass looks at everything once. The ring holds the latest tokens; pass k of P trains each piece
again when it lies k/P of the ring back, as if it had come anew, but thinned harder. So each token
is looked at 1 + P times, and never twice close together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point
from stream_w2v.kernel.tokenise import PIECE_TOKENS


class Ring(NamedTuple):
    """The tokens that may come again.

    Attributes
    ----------
    tokens
        int32 ``[replay_tokens + PIECE_TOKENS]``: twice the row, plus 1 for the last token of a
        piece; a negative row is a word that was evicted.
    places
        int64 ``[1 + passes]``: how many tokens were ever written, and how far each pass has come.
    """

    tokens: NDArray[np.int32]
    places: NDArray[np.int64]


@compiled
def remember_piece(ring, found, count):
    """Write the known words of a piece to the ring, over what every pass has been through."""
    tokens, places = ring
    place = places[0] % len(tokens)
    last = -1
    for i in range(count):
        row = found[i]
        if row >= 0:
            tokens[place] = 2 * row
            last = place
            place = place + 1 if place + 1 < len(tokens) else 0
            places[0] += 1
    if last >= 0:
        tokens[last] += 1


@compiled
def due_pass(ring):
    """Return the first pass that lags more than it should; 0 if none does."""
    tokens, places = ring
    # There must always be room for one more piece.
    size = len(tokens) - PIECE_TOKENS
    passes = len(places) - 1
    for k in range(1, passes + 1):
        if places[0] - places[k] > size * k // passes:
            return k
    return 0


@compiled
def read_piece(ring, place, found):
    """Read the piece that begins at a place; ``found``, int32, gets its rows. Return how many."""
    tokens = ring.tokens
    slot = place % len(tokens)
    count = 0
    token = 0
    while token & 1 == 0:
        token = tokens[slot]
        found[count] = token >> 1
        count += 1
        slot = slot + 1 if slot + 1 < len(tokens) else 0
    return count


@compiled
def stamp_rows(found, count, vocabulary, stamp):
    """Mark rows as trained in the piece ``stamp``."""
    for i in range(count):
        if found[i] >= 0:
            vocabulary.rows[found[i]].stamp = stamp


@entry_point
def forget_replay_rows(ring, gone):
    """Take evicted rows out of the ring: ``gone`` is bool ``[rows]``."""
    tokens = ring.tokens
    end = ring.places[0]
    for place in range(max(0, end - len(tokens)), end):
        token = tokens[place % len(tokens)]
        if token >= 0 and gone[token >> 1]:
            tokens[place % len(tokens)] = -2 + (token & 1)
