"""What river's objects have learnt as JSON, and back: a checkpoint's part without any code in it.

An object becomes what it would tell pickle: its class, what that is called with, and its state. But
only classes and functions of river, of this package, and of a short list are ever looked up, by
their names; only classes are called; and whatever else a pipeline holds, the caller has to name.
"""

from __future__ import annotations

import base64
import collections
import copy
import copyreg
import datetime
import functools
import importlib
import operator
import random
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import river

from stream_w2v.errors import ConfigError, FormatError, VersionError
from stream_w2v.estimators.transformer import Learnt
from stream_w2v.model import Word2Vec
from stream_w2v.pooling import Component

Known = Mapping[str, Callable[..., Any]]
"""Functions and classes of the caller, by their names."""

_PACKAGES = ("river", "stream_w2v")
_OTHERS = {
    f"{one.__module__}.{one.__qualname__}": one
    for one in (
        bool, int, float, complex, str, list, tuple, dict, set, frozenset, bytearray, slice, range,
        min, max, sum, len, abs, round, sorted,
        collections.defaultdict, collections.deque, collections.Counter, collections.OrderedDict,
        functools.partial, copy.copy, copy.deepcopy, re.findall, random.Random,
        operator.itemgetter, operator.attrgetter,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
        np.array, np.ones, np.zeros,
    )
}  # fmt: skip
"""What river's own estimators hold besides: containers, and the functions that fill them."""


def river_version() -> str:
    """Return the version of river whose estimators are alike inside: major and minor."""
    return ".".join(river.__version__.split(".")[:2])


