"""The noise distribution: what is drawn, how stale it is, when it is rebuilt."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_w2v import NoiseDistribution, Word2Vec
from stream_w2v.errors import EmptyVocabularyError

EXPONENTS = [0.0, 0.5, 0.75, 1.0]
COUNTS = st.lists(
    st.one_of(st.just(0.0), st.integers(1, 5).map(float), st.floats(1e-3, 1e12)), max_size=60
)
ROUNDING = 1e-8
"""Thresholds have 32 bits, so no table is exact to more."""


def built(counts: list[float] | np.ndarray, exponent: float = 0.75) -> NoiseDistribution:
    """Return a distribution built from counts."""
    noise = NoiseDistribution(exponent)
    noise.rebuild(np.array(counts, dtype=np.float64))
    return noise


def shares(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Return c^exponent / Z, 0 for a count of 0."""
    masses = np.where(counts > 0, np.float64(counts) ** exponent, 0.0)
    return masses / masses.sum()


def assert_drawn_as(expected: np.ndarray, rows: np.ndarray) -> None:
    """Check by chi-square, at about one error in ten thousand, that rows have these shares."""
    observed = np.bincount(rows, minlength=len(expected))
    assert observed[expected == 0].sum() == 0
    observed, expected = observed[expected > 0], expected[expected > 0] * len(rows)
    assert expected.min() >= 5, "enough draws for the test"
    degrees = len(expected) - 1
    statistic = ((observed - expected) ** 2 / expected).sum()
    # Wilson and Hilferty's approximation of the chi-square quantile at 3.7 sigma.
    limit = degrees * (1 - 2 / (9 * degrees) + 3.7 * math.sqrt(2 / (9 * degrees))) ** 3
    assert statistic < limit


# The table.


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_rows_are_drawn_by_their_counts_to_the_power(exponent):
    """A million draws have the shares c^exponent / Z."""
    counts = np.array([1, 2, 5, 0, 10, 100, 1000, 3, 0, 50, 7])
    rows = built(counts, exponent).draw(1_000_000, seed=1)
    assert_drawn_as(shares(counts, exponent), rows)


def test_the_test_of_shares_can_fail():
    """Draws with the exponent 0.8 are not taken for draws with 3/4."""
    counts = np.array([1, 2, 5, 0, 10, 100, 1000, 3, 0, 50, 7])
    with pytest.raises(AssertionError):
        assert_drawn_as(shares(counts, 0.75), built(counts, 0.8).draw(1_000_000, seed=1))


def test_the_noise_words_of_training_have_the_shares_of_the_counts():
    """Windows count how often each row was an output; without the centres that is the noise."""
    records = [["a"] * 8 + ["b"] * 4 + ["c"] * 2 + ["d"] + ["e"] * 5] * 3000
    model = Word2Vec(vector_size=1, window=1, negative=1, min_count=1, sample=0)
    model.learn_many(records)
    outputs = model.tensors()["weights.output_windows"].astype(np.float64)
    counts = np.array([8, 4, 2, 1, 5])
    expected = shares(counts, 0.75)
    # A noise word that equals the centre does not count.
    noise = outputs - counts * 3000
    np.testing.assert_allclose(noise, 3000 * expected * (20 - counts), rtol=0.03)


@pytest.mark.parametrize("exponent", EXPONENTS)
@settings(max_examples=200, deadline=None)
@given(counts=COUNTS)
def test_the_table_equals_the_twin_bit_for_bit(exponent, counts):
    """Every entry of the alias table is the twin's, and so is every draw."""
    noise = built(counts, exponent)
    table, mass = naive.alias_table(counts, exponent)
    state = noise.arrays.state[0]
    assert (state["mass"], state["built_mass"], state["size"]) == (mass, mass, len(table))
    packed = [threshold << 32 | other for threshold, other in table]
    assert noise.arrays.table[: len(table)].tolist() == packed
    if table:
        assert noise.draw(50, seed=5).tolist() == naive.draw_rows(table, 5, 50)


