"""Options: their ranges, and their way to a file and back."""

import json
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_w2v import Config, StreamW2VError, Word2Vec
from stream_w2v.errors import ConfigError

RANGES = {
    "vector_size": (1, 4096),
    "window": (1, 1000),
    "negative": (0, 1000),
    "min_count": (1, 1_000_000),
    "sample": (0.0, 1.0),
    "ns_exponent": (0.0, 1.0),
    "noise_staleness": (1e-6, 1.0),
    "max_vocab_size": (10, 1_000_000_000),
    "max_candidates": (10, 1_000_000_000),
    "half_life": (1000.0, 1e300),
    "learning_rate": (1e-9, 10.0),
    "min_learning_rate": (0.0, 10.0),
    "total_tokens": (1, 2**62),
    "seed": (0, 2**63 - 1),
    "workers": (1, 256),
    "replay_tokens": (0, 100_000_000_000),
    "replay_passes": (1, 100),
    "replay_sample": (0.0, 1.0),
    "refresh_contexts": (0, 1_000_000_000),
}
INTEGERS = [name for name, (low, _) in RANGES.items() if isinstance(low, int)]
NUMBERS = [name for name in RANGES if name not in INTEGERS]
OPTIONAL = ["half_life", "learning_rate", "total_tokens"]


def values(name: str) -> st.SearchStrategy:
    """Return a strategy for the values of an option."""
    low, high = RANGES[name]
    made = st.integers(low, high) if name in INTEGERS else st.floats(low, high)
    return st.none() | made if name in OPTIONAL else made


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        **{name: values(name) for name in RANGES},
        "schedule": st.sampled_from(["per-row", "inverse-sqrt", "constant"]),
        "text": st.sampled_from(["words", "whitespace", "log"]),
    },
)


def test_every_option_is_tested_here():
    """A new option needs its range in this file."""
    assert {*RANGES, "schedule", "text", "split_identifiers"} == {
        option.name for option in fields(Config)
    }


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_belong_to_it(name):
    """The least and the largest value are accepted, and kept in the option's type."""
    for value in RANGES[name]:
        config = Config(**{name: value})
        assert getattr(config, name) == value
        assert type(getattr(config, name)) is type(value)


@pytest.mark.parametrize("name", RANGES)
def test_a_value_out_of_range_is_refused_with_the_range(name):
    """The error names the option, the range and the value, in one line."""
    low, high = RANGES[name]
    beyond = [low - 1, high * 2 if name != "half_life" else float("inf"), -5]
    wanted = "of at least 1000" if name == "half_life" else "from .* to .*"
    for value in beyond:
        with pytest.raises(ConfigError, match=f"^{name} must be .*{wanted}, not ") as caught:
            Config(**{name: value})
        assert "\n" not in str(caught.value)
        assert str(value) in str(caught.value)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", ["5", b"5", True, False, [5], float("nan"), float("inf"), 1j])
def test_a_value_of_another_kind_is_refused(name, value):
    """Text, truth values, lists, infinities and what is no number are not numbers."""
    with pytest.raises(ConfigError, match=f"^{name} must be "):
        Config(**{name: value})


