"""The transformer in river: its checks, its pipelines, and what it makes of a text."""

import copy
import importlib
import inspect
import itertools
import math
import pickle
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import (
    checks,
    compose,
    evaluate,
    feature_extraction,
    linear_model,
    metrics,
    naive_bayes,
    preprocessing,
)

from stream_w2v import Config, Word2Vec
from stream_w2v.errors import ConfigError, FormatError
from stream_w2v.estimators import Word2VecTransformer
from stream_w2v.memory import memory_now

SMALL = {"vector_size": 6, "min_count": 1}


def messages(count: int, seed: int = 1) -> list[tuple[dict[str, str], bool]]:
    """Return messages in four fields, half of them spam, which one field tells."""
    draw = random.Random(seed)
    common = [f"w{i}" for i in range(30)]
    result = []
    for _ in range(count):
        spam = draw.random() < 0.5
        body = draw.choices(common, k=6) + draw.choices(
            ["win", "cash", "prize", "free"] if spam else ["lunch", "home", "later", "tonight"], k=4
        )
        draw.shuffle(body)
        fields = {name: " ".join(draw.choices(common, k=3)) for name in ("to", "from", "title")}
        result.append(({**fields, "body": " ".join(body)}, spam))
    return result


TEXTS = [x["body"] for x, _ in messages(300)]


def learnt(**options) -> Word2VecTransformer:
    """Return a transformer that has learnt the texts."""
    words = Word2VecTransformer(**{**SMALL, **options})
    words.learn_many(pd.Series(TEXTS))
    return words


def same_state(one: Word2VecTransformer, other: Word2VecTransformer) -> None:
    """Check that two have learnt the same, to the last bit."""
    theirs = other.model.tensors()
    for name, tensor in one.model.tensors().items():
        np.testing.assert_array_equal(tensor, theirs[name], err_msg=name)
    mine, theirs = one._learnt.component, other._learnt.component
    assert mine.to_dict() == theirs.to_dict()


# river's own checks.

OF_TRANSFORMERS = hasattr(checks.common, "check_transform_one")
PARAMETERS = [{}, *Word2VecTransformer._unit_test_params()]


class Untagged(Word2VecTransformer):
    """The same, without the tag at which river's checks leave out all that takes data."""

    @property
    def _tags(self):
        return set()


def all_checks():
    """Yield each check of river for each set of parameters, none left out."""
    for number, parameters in enumerate(PARAMETERS):
        for kind in (Word2VecTransformer, Untagged):
            estimator = kind(**parameters)
            for check in checks.yield_checks(estimator):
                name = f"{kind.__name__}-{number}-{check.__name__}"
                yield pytest.param(estimator, check, id=name)


@pytest.mark.parametrize(("estimator", "check"), list(all_checks()))
def test_every_check_of_river_passes(estimator, check):
    """One by one, so that a failure has a name."""
    check(estimator.clone())


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_check_estimator_passes_and_skips_nothing(parameters):
    """As river calls it."""
    checks.check_estimator(Word2VecTransformer(**parameters))
    assert Word2VecTransformer(**parameters)._unit_test_skips() == set()


@pytest.mark.skipif(not OF_TRANSFORMERS, reason="this river tries data on predictors only")
def test_the_checks_that_take_data_and_batches_are_among_them():
    """So the tests above test what they say."""
    names = {check.__name__ for check in checks.yield_checks(Untagged())}
    wanted = {
        "check_learn_one", "check_pickling", "check_emerging_features", "check_transform_one",
        "check_learn_many_matches_learn_one", "check_transform_many_matches_transform_one",
        "check_bounded_memory_growth",
    }  # fmt: skip
    assert {name for name in wanted if hasattr(checks.common, name)} <= names


@pytest.mark.skipif(not OF_TRANSFORMERS, reason="this river tries data on predictors only")
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_the_checks_that_take_data_pass_on_texts(parameters, monkeypatch):
    """River's data are numbers; here are fields of text, on which the vectors are not zeros."""
    texts = [
        ({**x, "text": x["body"], "number": 1.5, "none": None}, spam) for x, spam in messages(120)
    ]
    monkeypatch.setattr(checks, "_yield_datasets", lambda *_, **__: iter([texts]))
    tried = 0
    for check in checks.yield_checks(Untagged(**parameters)):
        # It makes floats of all data.
        if check.__name__ != "check_learn_many_matches_learn_one":
            check(Untagged(**parameters))
            tried += "dataset" in getattr(check, "keywords", {})
    assert tried >= 7


