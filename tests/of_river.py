"""All that river has to offer, and something for each of it to learn."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import pkgutil
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import river
from river import (
    anomaly,
    bandit,
    base,
    cluster,
    linear_model,
    metrics,
    misc,
    model_selection,
    optim,
    preprocessing,
    proba,
    reco,
    stats,
    time_series,
    tree,
    utils,
)

from stream_w2v.estimators.names import name_of

# What there is, and how it is made.

LEFT_OUT = {
    # Sources of data and river's tests; what needs other packages; what is a part of others only.
    *("api", "checks", "datasets", "envs", "evaluate", "stream"),
    *("compat", "zstd_classifier"),
    *("base", "padded"),
}
"""Modules."""

NEEDED: dict[str, Any] = {
    "beta": 0.5, "betas": {"u": 1.0, "v": 0.5, "w": 2.0}, "budget": 100, "by": "e",
    "classifier": linear_model.LogisticRegression(), "cls": stats.Mean,
    "desired_dist": {False: 0.5, True: 0.5}, "func": abs, "how": stats.Mean(),
    "inverse_func": math.sqrt, "lag": 2, "learning_rate": 0.1, "left": stats.Shift(1), "lower": 1.0,
    "loss": optim.losses.Log(), "lr": 0.1, "mapping": {"a": "z"}, "metric": metrics.MAE(),
    "min_branch_fraction": 0.1, "on": "a", "p": 0.5, "period": timedelta(minutes=5),
    "prefix": "p_", "prior": 0.5, "prior_weight": 2, "q": 0.5,
    "regressor": linear_model.LinearRegression(), "right": stats.Mean(), "size": 5, "suffix": "_s",
    "transformer": preprocessing.StandardScaler(), "upper": 2.0, "value": 0.5,
    "weights": {"u": 0.4, "v": 0.6, "w": 1.0}, "window_size": 5,
}  # fmt: skip
"""Arguments without a default, by their names: river's own tests have none for these."""

SOON = {"seed": 1, "delta": 0.5, "grace_period": 5, "warm_start": 10, "warm_up": 10}
"""Arguments with which trees split and graphs are built within a few records, always the same."""

OTHERWISE: dict[str, dict[str, Any]] = {
    "AMFClassifier": {"n_estimators": 2},
    "AMFRegressor": {"n_estimators": 2},
    "HalfSpaceTrees": {"n_trees": 2, "height": 4},
    "ThresholdFilter": {
        "anomaly_detector": anomaly.HalfSpaceTrees(n_trees=2, height=4, seed=1),
        "threshold": 0.9,
    },
    "FuncTransformer": {"func": dict},
    "HorizonAggMetric": {"agg_func": max},
    "MacroAverage": {"metric": metrics.Accuracy()},
    "MicroAverage": {"metric": metrics.Accuracy()},
    "Skyline": {"minimize": ["a"], "maximize": ["b"]},
    "STREAMKMeans": {"chunk_size": 10, "seed": 1},
}
"""So that it does not take long, or has something to do."""

POSITIONAL = {
    "Pipeline": (preprocessing.StandardScaler(), linear_model.LogisticRegression()),
    "TransformerUnion": (preprocessing.StandardScaler(), preprocessing.MinMaxScaler()),
    "TransformerProduct": (preprocessing.StandardScaler(), preprocessing.MinMaxScaler()),
    "Select": ("a", "b"),
    "Discard": ("a", "b"),
    "SelectType": (float,),
}
"""What has no name."""


