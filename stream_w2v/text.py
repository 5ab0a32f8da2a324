"""Bytes to words: the presets, and Python callables.

``words``
    Runs of Unicode letters and digits (what ``str.isalnum`` says), lower-cased one by one. A
    combining mark continues a word that has begun, so that Hindi words and decomposed accents
    stay whole.
``whitespace``
    Runs of anything but Unicode whitespace (what ``str.isspace`` says), unchanged: for input
    that is tokenised already.
``log``
    As ``words``, but what :mod:`stream_w2v.masks` recognises becomes a mask, and underscores join
    the parts of a name.

A preset is a table from code points to what they become, computed once from Python's own Unicode
data; a compiled loop does the rest. Beyond plane 1 every assigned letter is an ideograph, so the
table ends there and the loop keeps what follows as it is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from stream_w2v.automaton import build
from stream_w2v.config import Tokenizer
from stream_w2v.kernel.compile import SameTypes
from stream_w2v.kernel.log import DIGIT, LOWER, UPPER, Masks, tokenise_log
from stream_w2v.kernel.tokenise import (
    CONTINUES,
    LENGTH_SHIFT,
    MAX_WORD_BYTES,
    PIECE_TOKENS,
    Progress,
    Tokens,
    hash_words,
    tokenise,
)
from stream_w2v.masks import MASKS
from stream_w2v.stream import Batch

_BAD_ENDS = "the ends of a batch must not decrease, and the last be the length of its data"
_TABLE_SIZE = 0x20000
_BLOCK_WORDS = 1 << 18
_BLOCK_TEXT = 1 << 21
_SLACK = 32


@dataclass(frozen=True, slots=True)
class TokenBlock:
    """Some records cut into words, in bounded memory.

    Attributes
    ----------
    tokens
        The words.
    pieces
        How many pieces of records they are.
    invalid
        Characters that were not UTF-8; each was replaced by U+FFFD.
    oversize
        Words left out because they were longer than ``MAX_WORD_BYTES``.
    """

    tokens: Tokens
    pieces: int
    invalid: int = 0
    oversize: int = 0


def _words_entry(character: str) -> str:
    return character.lower() if character.isalnum() or _is_mark(character) else ""


def _whitespace_entry(character: str) -> str:
    return "" if character.isspace() else character


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


_PRESETS = {"words": (_words_entry, _is_mark), "whitespace": (_whitespace_entry, None)}


@cache
def character_table(preset: str) -> NDArray[np.uint64]:
    """Return what each code point becomes under a preset: uint64, see ``kernel/tokenise.py``."""
    become, continues = _PRESETS[preset]
    table = np.zeros(_TABLE_SIZE, dtype=np.uint64)
    for code in chain(range(0xD800), range(0xE000, _TABLE_SIZE)):
        character = chr(code)
        result = become(character).encode()
        if result:
            entry = int.from_bytes(result, "little") | len(result) << LENGTH_SHIFT
            if continues is not None and continues(character):
                entry |= CONTINUES
            table[code] = entry
    return table


@cache
def log_table() -> NDArray[np.uint64]:
    """Return the character table of ``words``, with what the kernel of ``log`` asks besides."""
    table = character_table("words").copy()
    for code in np.flatnonzero(table).tolist():
        character = chr(code)
        # numpy 1 mixes uint64 with no int of unknown value.
        table[code] |= np.uint64(UPPER * character.isupper() | LOWER * character.islower())
    table[ord("0") : ord("9") + 1] |= DIGIT
    return table


@cache
def log_masks() -> Masks:
    """Return what the ``log`` preset recognises, as its kernel takes it."""
    names, expressions = zip(*MASKS, strict=True)
    automaton = build(expressions)
    encoded = [name.encode() for name in names]
    lengths = np.array([len(name) for name in encoded], dtype=np.uint8)
    padded = b"".join(name.ljust(lengths.max(), b"\0") for name in encoded)
    return Masks(
        classes=automaton.classes,
        moves=automaton.moves,
        first=automaton.first,
        names=np.frombuffer(padded, dtype=np.uint8).reshape(len(names), -1),
        lengths=lengths,
        number=names.index("<num>"),
    )


def _empty_tokens(words: int, text: int, pieces: int) -> Tokens:
    return Tokens(
        text=np.empty(text + _SLACK, dtype=np.uint8),
        starts=np.empty(words, dtype=np.int32),
        lengths=np.empty(words, dtype=np.int32),
        hashes=np.empty(words, dtype=np.uint64),
        ends=np.empty(pieces, dtype=np.int64),
        closes=np.empty(pieces, dtype=np.uint8),
    )


class Text:
    """How records become words.

    Parameters
    ----------
    text
        The name of a preset, or a callable from str to an iterable of str.
    split_identifiers
        With ``log``: cut names where their case changes and at underscores.
    """

    def __init__(self, text: str | Tokenizer, split_identifiers: bool = False) -> None:
        self._tokenizer = text if callable(text) else None
        # Whether the ends of a batch are writeable is a part of their type, too, but means nothing.
        self._cut = SameTypes(tokenise)
        self._by: tuple[object, ...] = ()
        if text == "log":
            self._cut, self._by = (
                SameTypes(tokenise_log),
                (log_table(), log_masks(), split_identifiers),
            )
        elif not callable(text):
            self._by = (character_table(text),)
        # A character grows to at most three times its bytes (a stray byte to U+FFFD), and a word
        # takes at least a byte and a separator. Of a log, "1s " becomes a mask of ten bytes; where
        # names are split every letter may be a word.
        self._growth = 4 if text == "log" else 3
        self._bytes_per_word = 1 if split_identifiers else 2

    def blocks(self, batch: Batch) -> Iterator[TokenBlock]:
        """Cut a batch into blocks of words; a record of any length takes bounded memory.

        This depends on the bytes alone, so it may run ahead in another thread.
        """
        data = np.frombuffer(memoryview(batch.data).toreadonly(), dtype=np.uint8)
        ends = np.ascontiguousarray(batch.ends, dtype=np.int64)
        size = len(data)
        if len(ends) and ends[-1] != size:
            raise ValueError(_BAD_ENDS)
        if self._tokenizer is not None:
            # The compiled loop sees by itself where they decrease.
            if np.any(np.diff(ends, prepend=0) < 0):
                raise ValueError(_BAD_ENDS)
            yield from self._called(batch)
            return
        text = min(self._growth * size, _BLOCK_TEXT)
        words = min(size // self._bytes_per_word + 1, _BLOCK_WORDS)
        position = record = 0
        while record < len(batch):
            pieces = len(batch) - record + words // PIECE_TOKENS + 1
            tokens = _empty_tokens(words, text, pieces)
            done = Progress(*self._cut(data, ends, position, record, *self._by, tokens))
            if done.record < 0:
                raise ValueError(_BAD_ENDS)
            position, record = done.position, done.record
            yield TokenBlock(tokens, done.pieces, done.invalid, done.oversize)

    def _called(self, batch: Batch) -> Iterator[TokenBlock]:
        assert self._tokenizer is not None
        for raw in batch.records():
            line = raw.decode("utf-8", "replace")
            # Of the replacement characters, some may have been in the text.
            invalid = line.count("\ufffd") - raw.count(b"\xef\xbf\xbd") if "\ufffd" in line else 0
            yield token_block([words_record(self._tokenizer(line), invalid)])


@dataclass(frozen=True, slots=True)
class WordsRecord:
    """One record of words, as UTF-8.

    Attributes
    ----------
    words
        The words; none is empty.
    invalid, oversize
        As in :class:`TokenBlock`.
    """

    words: list[bytes]
    invalid: int
    oversize: int

    def __len__(self) -> int:
        """Return the bytes of its words, with a space after each."""
        return sum(map(len, self.words)) + len(self.words)


def words_record(words: Iterable[str], invalid: int = 0) -> WordsRecord:
    """Encode a record that is words already. Empty words are left out.

    Raises
    ------
    TypeError
        If a word is no str.
    """
    record: list[bytes] = []
    oversize = 0
    for word in words:
        if not isinstance(word, str):
            msg = f"a record of words holds {word!r}, which is no str"
            raise TypeError(msg)
        try:
            encoded = word.encode()
        except UnicodeEncodeError:
            # A lone surrogate: the same three replacements as for its bytes.
            mended = word.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            invalid += mended.count("\ufffd") - word.count("\ufffd")
            encoded = mended.encode()
        if len(encoded) > MAX_WORD_BYTES:
            oversize += 1
        elif encoded:
            record.append(encoded)
    return WordsRecord(record, invalid, oversize)


def token_block(records: Sequence[WordsRecord]) -> TokenBlock:
    """Pack records that are words already."""
    words: list[bytes] = []
    ends: list[int] = []
    closes: list[int] = []
    for record in records:
        begin = len(words)
        words += record.words
        cuts = [*range(begin + PIECE_TOKENS, len(words), PIECE_TOKENS), len(words)]
        ends += cuts
        closes += [0] * (len(cuts) - 1) + [1]
    lengths = np.fromiter(map(len, words), dtype=np.int32, count=len(words))
    word_ends = np.cumsum(lengths, dtype=np.int64)
    if len(words) and word_ends[-1] >= 2**31:
        msg = "these words take more than 2 GiB: give them in several records"
        raise ValueError(msg)
    text = np.frombuffer(bytearray(b"".join(words) + bytes(_SLACK)), dtype=np.uint8)
    hashes = np.empty(len(words), dtype=np.uint64)
    hash_words(text, word_ends, hashes)
    tokens = Tokens(
        text=text,
        starts=(word_ends - lengths).astype(np.int32),
        lengths=lengths,
        hashes=hashes,
        ends=np.array(ends, dtype=np.int64),
        closes=np.array(closes, dtype=np.uint8),
    )
    invalid = sum(record.invalid for record in records)
    return TokenBlock(tokens, len(ends), invalid, sum(record.oversize for record in records))
