"""Expressions to an automaton, which matches what Python's ``re`` does."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_w2v.automaton import Automaton, build
from stream_w2v.masks import MASKS


def matched(automaton: Automaton, text: bytes) -> int:
    """Return the first expression that matches the whole of a text, from 0; -1 for none."""
    state = automaton.first
    for byte in text:
        state = int(automaton.moves[state + int(automaton.classes[byte])])
    return int(automaton.moves[state]) - 1


def first_match(expressions: list[str], text: bytes) -> int:
    """Return the same by ``re``."""
    matching = (re.fullmatch(expression.encode(), text) for expression in expressions)
    return next((i for i, match in enumerate(matching) if match), -1)


SINGLE = st.sampled_from(
    ["a", "b", "[ab]", "[a-c]", r"\d", r"[\d-]", r"\.", "1", "µ", "[.*]", "()"]
)
COUNTS = st.sampled_from(["?", "*", "+", "{2}", "{1,}", "{2,}", "{0,2}", "{1,3}", "{0}"])
EXPRESSIONS = st.recursive(
    SINGLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map("|".join).map("({})".format),
        st.tuples(inner.map("({})".format), COUNTS).map("".join),
    ),
    max_leaves=8,
)
TEXTS = st.lists(st.sampled_from([*"abc1-.*", "µ"]), max_size=7).map("".join).map(str.encode)


@settings(max_examples=1000, deadline=None)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=3), st.lists(TEXTS, min_size=1, max_size=8))
@example(["(a|b)*a", "[ab]{3}", "a+"], [b"aba", b"abb", b"a", b"", b"abc"])
def test_random_expressions_match_what_re_matches(expressions, texts):
    """The first of several that match the whole text counts."""
    automaton = build(expressions)
    for text in texts:
        # An automaton that has read nothing yet is not asked.
        if text:
            assert matched(automaton, text) == first_match(expressions, text)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MASKS).flatmap(lambda mask: st.from_regex(mask[1].encode(), fullmatch=True)))
def test_what_a_mask_matches_the_automaton_of_all_masks_matches(encoded):
    """Texts that hypothesis makes from the expressions themselves."""
    expressions = [expression for _, expression in MASKS]
    assert matched(AUTOMATON, encoded) == first_match(expressions, encoded) >= 0


AUTOMATON = build([expression for _, expression in MASKS])


def test_the_automaton_of_the_masks_stays_small():
    """All of it fits in a second-level cache, and in the 16 bits of a state."""
    assert AUTOMATON.moves.nbytes < 128 * 1024


@pytest.mark.parametrize(
    "expression", ["(a", "a)", "a{", "*", "a**", "[a", "^a", "a.", r"\w", "\\", "a|+", "{2}"]
)
def test_what_is_not_known_is_refused(expression):
    """An expression that would mean something else in ``re`` is an error, not a surprise."""
    with pytest.raises(ValueError, match=re.escape(repr(expression))):
        build([expression])
