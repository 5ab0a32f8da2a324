"""The names that a saved pipeline may hold, and what they stand for.

Only classes and functions of river that learn or compute, of this package's estimators, and of a
short list are ever looked up; whatever else a pipeline holds, the caller has to name. What is found
here may be called with anything: it runs no code but its own, and opens no file and no connection.
"""

from __future__ import annotations

import collections
import copy
import datetime
import functools
import importlib
import math
import operator
import random
import re
import statistics
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from stream_w2v.errors import ConfigError

Known = Mapping[str, Callable[..., Any]]
"""Functions and classes of the caller, by their names."""

_OURS = re.compile(
    # Of river neither what reads files and the network (datasets, stream), nor what evaluates.
    r"river\.(_river_rust|active|anomaly|bandit|base|cluster|compose|conf|covariance|drift|dummy"
    r"|ensemble|facto|feature_extraction|feature_selection|forest|imblearn|linear_model|metrics"
    r"|misc|model_selection|multiclass|multioutput|naive_bayes|neighbors|optim|preprocessing|proba"
    r"|reco|rules|sketch|stats|time_series|tree|utils)\.(?!datasets\.|envs\.).+"
    r"|stream_w2v\.(estimators\.(drift|similar|transformer)|movement)\..+"
)


def name_of(thing: Any) -> str | None:
    """Return by what name a function or a class is found; None if it has none."""
    # What is compiled may know its module only as what it is bound to.
    module = getattr(thing, "__module__", None) or getattr(
        getattr(thing, "__self__", None), "__name__", None
    )
    name = getattr(thing, "__qualname__", None)
    return None if not module or not name or "<lambda>" in name else f"{module}.{name}"


def by_name(known: Iterable[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return functions and classes by their names.

    Raises
    ------
    ConfigError
        If two have the same, or one has none.
    """
    found: dict[str, Callable[..., Any]] = {}
    for one in known:
        name = name_of(one)
        if name is None:
            msg = f"{one!r} cannot be known by a name: make it a function with def, or a class"
            raise ConfigError(msg)
        if found.setdefault(name, one) is not one:
            msg = f"two functions are called {name}: give them different names"
            raise ConfigError(msg)
    return found


_OTHERS = by_name(
    [
        bool, int, float, complex, str, list, tuple, dict, set, frozenset, bytearray, slice, range,
        min, max, sum, len, abs, round, sorted, copy.copy, copy.deepcopy, re.findall,
        math.exp, math.expm1, math.log, math.log1p, math.sqrt, np.array, np.ones, np.zeros,
        collections.defaultdict, collections.deque, collections.Counter, collections.OrderedDict,
        functools.partial, operator.itemgetter, random.Random, statistics.NormalDist,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
    ]
)  # fmt: skip
"""What river's own estimators hold besides: containers, and functions that only compute."""

_METHODS_OF = (str, re.Pattern, random.Random)
"""Whose methods are looked up beside those of estimators. Arrays have one that writes files."""

_REFUSED = {
    "river.feature_extraction.kernel_approx.RandomTreesEmbedding": "finds its leaves by address",
    "river.sketch.counter.Counter": "hashes text differently in every process",
    "river.sketch.set.Set": "hashes text differently in every process",
}
"""What would seem to be saved, and not go on as before. Pickle does no better."""


def save_name(thing: Any, known: Known) -> str:
    """Return the name that a class or a function is saved by.

    Raises
    ------
    ConfigError
        If it would not be found by it.
    """
    name = name_of(thing)
    if name is None:
        msg = f"{thing!r} cannot be saved by a name: make it a function with def"
    elif name in _REFUSED:
        msg = f"{name} cannot be saved: it {_REFUSED[name]}"
    elif find(name, known) is not thing:
        msg = f"{name} cannot be saved by its name: add it to known"
    else:
        return name
    raise ConfigError(msg)


def owner_of(thing: Any) -> Any:
    """Return whose method it is, an object or a class; None if it is no method."""
    if isinstance(thing, types.MethodDescriptorType):
        return thing.__objclass__
    if not isinstance(thing, types.MethodType | types.BuiltinMethodType):
        return None
    return None if isinstance(thing.__self__, types.ModuleType) else thing.__self__


def find_method(owner: Any, name: str, known: Known) -> Any:
    """Return a method by its name; None if nobody allowed it."""
    kind = owner if isinstance(owner, type) else type(owner)
    if kind not in _METHODS_OF:
        named = name_of(kind) or ""
        if named in _OTHERS or find(named, known) is not kind:
            return None
    found = None if name.startswith("__") else getattr(owner, name, None)
    return found if found is not None and owner_of(found) is owner else None


def find(name: str, known: Known) -> Any:
    """Return what a name stands for; None if nobody allowed it."""
    found = known.get(name, _OTHERS.get(name))
    return _installed(name) if found is None and _OURS.fullmatch(name) else found


@functools.cache
def _installed(name: str) -> Any:
    """Return a class or a function of a module by its name."""
    # The longest part of the name that is a module; what is left is looked up in it.
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        # Not what a module has imported from elsewhere.
        ours = isinstance(found, type | types.FunctionType | types.BuiltinFunctionType)
        return found if ours and name_of(found) == name else None
    return None