def classes() -> dict[str, type]:
    """Return every public class of river that learns, or is a part of one that does, by name."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(river.__path__, "river."):
        if LEFT_OUT & set(module.name.split(".")):
            continue
        public = importlib.import_module(module.name)
        for name in getattr(public, "__all__", ()):
            kind = getattr(public, name, None)
            if (
                inspect.isclass(kind)
                and kind.__module__.startswith("river.")
                and not LEFT_OUT & set(kind.__module__.split("."))
                and not inspect.isabstract(kind)
            ):
                found[str(name_of(kind))] = kind
    return dict(sorted(found.items()))


def made(kind: type) -> Iterator[Any]:
    """Yield objects of a class, one for each set of parameters that river tests it with."""
    signature = inspect.signature(kind).parameters.values()
    needed = {
        one.name: NEEDED[one.name]
        for one in signature
        if one.default is one.empty and one.name in NEEDED
    }
    soon = {one.name: SOON[one.name] for one in signature if one.name in SOON}
    params = getattr(kind, "_unit_test_params", lambda: iter([{}]))
    for given in params():
        arguments = {**needed, **soon, **given, **OTHERWISE.get(kind.__name__, {})}
        yield kind(*POSITIONAL.get(kind.__name__, ()), **arguments)


# What it learns, and what it says of each record before that.


class Row(NamedTuple):
    """A record, in each of the forms in which something of river may want it."""

    number: int
    x: dict[str, float]
    text: str
    value: float
    flag: bool
    label: str


def row(number: int) -> Row:
    """Return the record of this number."""
    draw = random.Random(number)
    x = {name: draw.random() for name in "abcde"}
    text = " ".join(draw.choices(["win", "cash", "free", "lunch", "home"], k=6))
    value = 10 * x["a"] + 3 * x["b"] + draw.random()
    return Row(number, x, text, value, value > 7, "uvw"[int(value) % 3])


def goes_on(thing: Any, numbers: Sequence[int]) -> list[Any]:
    """Let a thing learn records; return what it says of each before that, and in the end."""
    # A few draw from what all share.
    random.seed(1)
    said = [_says(thing, row(number)) for number in numbers]
    measures = isinstance(thing, metrics.base.Metric | stats.base.Statistic)
    return [*said, str(thing) if measures else None]


def _says(thing: Any, record: Row) -> Any:
    if isinstance(thing, time_series.base.Forecaster):
        said = thing.forecast(2) if record.number >= 10 else None
        thing.learn_one(record.value)
        return said
    if isinstance(thing, reco.base.Ranker):
        user, item = "xy"[record.number % 2], record.label
        said = thing.predict_one(user, item)
        thing.learn_one(user, item, record.x["a"])
        return said
    if isinstance(thing, bandit.base.Policy):
        context = [record.x] if isinstance(thing, bandit.base.ContextualPolicy) else []
        said = thing.pull(["u", "v", "w"], *context)
        thing.update(said, *context, record.x["a"])
        return said
    if isinstance(thing, optim.base.Optimizer):
        return dict(thing.step({"u": record.value, "v": 1.0}, {"u": record.x["a"], "v": 0.1}))
    if hasattr(thing, "learn_one"):
        return _estimates(thing, record)
    if hasattr(thing, "update"):
        _updates(thing, record)
        return getattr(thing, "drift_detected", None)
    return None


def _estimates(thing: Any, record: Row) -> Any:
    x: Any = record.text if base.tags.TEXT_INPUT in thing._tags else record.x
    y: Any = record.value
    if isinstance(thing, base.MultiLabelClassifier):
        y = {"u": record.flag, "v": record.label == "v"}
    elif isinstance(thing, base.MultiTargetRegressor):
        y = {"u": record.value, "v": -record.value}
    elif isinstance(thing, base.Classifier):
        several = thing._multiclass and not isinstance(thing, model_selection.base.ModelSelector)
        y = record.label if several else record.flag
    given = {"y": y, "t": record.number} if isinstance(thing, cluster.TextClust) else {"y": y}
    said = None
    # Some have nothing to say at first.
    for name in _SAYING if record.number >= 10 else ():
        if hasattr(thing, name):
            with contextlib.suppress(NotImplementedError):
                said = _call(getattr(thing, name), x, given)
                break
    _call(thing.learn_one, x, given)
    return said


_SAYING = ("predict_proba_one", "predict_one", "score_one", "transform_one")


def _call(method: Any, x: Any, given: dict[str, Any]) -> Any:
    wanted = inspect.signature(method).parameters
    return method(x, **{name: value for name, value in given.items() if name in wanted})


def _updates(thing: Any, record: Row) -> None:
    """Update a thing with the first that it takes."""
    if isinstance(thing, utils.TimeRolling):
        thing.update(record.value, t=datetime(2026, 11, 21, 10, record.number))
        return
    before = row(record.number // 2)
    labels = [(record.label, before.label), (record.label, {"u": 0.5, "v": 0.3, "w": 0.2})]
    ways: list[tuple[Any, ...]] = [
        (record.value,),
        (record.x,),
        (record.label,),
        (record.value, before.value),
        *labels,
        ({"u": record.flag}, {"u": before.flag}),
        ({"u": record.value}, {"u": before.value}),
        ([record.value, 1.0], [before.value, 2.0]),
        (record.x["a"], record.label, 1.0),
        (record.x["a"], record.value, 1.0),
        (record.x["a"], tree.utils.GradHess(record.value, 1.0), 1.0),
        (record.x, record.number % 2, {0: before.x, 1: record.x}),
    ]
    if isinstance(thing, metrics.base.BinaryMetric):
        ways = [(record.flag, before.flag if thing.requires_labels else before.x["a"])]
    elif isinstance(thing, metrics.base.ClassificationMetric):
        ways = labels
    elif isinstance(thing, base.BinaryDriftDetector | proba.base.BinaryDistribution):
        ways = [(record.flag,)]
    elif isinstance(thing, misc.Skyline):
        ways = [(record.x,)]
    for arguments in ways:
        try:
            thing.update(*arguments)
        except (TypeError, ValueError, AttributeError, KeyError, AssertionError):
            continue
        return
    msg = f"{thing!r} takes none of these"
    raise TypeError(msg)
