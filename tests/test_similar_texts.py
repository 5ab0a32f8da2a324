"""SimilarTexts: what is found, against looking at all of it, and its place in river."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks, feature_extraction, neighbors

from stream_w2v.errors import ConfigError
from stream_w2v.estimators import SimilarTexts, Word2VecTransformer
from stream_w2v.estimators.saved import from_json, to_json

features = st.dictionaries(
    st.sampled_from("abcdef"), st.floats(-9, 9).filter(lambda x: abs(x) > 1e-3), max_size=4
)


def cosine(a: dict, b: dict) -> float:
    return sum(a[k] * b.get(k, 0.0) for k in a) / math.hypot(*a.values()) / math.hypot(*b.values())


@given(st.lists(features, max_size=12), features, st.integers(1, 5), st.floats(-1, 1))
def test_it_finds_what_looking_at_all_finds(texts, text, topn, least):
    """The most similar of the last few, with their cosines; nothing for no features."""
    similar = SimilarTexts(topn, least, neighbors.LazySearch(window_size=6))
    for number, x in enumerate(texts):
        similar.learn_one(x, number)
    kept = [(number, x) for number, x in enumerate(texts) if x][-6:]
    cosines = {number: cosine(text, x) for number, x in kept} if text else {}
    found = similar.predict_one(text)
    wanted = sorted(cosines.values(), reverse=True)[:topn]
    wanted = [value for value in wanted if value >= least - 1e-9]
    assert len(found) in (len(wanted), sum(value > least + 1e-9 for value in wanted))
    for (number, value), best in zip(found, wanted, strict=False):
        assert value == pytest.approx(cosines[number], abs=1e-6)
        assert value == pytest.approx(best, abs=1e-6)


def test_a_story_is_threaded_in_a_pipeline():
    """By the words of its texts, whatever they are called."""
    texts = feature_extraction.BagOfWords() | SimilarTexts(n_neighbors=2)
    texts.learn_one("storm floods the coast", "monday")
    texts.learn_one("team wins the cup", ("tuesday", 2))
    texts.learn_one("the storm has passed", None)
    (first, cosine_of_first), (second, _) = texts.predict_one("the storm at the coast")
    assert (first, second) == ("monday", None)
    assert cosine_of_first == pytest.approx(4 / math.sqrt(4 * 7))


def test_texts_without_a_known_word_are_like_no_other():
    """They are neither found nor take a place in the window."""
    words = Word2VecTransformer(vector_size=8, min_count=1)
    texts = words | SimilarTexts(engine=neighbors.LazySearch(window_size=1))
    texts.learn_one("a b c", 1)
    assert texts.predict_one("zzz") == []
    texts["SimilarTexts"].learn_one(words.transform_one("zzz"), 2)
    assert [name for name, _ in texts.predict_one("c b a")] == [1]


def test_equal_texts_are_found_as_duplicates():
    """With a cosine of 1, the older one first."""
    texts = SimilarTexts(min_similarity=0.999)
    for number in range(3):
        texts.learn_one({"a": 1.0, "b": 2.0, "c": number // 2}, number)
    found = texts.predict_one({"a": 3.0, "b": 6.0, "c": 0.0})
    assert [name for name, _ in found] == [0, 1]
    assert found[0][1] == pytest.approx(1.0)


def test_what_is_remembered_is_a_copy():
    """The caller may go on with the dict."""
    texts = SimilarTexts()
    x = {"a": 1.0}
    texts.learn_one(x, 1)
    x["b"] = 5.0
    assert texts.predict_one({"a": 2.0}) == [(1, pytest.approx(1.0))]


def test_another_engine_of_river_may_search():
    """The graph of SWINN finds most of what looking at all finds, for texts of four kinds."""
    draw = np.random.default_rng(1)
    exact = SimilarTexts(n_neighbors=5)
    graph = SimilarTexts(n_neighbors=5, engine=neighbors.SWINN(warm_up=50, seed=1))
    for number in range(300):
        x = dict(enumerate((draw.normal(size=4) + 4 * np.eye(4)[number % 4]).tolist()))
        exact.learn_one(x, number)
        graph.learn_one(x, number)
    x = dict(enumerate((4 * np.eye(4)[2]).tolist()))
    wanted = {name for name, _ in exact.predict_one(x)}
    assert len(wanted & {name for name, _ in graph.predict_one(x)}) >= 4
    assert all(name % 4 == 2 for name in wanted)


def test_what_is_remembered_is_part_of_a_checkpoint():
    """And found again."""
    texts = SimilarTexts()
    for number in range(20):
        texts.learn_one({"a": number, "b": 1.0}, f"text {number}")
    saved, _ = to_json(texts, {})
    again = from_json(json.loads(json.dumps(saved)), [], {})
    assert again.predict_one({"a": 5.0, "b": 1.0}) == texts.predict_one({"a": 5.0, "b": 1.0})
    again.learn_one({"a": 1.0}, "more")
    assert "more" not in {name for name, _ in texts.predict_one({"a": 1.0})}


def test_numbers_that_are_not_finite_are_like_nothing():
    """They take no text's place; large ones do not overflow."""
    texts = SimilarTexts(engine=neighbors.LazySearch(window_size=2))
    texts.learn_one({"a": 1e200, "b": 0.0}, "large")
    for value in (math.inf, -math.inf, math.nan):
        texts.learn_one({"a": value, "b": 1.0}, value)
        assert texts.predict_one({"a": value, "b": 1.0}) == []
    assert texts.predict_one({"a": 1e-200}) == [("large", 1.0)]
    assert texts.predict_one({"c": 1.0}) == [("large", 0.0)]


@pytest.mark.parametrize(
    "options", [{"n_neighbors": 0}, {"n_neighbors": 1.5}, {"min_similarity": math.nan}]
)
def test_what_makes_no_sense_is_refused(options):
    """With one line that says so."""
    with pytest.raises(ConfigError):
        SimilarTexts(**options)


@pytest.mark.parametrize("parameters", list(SimilarTexts._unit_test_params()))
def test_it_learns_with_every_engine(parameters):
    """And finds a text that it has just seen."""
    texts = SimilarTexts(**parameters)
    draw = np.random.default_rng(1)
    for number in range(150):
        x = dict(zip("abcd", draw.normal(size=4).tolist(), strict=True))
        texts.learn_one(x, number)
    assert texts.predict_one(x)[0] == (149, 1.0)


@pytest.mark.parametrize("parameters", list(SimilarTexts._unit_test_params()))
def test_the_checks_of_river_pass(parameters):
    """All that it has for an estimator."""
    checks.check_estimator(SimilarTexts(**parameters))