@pytest.mark.parametrize("name", INTEGERS)
def test_a_fraction_is_no_whole_number(name):
    """Nothing is rounded silently, not even 5.0."""
    for value in (5.0, 5.5, np.float32(5)):
        with pytest.raises(ConfigError, match=f"^{name} must be a whole number"):
            Config(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_beyond_float64_is_refused(name):
    """A whole number that no float holds is out of range, and not an OverflowError."""
    with pytest.raises(ConfigError, match=f"^{name} must be a number (from|of)"):
        Config(**{name: 10**400})


@pytest.mark.parametrize("name", [name for name in RANGES if name not in OPTIONAL])
def test_only_some_options_may_be_none(name):
    """None means "not given" only where that has a meaning."""
    with pytest.raises(ConfigError):
        Config(**{name: None})


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
def test_integers_of_numpy_are_accepted_and_become_python_ones(kind):
    """What np.arange yields may be an option, and can be saved."""
    config = Config(**{name: kind(min(1000, RANGES[name][1])) for name in INTEGERS})
    for name in INTEGERS:
        assert type(getattr(config, name)) is int
    json.dumps(config.to_dict())


def test_numbers_may_be_integers_or_numpy_ones():
    """Whole numbers and numpy's floats become Python floats."""
    config = Config(sample=1, half_life=5000, learning_rate=np.float32(0.5))
    assert (config.sample, config.half_life, config.learning_rate) == (1.0, 5000.0, 0.5)
    assert {type(v) for v in (config.sample, config.half_life, config.learning_rate)} == {float}


@pytest.mark.parametrize("name", ["schedule", "text"])
@pytest.mark.parametrize("value", ["", "Words", "per_row", None, 5, ["words"]])
def test_an_unknown_choice_is_refused_with_the_choices(name, value):
    """The error lists what there is."""
    with pytest.raises(ConfigError, match=f"^{name} must be one of .*, not "):
        Config(**{name: value})


def test_the_linear_schedule_needs_the_number_of_tokens():
    """Without an end nothing can fall towards it; the error says what to set."""
    with pytest.raises(ConfigError, match="set total_tokens"):
        Config(schedule="linear")
    assert Config(schedule="linear", total_tokens=5).total_tokens == 5


@pytest.mark.parametrize("value", [0, 1, "yes", None, np.True_])
def test_split_identifiers_is_a_truth_value(value):
    """Nothing is read as true that only looks like it."""
    with pytest.raises(ConfigError, match=r"^split_identifiers must be true or false, not "):
        Config(text="log", split_identifiers=value)


@pytest.mark.parametrize("text", ["words", "whitespace", str.split])
def test_only_the_names_of_a_log_are_split(text):
    """An option that would mean nothing is refused, with what would give it a meaning."""
    with pytest.raises(ConfigError, match="set text to log"):
        Config(text=text, split_identifiers=True)
    config = Config(text="log", split_identifiers=True)
    assert Config.from_dict(config.to_dict()) == config


def test_options_from_before_there_was_an_option_mean_its_default():
    """A model that was saved without split_identifiers is read."""
    saved = Config(text="log").to_dict()
    del saved["split_identifiers"]
    assert Config.from_dict(saved) == Config(text="log")


def test_an_unknown_option_is_named():
    """A misspelt option is refused by name, by every way in."""
    for make in (Config.from_options, Config.from_dict, lambda options: Word2Vec(**options)):
        with pytest.raises(ConfigError, match=r"^unknown option: vector_sise, windows$"):
            make({"windows": 1, "vector_sise": 5, "window": 2})


def test_a_model_takes_a_config_or_options_and_not_both():
    """Two ways to say the same may not contradict each other."""
    assert Word2Vec(window=3).config == Word2Vec(Config(window=3)).config
    with pytest.raises(TypeError, match="not both"):
        Word2Vec(Config(window=3), window=3)


def test_an_option_out_of_range_is_a_value_error_and_one_of_ours():
    """Callers may catch either."""
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, StreamW2VError)


def test_a_config_never_changes():
    """Options are fixed while a model lives; equal ones are equal and hash alike."""
    config = Config()
    with pytest.raises(FrozenInstanceError):
        config.window = 3
    with pytest.raises((AttributeError, TypeError)):
        config.windows = 3
    assert config == Config()
    assert hash(config) == hash(Config())
    assert config != Config(window=6)
    with pytest.raises(TypeError):
        Config(100)


@given(CONFIGS)
def test_a_config_survives_the_way_through_json(options):
    """What to_dict returns is JSON, and makes an equal config."""
    config = Config(**options)
    restored = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert restored == config


def test_a_tokenizer_is_not_saved_and_must_be_given_again():
    """A callable becomes a word that says so; reading it without a callable is an error."""
    saved = Config(text=str.split).to_dict()
    assert saved["text"] == "custom"
    with pytest.raises(ConfigError, match="pass it as text="):
        Config.from_dict(saved)
    assert Config.from_dict({**saved, "text": str.split}) == Config(text=str.split)
    with pytest.raises(ConfigError, match=r"^text must be one of"):
        Config(text="custom")
