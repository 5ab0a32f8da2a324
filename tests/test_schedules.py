"""Learning rates: every schedule by its formula."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_w2v import Config, Word2Vec
from stream_w2v.config import SCHEDULES
from stream_w2v.schedules import DEFAULT_RATES, Schedule

WINDOWS = np.array([0, 1, 2, 10, 1000, 2**24], dtype=np.float32)


def schedule(name: str, **options) -> Schedule:
    """Return a schedule."""
    return Schedule.from_config(Config(schedule=name, **{"total_tokens": 1000, **options}))


def test_every_schedule_has_a_default_rate():
    """The choices, the default rates and the twin's name the same schedules."""
    assert set(SCHEDULES) == set(DEFAULT_RATES)
    assert DEFAULT_RATES == naive.DEFAULT_RATES


@pytest.mark.parametrize("name", SCHEDULES)
@given(
    rate=st.none() | st.floats(1e-9, 10), floor=st.floats(0, 10),
    tokens=st.integers(0, 2**62), total=st.integers(1, 2**62),
)  # fmt: skip
def test_every_rate_is_that_of_the_formula(name, rate, floor, tokens, total):
    """The rates equal the twin's at any number of windows and tokens, and respect the floor."""
    made = schedule(name, learning_rate=rate, min_learning_rate=floor, total_tokens=total)
    expected = [naive.learning_rate(name, rate, floor, n, tokens, total) for n in WINDOWS.tolist()]
    np.testing.assert_allclose(made.rates(WINDOWS, tokens), expected, rtol=1e-9)
    first = rate or DEFAULT_RATES[name]
    assert made.rates(WINDOWS, tokens).min() >= min(floor, first) * (1 - 1e-12)


def test_the_per_row_rate_starts_at_the_default_and_falls_with_the_windows_of_the_row():
    """min(.2, (8.5 + .1 n)^-.75), whatever the number of tokens."""
    rates = schedule("per-row").rates(WINDOWS, 10**9)
    np.testing.assert_allclose(rates, (8.55 + 0.1 * WINDOWS.astype(float)) ** -0.75, rtol=1e-3)
    np.testing.assert_allclose(rates[0], 0.2)
    assert (np.diff(rates) < 0).all()


def test_the_linear_rate_falls_to_the_floor_and_stays_there():
    """At the start, in the middle, at the end, and beyond."""
    made = schedule("linear", learning_rate=0.1, min_learning_rate=0.02)
    for tokens, rate in ((0, 0.1), (500, 0.06), (1000, 0.02), (5000, 0.02)):
        np.testing.assert_allclose(made.rates(WINDOWS, tokens), rate)
    assert schedule("linear").rates(WINDOWS, 1000).tolist() == [0.0] * len(WINDOWS)


def test_the_inverse_sqrt_rate_falls_with_the_square_root_of_the_tokens():
    """1 / sqrt(2) of the first rate after a million tokens, and half after three."""
    made = schedule("inverse-sqrt", learning_rate=0.1)
    for tokens, rate in ((0, 0.1), (1_000_000, 0.1 / 2**0.5), (3_000_000, 0.05)):
        np.testing.assert_allclose(made.rates(WINDOWS, tokens), rate)


def test_the_constant_rate_is_constant():
    """Neither windows nor tokens change it."""
    made = schedule("constant", learning_rate=0.3)
    assert {*made.rates(WINDOWS, 0), *made.rates(WINDOWS, 10**12)} == {0.3}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_floor_above_the_first_rate_does_not_raise_it(name):
    """Rates never rise above the rate at the start."""
    made = schedule(name, learning_rate=0.05, min_learning_rate=5)
    np.testing.assert_allclose(made.rates(WINDOWS, 10**6), 0.05)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_model_says_how_fast_it_learns_now(name):
    """The mean over the rows: the first rate before anything is learnt."""
    model = Word2Vec(
        vector_size=1, window=1, negative=0, min_count=1, sample=0, schedule=name, total_tokens=100
    )
    assert model.learning_rate == DEFAULT_RATES[name]
    model.learn_one("a b")
    model.learn_one("c")
    rates = [naive.learning_rate(name, None, 0.0, n, 3, 100) for n in (1, 1, 0)]
    np.testing.assert_allclose(model.learning_rate, np.mean(rates))
