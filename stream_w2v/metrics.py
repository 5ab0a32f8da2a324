"""How a run is doing, for Prometheus to scrape."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from stream_w2v.errors import ConfigError
from stream_w2v.model import Word2Vec
from stream_w2v.stream import Source, dead_letters, missing_bytes
from stream_w2v.trainer import Trainer

try:
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
except ImportError as error:
    msg = f"metrics need pip install 'stream-w2v[metrics]': {error}"
    raise ConfigError(msg) from error

_EVERY_SECONDS = 1.0
_SILENT_SECONDS = 10.0

_COUNTERS = {
    "records": "Records learnt, over the life of the model.",
    "words": "Words of these records.",
    "kept": "Words left after rare and frequent ones were left out.",
    "invalid": "Characters that were no UTF-8.",
    "oversize": "Words left out because they were too long.",
    "evicted": "Words evicted from the vocabulary.",
    "forgotten": "Waiting words forgotten because the room for them was full.",
}


@dataclass(frozen=True, slots=True)
class _State:
    counters: dict[str, float]
    gauges: dict[str, tuple[str, float]]
    dead: dict[str, int]
    checkpoint_time: float | None


class Metrics:
    """Serves what a trainer is doing over HTTP, until it is closed.

    What is served is from the last :meth:`update`, so a scrape never waits for training, nor
    training for a scrape.

    Parameters
    ----------
    address
        ``HOST:PORT``, or ``PORT`` for one that only this machine can reach; port 0 is any free one.

    Attributes
    ----------
    address
        Where it listens.

    Raises
    ------
    ConfigError
        If that is no address, or nobody can listen there.
    """

    def __init__(self, address: str) -> None:
        match = re.fullmatch(r"(?:(.*):)?(\d{1,5})", address)
        if match is None or int(match[2]) > 65535:
            msg = f"metrics are served at HOST:PORT, not at {address}"
            raise ConfigError(msg)
        host = (match[1] or "127.0.0.1").strip("[]")
        self._state: _State | None = None
        self._due = 0.0
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        try:
            self._server, self._thread = start_http_server(int(match[2]), host, registry)
        except (OSError, UnicodeError) as error:
            msg = f"metrics cannot be served at {address}: {getattr(error, 'strerror', error)}"
            raise ConfigError(msg) from error
        # Whoever asks nothing is no reason for a thread that waits for ever, and whoever hangs up
        # none for a traceback.
        handler: Any = self._server.RequestHandlerClass
        patient = type("Handler", (handler,), {"timeout": _SILENT_SECONDS})
        self._server.RequestHandlerClass = patient
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.address = f"{host}:{self._server.server_port}"

    def update(self, trainer: Trainer) -> None:
        """See how it is doing; cheap, so it may be called after every batch."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY_SECONDS
        model: Word2Vec = trainer.model
        source: Source = trainer.source
        counters = model.counters
        gauges = {
            "vocabulary_words": ("Words with a vector.", float(len(model.vocabulary))),
            "waiting_words": ("Words seen too rarely so far.", float(model.vocabulary.candidates)),
            "noise_staleness": (
                "Bound on how far the noise table is from the counts (total variation).",
                float(model.noise.staleness),
            ),
            "learning_rate": ("Mean learning rate of the last windows.", model.learning_rate),
            "loss": (
                "Mean loss of a pair of words before it was learnt, over the life of the model.",
                counters["loss"] / max(1, counters["loss_pairs"]),
            ),
            "checkpoint_pause_seconds": (
                "How long training waited for the last checkpoint.",
                trainer.last_pause,
            ),
        }
        if missing := missing_bytes(trainer.positions):
            gauges["source_missing_bytes"] = (
                "Bytes that were deleted before they were read.",
                float(missing),
            )
        lag = source.lag()
        if lag is not None:
            gauges["source_lag"] = ("What there still is to read: bytes, or messages.", float(lag))
        self._state = _State(
            counters={name: counters[name] for name in _COUNTERS},
            gauges=gauges,
            dead=dict(dead_letters(trainer.positions)),
            checkpoint_time=trainer.checkpoint_time,
        )

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus is told."""
        state = self._state
        if state is None:
            return
        for name, value in state.counters.items():
            yield CounterMetricFamily(f"stream_w2v_{name}", _COUNTERS[name], value)
        for name, (help_, value) in state.gauges.items():
            yield GaugeMetricFamily(f"stream_w2v_{name}", help_, value)
        dead = CounterMetricFamily(
            "stream_w2v_dead_letters", "Records that could not be read.", labels=["reason"]
        )
        for reason, count in state.dead.items():
            dead.add_metric([reason], count)
        yield dead
        if state.checkpoint_time is not None:
            yield GaugeMetricFamily(
                "stream_w2v_checkpoint_age_seconds",
                "Since the last checkpoint was written.",
                time.monotonic() - state.checkpoint_time,
            )

    def describe(self) -> list[Any]:
        """Return nothing: what there is depends on the run."""
        return []

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
