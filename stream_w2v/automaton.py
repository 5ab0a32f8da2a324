r"""Regular expressions to one deterministic automaton over bytes, which a kernel can run.

What is known is a part of Python's ``re``: literals, classes such as ``[a-f\d]``, ``\d``, groups,
``|``, ``?``, ``*``, ``+``, ``{m}``, ``{m,}`` and ``{m,n}``. Where ``re`` tries one way after the
other, here one look-up for each byte takes all expressions on at once.

Each class in an expression is a state (Glushkov, *The abstract theory of automata*, 1961), then
each set of them (Rabin & Scott, *Finite automata and their decision problems*, 1959).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

_SPECIAL = frozenset(b"()[]{}|?*+.^$")
_DIGITS = frozenset(b"0123456789")
_COUNTS = re.compile(rb"\{(\d+)(,?)(\d*)\}")
_REPEATS = {b"?": (0, 1), b"*": (0, None), b"+": (1, None)}


class Automaton(NamedTuple):
    """What moves from state to state.

    A state is the place of its row in ``moves``, so that a move is one addition and one look-up.

    Attributes
    ----------
    classes
        uint8 ``[256]``, the class of each byte, from 1; those in one class mean the same.
    moves
        uint16, rows of states: at 0 the first expression that what was read so far matches,
        counted from 1, or 0 for none; at c the state after a byte of class c. The state 0 is the
        one that nothing leaves.
    first
        The state to begin with.
    """

    classes: NDArray[np.uint8]
    moves: NDArray[np.uint16]
    first: int


class _Part(NamedTuple):
    """An expression: the states that it may begin and end with, one bit each; may it be empty."""

    first: int
    last: int
    empty: bool


class _Builder:
    """Reads expressions into states: which bytes lead to each, and which states may follow."""

    def __init__(self) -> None:
        self.bytes_of: list[frozenset[int]] = []
        self.follow: list[int] = []

    def read(self, expression: str) -> _Part:
        """Add an expression."""
        self._text = expression.encode()
        self._place = 0
        part = self._alternatives()
        if self._place < len(self._text):
            self._refuse("an unexpected character")
        return part

    def _refuse(self, what: str) -> NoReturn:
        msg = f"{what} at byte {self._place} of {self._text.decode()!r}"
        raise ValueError(msg)

    def _next(self) -> bytes:
        return self._text[self._place : self._place + 1]

    def _take(self) -> int:
        if self._place == len(self._text):
            self._refuse("the end, too early,")
        self._place += 1
        return self._text[self._place - 1]

    def _alternatives(self) -> _Part:
        part = self._sequence()
        while self._next() == b"|":
            self._take()
            other = self._sequence()
            part = _Part(
                part.first | other.first, part.last | other.last, part.empty or other.empty
            )
        return part

    def _sequence(self) -> _Part:
        part = _Part(0, 0, True)
        while self._next() not in (b"", b"|", b")"):
            part = self._join(part, self._repeated())
        return part

    def _repeated(self) -> _Part:
        begin = self._place
        part = self._single()
        end = self._place
        counts = _COUNTS.match(self._text, self._place)
        if counts:
            least, comma, most = counts.groups()
            low = int(least)
            high = int(most) if most else None if comma else low
            after = counts.end()
        elif self._next() in _REPEATS:
            (low, high), after = _REPEATS[self._next()], end + 1
        else:
            return part
        # Each copy has states of its own, so it is read again.
        result = _Part(0, 0, True)
        for copy in range(max(low, 1) if high is None else high):
            if copy:
                self._place = begin
                part = self._single()
            if high is None and copy >= low - 1:
                self._connect(part.last, part.first)
            result = self._join(result, part if copy < low else part._replace(empty=True))
        self._place = after
        return result

    def _single(self) -> _Part:
        byte = self._take()
        if byte == ord("("):
            part = self._alternatives()
            if self._take() != ord(")"):
                self._refuse("no closing bracket")
            return part
        if byte == ord("["):
            return self._state(self._class())
        if byte in _SPECIAL:
            self._place -= 1
            self._refuse("an unexpected character")
        return self._state(self._escaped() if byte == ord("\\") else frozenset([byte]))

    def _escaped(self) -> frozenset[int]:
        byte = self._take()
        if byte == ord("d"):
            return _DIGITS
        if bytes([byte]).isalnum():
            self._refuse("an unknown escape")
        return frozenset([byte])

    def _class(self) -> frozenset[int]:
        members: set[int] = set()
        while (byte := self._take()) != ord("]"):
            if byte == ord("\\"):
                members |= self._escaped()
            elif self._next() == b"-" and self._text[self._place + 1 : self._place + 2] != b"]":
                self._take()
                members |= set(range(byte, self._take() + 1))
            else:
                members.add(byte)
        return frozenset(members)

    def _state(self, members: frozenset[int]) -> _Part:
        self.bytes_of.append(members)
        self.follow.append(0)
        bit = 1 << len(self.follow) - 1
        return _Part(bit, bit, False)

    def _join(self, part: _Part, other: _Part) -> _Part:
        self._connect(part.last, other.first)
        return _Part(
            part.first | other.first if part.empty else part.first,
            part.last | other.last if other.empty else other.last,
            part.empty and other.empty,
        )

    def _connect(self, last: int, first: int) -> None:
        for state in _members(last):
            self.follow[state] |= first


def _members(states: int) -> list[int]:
    found = []
    while states:
        found.append((states & -states).bit_length() - 1)
        states &= states - 1
    return found


def build(expressions: Sequence[str]) -> Automaton:
    """Build what follows all expressions at once; where several match, the first one counts.

    Raises
    ------
    ValueError
        If an expression uses what is not known here.
    """
    builder = _Builder()
    parts = [builder.read(expression) for expression in expressions]

    # Bytes that no expression tells apart are one class.
    signatures = [0] * 256
    for state, members in enumerate(builder.bytes_of):
        for byte in members:
            signatures[byte] |= 1 << state
    distinct = sorted(set(signatures))
    classes = [distinct.index(signature) + 1 for signature in signatures]

    # A set of states is known by what it matches and by the states that may come next.
    width = len(distinct) + 1
    first = 0
    for part in parts:
        first |= part.first
    states = {(0, 0): 0}
    states.setdefault((0, first), width)
    todo = list(states)
    moves = []
    for matched, following in todo:
        moves.append(matched)
        for signature in distinct:
            reached = following & signature
            key = _matched(parts, reached), _union(builder.follow, reached)
            if key not in states:
                states[key] = width * len(states)
                todo.append(key)
            moves.append(states[key])
    return Automaton(
        np.array(classes, dtype=np.uint8), np.array(moves, dtype=np.uint16), states[0, first]
    )


def _matched(parts: list[_Part], reached: int) -> int:
    return next((i for i, part in enumerate(parts, 1) if part.last & reached), 0)


def _union(follow: list[int], reached: int) -> int:
    union = 0
    for state in _members(reached):
        union |= follow[state]
    return union