# The parameters.


def test_every_option_of_config_is_a_parameter():
    """By name, with its default, and in the order in which Config has them."""
    theirs = inspect.signature(Config).parameters
    mine = inspect.signature(Word2VecTransformer).parameters
    assert list(mine) == ["on", "pooling", "remove_component", "prefix", *theirs]
    for name, parameter in theirs.items():
        assert mine[name].default == parameter.default
        assert mine[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert mine["half_life"].annotation == float | None


def test_a_wrong_option_is_named():
    """As everywhere in the library."""
    with pytest.raises(ConfigError, match="unknown option: vector_sise"):
        Word2VecTransformer(vector_sise=3)
    with pytest.raises(ConfigError, match="pooling must be one of mean, sif, max, not 'sum'"):
        Word2VecTransformer(pooling="sum")


def test_a_clone_has_the_parameters_and_has_learnt_nothing():
    """With and without new ones."""
    words = learnt(on="body", pooling="sif", seed=7)
    clone = words.clone()
    assert clone._get_params() == words._get_params()
    assert clone.model.records == 0
    other = words.clone({"vector_size": 9, "pooling": "max"})
    assert (other.vector_size, other.pooling, other.seed, other.on) == (9, "max", 7, "body")
    assert len(other.transform_one({})) == 9


def test_a_clone_with_attributes_has_learnt_the_same_and_goes_on_by_itself():
    """River's way to copy an estimator with what it has learnt."""
    words = learnt(remove_component=True)
    clone = words.clone(include_attributes=True)
    same_state(words, clone)
    clone.learn_one("something new")
    assert words.model.records == len(TEXTS)


def test_mutate_changes_how_texts_are_pooled_and_nothing_that_the_model_is_made_with():
    """And refuses what there is not."""
    words = learnt()
    mean = words.transform_one("win cash")
    words.mutate({"pooling": "max"})
    assert words.transform_one("win cash") != mean
    words.mutate({"pooling": "mean"})
    assert words.transform_one("win cash") == mean
    with pytest.raises(ConfigError, match="pooling"):
        words.mutate({"pooling": "sum"})
    with pytest.raises(ValueError, match="vector_size"):
        words.mutate({"vector_size": 9})
    words.mutate({"remove_component": True})
    words.learn_one("win cash prize")
    assert words._learnt.component.vectors == 1


# What a text is.


@pytest.mark.parametrize(
    "x",
    [
        "win cash", "Win, cash!", b"win cash", ["win", "cash"], ("win", "cash"),
        np.array(["win", "cash"]), {"a": "win", "b": "cash"}, {"b": "cash", "a": "win", "c": 3},
        {"words": ["win", "cash"]}, {"a": ["win"], "b": ["cash"], "c": None},
        {"a": b"win", "b": "cash"}, {"a": np.array(["win", "cash"])}, bytearray(b"win cash"),
    ],
    ids=str,
)  # fmt: skip
def test_without_a_field_anything_that_holds_words_is_a_text(x):
    """A str, bytes, a list of words, or a dict of them, whose order means nothing."""
    one, other = learnt(), learnt()
    assert one.transform_one(x) == one.transform_one("win cash")
    assert any(one.transform_one(x).values())
    one.learn_one(x)
    other.learn_one("win cash")
    same_state(one, other)


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, pd.NaT, np.float32("nan"), ""])
def test_what_is_missing_is_a_text_of_no_words(missing):
    """In a field, as a field, and as the text itself."""
    words, plain = learnt(on="body"), learnt()
    for x in ({}, {"title": "win"}, {"body": missing}):
        words.learn_one(x)
        assert list(words.transform_one(x).values()) == [0.0] * 6
    assert words.model.records == len(TEXTS) + 3, "each of them is a record"
    assert list(plain.transform_one(missing).values()) == [0.0] * 6
    assert list(plain.transform_one({}).values()) == [0.0] * 6
    frame = words.transform_many(pd.DataFrame({"body": [missing, "win"], "title": ["a", "b"]}))
    assert not frame.iloc[0].any()
    assert frame.iloc[1].any()
    assert not words.transform_many(pd.DataFrame({"title": ["win"]})).to_numpy().any()