@pytest.mark.parametrize("exponent", EXPONENTS)
@settings(max_examples=200, deadline=None)
@given(counts=COUNTS)
def test_the_table_holds_the_shares_of_the_counts(exponent, counts):
    """The probabilities in the table are c^exponent / Z, and those of rows without mass are 0."""
    counts = np.array(counts)
    noise = built(counts, exponent)
    if not counts.any():
        assert len(noise.probabilities) == 0
        return
    expected = shares(counts, exponent)
    np.testing.assert_allclose(noise.probabilities, expected, rtol=0, atol=ROUNDING)
    assert not noise.probabilities[counts == 0].any()
    assert not np.isin(noise.draw(2000, seed=1), np.flatnonzero(counts == 0)).any()


def test_a_row_without_mass_is_never_drawn_however_the_shares_are_rounded():
    """Many equal shares leave rounding errors, which no free row may inherit."""
    rng = np.random.default_rng(1)
    for size in (3, 7, 49, 1000, 4097):
        counts = np.where(rng.random(size) < 0.5, 0.0, 1 / 3)
        counts[0] = 1 / 3
        noise = built(counts, 1.0)
        assert not noise.probabilities[counts == 0].any()


def test_drawing_depends_on_the_seed_alone():
    """The same seed draws the same rows, and another seed others."""
    noise = built(np.arange(1, 50))
    assert noise.draw(100, seed=1).tolist() == noise.draw(100, seed=1).tolist()
    assert noise.draw(100, seed=1).tolist() != noise.draw(100, seed=2).tolist()
    assert noise.draw(0, seed=1).tolist() == []


@pytest.mark.parametrize("counts", [[], [0.0, 0.0]])
def test_drawing_from_nothing_is_an_error(counts):
    """Before the first word there is no row to draw."""
    with pytest.raises(EmptyVocabularyError):
        built(counts).draw(1, seed=1)
    with pytest.raises(EmptyVocabularyError):
        Word2Vec().noise.draw(1, seed=1)


def test_a_rebuilt_table_may_have_fewer_rows_with_mass():
    """A table that is built again from other counts knows nothing of the old ones."""
    noise = built([1, 2, 3, 4])
    noise.rebuild(np.array([0.0, 5.0]))
    assert noise.probabilities.tolist() == [0.0, 1.0]
    assert set(noise.draw(100, seed=1).tolist()) == {1}
    assert noise.rebuilds == 2


# Staleness.


def true_distance(model: Word2Vec) -> float:
    """Return the total variation distance between the table and the live distribution."""
    live = shares(model.vocabulary.counts, model.config.ns_exponent)
    table = np.zeros(len(live))
    probabilities = model.noise.probabilities
    table[: len(probabilities)] = probabilities
    return 0.5 * float(np.abs(live - table).sum())


STREAMS = st.lists(
    st.tuples(
        st.integers(0, 60), st.integers(1, 40), st.integers(1, 400)
    ),  # the first word, how many different ones, how many in all
    max_size=15,
)


@pytest.mark.parametrize("exponent", EXPONENTS)
@settings(max_examples=100, deadline=None)
@given(
    stream=STREAMS, min_count=st.integers(1, 3), half_life=st.sampled_from([None, 1000]),
    rows=st.sampled_from([10, 30, 1000]), limit=st.sampled_from([0.01, 0.05, 0.3, 1.0]),
)  # fmt: skip
def test_staleness_bounds_the_true_distance(exponent, stream, min_count, half_life, rows, limit):
    """Through growth, decay and eviction the table is never staler than it says, nor the limit."""
    model = Word2Vec(
        vector_size=1, window=1, negative=0, sample=0, min_count=min_count,
        ns_exponent=exponent, half_life=half_life, max_vocab_size=rows, noise_staleness=limit,
    )  # fmt: skip
    for first, different, length in stream:
        model.learn_one([f"w{first + i * i % different}" for i in range(length)])
        if len(model.vocabulary) == 0:
            assert model.noise.staleness == 0
            continue
        assert true_distance(model) <= model.noise.staleness + ROUNDING
        assert model.noise.staleness < limit
        free = np.setdiff1d(np.arange(model.vocabulary.rows_end), model.vocabulary.rows())
        assert not np.isin(model.noise.draw(500, seed=1), free).any()


def test_the_bound_is_tight_where_only_one_word_gains():
    """When one word takes all the growth, the bound is nearly the distance: it is no excuse."""
    model = Word2Vec(
        vector_size=1, negative=0, sample=0, min_count=1, noise_staleness=0.99, ns_exponent=1.0
    )
    model.learn_one([f"w{i}" for i in range(100)])
    model.learn_one(["new"] * 100)
    assert model.noise.staleness == 0.5
    np.testing.assert_allclose(true_distance(model), 0.5, atol=ROUNDING)


