"""Texts to vectors: those of their words, from the live rows, as one.

Nothing is counted and nothing drawn, so the model does not notice. Sums are float64 and go from
the first word to the last, so a text has one vector, whatever it is pooled with.
"""

from __future__ import annotations

from stream_w2v.kernel.compile import entry_point, inlined
from stream_w2v.kernel.lookup import find

MEAN, SIF, MAX = 0, 1, 2


@entry_point
def pool(tokens, pieces, vocabulary, weights, share, pooling, smooth, removed, first, known, out):
    """Pool the words of each record; those that have no row are passed over.

    Parameters
    ----------
    tokens, pieces
        The words (``Tokens``), and how many pieces they are.
    vocabulary, weights
        ``VocabularyArrays`` and ``Weights``: only read. The vector of a word is its input row and
        ``share`` times its output row.
    pooling, smooth
        MEAN, SIF or MAX. For SIF a vector counts ``smooth / (smooth + p)``, where p is the share
        of the word in all occurrences of words that have rows.
    removed
        float64 ``[d]``: a direction of length 1 that is taken out of each result, or zeros.
    first
        The record that ``tokens`` begins in or with.
    known
        int64 ``[n]``, zeros at first, written: how many words of each record have rows.
    out
        float64 ``[n, d]``, zeros at first, written.

    Returns
    -------
    int
        The record that the next tokens begin in or with.
    """
    record = first
    word = 0
    total = vocabulary.state[0].total
    d = out.shape[1]
    for piece in range(pieces):
        for i in range(word, tokens.ends[piece]):
            row = find(vocabulary, tokens.hashes[i], tokens.text, tokens.starts[i],
                       tokens.lengths[i])  # fmt: skip
            if row < 0:
                continue
            if pooling == MAX:
                for k in range(d):
                    value = _value(weights, row, k, share)
                    if known[record] == 0 or value > out[record, k]:
                        out[record, k] = value
            else:
                weight = 1.0
                if pooling == SIF:
                    weight = smooth / (smooth + vocabulary.rows[row]["count"] / total)
                for k in range(d):
                    out[record, k] += weight * _value(weights, row, k, share)
            known[record] += 1
        word = tokens.ends[piece]
        if tokens.closes[piece]:
            if pooling != MAX and known[record] > 0:
                for k in range(d):
                    out[record, k] /= known[record]
            along = 0.0
            for k in range(d):
                along += removed[k] * out[record, k]
            for k in range(d):
                out[record, k] -= along * removed[k]
            record += 1
    return record


@inlined
def _value(weights, row, k, share):
    return weights.input_vectors[row, k] + share * weights.output_vectors[row, k]


@entry_point
def find_rows(tokens, pieces, vocabulary, rows):
    """Find the row of each record's word, where records have one word or none.

    Parameters
    ----------
    tokens, pieces, vocabulary
        As in ``pool``.
    rows
        int64 ``[n]``, written where a word has a row.
    """
    record = 0
    word = 0
    for piece in range(pieces):
        for i in range(word, tokens.ends[piece]):
            rows[record] = find(vocabulary, tokens.hashes[i], tokens.text, tokens.starts[i],
                                tokens.lengths[i])  # fmt: skip
        word = tokens.ends[piece]
        if tokens.closes[piece]:
            record += 1


@entry_point
def follow(vector, rate, direction):
    """Turn a direction towards the first principal component of the vectors that it is shown.

    One step of CCIPCA (Weng et al., Candid covariance-free incremental principal component
    analysis, 2003): the mean of ``v v^T u`` over the vectors v, with u the direction so far, of
    length 1. Its length goes towards the eigenvalue.

    Parameters
    ----------
    vector
        float64 ``[d]``. One of zeros changes nothing.
    rate
        How much this vector counts: 1 for the first, then falling.
    direction
        float64 ``[d]``, zeros at first, updated.
    """
    along = 0.0
    length = 0.0
    seen = 0.0
    for k in range(len(vector)):
        along += vector[k] * direction[k]
        length += direction[k] * direction[k]
        seen += vector[k] * vector[k]
    if seen == 0.0:
        return
    # At first there is no direction, and the vector itself is the best guess.
    along = along / length**0.5 if length > 0.0 else 1.0
    for k in range(len(vector)):
        direction[k] += rate * (along * vector[k] - direction[k])