def test_what_is_no_text_is_refused():
    """Rather than being learnt as nothing for ever."""
    words = Word2VecTransformer(on="body", **SMALL)
    with pytest.raises(TypeError, match=r"a text is a str, bytes or a list of words, not 3\.5"):
        words.learn_one({"body": 3.5})
    with pytest.raises(TypeError, match="the text is in the field 'body' of a dict"):
        words.transform_one("win cash")
    with pytest.raises(TypeError, match="not 3"):
        words.learn_many(pd.DataFrame({"body": ["win", 3]}))
    assert words.model.records == 1, "what came before is learnt"
    with pytest.raises(TypeError, match="a batch is a DataFrame or a Series of pandas, not list"):
        words.transform_many(["win"])
    with pytest.raises(TypeError, match="name one with on="):
        Word2VecTransformer(**SMALL).learn_one({"a": "win", "b": ["cash"]})


# What comes out.


def test_the_numbers_have_names_and_are_a_dict_of_their_own():
    """After the field, and plain floats."""
    words = learnt(on="body")
    first, second = (words.transform_one({"body": "win cash"}) for _ in range(2))
    assert list(first) == [f"body_w2v_{i}" for i in range(6)]
    assert {type(value) for value in first.values()} == {float}
    first.clear()
    assert len(second) == 6
    assert list(learnt().transform_one("")) == [f"w2v_{i}" for i in range(6)]


def test_the_numbers_are_the_mean_of_the_vectors_in_a_snapshot():
    """The live ones: no snapshot is taken."""
    words = learnt()
    vectors = words.model.snapshot()
    expected = (vectors["win"] + vectors["cash"]) / 2
    np.testing.assert_allclose(list(words.transform_one("win cash").values()), expected, atol=1e-6)
    words.learn_many(pd.Series(TEXTS))
    assert not np.allclose(list(words.transform_one("win cash").values()), expected, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "sif", "max"])
def test_without_the_component_texts_differ_in_all_directions(pooling):
    """Most of what all texts have in common is gone."""
    plain, words = learnt(pooling=pooling), learnt(pooling=pooling, remove_component=True)
    whole = plain.transform_many(pd.Series(TEXTS)).to_numpy()
    left = words.transform_many(pd.Series(TEXTS)).to_numpy()
    direction = words._learnt.component.direction
    np.testing.assert_allclose(left @ direction, 0.0, atol=1e-9)
    unit = direction / np.linalg.norm(direction)
    np.testing.assert_allclose(left, whole - np.outer(whole @ unit, unit), atol=1e-9)
    first = np.linalg.svd(whole)[2][0]
    assert abs(first @ unit) > 0.9


def test_a_frame_comes_out_under_the_index_that_went_in():
    """float64 throughout, also of no rows, of zeros and of pandas' own strings."""
    words = learnt(on="body")
    frame = pd.DataFrame({"body": ["win", "unheard", None]}, index=["x", 7, "z"])
    for kind in (object, "string", "category"):
        out = words.transform_many(frame.astype({"body": kind}))
        assert list(out.index) == ["x", 7, "z"]
        assert list(out.columns) == [f"body_w2v_{i}" for i in range(6)]
        assert set(out.dtypes) == {np.dtype(np.float64)}
        assert out.iloc[0].to_dict() == words.transform_one({"body": "win"})
        assert not out.iloc[1:].to_numpy().any()
    assert frame["body"].isna().tolist() == [False, False, True], "and it is left as it was"
    nothing = words.transform_many(frame.iloc[:0])
    assert nothing.shape == (0, 6)
    assert set(nothing.dtypes) == {np.dtype(np.float64)}


