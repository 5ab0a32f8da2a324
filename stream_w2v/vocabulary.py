"""Words and their rows: counting, admission, eviction.

A new word first waits: only its hash and a count are kept. At ``min_count`` occurrences over the
whole stream it is admitted to a row. When every row is taken the rarest words are evicted, in one
step for a tenth of the rows, and their rows go to new words. Memory is bounded throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import Config
from stream_w2v.kernel import lookup
from stream_w2v.kernel.lookup import ROW, VOCABULARY_STATE, VocabularyArrays
from stream_w2v.kernel.memory import grown, reserved_zeros, touched
from stream_w2v.kernel.refresh import list_words
from stream_w2v.kernel.tokenise import MAX_WORD_BYTES
from stream_w2v.packed import PackedWords

_FIRST_SLOTS = 1 << 14
_FIRST_BYTES = 1 << 16
_KEPT_AT_EVICTION = 0.9
"""Evicting a tenth at a time makes the cost of choosing negligible for each word admitted."""


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def table_slots(rows: int) -> int:
    """Return the slots of a hash table for so many rows, at most half of them taken."""
    return max(_FIRST_SLOTS, _power_of_two(2 * rows))


def candidate_slots(waiting: int) -> int:
    """Return the slots of a table for so many waiting words, at most three quarters taken."""
    return max(_FIRST_SLOTS, _power_of_two(4 * (waiting + 1) // 3 + 1))


def text_bytes(rows: int) -> int:
    """Return the most bytes that what holds the words of so many rows comes to: it doubles."""
    return max(_FIRST_BYTES, 2 * MAX_WORD_BYTES * rows)


class WordList(NamedTuple):
    """A copy of what is known of some words: the first arrays are as long as they are many.

    Attributes
    ----------
    rows
        int64 ``[n]``: their rows, ascending.
    counts
        float64 ``[n]``: their counts, in the unit that the kernel uses.
    starts, lengths
        int64 ``[n]``: where their bytes are in ``text``.
    text
        uint8: the bytes of all words.
    """

    rows: NDArray[np.int64]
    counts: NDArray[np.float64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    text: NDArray[np.uint8]

    @classmethod
    def of_size(cls, words: int, size: int) -> WordList:
        """Return room for so many words and bytes, in memory that is there already."""
        return cls(
            rows=touched(words, np.int64),
            counts=touched(words, np.float64),
            starts=touched(words, np.int64),
            lengths=touched(words, np.int64),
            text=touched(size, np.uint8),
        )

    def first(self, words: int, size: int) -> WordList:
        """Return a view of so many words and bytes."""
        rows, counts, starts, lengths, text = self
        return WordList(rows[:words], counts[:words], starts[:words], lengths[:words], text[:size])

    def packed(self, order: NDArray[np.int64]) -> PackedWords:
        """Return the words alone, in an order."""
        return PackedWords(self.text.tobytes(), self.starts[order], self.lengths[order])


class Vocabulary:
    """The words that have rows, and those that wait for one.

    The compiled code does the counting and the admission in :attr:`arrays`; this class makes the
    room that it asks for, and answers questions.

    Parameters
    ----------
    config
        ``min_count``, ``max_vocab_size`` and ``max_candidates`` are used.
    """

    def __init__(self, config: Config) -> None:
        self._max_rows = config.max_vocab_size
        self._max_candidates = config.max_candidates
        self.arrays = self._allocate(_FIRST_SLOTS, _FIRST_BYTES, _FIRST_SLOTS)
        self.arrays.state["increment"] = 1.0

    def __len__(self) -> int:
        return int(self.arrays.state[0]["rows"])

    @property
    def rows_end(self) -> int:
        """One more than the highest row that ever held a word."""
        return int(self.arrays.state[0]["rows_end"])

    @property
    def words_end(self) -> int:
        """Bytes that the words take, with those of evicted words that are still there."""
        return int(self.arrays.state[0]["words_end"])

    @property
    def candidates(self) -> int:
        """Words that wait for ``min_count``."""
        return int(self.arrays.state[0]["candidates"])

    @property
    def total(self) -> float:
        """Sum of the counts of all words that have a row."""
        state = self.arrays.state[0]
        return float(state["total"] / state["increment"])

    @property
    def increment(self) -> float:
        """What one occurrence adds to a scaled count now."""
        return float(self.arrays.state[0]["increment"])

    @property
    def scaled_counts(self) -> NDArray[np.float64]:
        """The counts in the unit that the kernel uses, a view: float64 ``[rows_end]``."""
        result: NDArray[np.float64] = self.arrays.rows["count"][: self.rows_end]
        return result

    @property
    def counts(self) -> NDArray[np.float64]:
        """Occurrences of each row's word, decayed with the half life: float64 ``[rows_end]``."""
        return self.scaled_counts / self.increment

    def rows(self, since: int = 0) -> NDArray[np.int64]:
        """Return the rows that hold a word last seen in piece ``since`` or later, ascending."""
        rows = self.arrays.rows[: self.rows_end]
        held = rows["word_length"] > 0
        return np.flatnonzero(held & (rows["stamp"] >= since) if since else held)

    def words(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the words of some rows."""
        known = self.arrays.rows
        text = self.arrays.words[: self.words_end].tobytes()
        return PackedWords(text, known["word_start"][rows], known["word_length"][rows])[:]

    def list_words(self, room: WordList, since: int = 0) -> WordList:
        """Copy what is known of the words last seen in piece ``since`` or later.

        The copy is made in ``room`` if that is large enough, which takes half as long.
        """
        known = self.arrays.rows[: self.rows_end]
        size = self.words_end
        n = list_words(known, since, *room[:4])
        if n > len(room.rows) or size > len(room.text):
            room = WordList.of_size(n, size)
            list_words(known, since, *room[:4])
        room.text[:size] = self.arrays.words[:size]
        return room.first(n, size)

    # Room, when the kernel asks for it.

    def grow_table(self) -> None:
        """Make room for more rows in the hash table."""
        self._index(2 * len(self.arrays.table))

    def grow_words(self) -> None:
        """Make room for more bytes of words."""
        words = self.arrays.words
        size = len(words) + max(len(words), MAX_WORD_BYTES)
        self.arrays = self.arrays._replace(words=grown(words, size))

    def make_candidate_room(self) -> int:
        """Make room for more waiting words; return how many had to be forgotten.

        At the bound every waiting count is halved and those that reach 0 are forgotten: a word
        that comes often enough still gets its row, for it gains more than it loses.
        """
        _, _, _, _, hashes, counts, state = self.arrays
        full = self.candidates >= self._max_candidates
        before = self.candidates
        slots = len(hashes) if full else 2 * len(hashes)
        while True:
            new_hashes = reserved_zeros(slots, np.uint64)
            new_counts = reserved_zeros(slots, np.uint32)
            kept = lookup.move_candidates(hashes, counts, int(full), new_hashes, new_counts)
            hashes, counts = new_hashes, new_counts
            # Every count may have been 2 or more: then halve again.
            if not full or kept < self._max_candidates:
                break
        state["candidates"] = kept
        self.arrays = self.arrays._replace(candidate_hashes=hashes, candidate_counts=counts)
        return before - int(kept)

    def scale_down(self) -> None:
        """Give one occurrence the weight 1 again, and every count so much less."""
        rows, state = self.arrays.rows, self.arrays.state
        scale = 1.0 / state["increment"]
        rows["count"][: self.rows_end] *= scale
        state["total"] *= scale
        state["increment"] = 1.0

    def evict(self) -> NDArray[np.int64]:
        """Take the rows of the rarest words, down to nine tenths of the bound, and return them.

        Of words with the same count the one that has not occurred for longest goes first.
        """
        rows, free, words, _, _, _, state = self.arrays
        used = self.rows()
        excess = len(used) - int(_KEPT_AT_EVICTION * self._max_rows)
        counts = rows["count"][used]
        limit = np.partition(counts, excess - 1)[excess - 1]
        below = used[counts < limit]
        ties = used[counts == limit]
        oldest = np.argsort(rows["stamp"][ties], kind="stable")[: excess - len(below)]
        gone = np.sort(np.concatenate([below, ties[oldest]]))

        freed = self.rows_end - len(self)
        free[freed : freed + len(gone)] = gone[::-1]
        rows[gone] = np.zeros((), dtype=ROW)
        state["rows"] -= len(gone)
        state["total"] = rows["count"].sum()
        packed = reserved_zeros(len(words), np.uint8)
        state["words_end"] = lookup.pack_words(rows, self.rows_end, words, packed)
        self.arrays = self.arrays._replace(words=packed)
        self._index(len(self.arrays.table))
        return gone

    def _index(self, slots: int) -> None:
        table = reserved_zeros(slots, np.uint64)
        lookup.index_rows(self.arrays.rows, self.rows_end, table)
        self.arrays = self.arrays._replace(table=table)

    def _allocate(self, slots: int, text: int, candidates: int) -> VocabularyArrays:
        """Reserve every row, and take memory for hash tables and words."""
        return VocabularyArrays(
            rows=reserved_zeros(self._max_rows, ROW, huge=True),
            free=reserved_zeros(self._max_rows, np.int32),
            words=reserved_zeros(text, np.uint8),
            table=reserved_zeros(slots, np.uint64),
            candidate_hashes=reserved_zeros(candidates, np.uint64),
            candidate_counts=reserved_zeros(candidates, np.uint32),
            state=np.zeros(1, dtype=VOCABULARY_STATE),
        )

    # State.

    def copy_from(self, other: Vocabulary) -> None:
        """Take the state of another one with the same bounds."""
        theirs = other.arrays
        mine = self._allocate(len(theirs.table), len(theirs.words), len(theirs.candidate_hashes))
        end = other.rows_end
        mine.rows[:end] = theirs.rows[:end]
        mine.free[:end] = theirs.free[:end]
        mine.words[: other.words_end] = theirs.words[: other.words_end]
        for name in ("table", "candidate_hashes", "candidate_counts", "state"):
            getattr(mine, name)[:] = getattr(theirs, name)
        self.arrays = mine

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays. Equal states give equal arrays, whatever their history."""
        rows, free, words, _, hashes, counts, state = self.arrays
        waiting = np.flatnonzero(counts)
        waiting = waiting[np.argsort(hashes[waiting])]
        return {
            **{f"rows.{name}": rows[name][: self.rows_end] for name in ROW.names or ()},
            "rows.free": free[: self.rows_end - len(self)],
            "vocabulary.words": words[: int(state[0]["words_end"])],
            "candidates.hash": hashes[waiting],
            "candidates.count": counts[waiting],
            **{f"vocabulary.{name}": state[name] for name in VOCABULARY_STATE.names or ()},
        }

    def _check(self, tensors: Mapping[str, NDArray[Any]], rows_end: int) -> None:
        start, length = tensors["rows.word_start"], tensors["rows.word_length"]
        free = tensors["rows.free"]
        used = {name: tensors[f"vocabulary.{name}"].item() for name in ("rows", "rows_end")}
        fits = (
            rows_end == used["rows_end"] <= self._max_rows
            and used["rows"] == np.count_nonzero(length) == rows_end - len(free)
            and np.array_equal(np.sort(free), np.flatnonzero(length == 0))
            and np.all((start >= 0) & (length >= 0) & (length <= MAX_WORD_BYTES))
            and np.all(start <= len(tensors["vocabulary.words"]) - length)
            and tensors["vocabulary.words_end"].item() == len(tensors["vocabulary.words"])
            and len(tensors["candidates.hash"]) == len(tensors["candidates.count"])
            and len(tensors["candidates.hash"]) == tensors["vocabulary.candidates"].item()
            and len(tensors["candidates.hash"]) <= self._max_candidates
            and np.all(tensors["candidates.count"] > 0)
            and bool(np.all(np.isfinite(tensors["rows.count"]) & (tensors["rows.count"] >= 0.0)))
            and 0.0 < tensors["vocabulary.increment"].item() < np.inf
            and 0.0 <= tensors["vocabulary.total"].item() < np.inf
        )
        if not fits:
            msg = "its vocabulary contradicts itself"
            raise ValueError(msg)

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the state from what :meth:`tensors` returned.

        Raises
        ------
        KeyError, ValueError
            If the arrays do not fit together: compiled code trusts them.
        """
        waiting = tensors["candidates.hash"]
        words = tensors["vocabulary.words"]
        free = tensors["rows.free"]
        rows_end = len(tensors["rows.count"])
        self._check(tensors, rows_end)
        slots = table_slots(rows_end)
        arrays = self._allocate(slots, max(_FIRST_BYTES, len(words)), candidate_slots(len(waiting)))
        for name in ROW.names or ():
            arrays.rows[name][:rows_end] = tensors[f"rows.{name}"]
        arrays.free[: len(free)] = free
        arrays.words[: len(words)] = words
        for name in VOCABULARY_STATE.names or ():
            arrays.state[name] = tensors[f"vocabulary.{name}"]
        lookup.move_candidates(
            np.ascontiguousarray(waiting, dtype=np.uint64),
            np.ascontiguousarray(tensors["candidates.count"], dtype=np.uint32),
            0,
            arrays.candidate_hashes,
            arrays.candidate_counts,
        )
        self.arrays = arrays
        self._index(slots)
