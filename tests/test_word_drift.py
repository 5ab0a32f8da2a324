"""WordDrift: which words are found, when nothing may be said, and its place in river."""

import copy
import json
import math
import pickle
import random
import re
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from river import checks, drift, linear_model

from stream_w2v.errors import ConfigError
from stream_w2v.estimators import Word2VecTransformer, WordDrift
from stream_w2v.estimators.saved import from_json, to_json

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import streams

FROM = 8000
"""Texts before anything changes."""

SWAPPED = {"water": "king", "king": "water", "river": "computer", "computer": "river"}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Return paragraphs of an encyclopedia, in no order."""
    return [x["text"] for x, _ in islice(streams.wikipedia(), FROM + 6000)]


@pytest.fixture(scope="module")
def swapped(texts) -> list[str]:
    """Return the same, in which from some place on words stand for each other."""
    words = re.compile(rf"\b({'|'.join(SWAPPED)})\b")
    return texts[:FROM] + [words.sub(lambda word: SWAPPED[word[1]], x) for x in texts[FROM:]]


def transformer(**options) -> Word2VecTransformer:
    return Word2VecTransformer(vector_size=50, **options)


def alarms(detector: WordDrift, texts: list[str]) -> list[tuple[int, list[str]]]:
    """Return after which texts drift is detected, and of which words."""
    result = []
    for number, text in enumerate(texts):
        detector.transformer.learn_one(text)
        detector.update(number % 2)
        if detector.drift_detected:
            assert not detector.warning_detected
            result.append((number + 1, detector.drifted))
        else:
            assert detector.drifted == []
    return result


def test_words_in_other_company_are_found_and_named(swapped):
    """Soon after, and none of those that stayed where they were."""
    found = alarms(WordDrift(transformer(), words=[*SWAPPED, "film", "city", "unheard"]), swapped)
    assert all(FROM < number <= FROM + 3000 for number, _ in found)
    named = {word for _, words in found for word in words}
    assert {"king", "water"} <= named <= set(SWAPPED)


def test_where_nothing_changes_nothing_is_said(texts):
    """Neither of words, nor of the whole."""
    assert alarms(WordDrift(transformer(), words=[*SWAPPED, "film", "city", "law"]), texts) == []
    assert alarms(WordDrift(transformer()), texts) == []


def test_another_kind_of_text_is_found(texts):
    """All words are used in another way at once, and none is named."""
    frequent = [word for word, _ in Counter(" ".join(texts).split()).most_common(1000)]
    others = random.Random(1).sample(frequent, len(frequent))
    other = dict(zip(frequent, others, strict=True))
    changed = [" ".join(other.get(word, word) for word in text.split()) for text in texts[FROM:]]
    found = alarms(WordDrift(transformer()), texts[:FROM] + changed)
    assert FROM < found[0][0] <= FROM + 2000
    assert all(words == [] for _, words in found)


def test_a_warning_comes_before_drift(swapped):
    """As retraining needs it, which teaches its new model while a warning stands."""
    detector = WordDrift(transformer(), words=["king"])
    warned = 0
    for number, text in enumerate(swapped):
        detector.transformer.learn_one(text)
        detector.update(0)
        if detector.drift_detected:
            assert number > FROM
            break
        warned = warned + 1 if detector.warning_detected else 0
    assert warned >= detector.every


def test_a_warning_that_nothing_follows_ends():
    """After ten looks, also if the word does not come any more."""
    detector = WordDrift(
        transformer(min_count=1), ["w1"], every=5, grace_period=0, detector=drift.NoDrift(),
        warning_detector=drift.DummyDriftDetector(t_0=5),
    )  # fmt: skip
    draw = random.Random(1)
    words = [f"w{i}" for i in range(60)]
    warned = 0
    for number in range(2000):
        known = words if not warned else words[2:]
        detector.transformer.learn_one(draw.choices(known, k=12))
        detector.update()
        warned += detector.warning_detected
        assert number < 200 or warned
    assert warned == 10 * detector.every


def test_rates_that_have_fallen_to_nothing_say_nothing():
    """No word moves any more, which is no drift, and no number beyond all others."""
    words = transformer(min_count=1, schedule="linear", total_tokens=6000)
    detector = WordDrift(words, every=10)
    draw = random.Random(1)
    for _ in range(800):
        words.learn_one([f"w{draw.randrange(60)}" for _ in range(12)])
        detector.update()
    assert math.isfinite(detector._level.get())
    look = words.model.look(5)
    words.learn_one(look.words * 3)
    assert np.isnan(words.model.movement(look)).all()


def test_any_detector_of_river_will_do(swapped):
    """Each word has its own; what was given is only cloned."""
    given = drift.ADWIN(delta=0.1, clock=1)
    detector = WordDrift(transformer(), words=["king", "film"], every=20, detector=given)
    found = alarms(detector, swapped)
    assert found
    assert all(number > FROM and words == ["king"] for number, words in found)
    assert given.width == 0


def test_a_classifier_is_retrained(swapped):
    """By the one that learnt while the warning stood."""
    words = transformer()
    detector = WordDrift(words, words=list(SWAPPED))
    retrained = drift.DriftRetrainingClassifier(linear_model.LogisticRegression(), detector)
    pipeline = words | retrained
    replaced = []
    for number, text in enumerate(swapped):
        before = retrained.model
        pipeline.learn_one(text, "the" in text.split()[:3])
        if retrained.model is not before:
            replaced.append(number)
            assert retrained.model.weights
    assert replaced
    assert all(FROM < number < FROM + 3000 for number in replaced)


def test_a_transformer_that_nobody_teaches_is_an_error():
    """So a cloned pipeline does not watch in silence."""
    detector = WordDrift(transformer(), every=3)
    detector.update(0)
    detector.update(0)
    with pytest.raises(ValueError, match="not a clone"):
        detector.update(0)


def test_a_transformer_that_was_replaced_is_an_error():
    """As one inside the model that is retrained, where nobody teaches it any more."""
    words = transformer(min_count=1)
    detector = WordDrift(words, every=5, grace_period=0, detector=drift.DummyDriftDetector(t_0=20))
    model = drift.DriftRetrainingClassifier(words | linear_model.LogisticRegression(), detector)
    draw = random.Random(1)
    with pytest.raises(ValueError, match="in a model that was replaced"):
        for number in range(2000):
            text = " ".join(f"w{draw.randrange(60)}" for _ in range(12))
            model.learn_one(text, number % 2 == 0)


def test_batches_may_be_learnt_at_once():
    """Looks in between find nothing new, and are no error."""
    words = transformer(min_count=1)
    detector = WordDrift(words, every=10)
    for _ in range(3):
        words.learn_many(pd.Series(["a b c d e f g h i j k l"] * 500))
        for _ in range(500):
            detector.update()


def by_checkpoint(detector: WordDrift) -> WordDrift:
    saved, models = to_json((detector.transformer, detector), {})
    words, again = from_json(json.loads(json.dumps(saved)), models, {})
    assert again.transformer is words
    return again


def by_pickle(detector: WordDrift) -> WordDrift:
    return pickle.loads(pickle.dumps(detector))


@pytest.mark.parametrize("again", [copy.deepcopy, by_pickle, by_checkpoint])
def test_it_goes_on_after_it_was_copied_or_saved(swapped, again):
    """With a transformer of its own, and finds what the original finds, at the same text."""
    whole = alarms(WordDrift(transformer(), words=["king", "water"]), swapped)
    detector = WordDrift(transformer(), words=["king", "water"])
    middle = FROM + 250
    assert alarms(detector, swapped[:middle]) == []
    other = again(detector)
    assert other.transformer is not detector.transformer
    found = alarms(other, swapped[middle:])
    assert [(number + middle, words) for number, words in found] == whole
    assert whole


@pytest.mark.parametrize("parameters", list(WordDrift._unit_test_params()))
def test_the_checks_of_river_that_are_for_detectors_pass(parameters):
    """All that it has for things that are no estimators."""
    detector = WordDrift(**parameters)
    for name in ("repr", "str", "clone_same_class", "doc", "pickling_supports_roundtrip"):
        check = getattr(checks.common, f"check_{name}", None)
        if check is not None:
            check(detector.clone())


@pytest.mark.parametrize(
    "options",
    [
        {"words": []}, {"words": "sea"}, {"words": [3]}, {"words": b"sea"}, {"every": 0},
        {"every": 2.5}, {"grace_period": -1}, {"transformer": "words"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(options):
    """With one line that says so."""
    with pytest.raises(ConfigError):
        WordDrift(**{"transformer": transformer(), **options})
