"""Log lines to tokens: as :mod:`tokenise` cuts words, but what a mask stands for becomes the mask.

What is recognised is in an automaton (see ``masks`` and ``automaton``), which runs where something
may begin: after anything but a letter. All else is letters, which are looked up as for ``words``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.kernel.compile import compiled, entry_point, inlined
from stream_w2v.kernel.random import mix
from stream_w2v.kernel.tokenise import (
    CONTINUES,
    FNV_OFFSET,
    FNV_PRIME,
    LENGTH_SHIFT,
    MAX_WORD_BYTES,
    PIECE_TOKENS,
    decode,
    look_up,
)

# More of a table entry: what a character is, besides what it becomes.
UPPER = 1 << 44
LOWER = 1 << 45
DIGIT = 1 << 46

LONG_RUN = 4
"""Digits that are masked within a word; fewer are part of a name, as in sha256 and x509."""

_UNDERSCORE = ord("_")
_MINUS = ord("-")


class Masks(NamedTuple):
    """What is recognised, and what becomes of it.

    Attributes
    ----------
    classes, moves, first
        The automaton, as ``automaton.Automaton`` has it; it accepts mask i as i + 1.
    names, lengths
        uint8 ``[m, n]`` and ``[m]``: mask i is ``names[i, :lengths[i]]``. One without a name
        leaves the text that it stands for as it is.
    number
        The mask of digits within a word.
    """

    classes: NDArray[np.uint8]
    moves: NDArray[np.uint16]
    first: int
    names: NDArray[np.uint8]
    lengths: NDArray[np.uint8]
    number: int


@compiled
def _entry_at(data, position, end, table):
    """Look up the character at a place: its entry, 0 if there is none, its bytes, is it UTF-8."""
    if position >= end:
        return np.uint64(0), 0, True
    if data[position] < 0x80:
        return table[data[position]], 1, True
    code, size = decode(data, position, end)
    if code < 0:
        return np.uint64(0), size, False
    return look_up(table, code), size, True


@inlined
def _is_letter_at(data, position, end, table):
    if position < end and data[position] < 0x80:
        return table[data[position]] != 0
    return _entry_at(data, position, end, table)[0] != 0


@compiled
def _is_letter_before(data, position, begin, table):
    """Say whether the character that ends at ``position``, of a record from ``begin``, is one."""
    start = position - 1
    while begin < start > position - 4 and data[start] & 0xC0 == 0x80:
        start -= 1
    if start < begin:
        return False
    entry, size, _ = _entry_at(data, start, position, table)
    return entry != 0 and start + size == position


@inlined
def _match(data, position, end, masks, table):
    """Find the longest text from ``position`` on that a mask stands for and no letter follows.

    Returns
    -------
    (mask or -1, its bytes)
    """
    mask, size = np.int64(-1), 0
    state = np.uint64(masks.first)
    place = position
    while place < end:
        state = np.uint64(masks.moves[state + masks.classes[data[place]]])
        if state == 0:
            break
        place += 1
        accepted = masks.moves[state]
        if accepted > 0 and not _is_letter_at(data, place, end, table):
            mask, size = np.int64(accepted) - 1, place - position
    return mask, size


@inlined
def _may_follow_letter(data, position, end):
    """Only an address goes on from a word, its scheme, and a closing tag from what it closes."""
    at_sign = data[position] == ord(":") or data[position] == ord("<")
    return at_sign and position + 1 < end and data[position + 1] == ord("/")


@inlined
def _is_digit(byte):
    return ord("0") <= byte <= ord("9")


@inlined
def _joint(data, position, end, table):
    """Return the bytes from an underscore to the part of a name that follows it; 0 if none does."""
    place = position
    while place < end and data[place] == _UNDERSCORE:
        place += 1
    if place + 1 < end and data[place] == _MINUS and _is_digit(data[place + 1]):
        place += 1
    entry, _, _ = _entry_at(data, place, end, table)
    return place - position if entry != 0 and entry & np.uint64(CONTINUES) == 0 else 0


@entry_point
def tokenise_log(data, ends, position, record, table, masks, split, tokens):
    """Cut records of a log into words until the batch or the room in ``tokens`` ends.

    Parameters
    ----------
    data, ends, position, record, tokens
        As for ``tokenise``.
    table
        uint64, as for ``tokenise``, with ``UPPER``, ``LOWER`` and ``DIGIT``. U+FFFD must stand
        between words.
    masks
        What to recognise.
    split
        Whether names are cut where their case changes and at underscores.

    Returns
    -------
    tuple
        The fields of ``Progress``.
    """
    text, starts, lengths, hashes, piece_ends, closes = tokens
    text_room = len(text) - 8
    words = 0
    pieces = 0
    used = 0
    invalid = 0
    oversize = 0
    underscore = np.uint64(_UNDERSCORE | 1 << LENGTH_SHIFT | CONTINUES)
    no_run = np.uint64(DIGIT | UPPER) if split else np.uint64(DIGIT)

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
        after_lower = False
        begin = ends[record - 1] if record > 0 else 0
        after_letter = _is_letter_before(data, position, begin, table)
        unmasked = position
        joined = False
        full = pieces == len(piece_ends)
        while not full:
            # What comes next: a mask, a letter, or something between words.
            mask, found = np.int64(-1), False
            entry, size, valid = np.uint64(0), 0, True
            if position < end:
                byte = data[position]
                if (
                    masks.moves[np.uint64(masks.first) + masks.classes[byte]] != 0
                    and position >= unmasked
                    and (not after_letter or _may_follow_letter(data, position, end))
                ):
                    mask, size = _match(data, position, end, masks, table)
                    if mask >= 0 and masks.lengths[mask] == 0:
                        unmasked = position + size
                        mask = np.int64(-1)
                    found = bool(mask >= 0)
                if mask < 0:
                    if byte < 0x80:
                        entry, size = table[byte], 1
                    else:
                        entry, size, valid = _entry_at(data, position, end, table)
                    if entry & np.uint64(DIGIT):
                        run = 1
                        while position + run < end and _is_digit(data[position + run]):
                            run += 1
                        if run >= LONG_RUN:
                            mask, size = np.int64(masks.number), run
                    elif byte == _UNDERSCORE and open_word and not split:
                        joint = _joint(data, position, end, table)
                        if joint > 0:
                            entry, size = underscore, joint
            belongs = mask >= 0 or (entry != 0 and (open_word or entry & np.uint64(CONTINUES) == 0))
            if belongs and not open_word:
                if words - piece_words == PIECE_TOKENS:
                    # Here the next piece begins; what stands between the words is of this one.
                    break
                open_word = True
            elif belongs:
                ends_before = found and not joined
                if split and entry & np.uint64(UPPER):
                    following, _, _ = _entry_at(data, position + size, end, table)
                    ends_before = after_lower or following & np.uint64(LOWER) != 0
                if ends_before:
                    # This is looked at again when the word has been closed.
                    belongs, size = False, 0
            if belongs:
                if mask >= 0:
                    length = np.int64(masks.lengths[mask])
                else:
                    length = np.int64((entry >> np.uint64(LENGTH_SHIFT)) & np.uint64(7))
                if too_long or used + length - start > MAX_WORD_BYTES:
                    too_long = True
                elif used + length > text_room:
                    full = True
                    break
                else:
                    for k in range(length):
                        if mask >= 0:
                            letter = np.uint64(masks.names[mask, k])
                        else:
                            letter = (entry >> np.uint64(8 * k)) & np.uint64(0xFF)
                        text[used] = letter
                        value = (value ^ letter) * FNV_PRIME
                        used += 1
                position += size
                joined = entry == underscore
                if found:
                    after_letter = _is_letter_at(data, position - 1, position, table)
                else:
                    after_letter = not joined
                if entry & np.uint64(CONTINUES) == 0:
                    after_lower = entry & np.uint64(LOWER) != 0
                # Runs of ASCII letters, the common case, in a loop of their own.
                limit = (
                    0 if too_long or not after_letter else min(start + MAX_WORD_BYTES, text_room)
                )
                while used < limit and position < end and data[position] < 0x80:
                    entry = table[data[position]]
                    if entry == 0 or entry & no_run:
                        break
                    letter = entry & np.uint64(0xFF)
                    text[used] = letter
                    value = (value ^ letter) * FNV_PRIME
                    used += 1
                    position += 1
                    after_lower = True
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
                    hashes[words] = mix(value)
                    words += 1
                start = used
                value = FNV_OFFSET
                open_word = False
                too_long = False
            if position >= end:
                break
            if not valid:
                invalid += 1
            if size > 0:
                position += size
                after_letter = entry != 0
        if full:
            return piece_position, record, piece_words, pieces, piece_invalid, piece_oversize
        piece_ends[pieces] = words
        closes[pieces] = position >= end
        pieces += 1
        if position >= end:
            record += 1
    return position, record, words, pieces, invalid, oversize
