"""The memory of a model stays under the bound that its config states."""

import pytest

from stream_w2v import Config, Word2Vec
from stream_w2v.memory import memory_bound, memory_now


@pytest.mark.parametrize(
    "options",
    [
        {"max_vocab_size": 50, "max_candidates": 30},
        {"max_vocab_size": 5000, "max_candidates": 20_000, "vector_size": 20},
        # The table of the words that wait is exactly full when it is loaded.
        {"max_vocab_size": 5000, "max_candidates": 3 << 13, "min_count": 9},
    ],
)
def test_new_words_without_end_stay_within_the_bound(options: dict[str, int]) -> None:
    """They are as long as a word may be, and there are more than fit in any table."""
    config = Config.from_options({"min_count": 1, "vector_size": 8, **options})
    bound = memory_bound(config)
    model = Word2Vec(config)
    for start in range(0, 60_000, 500):
        model.learn_one([f"{n:0256}" for n in range(start, start + 500)])
        assert memory_now(model) <= bound
    assert model.counters["evicted" if config.min_count == 1 else "forgotten"] > 0


def test_what_is_kept_for_later_is_in_the_bound() -> None:
    """The ring and the contexts count with the bytes that their arrays have."""
    plain = Config(vector_size=8, max_vocab_size=100)
    config = Config(vector_size=8, max_vocab_size=100, replay_tokens=10_000, refresh_contexts=99)
    state = Word2Vec(config)._state
    arrays = [state.replay.arrays.tokens, *state.contexts.arrays]
    kept = sum(array.nbytes for array in arrays)
    assert kept > 40_000 + 99 * 48
    assert memory_bound(config) - memory_bound(plain) == kept
    assert memory_now(Word2Vec(config)) - memory_now(Word2Vec(plain)) == kept


def test_a_full_model_takes_a_fair_part_of_its_bound() -> None:
    """The bound is of use: what fills it most takes more than half of it."""
    config = Config(vector_size=8, min_count=1, max_vocab_size=8192, max_candidates=10)
    model = Word2Vec(config)
    for start in range(0, 20_000, 500):
        model.learn_one([f"{n:0256}" for n in range(start, start + 500)])
    assert memory_bound(config) / 2 < memory_now(model) <= memory_bound(config)


def test_memory_now_is_about_what_a_saved_model_takes() -> None:
    """The arrays are never smaller than what is in them, and not much larger."""
    model = Word2Vec(vector_size=20, min_count=1)
    model.learn_many(f"w{n} w{n + 1}" for n in range(9000))
    saved = sum(tensor.nbytes for tensor in model.tensors().values())
    assert saved <= memory_now(model) <= 3 * saved
