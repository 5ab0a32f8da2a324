"""Bytes to tokens: decode UTF-8, map each character, cut words, hash them.

What a preset does is in its character table (see ``text``), so one kernel serves them all.
A record of many words is cut into *pieces* of at most ``PIECE_TOKENS``: a piece is what the
kernel trains at a time, so scratch memory is bounded whatever the record's length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point, inlined
from stream_w2v.kernel.random import mix

PIECE_TOKENS = 4096
"""Most tokens that are trained as one: 40 times a long paragraph, and its scratch fits in L2."""

MAX_WORD_BYTES = 256
"""A longer word is no word (a key, a blob, a line without spaces): it is counted and left out."""

# A table entry, uint64: bits 0-39 up to five bytes of UTF-8, bits 40-42 how many, bit 43 whether
# the character only continues a word. 0 stands between words.
LENGTH_SHIFT = 40
CONTINUES = 1 << 43

REPLACEMENT = 0xFFFD

FNV_OFFSET = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)


class Tokens(NamedTuple):
    """The words of some records, as the kernels see them. Arrays may be longer than what is used.

    Attributes
    ----------
    text
        uint8, the words' normalised bytes, one after the other.
    starts, lengths
        int32 ``[n]``: word i is ``text[starts[i]:starts[i] + lengths[i]]``.
    hashes
        uint64 ``[n]``.
    ends
        int64 ``[p]``: piece j holds the words ``ends[j - 1]..ends[j] - 1``; none for an empty one.
    closes
        uint8 ``[p]``: 1 if the piece is the last of its record.
    """

    text: NDArray[np.uint8]
    starts: NDArray[np.int32]
    lengths: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    ends: NDArray[np.int64]
    closes: NDArray[np.uint8]


class Progress(NamedTuple):
    """How far :func:`tokenise` came in a batch, and what it filled.

    Attributes
    ----------
    position, record
        Where to go on: a byte of the batch, and the record that it is in; -1 if ``ends`` is wrong.
    words, pieces
        How many of each are in the tokens.
    invalid, oversize
        Characters replaced because they were not UTF-8, and words left out for their length.
    """

    position: int
    record: int
    words: int
    pieces: int
    invalid: int
    oversize: int


@inlined
def _continuation(data, position, end, low, high):
    return position < end and low <= data[position] <= high


@compiled
def decode(data, position, end):
    """Decode the character that starts at ``position`` with a byte above 0x7F.

    Returns
    -------
    (code point or -1, bytes used)
        -1 for the longest prefix that begins no valid character, as Unicode (3.9, table 3-8)
        and Python's ``errors="replace"`` count them.
    """
    lead = data[position]
    if lead < 0xC2 or lead > 0xF4:
        return -1, 1
    low, high = 0x80, 0xBF
    if lead < 0xE0:
        needed, code = 1, lead & 0x1F
    elif lead < 0xF0:
        needed, code = 2, lead & 0x0F
        # No overlong forms, no surrogates.
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    else:
        needed, code = 3, lead & 0x07
        # No overlong forms, nothing above U+10FFFF.
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    used = 1
    for _ in range(needed):
        if not _continuation(data, position + used, end, low, high):
            return -1, used
        code = (code << 6) | (data[position + used] & 0x3F)
        low, high = 0x80, 0xBF
        used += 1
    return np.int64(code), used


@inlined
def look_up(table, code):
    """Look a character up; beyond the table every character is a letter in four bytes."""
    if code < len(table):
        return table[code]
    first = np.uint64(0xF0 | (code >> 18))
    second = np.uint64(0x80 | ((code >> 12) & 0x3F))
    third = np.uint64(0x80 | ((code >> 6) & 0x3F))
    fourth = np.uint64(0x80 | (code & 0x3F))
    packed = first | (second << np.uint64(8)) | (third << np.uint64(16)) | (fourth << np.uint64(24))
    return packed | (np.uint64(4) << np.uint64(LENGTH_SHIFT))


@entry_point
def tokenise(data, ends, position, record, table, tokens):
    """Cut records into words until the batch or the room in ``tokens`` ends.

    Parameters
    ----------
    data
        uint8, the batch's bytes.
    ends
        int64 ``[n]``, where each record ends.
    position, record
        Where to start, as a former call returned them (0, 0 at first).
    table
        uint64, what each code point becomes; see the top of this module.
    tokens
        Written. There must be room for one piece: ``PIECE_TOKENS`` words of
        ``MAX_WORD_BYTES``; stopping for want of room goes back to the start of a piece.

    Returns
    -------
    tuple
        The fields of ``Progress``. Not one itself: to make that, numba would run Python's code,
        where Ctrl-C may strike, and it does not survive that.
    """
    text, starts, lengths, hashes, piece_ends, closes = tokens
    text_room = len(text) - 8
    words = 0
    pieces = 0
    used = 0
    invalid = 0
    oversize = 0
    replacement = look_up(table, np.int64(REPLACEMENT))

    while record < len(ends):
        end = ends[record]
        if not position <= end <= len(data):
            return position, -1, words, pieces, invalid, oversize
        # The state to go back to when room runs out.
        piece_position, piece_words, piece_invalid, piece_oversize = (
            position,
            words,
            invalid,
            oversize,
        )
        start = used
        value = FNV_OFFSET
        open_word = False
        too_long = False
        full = pieces == len(piece_ends)
        while not full:
            # Runs of ASCII letters, the common case, in a loop of their own.
            complete = words - piece_words == PIECE_TOKENS
            limit = 0 if too_long or complete else min(start + MAX_WORD_BYTES, text_room)
            while used < limit and position < end and data[position] < 0x80:
                entry = table[data[position]]
                if entry == 0:
                    break
                letter = entry & np.uint64(0xFF)
                text[used] = letter
                value = (value ^ letter) * FNV_PRIME
                used += 1
                position += 1
            if used > start:
                open_word = True
            at_end = position >= end
            before, invalid_before = position, invalid
            entry = np.uint64(0)
            if not at_end:
                byte = data[position]
                if byte < 0x80:
                    entry = table[byte]
                    position += 1
                else:
                    code, size = decode(data, position, end)
                    position += size
                    if code < 0:
                        invalid += 1
                        entry = replacement
                    else:
                        entry = look_up(table, code)
            if entry != 0 and (open_word or entry & np.uint64(CONTINUES) == 0):
                if complete:
                    # Here the next piece begins; what stands between the words is of this one.
                    position, invalid = before, invalid_before
                    break
                open_word = True
                size = (entry >> np.uint64(LENGTH_SHIFT)) & np.uint64(7)
                if too_long or used + np.int64(size) - start > MAX_WORD_BYTES:
                    too_long = True
                    continue
                if used + np.int64(size) > text_room:
                    full = True
                    break
                for _ in range(size):
                    letter = entry & np.uint64(0xFF)
                    text[used] = letter
                    value = (value ^ letter) * FNV_PRIME
                    entry >>= np.uint64(8)
                    used += 1
                continue
            if open_word:
                if too_long:
                    oversize += 1
                    used = start
                elif words == len(starts):
                    full = True
                    break
                else:
                    starts[words] = start
                    lengths[words] = used - start
                    # FNV-1a mixes its low bits well and its high bits badly.
                    hashes[words] = mix(value)
                    words += 1
                start = used
                value = FNV_OFFSET
                open_word = False
                too_long = False
            if at_end:
                break
        if full:
            return piece_position, record, piece_words, pieces, piece_invalid, piece_oversize
        piece_ends[pieces] = words
        closes[pieces] = position >= end
        pieces += 1
        if position >= end:
            record += 1
    return position, record, words, pieces, invalid, oversize


@entry_point
def hash_words(text, ends, hashes):
    """Hash words that a Python tokeniser cut: word i is ``text[ends[i - 1]:ends[i]]``.

    Parameters
    ----------
    text
        uint8, the words' bytes, one after the other.
    ends
        int64 ``[n]``.
    hashes
        uint64 ``[n]``, written: the same hash that :func:`tokenise` gives the same bytes.
    """
    start = 0
    for i in range(len(ends)):
        value = FNV_OFFSET
        for k in range(start, ends[i]):
            value = (value ^ np.uint64(text[k])) * FNV_PRIME
        hashes[i] = mix(value)
        start = ends[i]