def by_name(known: Iterable[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return functions and classes by their names.

    Raises
    ------
    ConfigError
        If two have the same.
    """
    found: dict[str, Callable[..., Any]] = {}
    for one in known:
        if found.setdefault(_name(one), one) is not one:
            msg = f"two functions are called {_name(one)}: give them different names"
            raise ConfigError(msg)
    return found


def to_json(thing: Any, known: Known) -> tuple[dict[str, Any], list[Word2Vec]]:
    """Return what is to be kept, and the word vectors in it, which are kept elsewhere.

    Raises
    ------
    ConfigError
        If something in it is neither river's nor known.
    """
    writer = _Writer(known)
    try:
        root = writer.value(thing)
    except RecursionError as error:
        msg = "the pipeline is nested too deeply to be saved"
        raise ConfigError(msg) from error
    return {"river": river_version(), "root": root, "nodes": writer.nodes}, writer.models


def from_json(kept: Mapping[str, Any], models: list[Word2Vec], known: Known) -> Any:
    """Return what :func:`to_json` was given.

    Raises
    ------
    VersionError
        If another river wrote it.
    ConfigError
        If a function of the caller is missing in ``known``.
    FormatError
        If it does not hold together.
    """
    if kept.get("river") != river_version():
        msg = (
            f"the pipeline was saved with river {kept.get('river')}, and this is "
            f"{river.__version__}: install that version"
        )
        raise VersionError(msg)
    try:
        return _Reader(kept["nodes"], models, known).value(kept["root"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        msg = f"the saved pipeline does not hold together ({type(error).__name__}: {error})"
        raise FormatError(msg) from error


class _Writer:
    """Turns objects into nodes; a value is a scalar of JSON, or a list with a node's number."""

    def __init__(self, known: Known) -> None:
        self.nodes: list[Any] = []
        self.models: list[Word2Vec] = []
        self._known = known
        self._places: dict[int, int] = {}
        # What has a place must live on, so that no other object gets its id.
        self._alive: list[Any] = []

    def value(self, thing: Any) -> Any:
        if thing is None or type(thing) in (bool, int, float, str):
            return thing
        place = self._places.get(id(thing))
        if place is None:
            place = self._places[id(thing)] = len(self.nodes)
            self._alive.append(thing)
            self.nodes.append(None)
            # Its place is taken before its parts are looked at, which may lead back to it.
            self.nodes[place] = self._node(thing)
        return [place]

    def _node(self, thing: Any) -> dict[str, Any]:
        kind = type(thing)
        if kind in (list, tuple, set, frozenset):
            return {kind.__name__: self._values(thing)}
        if kind is dict:
            return {"dict": [[self.value(key), self.value(item)] for key, item in thing.items()]}
        if kind is bytes:
            return {"bytes": _text(thing)}
        if isinstance(thing, Learnt):
            self.models.append(thing.model)
            return {"learnt": len(self.models) - 1, "component": thing.component.to_dict()}
        if isinstance(thing, np.ndarray | np.generic) and thing.dtype.kind in "biufc":
            data = {"dtype": thing.dtype.str, "data": _text(thing.tobytes())}
            return {"array" if isinstance(thing, np.ndarray) else "scalar": thing.shape, **data}
        if isinstance(thing, re.Pattern):
            return {"pattern": self.value(thing.pattern), "flags": thing.flags}
        owner = _owner(thing)
        if owner is not None:
            return {"method": thing.__name__, "of": self.value(owner)}
        if isinstance(thing, type | types.FunctionType | types.BuiltinFunctionType):
            return {"name": self._named(thing)}
        return self._reduced(thing)

    def _values(self, things: Iterable[Any]) -> list[Any]:
        return [self.value(thing) for thing in things]

    def _named(self, thing: Any) -> str:
        name = _name(thing)
        if _find(name, self._known) is not thing:
            msg = f"{name} cannot be saved by its name: add it to known"
            raise ConfigError(msg)
        return name

    def _reduced(self, thing: Any) -> dict[str, Any]:
        try:
            reduced = thing.__reduce_ex__(2)
        except TypeError as error:
            msg = f"{type(thing).__name__} cannot be saved: {error}"
            raise ConfigError(msg) from error
        if isinstance(reduced, str):
            msg = f"{type(thing).__name__} cannot be saved"
            raise ConfigError(msg)
        call, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        new = call is copyreg.__newobj__  # type: ignore[attr-defined]
        if new:
            call, *arguments = arguments
        if not isinstance(call, type):
            msg = f"{type(thing).__name__} is made by a function, and cannot be saved"
            raise ConfigError(msg)
        node: dict[str, Any] = {"new" if new else "call": self._named(call)}
        node["with"] = self._values(arguments)
        if state is not None:
            node["state"] = self.value(state)
        if items is not None:
            node["items"] = self._values(items)
        if pairs is not None:
            node["pairs"] = [[self.value(key), self.value(item)] for key, item in pairs]
        return node


class _Reader:
    """Makes objects of nodes."""

    def __init__(self, nodes: list[Any], models: list[Word2Vec], known: Known) -> None:
        self._nodes = nodes
        self._models = models
        self._known = known
        self._made: dict[int, Any] = {}

    def value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        (place,) = value
        return self._made[place] if place in self._made else self._make(place)

    def _make(self, place: int) -> Any:
        node = self._nodes[place]
        if "list" in node:
            made: Any = self._remember(place, [])
            made.extend(self._values(node["list"]))
        elif "dict" in node:
            made = self._remember(place, {})
            made.update((self.value(key), self.value(item)) for key, item in node["dict"])
        elif "set" in node:
            made = self._remember(place, set())
            made.update(self._values(node["set"]))
        elif "new" in node or "call" in node:
            made = self._object(place, node)
        else:
            made = self._remember(place, self._whole(node))
        return made

    def _whole(self, node: Mapping[str, Any]) -> Any:
        """Return what is complete as soon as it is made."""
        if "tuple" in node:
            return tuple(self._values(node["tuple"]))
        if "frozenset" in node:
            return frozenset(self._values(node["frozenset"]))
        if "bytes" in node:
            return base64.b64decode(node["bytes"])
        if "learnt" in node:
            return Learnt(self._models[node["learnt"]], Component.from_dict(node["component"]))
        if "data" in node:
            flat = np.frombuffer(base64.b64decode(node["data"]), np.dtype(node["dtype"]))
            return flat[0] if "scalar" in node else flat.reshape(node["array"]).copy()
        if "pattern" in node:
            return re.compile(self.value(node["pattern"]), node["flags"])
        if "method" in node:
            return getattr(self.value(node["of"]), node["method"])
        return self._class_or_function(node["name"])

    def _object(self, place: int, node: Mapping[str, Any]) -> Any:
        name = node["new"] if "new" in node else node["call"]
        kind = self._class_or_function(name)
        if not isinstance(kind, type):
            msg = f"{name} is no class"
            raise TypeError(msg)
        arguments = self._values(node["with"])
        made = kind.__new__(kind, *arguments) if "new" in node else kind(*arguments)
        self._remember(place, made)
        for item in node.get("items", ()):
            made.append(self.value(item))
        for key, item in node.get("pairs", ()):
            made[self.value(key)] = self.value(item)
        if "state" in node:
            _set_state(made, self.value(node["state"]))
        return made

    def _class_or_function(self, name: str) -> Any:
        found = _find(name, self._known)
        if found is None:
            msg = f"the saved pipeline needs {name}, which is not known here"
            raise ConfigError(msg)
        return found

    def _values(self, values: list[Any]) -> list[Any]:
        return [self.value(value) for value in values]

    def _remember(self, place: int, made: Any) -> Any:
        self._made[place] = made
        return made


def _set_state(thing: Any, state: Any) -> None:
    if hasattr(thing, "__setstate__"):
        thing.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if attributes:
        thing.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(thing, name, value)


def _name(thing: Any) -> str:
    # What is compiled may know its module only as what it is bound to.
    module = thing.__module__ or getattr(thing.__self__, "__name__", "")
    return f"{module}.{thing.__qualname__}"


def _owner(thing: Any) -> Any:
    """Return whose method it is, an object or a class; None if it is no method."""
    if isinstance(thing, types.MethodDescriptorType):
        return thing.__objclass__
    if not isinstance(thing, types.MethodType | types.BuiltinMethodType):
        return None
    return None if isinstance(thing.__self__, types.ModuleType) else thing.__self__


def _find(name: str, known: Known) -> Any:
    """Return what a name stands for; None if nobody allowed it."""
    if name in known:
        return known[name]
    if name in _OTHERS:
        return _OTHERS[name]
    if not name.startswith(tuple(f"{package}." for package in _PACKAGES)):
        return None
    # The longest part of the name that is a module; what is left is looked up in it.
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        # Not what a module of ours has imported from elsewhere.
        if isinstance(found, type | types.FunctionType | types.BuiltinFunctionType):
            return found if _name(found) == name else None
        return None
    return None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
