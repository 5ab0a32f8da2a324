"""The vectors of texts: what they are made of, and what they leave alone."""

import threading

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_w2v import Word2Vec
from stream_w2v.errors import BrokenModelError, ConfigError
from stream_w2v.pooling import POOLINGS, Component

TEXTS = [f"the w{i % 17} of w{i % 5} and w{i % 29}" for i in range(400)]


@pytest.fixture(scope="module")
def model() -> Word2Vec:
    """Return a model that knows the words of the texts."""
    model = Word2Vec(vector_size=20, min_count=1, seed=2)
    model.learn_many(TEXTS)
    return model


def test_the_mean_is_that_of_the_vectors_of_a_snapshot(model):
    """As the words' vectors are everywhere else, in any mixture of known words and others."""
    vectors = model.snapshot()
    expected = (2 * np.float64(vectors["w1"]) + vectors["the"]) / 3
    np.testing.assert_allclose(model.pool_one("w1 unheard THE w1"), expected, atol=1e-6)
    np.testing.assert_allclose(model.pool_one("w3"), vectors["w3"], atol=1e-6)


def test_the_maximum_is_that_of_each_number(model):
    """Also where every number is below 0."""
    vectors = model.snapshot()
    expected = np.maximum(vectors["w1"], vectors["w2"])
    np.testing.assert_allclose(model.pool_one("w1 w2", "max"), expected, atol=1e-6)
    np.testing.assert_allclose(model.pool_one("w1", "max"), vectors["w1"], atol=1e-6)


def test_smooth_inverse_frequency_weighs_words_by_their_share(model):
    """A / (a + p), with p from the counts so far."""
    vectors = model.snapshot()
    share = np.array([vectors.get_vecattr(word, "count") for word in ("the", "w28")])
    weights = 1e-3 / (1e-3 + share / vectors.counts.sum())
    expected = weights @ np.float64(vectors[["the", "w28"]]) / 2
    np.testing.assert_allclose(model.pool_one("the w28", "sif"), expected, atol=1e-7)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("text", ["", "unheard", "\n", b"", b"\xff", []])
def test_without_a_known_word_there_are_zeros(model, pooling, text):
    """And no direction taken out of them makes anything else of it."""
    for removed in (None, np.ones(20)):
        pooled = model.pool_one(text, pooling, removed=removed)
        assert pooled.dtype == np.float64
        assert pooled.tolist() == [0.0] * 20


def test_a_model_that_has_learnt_nothing_gives_zeros():
    """From the first text on there is a vector to work with."""
    assert Word2Vec(vector_size=3).pool_one("a b", "sif").tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", ["words", "whitespace", "log", str.split])
def test_texts_are_cut_as_they_are_when_learnt(kind):
    """By every preset, and by a callable."""
    text = "took 12 ms, Took 3 at 10.0.0.1"
    model = Word2Vec(vector_size=6, min_count=1, text=kind)
    model.learn_one(text)
    words = (kind if callable(kind) else naive.PRESETS[kind])(text)
    assert set(words) == set(model.snapshot())
    np.testing.assert_array_equal(model.pool_one(text), model.pool_one(words))


def test_a_text_longer_than_what_is_cut_at_a_time_has_one_vector(model):
    """A million words are cut in several blocks and hundreds of pieces."""
    words = ["w1", "w2", "the", "of"]
    pooled = model.pool_many([" ".join(words) * 1, " ".join(words * 250_000), "w1"])
    np.testing.assert_allclose(pooled[1], pooled[0], rtol=1e-9)
    np.testing.assert_array_equal(pooled[2], model.pool_one("w1"))