texts = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "body": st.one_of(st.none(), st.text("ab cd\u00e9 ", max_size=12)),
            "title": st.text("abc ", max_size=6),
        },
    ),
    max_size=20,
)
parameters = st.fixed_dictionaries(
    {
        "on": st.sampled_from([None, "body"]),
        "pooling": st.sampled_from(["mean", "sif", "max"]),
        "remove_component": st.booleans(),
        "min_count": st.integers(1, 2),
        "max_vocab_size": st.sampled_from([10, 1000]),
    }
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(texts, parameters, st.lists(st.integers(0, 20), max_size=4))
def test_batches_are_learnt_and_transformed_as_their_rows_are(xs, parameters, cuts):
    """To the last bit, however the rows are grouped: a record is the unit."""
    one = Word2VecTransformer(vector_size=5, **parameters)
    many = one.clone()
    for x in xs:
        one.learn_one(x)
    frame = pd.DataFrame(xs, columns=["body", "title"], dtype=object)
    edges = sorted({0, len(xs), *(cut for cut in cuts if cut <= len(xs))})
    for begin, end in itertools.pairwise(edges):
        many.learn_many(frame.iloc[begin:end])
    same_state(one, many)
    out = many.transform_many(frame)
    assert out.to_dict("records") == [one.transform_one(x) for x in xs]


# Copies.


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))])
def test_a_copy_goes_on_as_the_first(copied):
    """Bit for bit, the component included, and by itself."""
    words = learnt(on="body", pooling="sif", remove_component=True, replay_tokens=500)
    other = copied(words)
    assert other._get_params() == words._get_params()
    for x, _ in messages(100, seed=2):
        words.learn_one(x)
        assert other.transform_one({"body": "win"}) != words.transform_one({"body": "win"})
    for x, _ in messages(100, seed=2):
        other.learn_one(x)
    same_state(words, other)
    assert other.transform_one({"body": "win"}) == words.transform_one({"body": "win"})


def cut(text: str) -> list[str]:
    """Cut at hyphens."""
    return text.split("-")


def test_one_with_a_tokenizer_is_copied_with_it():
    """Pickled by its name, as functions are."""
    words = Word2VecTransformer(text=cut, **SMALL)
    words.learn_one("win-cash-win")
    for other in (words.clone(), copy.deepcopy(words), pickle.loads(pickle.dumps(words))):
        other.learn_one("win-cash-win")
        assert any(other.transform_one("win").values())
        assert not any(other.transform_one("win cash").values())


def test_a_pickle_holds_a_saved_model_and_damage_is_seen():
    """The same verified bytes as in a file."""
    words = learnt()
    data = pickle.dumps(words)
    saved = words.model.to_bytes({"component": words._learnt.component.to_dict()})
    assert saved in data
    # In the last tensor.
    place = data.index(saved) + len(saved) - 3
    damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    with pytest.raises(FormatError, match="what was pickled is damaged"):
        pickle.loads(damaged)


def test_memory_is_what_is_in_use_not_what_is_reserved():
    """Alone and in a pipeline, before and after learning."""
    words = Word2VecTransformer()
    pipeline = words | preprocessing.StandardScaler()
    for estimator in (words, pipeline):
        before = estimator._raw_memory_usage
        assert memory_now(words.model) < before < memory_now(words.model) + 100_000
    words.learn_many(pd.Series([f"w{i // 5}" for i in range(5000)]))
    for estimator in (words, pipeline):
        grown = estimator._raw_memory_usage - before
        assert 500_000 < grown < 2_000_000, "a thousand words of a hundred numbers, twice"
    assert words._memory_usage.endswith("B")


# Pipelines.


def test_a_pipeline_learns_to_tell_spam():
    """Features that nobody labelled, and a classifier over them, tested before they are learnt."""
    model = (
        Word2VecTransformer(on="body", vector_size=16, min_count=2)
        | preprocessing.StandardScaler()
        | linear_model.LogisticRegression()
    )
    data = messages(600)
    metric = evaluate.progressive_val_score(data, model, metrics.Accuracy())
    assert metric.get() > 0.9
    assert "w2v_0" in model.debug_one(data[0][0])
    steps = list(
        evaluate.iter_progressive_val_score(data, model.clone(), metrics.Accuracy(), step=200)
    )
    assert [step["Step"] for step in steps] == [200, 400, 600]
    assert steps[-1]["Accuracy"].get() == metric.get()


