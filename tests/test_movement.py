"""How far words moved: against the same worked out in plain Python, and as words come and go."""

import math

import numpy as np
import pytest

from stream_w2v import Word2Vec

WORDS = [f"w{i}" for i in range(12)]


def learnt(**options) -> Word2Vec:
    model = Word2Vec(**{"vector_size": 5, "min_count": 1, "window": 2, "sample": 0.0, **options})
    model.learn_many([WORDS[i % 5 :] for i in range(30)])
    return model


def vector_of(model: Word2Vec, word: str) -> list[float]:
    return model.snapshot(combine="input")[word].tolist()


def windows_of(model: Word2Vec, word: str) -> float:
    rows = model.vocabulary.rows()
    row = rows[model.vocabulary.words(rows).index(word)]
    return float(model._state.weights.input_windows[row])


@pytest.mark.parametrize("schedule", ["per-row", "constant", "inverse-sqrt"])
def test_movement_is_what_plain_python_makes_of_two_snapshots(schedule):
    """The distance, the windows and the rates of both moments, for each word."""
    model = learnt(schedule=schedule)
    before = {word: (vector_of(model, word), windows_of(model, word)) for word in WORDS}
    tokens = model.counters["words"]
    look = model.look(WORDS)
    model.learn_many([WORDS[3:]] * 4)
    moved = model.movement(look)
    for word, found in zip(WORDS, moved, strict=True):
        old, windows = before[word]
        new = vector_of(model, word)
        trained = windows_of(model, word) - windows
        if word in WORDS[:3]:
            assert math.isnan(found)
            continue
        cosine = (
            sum(a * b for a, b in zip(old, new, strict=True))
            / math.dist(old, [0.0] * 5)
            / math.dist(new, [0.0] * 5)
        )
        rates = [
            float(model.schedule.rates(np.float32([n]), int(at))[0])
            for n, at in ((windows, tokens), (windows + trained, model.counters["words"]))
        ]
        if schedule == "inverse-sqrt":
            # One rate for all, and the difference between the two moments is next to nothing.
            assert rates[0] == pytest.approx(rates[1], rel=1e-4)
        expected = math.log(1 - cosine) - math.log(trained * rates[0] * rates[1])
        assert found == pytest.approx(expected, abs=1e-3)


def test_the_most_frequent_words_are_looked_at():
    """As many as are asked for, or all."""
    model = Word2Vec(vector_size=4, min_count=1)
    model.learn_many([["a"] * 9, ["b"] * 5, ["c"] * 3, ["d"]])
    assert set(model.look(2).words) == {"a", "b"}
    assert set(model.look(100).words) == {"a", "b", "c", "d"}
    assert model.look(0).words == []


def test_looking_changes_nothing():
    """Not a bit of the state."""
    model, other = learnt(), learnt()
    model.movement(model.look([*WORDS, "unheard", "", "x" * 10_000, "\ud800"]))
    model.movement(model.look(5))
    theirs = other.tensors()
    for name, tensor in model.tensors().items():
        np.testing.assert_array_equal(tensor, theirs[name], err_msg=name)


def test_unknown_words_have_not_moved():
    """Nor those that came in between, nor words that no row could hold."""
    model = learnt()
    look = model.look(["unheard", "w1", "", "x" * 10_000])
    assert (look.rows[[0, 2, 3]] == -1).all()
    model.learn_many([["unheard", *WORDS]] * 3)
    moved = model.movement(look)
    assert np.isnan(moved[[0, 2, 3]]).all()
    assert np.isfinite(moved[1])


def test_a_word_that_was_evicted_has_not_moved():
    """Not even when another word has its row, or it is back in another one."""
    model = learnt(max_vocab_size=20)
    look = model.look(WORDS)
    for number in range(200):
        model.learn_many([[f"n{number}", f"m{number}"]] * 40)
    rows = model.vocabulary.rows()
    assert not set(WORDS) & set(model.vocabulary.words(rows))
    assert np.isnan(model.movement(look)).all()
    model.learn_many([WORDS[10:]] * 100)
    again = model.look(WORDS)
    assert (again.rows[10:] >= 0).all()
    moved = model.movement(look)
    assert np.isnan(moved[again.rows != look.rows]).all()
    model.learn_many([WORDS[10:]] * 5)
    assert np.isfinite(model.movement(again)[10:]).all()


def test_a_model_without_words_can_be_looked_at():
    """Before the first record."""
    model = Word2Vec(vector_size=4)
    look = model.look(10)
    assert look.words == []
    assert len(model.movement(look)) == 0
    assert np.isnan(model.movement(model.look(["a"]))).all()
