"""Every option of a model: named once, validated once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from stream_w2v.errors import ConfigError

Tokenizer = Callable[[str], Iterable[str]]

TEXT_PRESETS = ("words", "whitespace", "log")
SCHEDULES = ("per-row", "linear", "inverse-sqrt", "constant")
CUSTOM_TEXT = "custom"
"""What a saved model says of its text when that was a Python callable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The options of a model. They never change while it lives.

    Parameters
    ----------
    vector_size
        Length of a vector.
    window
        Largest distance between a word and its context; each centre draws its own uniformly
        from 1..window.
    negative
        Noise words for each centre. 0 trains without noise, which collapses every vector to one
        direction: it exists to show that.
    min_count
        Occurrences, over the whole stream, after which a word gets a vector.
    sample
        Subsampling of frequent words: a word with the share f of all tokens is kept with
        probability ``sqrt(sample / f) + sample / f``. 0 keeps every token.
    ns_exponent
        Power of the counts in the noise distribution.
    noise_staleness
        Largest total variation distance between the noise table and the live distribution.
    max_vocab_size
        Most words with a vector at any time; when they are used up, the rarest tenth goes.
    max_candidates
        Most words counted while they wait for ``min_count``; when they are used up, all waiting
        counts are halved.
    half_life
        Tokens after which an old occurrence counts half. Without it nothing is forgotten.
    schedule
        Learning rate: ``per-row`` (each word's own count decides), ``linear`` (needs
        ``total_tokens``), ``inverse-sqrt`` or ``constant``.
    learning_rate
        Rate at the start. Without it the schedule has its own: per-row 0.2 (with a replay 0.14),
        linear and inverse-sqrt 0.05, constant 0.025.
    min_learning_rate
        Floor under the rate; one above the first rate does not raise it.
    total_tokens
        Length of the stream in tokens, which only the ``linear`` schedule needs.
    text
        How a record becomes words: ``words`` (runs of letters and digits, lower-cased),
        ``whitespace``, ``log`` (words of a log, with numbers, addresses, times and the like as
        masks such as ``<ip>``), or, in Python, a callable from str to an iterable of str.
    split_identifiers
        With ``log``: cut names where their case changes and at underscores.
    seed
        Seed of everything random.
    workers
        Threads that train at the same time. With one, equal records give equal bits; with more
        they do not, because the threads change the same vectors without waiting for each other.
    replay_tokens
        Latest tokens that are kept, 4 bytes each, to be trained again with delay. 0 keeps none.
    replay_passes
        How often each of them is trained again.
    replay_sample
        Subsampling of frequent words where tokens are trained again; see ``sample``.
    refresh_contexts
        Contexts of rare words that are kept, 48 bytes each, for a second look at those words that
        a snapshot may take. 0 keeps none.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    vector_size: int = 100
    window: int = 5
    negative: int = 5
    min_count: int = 5
    sample: float = 1e-3
    ns_exponent: float = 0.75
    noise_staleness: float = 0.05
    max_vocab_size: int = 1_000_000
    max_candidates: int = 3_000_000
    half_life: float | None = None
    schedule: str = "per-row"
    learning_rate: float | None = None
    min_learning_rate: float = 0.0
    total_tokens: int | None = None
    text: str | Tokenizer = "words"
    split_identifiers: bool = False
    seed: int = 1
    workers: int = 1
    replay_tokens: int = 0
    replay_passes: int = 3
    replay_sample: float = 1e-4
    refresh_contexts: int = 0

    def __post_init__(self) -> None:
        self._integer("vector_size", 1, 4096)
        self._integer("window", 1, 1000)
        self._integer("negative", 0, 1000)
        self._integer("min_count", 1, 1_000_000)
        self._number("sample", 0, 1)
        self._number("ns_exponent", 0, 1)
        self._number("noise_staleness", 1e-6, 1)
        # The arrays' indices are 32 bits wide.
        self._integer("max_vocab_size", 10, 1_000_000_000)
        self._integer("max_candidates", 10, 1_000_000_000)
        if self.half_life is not None:
            self._number("half_life", 1000, math.inf)
        self._choice("schedule", SCHEDULES)
        if self.learning_rate is not None:
            self._number("learning_rate", 1e-9, 10)
        self._number("min_learning_rate", 0, 10)
        if self.total_tokens is not None:
            self._integer("total_tokens", 1, 2**62)
        elif self.schedule == "linear":
            msg = "schedule linear falls to its floor at total_tokens: set total_tokens"
            raise ConfigError(msg)
        self._integer("seed", 0, 2**63 - 1)
        self._integer("workers", 1, 256)
        self._integer("replay_tokens", 0, 100_000_000_000)
        self._integer("replay_passes", 1, 100)
        self._number("replay_sample", 0, 1)
        self._integer("refresh_contexts", 0, 1_000_000_000)
        if not callable(self.text):
            self._choice("text", TEXT_PRESETS)
        if not isinstance(self.split_identifiers, bool):
            msg = f"split_identifiers must be true or false, not {self.split_identifiers!r}"
            raise ConfigError(msg)
        if self.split_identifiers and self.text != "log":
            msg = "split_identifiers cuts the names in a log: set text to log"
            raise ConfigError(msg)

    def _integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        # numpy's integers pass through __index__; bool is an int that nobody means here.
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            msg = f"{name} must be a whole number, not {value!r}"
            raise ConfigError(msg)
        if not low <= value <= high:
            msg = f"{name} must be from {low} to {high}, not {value}"
            raise ConfigError(msg)
        object.__setattr__(self, name, int(value))

    def _number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        try:
            # float() takes True for 1 and reads numbers from text.
            number = math.nan if isinstance(value, bool | str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not low <= number <= high or math.isinf(number):
            among = f"of at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
            msg = f"{name} must be a number {among}, not {value!r}"
            raise ConfigError(msg)
        object.__setattr__(self, name, number)

    def _choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            msg = f"{name} must be one of {', '.join(choices)}, not {value!r}"
            raise ConfigError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON-serialisable values; a callable becomes ``"custom"``."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        if callable(self.text):
            values["text"] = CUSTOM_TEXT
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Build a config from what :meth:`to_dict` returned.

        Raises
        ------
        ConfigError
            If an option is unknown, out of range, or a callable that was not put back.
        """
        if values.get("text") == CUSTOM_TEXT:
            msg = "this model was trained with a tokenizer of its own: pass it as text=..."
            raise ConfigError(msg)
        return cls.from_options(values)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Config:
        """Build a config from options by name.

        Raises
        ------
        ConfigError
            If an option is unknown or out of range.
        """
        unknown = sorted(set(options) - {option.name for option in fields(cls)})
        if unknown:
            msg = f"unknown option: {', '.join(unknown)}"
            raise ConfigError(msg)
        return cls(**options)