def test_a_union_has_the_features_of_all_parts():
    """With ``+``, beside river's own, and of two fields, whose names differ."""
    union = (
        Word2VecTransformer(on="body", **SMALL)
        + Word2VecTransformer(on="title", **SMALL)
        + feature_extraction.BagOfWords(on="body")
    )
    assert isinstance(union, compose.TransformerUnion)
    x = {"body": "win cash", "title": "hello"}
    for _ in range(3):
        union.learn_one(x)
    out = union.transform_one(x)
    assert {"body_w2v_5", "title_w2v_5", "win", "cash"} <= set(out)
    assert len(out) == 14
    assert any(out[f"title_w2v_{i}"] for i in range(6))
    clone = union.clone()
    assert not any(value for name, value in clone.transform_one(x).items() if "w2v" in name)


def test_two_of_one_field_in_a_union_have_a_prefix_each():
    """For rows and for batches, which river joins in different ways."""
    union = Word2VecTransformer(on="body", **SMALL) + Word2VecTransformer(
        on="body", pooling="max", prefix="max_", **SMALL
    )
    frame = pd.DataFrame([x for x, _ in messages(40)])
    union.learn_many(frame)
    out = union.transform_many(frame)
    assert set(out) == {f"{prefix}{i}" for prefix in ("body_w2v_", "max_") for i in range(6)}
    assert out.iloc[7].to_dict() == union.transform_one(frame.iloc[7].to_dict())
    assert (out.filter(like="max_").to_numpy() >= out.filter(like="body_").to_numpy()).all()


def test_a_union_in_a_pipeline_is_validated_and_copied():
    """TF-IDF and vectors side by side."""
    model = (
        feature_extraction.TFIDF(on="body") + Word2VecTransformer(on="body", **SMALL)
    ) | linear_model.LogisticRegression()
    data = messages(300)
    assert evaluate.progressive_val_score(data, model, metrics.Accuracy()).get() > 0.8
    x = data[0][0]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.predict_proba_one(x) == model.predict_proba_one(x)


def test_learning_while_predicting_learns_every_text_once():
    """What no label comes for is learnt, too."""
    model = Word2VecTransformer(on="body", **SMALL) | naive_bayes.GaussianNB()
    data = messages(50)
    with compose.learn_during_predict():
        for x, spam in data:
            model.predict_one(x)
            model.learn_one(x, spam)
    words = next(iter(model.steps.values()))
    assert words.model.records == 50


def test_batches_go_through_a_pipeline_as_rows_do():
    """Vectors, scaler and classifier, learnt from frames; the vectors are those of rows."""
    data = messages(200)
    frame = pd.DataFrame([x for x, _ in data])
    model = (
        Word2VecTransformer(on="body", **SMALL)
        | preprocessing.StandardScaler()
        | linear_model.LogisticRegression()
    )
    model.learn_many(frame[["body"]], pd.Series([spam for _, spam in data]))
    out = model.predict_many(frame[["body"]])
    assert (out.index == frame.index).all()
    alone = Word2VecTransformer(on="body", **SMALL)
    for x, _ in data:
        alone.learn_one(x)
    same_state(model.steps["Word2VecTransformer"], alone)


# What is installed.


def test_the_library_works_without_river():
    """Importing it imports neither river nor pandas."""
    code = "import stream_w2v, sys; print({'river', 'pandas'} & sys.modules.keys())"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "set()\n"


@pytest.mark.parametrize("name", ["river", "pandas"])
def test_without_river_it_is_said_what_to_install(monkeypatch, name):
    """By the name of the extra."""
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "stream_w2v.estimators")
    with pytest.raises(ConfigError, match=r"pip install 'stream-w2v\[river\]'"):
        importlib.import_module("stream_w2v.estimators")


def test_the_model_inside_is_one_like_any_other(tmp_path):
    """Its words can be asked for, and it can be saved."""
    words = learnt()
    words.model.save(tmp_path / "model")
    loaded = Word2Vec.load(tmp_path / "model")
    assert loaded.snapshot().most_similar("win") == words.model.snapshot().most_similar("win")