records = st.lists(
    st.one_of(
        st.text("w12 34\u00e9", max_size=20),
        st.lists(st.sampled_from(["w1", "w2", "the", "new"]), max_size=5),
        st.text("w12 34\u00e9", max_size=20).map(str.encode),
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(records, st.sampled_from(list(POOLINGS)), st.booleans())
def test_many_texts_are_pooled_as_each_one_is(model, xs, pooling, remove):
    """Bit for bit, whatever they are and however they are mixed."""
    removed = np.arange(20.0) if remove else None
    pooled = model.pool_many(xs, pooling, removed=removed)
    assert pooled.shape == (len(xs), 20)
    for x, vector in zip(xs, pooled, strict=True):
        np.testing.assert_array_equal(vector, model.pool_one(x, pooling, removed=removed))


def test_pooling_changes_nothing_in_the_model(model):
    """Neither counts nor vectors, nor what is learnt next."""
    before = {name: tensor.copy() for name, tensor in model.tensors().items()}
    model.pool_many([*TEXTS, "new words"], "sif", removed=np.ones(20))
    for name, tensor in model.tensors().items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name)


def test_a_direction_is_taken_out(model):
    """What is left is at right angles to it, however long it was given."""
    direction = np.linspace(-1, 3, 20)
    pooled = model.pool_one("w1 w2", removed=direction)
    assert abs(pooled @ direction) < 1e-12
    whole = model.pool_one("w1 w2")
    along = whole @ direction / (direction @ direction)
    np.testing.assert_allclose(pooled, whole - along * direction, atol=1e-12)
    np.testing.assert_array_equal(model.pool_one("w1 w2", removed=np.zeros(20)), whole)


def test_what_cannot_work_is_refused(model):
    """A pooling that there is not, a direction of another length, and no text."""
    with pytest.raises(ConfigError, match="pooling must be one of mean, sif, max, not 'sum'"):
        model.pool_one("w1", "sum")
    with pytest.raises(ConfigError, match=r"removed must be 20 numbers, not .* \(3,\)"):
        model.pool_one("w1", removed=np.ones(3))
    with pytest.raises(TypeError, match="not dict"):
        model.pool_one({"text": "w1"})
    released = model.copy()
    released.release()
    with pytest.raises(BrokenModelError, match="released"):
        released.pool_one("w1")


def test_texts_are_pooled_while_others_learn():
    """Between their records, and never from tables that are just being replaced."""
    model = Word2Vec(vector_size=8, min_count=1, max_vocab_size=500, workers=2)
    texts = [f"w{i} w{i + 1} w{i % 7} common" for i in range(20_000)]
    learner = threading.Thread(target=model.learn_many, args=(texts,))
    learner.start()
    pooled = 0
    while learner.is_alive() or pooled == 0:
        vectors = model.pool_many(["common", f"w{pooled} common", "unheard"], "sif")
        assert np.isfinite(vectors).all()
        assert not vectors[2].any()
        pooled += 1
    learner.join()
    assert model.pool_one("common").any()


def test_the_component_is_that_of_all_vectors():
    """Of vectors that come from one distribution, what SVD finds of all of them at once."""
    draw = np.random.default_rng(5)
    vectors = draw.normal(size=(5000, 10)) * np.linspace(1, 2, 10) + 0.5
    component = Component(10)
    for vector in vectors:
        component.follow(vector)
    first = np.linalg.svd(vectors)[2][0]
    unit = component.direction / np.linalg.norm(component.direction)
    assert abs(unit @ first) > 0.99


def test_the_component_follows_vectors_that_move():
    """What came first is forgotten."""
    component = Component(2)
    for vector in [[5.0, 0.0]] * 300 + [[0.0, 5.0], [0.1, 5.0]] * 1500:
        component.follow(np.array(vector))
    assert component.direction[1] > 10 * abs(component.direction[0])


def test_the_component_survives_as_json():
    """Bit for bit."""
    component = Component(3)
    for vector in np.random.default_rng(6).normal(size=(9, 3)):
        component.follow(vector)
    other = Component.from_dict(component.to_dict())
    assert (other.direction.tolist(), other.vectors) == (component.direction.tolist(), 9)
    other.follow(np.ones(3))
    assert component.vectors == 9