@pytest.mark.parametrize("limit", [1e-6, 0.01, 0.05, 0.5, 1.0])
def test_the_table_is_rebuilt_when_the_limit_is_reached(limit):
    """After a record the table is fresh if the record took it to the limit, else untouched."""
    model = Word2Vec(vector_size=1, negative=1, sample=0, min_count=1, noise_staleness=limit)
    rng = np.random.default_rng(3)
    built_mass = 0.0
    for i in range(300):
        rebuilds = model.noise.rebuilds
        model.learn_one([f"w{word}" for word in rng.zipf(1.5, 10)])
        live = float((model.vocabulary.counts**0.75).sum())
        stale = 1 - built_mass / live
        if stale >= limit * (1 + 1e-9):
            assert model.noise.rebuilds == rebuilds + 1, i
            assert model.noise.staleness == 0
            built_mass = live
        elif stale < limit * (1 - 1e-9):
            assert model.noise.rebuilds == rebuilds, i
            np.testing.assert_allclose(model.noise.staleness, stale, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_rebuilding_from_python_gives_the_table_of_the_kernel(exponent):
    """The kernel's own rebuild and the one that Python calls make the same table."""
    model = Word2Vec(
        vector_size=1, min_count=1, noise_staleness=1e-6, ns_exponent=exponent, half_life=1000
    )
    rng = np.random.default_rng(4)
    # Every record adds a word, so that the mass grows whatever the exponent.
    model.learn_many([[f"n{i}", *(f"w{word}" for word in rng.zipf(1.5, 9))] for i in range(200)])
    other = NoiseDistribution(exponent)
    other.rebuild(model.vocabulary.scaled_counts)
    tensors = model.noise.tensors(model.vocabulary.rows_end)
    for name, array in other.tensors(model.vocabulary.rows_end).items():
        if name != "noise.rebuilds":
            np.testing.assert_array_equal(array, tensors[name], err_msg=name)


@pytest.mark.parametrize("limit", [0.02, 0.05, 0.2])
def test_the_number_of_rebuilds_is_logarithmic(limit):
    """Between two rebuilds the mass grows by 1 / (1 - limit), so there can be no more."""
    model = Word2Vec(vector_size=1, negative=0, sample=0, min_count=1, noise_staleness=limit)
    rng = np.random.default_rng(5)
    rebuilds, masses = [], []
    for _ in range(4):
        for _ in range(100 if not rebuilds else rebuilds[-1][0]):
            model.learn_one([f"w{word}" for word in rng.zipf(1.5, 20) % 100_000])
        rebuilds.append((model.records, model.noise.rebuilds))
        masses.append(float((model.vocabulary.counts**0.75).sum()))
    first_mass = 2.0
    for (_, number), mass in zip(rebuilds, masses, strict=True):
        assert 1 <= number <= 2 + math.log(mass / first_mass) / -math.log1p(-limit)
    # Doubling the stream adds about as many rebuilds each time.
    added = np.diff([number for _, number in rebuilds])
    assert added.max() <= 1.3 * added.min() + 2


def test_eviction_rebuilds_the_table_at_once():
    """No noise word is a row that an evicted word left, not even in the record that evicts."""
    model = Word2Vec(
        vector_size=1, negative=0, sample=0, min_count=1, max_vocab_size=10, noise_staleness=0.99
    )
    model.learn_one([f"w{i}" for i in range(10)])
    rebuilds = model.noise.rebuilds
    model.learn_one("new")
    assert model.noise.rebuilds == rebuilds + 1
    # The new word, in the evicted one's row, is not drawn before the next table.
    assert model.noise.probabilities[0] == 0
    assert model.noise.staleness > 0


def test_state_as_arrays_makes_the_same_distribution():
    """Restored from its arrays a distribution draws the same, and is as stale."""
    model = Word2Vec(vector_size=1, min_count=1)
    model.learn_many([f"w{i} w{i + 1}" for i in range(30)])
    other = NoiseDistribution(0.75)
    other.restore(model.noise.tensors(model.vocabulary.rows_end))
    assert other.staleness == model.noise.staleness
    assert other.rebuilds == model.noise.rebuilds
    assert other.draw(100, seed=1).tolist() == model.noise.draw(100, seed=1).tolist()
