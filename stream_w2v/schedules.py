"""Learning-rate schedules: what a config means in numbers.

The formulas are in ``kernel/rates.py``, where they are used. Here are their constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_w2v.config import Config
from stream_w2v.kernel import rates

DEFAULT_RATES = {"per-row": 0.2, "linear": 0.05, "inverse-sqrt": 0.05, "constant": 0.025}
"""First rate when the config names none. 0.2 is a rate for a row that has learnt nothing."""

REPLAY_RATE = 0.14
"""First per-row rate where tokens are trained again: a word's first contexts come several times.
On 17 M tokens, twice again, refreshed, it gives .650/.283/.276 (WordSim353, SimLex-999, analogies)
where 0.2 gives .644/.279/.281; without a replay 0.2 is better (analogies .176 and .162)."""

PER_ROW_SLOPE = 0.1
"""b of the per-row rate: a row's rate has halved after about 130 windows. Chosen on 17 M tokens
of Wikipedia together with the power 3/4, on a broad optimum."""

INVERSE_SQRT_TOKENS = 1_000_000
"""Tokens after which the inverse-sqrt rate has fallen to 1 / sqrt(2)."""

_CODES = {
    "per-row": rates.PER_ROW,
    "linear": rates.LINEAR,
    "inverse-sqrt": rates.INVERSE_SQRT,
    "constant": rates.CONSTANT,
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """A learning-rate schedule with its constants.

    Attributes
    ----------
    code
        Which one, as the kernel knows it.
    learning_rate, floor
        First rate, and the least.
    start, slope
        a and b of the per-row rate ``(a + b n) ^ -3/4``.
    tokens
        Scale of the rates that follow the number of tokens.
    """

    code: int
    learning_rate: float
    floor: float
    start: float
    slope: float
    tokens: float

    @classmethod
    def from_config(cls, config: Config) -> Schedule:
        """Return the schedule that a config asks for."""
        again = config.replay_tokens > 0 and config.schedule == "per-row"
        rate = config.learning_rate or (REPLAY_RATE if again else DEFAULT_RATES[config.schedule])
        tokens = config.total_tokens if config.schedule == "linear" else INVERSE_SQRT_TOKENS
        return cls(
            code=_CODES[config.schedule],
            learning_rate=rate,
            floor=min(config.min_learning_rate, rate),
            start=rate ** (-4 / 3),
            slope=PER_ROW_SLOPE,
            tokens=float(tokens or 1),
        )

    def rates(self, windows: NDArray[np.float32], tokens: int) -> NDArray[np.float64]:
        """Return the rates of rows that took part in so many windows, after so many tokens."""
        if self.code == rates.PER_ROW:
            each = (self.start + self.slope * windows.astype(np.float64)) ** -0.75
            return np.maximum(each, self.floor)
        common_rate = rates.common_rate.py_func
        rate = common_rate(self.code, self.learning_rate, self.floor, self.tokens, tokens)
        return np.full(len(windows), rate)
