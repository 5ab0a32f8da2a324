"""Words to rows: the hash table of the vocabulary and the table of the words that wait.

Both are open-addressing tables with linear probing over a power of two of slots. A slot of the
vocabulary's table holds the high half of the word's hash and its row, so a probe that misses
seldom touches the row, and a hit is compared byte for byte. A waiting word is only its 64-bit
hash and a count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point, inlined
from stream_w2v.kernel.simd import load_bytes, prefetch

ROW = np.dtype(
    [
        ("count", np.float64),  # occurrences, in units of the increment at its time
        ("stamp", np.int64),  # the piece in which it last occurred
        ("hash", np.uint64),
        ("word_start", np.int64),  # where its bytes are in `words`
        ("word_length", np.int64),  # 0: the row is free
        ("prefix", np.uint64, 3),  # its first 24 bytes, and zeros
    ]
)
"""What the vocabulary knows of a row: one cache line, and nearly every word fits in it."""

ROW_BYTES = ROW.itemsize
PREFIX_BYTES = 24

VOCABULARY_STATE = np.dtype(
    [
        ("rows", np.int64),  # rows that hold a word
        ("rows_end", np.int64),  # rows that ever held one: the rest is untouched
        ("words_end", np.int64),  # bytes of `words` in use
        ("candidates", np.int64),  # words that wait
        ("total", np.float64),  # sum of all counts
        ("increment", np.float64),  # what one occurrence adds to a count now
    ]
)


class VocabularyArrays(NamedTuple):
    """The vocabulary's memory.

    Attributes
    ----------
    rows
        ``ROW`` ``[max_vocab_size]``.
    free
        int32 ``[max_vocab_size]``: a stack of rows whose words were evicted; its height is
        ``rows_end - rows``.
    words
        uint8: the words' bytes.
    table
        uint64, a power of two of slots, at least twice as many as there are rows in use: high half
        of the hash, and row + 1; 0 is empty.
    candidate_hashes, candidate_counts
        uint64 and uint32, a power of two of slots; count 0 is empty.
    state
        ``VOCABULARY_STATE`` ``[1]``.
    """

    rows: NDArray[np.void]
    free: NDArray[np.int32]
    words: NDArray[np.uint8]
    table: NDArray[np.uint64]
    candidate_hashes: NDArray[np.uint64]
    candidate_counts: NDArray[np.uint32]
    state: NDArray[np.void]


_HIGH_HALF = np.uint64(0xFFFFFFFF00000000)
_LOW_HALF = np.uint64(0xFFFFFFFF)


@inlined
def _prefix(address, length):
    """Load up to eight bytes, the rest zero. Seven bytes beyond the word must be readable."""
    value = load_bytes(address)
    if length < 8:
        value &= (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    return value


@inlined
def _same_word(words, row, text, start, length):
    """Compare byte for byte, eight at a time."""
    if row.word_length != length:
        return False
    address = text.ctypes.data + start
    if row.prefix[0] != _prefix(address, length):
        return False
    if length > 8 and row.prefix[1] != _prefix(address + 8, length - 8):
        return False
    if length > 16 and row.prefix[2] != _prefix(address + 16, length - 16):
        return False
    for k in range(PREFIX_BYTES, length):  # noqa: SIM110 - numba compiles no all()
        if words[row.word_start + k] != text[start + k]:
            return False
    return True


@inlined
def find(vocabulary, value, text, start, length):
    """Return the row of a word (hash, and its bytes in ``text``), or -1.

    ``text`` must go on for 8 bytes after the word.
    """
    table = vocabulary.table
    mask = np.uint64(len(table) - 1)
    slot = value & mask
    while True:
        entry = table[slot]
        if entry == 0:
            return -1
        if (entry ^ value) & _HIGH_HALF == 0:
            row = np.int64(entry & _LOW_HALF) - 1
            if _same_word(vocabulary.words, vocabulary.rows[row], text, start, length):
                return row
        slot = (slot + np.uint64(1)) & mask


@inlined
def prefetch_slot(vocabulary, value):
    """Ask for the slot of a word that is soon looked up."""
    slot = value & np.uint64(len(vocabulary.table) - 1)
    prefetch(vocabulary.table.ctypes.data + 8 * np.int64(slot))


@inlined
def prefetch_found(vocabulary, value):
    """Ask for the row of a word that is soon looked up, once its slot has arrived.

    If that is empty the word will be looked for among those that wait.
    """
    entry = vocabulary.table[value & np.uint64(len(vocabulary.table) - 1)] & _LOW_HALF
    if entry > 0:
        prefetch(vocabulary.rows.ctypes.data + (np.int64(entry) - 1) * ROW_BYTES)
    else:
        slot = np.int64(value & np.uint64(len(vocabulary.candidate_hashes) - 1))
        prefetch(vocabulary.candidate_hashes.ctypes.data + 8 * slot)
        prefetch(vocabulary.candidate_counts.ctypes.data + 4 * slot)


@inlined
def _insert(table, value, row):
    mask = np.uint64(len(table) - 1)
    slot = value & mask
    while table[slot] != 0:
        slot = (slot + np.uint64(1)) & mask
    table[slot] = (value & _HIGH_HALF) | np.uint64(row + 1)


@entry_point
def index_rows(rows, rows_end, table):
    """Fill an empty ``table`` with every row below ``rows_end`` that holds a word."""
    for row in range(rows_end):
        if rows[row].word_length > 0:
            _insert(table, rows[row].hash, row)


@compiled
def admit(vocabulary, value, text, start, length, count, stamp):
    """Give a new word a row; there must be room. Return the row.

    A freed row is used before an untouched one.
    """
    rows, free, words, table, _, _, states = vocabulary
    state = states[0]
    freed = state.rows_end - state.rows
    if freed > 0:
        row = np.int64(free[freed - 1])
    else:
        row = state.rows_end
        state.rows_end += 1
    state.rows += 1
    word_start = state.words_end
    for k in range(length):
        words[word_start + k] = text[start + k]
    state.words_end += length
    rows[row].count = count
    rows[row].hash = value
    rows[row].word_start = word_start
    rows[row].word_length = length
    rows[row].stamp = stamp
    address = text.ctypes.data + start
    for k in range(3):
        left = length - 8 * k
        rows[row].prefix[k] = _prefix(address + 8 * k, left) if left > 0 else np.uint64(0)
    _insert(table, value, row)
    return row


@inlined
def _candidate_slot(hashes, counts, value):
    """Return the slot that holds a hash, or the empty one where it belongs."""
    mask = np.uint64(len(hashes) - 1)
    # The low bits chose the slot in the vocabulary's table; these are as good.
    slot = (value >> np.uint64(16)) & mask
    while counts[slot] != 0 and hashes[slot] != value:
        slot = (slot + np.uint64(1)) & mask
    return slot


@inlined
def _remove_candidate(hashes, counts, slot):
    """Empty a slot and move back those behind it that the gap would hide."""
    mask = np.uint64(len(hashes) - 1)
    gap = slot
    while True:
        slot = (slot + np.uint64(1)) & mask
        if counts[slot] == 0:
            break
        home = (hashes[slot] >> np.uint64(16)) & mask
        # It may move if its home is not between the gap and itself (around the end).
        if ((slot - home) & mask) >= ((slot - gap) & mask):
            hashes[gap] = hashes[slot]
            counts[gap] = counts[slot]
            gap = slot
    counts[gap] = 0


@compiled
def waiting_count(vocabulary, value):
    """Return how often a waiting word has been seen; 0 for one never seen (or forgotten)."""
    hashes, counts = vocabulary.candidate_hashes, vocabulary.candidate_counts
    return np.int64(counts[_candidate_slot(hashes, counts, value)])


@compiled
def wait(vocabulary, value):
    """Count one more occurrence of a word that has no row; there must be room for a new one."""
    hashes, counts = vocabulary.candidate_hashes, vocabulary.candidate_counts
    slot = _candidate_slot(hashes, counts, value)
    if counts[slot] == 0:
        vocabulary.state[0].candidates += 1
        hashes[slot] = value
    counts[slot] += np.uint32(1)


@compiled
def stop_waiting(vocabulary, value):
    """Forget that a word waits, if it does."""
    hashes, counts = vocabulary.candidate_hashes, vocabulary.candidate_counts
    slot = _candidate_slot(hashes, counts, value)
    if counts[slot] != 0:
        vocabulary.state[0].candidates -= 1
        _remove_candidate(hashes, counts, slot)


@entry_point
def move_candidates(hashes, counts, shift, new_hashes, new_counts):
    """Copy the waiting words into an empty table, their counts shifted right; zeros are dropped.

    Returns
    -------
    int
        How many were copied.
    """
    kept = 0
    for slot in range(len(hashes)):
        count = counts[slot] >> np.uint32(shift)
        if count != 0:
            new_slot = _candidate_slot(new_hashes, new_counts, hashes[slot])
            new_hashes[new_slot] = hashes[slot]
            new_counts[new_slot] = count
            kept += 1
    return kept


@entry_point
def pack_words(rows, rows_end, words, packed):
    """Copy the bytes of the rows' words to ``packed``, in row order, without gaps.

    ``word_start`` of every row is set anew. Returns the number of bytes.
    """
    end = 0
    for row in range(rows_end):
        start = rows[row].word_start
        rows[row].word_start = end
        for k in range(rows[row].word_length):
            packed[end] = words[start + k]
            end += 1
    return end
