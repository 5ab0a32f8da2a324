"""What river's objects have learnt as JSON, and back: a checkpoint's part without any code in it.

An object becomes what it would tell pickle: its class, what that is called with, and its state. But
only classes and functions of river that learn or compute, of this package's estimators, and of a
short list are ever looked up, by their names; only classes are called; and whatever else a pipeline
holds, the caller has to name. So a file that somebody made up can hold nonsense, but nothing in it
runs code of its own, opens a file or a connection.
"""

from __future__ import annotations

import base64
import copyreg
import re
import types
from collections.abc import Generator, Iterable, Mapping
from importlib.metadata import version
from typing import Any

from stream_w2v.errors import ConfigError, FormatError, StreamW2VError, VersionError
from stream_w2v.estimators import arrays
from stream_w2v.estimators.names import Known, find, find_method, owner_of, save_name
from stream_w2v.estimators.transformer import Learnt
from stream_w2v.model import Word2Vec
from stream_w2v.pooling import Component

Making = Generator[Any, Any, Any]
"""Makes an object: yields the values of its parts, is sent what they stand for, returns it."""

_MANY = 16
"""Floats, from which they are written as bytes."""


def river_version() -> str:
    """Return the version of river whose estimators are alike inside: major and minor."""
    return ".".join(version("river").split(".")[:2])


def to_json(thing: Any, known: Known) -> tuple[dict[str, Any], list[Word2Vec]]:
    """Return what is to be kept, and the word vectors in it, which are kept elsewhere.

    Raises
    ------
    ConfigError
        If something in it is neither river's nor known.
    """
    writer = _Writer(known)
    root = writer.write(thing)
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
    try:
        if kept["river"] != river_version():
            msg = (
                f"the pipeline was saved with river {kept['river']}, and this is "
                f"{river_version()}: install that version"
            )
            raise VersionError(msg)
        return _Reader(kept["nodes"], models, known).read(kept["root"])
    except (StreamW2VError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # Whatever a class makes of what is not its own; some of river's are compiled, and panic.
        what = " ".join(f"{type(error).__name__}: {error}".split())
        msg = f"the saved pipeline does not hold together ({what[:200]})"
        raise FormatError(msg) from error


class _Writer:
    """Turns objects into nodes; a value is a scalar of JSON, or a list with a node's number."""

    def __init__(self, known: Known) -> None:
        self.nodes: list[Any] = []
        self.models: list[Word2Vec] = []
        self._known = known
        self._places: dict[int, int] = {}
        # In the order of their places. They must live on, so that no other object gets their id.
        self._things: list[Any] = []

    def write(self, thing: Any) -> Any:
        """Return the value of a thing, once there is a node for all that it leads to."""
        root = self._value(thing)
        # One after the other, not by recursion: trees and graphs are deeper than Python's stack.
        while len(self.nodes) < len(self._things):
            self.nodes.append(self._node(self._things[len(self.nodes)]))
        return root

    def _value(self, thing: Any) -> Any:
        kind = type(thing)
        if thing is None or kind in (bool, float, str) or (kind is int and thing.bit_length() < 64):
            return thing
        place = self._places.setdefault(id(thing), len(self._things))
        if place == len(self._things):
            self._things.append(thing)
        return [place]

    def _values(self, things: Iterable[Any]) -> Any:
        # Nearly all that was learnt is long lists of one type, which need not be gone through.
        things = list(things)
        kinds = set(map(type, things))
        if kinds == {float} and len(things) >= _MANY:
            return {"floats": arrays.floats_text(things)}
        if kinds == {str}:
            return things
        return [self._value(thing) for thing in things]

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Return the values of keys, and those of what belongs to them."""
        pairs = list(pairs)
        return [self._values(key for key, _ in pairs), self._values(item for _, item in pairs)]

    def _node(self, thing: Any) -> dict[str, Any]:
        kind = type(thing)
        if kind in (list, tuple):
            return {kind.__name__: self._values(thing)}
        if kind in (set, frozenset):
            return {kind.__name__: self._values(_in_order(thing))}
        if kind is dict:
            return {"dict": self._pairs(thing.items())}
        if kind is int:
            return {"int": hex(thing)}
        if kind is bytes:
            return {"bytes": arrays.text_of(thing)}
        if kind is Learnt:
            self.models.append(thing.model)
            return {"learnt": len(self.models) - 1, "component": thing.component.to_dict()}
        array = arrays.node_of(thing)
        if array is not None:
            return array
        if kind is re.Pattern:
            return {"pattern": self._value(thing.pattern), "flags": thing.flags}
        owner = owner_of(thing)
        if owner is not None:
            if find_method(owner, thing.__name__, self._known) != thing:
                msg = f"the method {thing.__name__} of {type(owner).__name__} cannot be saved"
                raise ConfigError(msg)
            return {"method": thing.__name__, "of": self._value(owner)}
        named = isinstance(thing, type | types.FunctionType | types.BuiltinFunctionType)
        if named or any(thing is one for one in self._known.values()):
            return {"name": save_name(thing, self._known)}
        return self._reduced(thing)

    def _reduced(self, thing: Any) -> dict[str, Any]:
        kind = type(thing).__name__
        try:
            reduced = thing.__reduce_ex__(4)
        except Exception as error:
            msg = f"{kind} cannot be saved: {error}"
            raise ConfigError(msg) from error
        if isinstance(reduced, str):
            msg = f"{reduced} cannot be saved by its name: add what calls it to known"
            raise ConfigError(msg)
        parts: list[Any] = [*reduced, None, None, None]
        call, arguments, state, items, pairs, *others = parts
        new = call is copyreg.__newobj__  # type: ignore[attr-defined]
        if new:
            call, *arguments = arguments
        if not isinstance(call, type) or any(others):
            msg = f"{kind} is made by a function, and cannot be saved"
            raise ConfigError(msg)
        node: dict[str, Any] = {"new" if new else "call": save_name(call, self._known)}
        node["with"] = self._values(arguments)
        if state is not None:
            node["state"] = self._value(state)
        if items is not None:
            node["items"] = self._values(items)
        if pairs is not None:
            node["pairs"] = self._pairs(pairs)
        return node


class _Reader:
    """Makes objects of nodes."""

    def __init__(self, nodes: list[Any], models: list[Word2Vec], known: Known) -> None:
        self._nodes = nodes
        self._models = models
        self._known = known
        self._made: dict[int, Any] = {}
        self._begun: dict[int, int] = {}

    def read(self, value: Any) -> Any:
        """Return what a value stands for."""
        # A stack of what is being made, which may be deeper than Python's own.
        making = [self._value(value)]
        made: Any = None
        while making:
            try:
                part = making[-1].send(made)
            except StopIteration as done:
                making.pop()
                made = done.value
            else:
                making.append(self._value(part))
                made = None
        return made

    def _value(self, value: Any) -> Making:
        if not isinstance(value, list):
            return value
        (place,) = value
        if place not in self._made:
            if self._begun.get(place) == len(self._made):
                msg = f"node {place} is a part of itself"
                raise ValueError(msg)
            self._begun[place] = len(self._made)
            yield from self._make(place, self._nodes[place])
        return self._made[place]

    def _values(self, values: Any) -> Making:
        if isinstance(values, dict):
            return arrays.floats_of(values["floats"])
        if list not in set(map(type, values)):
            return values
        found = []
        for value in values:
            found.append((yield value) if isinstance(value, list) else value)
        return found

    def _pairs(self, pairs: list[Any]) -> Making:
        keys, items = pairs
        keys, items = (yield from self._values(keys)), (yield from self._values(items))
        return zip(keys, items, strict=True)

    def _make(self, place: int, node: Mapping[str, Any]) -> Making:
        # What can be changed is there before its parts are made, which may lead back to it.
        if "list" in node:
            made: Any = self._made.setdefault(place, [])
            made.extend((yield from self._values(node["list"])))
        elif "dict" in node:
            made = self._made.setdefault(place, {})
            made.update((yield from self._pairs(node["dict"])))
        elif "set" in node:
            made = self._made.setdefault(place, set())
            made.update((yield from self._values(node["set"])))
        elif "new" in node or "call" in node:
            yield from self._object(place, node)
        else:
            made = yield from self._whole(node)
            # Unless its parts have led back to it, and it was made there.
            self._made.setdefault(place, made)

    def _whole(self, node: Mapping[str, Any]) -> Making:
        """Make what is complete as soon as it is made."""
        if "tuple" in node:
            return tuple((yield from self._values(node["tuple"])))
        if "frozenset" in node:
            return frozenset((yield from self._values(node["frozenset"])))
        if "int" in node:
            return int(node["int"], 16)
        if "bytes" in node:
            return base64.b64decode(node["bytes"])
        if "learnt" in node:
            return Learnt(self._models[node["learnt"]], Component.from_dict(node["component"]))
        if "data" in node:
            return arrays.thing_of(node)
        if "pattern" in node:
            return re.compile((yield node["pattern"]), node["flags"])
        if "method" in node:
            method = find_method((yield node["of"]), node["method"], self._known)
            if method is None:
                msg = f"{node['method']} is no method that may be saved"
                raise TypeError(msg)
            return method
        return self._class_or_function(node["name"])

    def _object(self, place: int, node: Mapping[str, Any]) -> Making:
        kind = self._class_or_function(node["new"] if "new" in node else node["call"])
        if not isinstance(kind, type) or issubclass(kind, type):
            msg = f"{kind} is no class of objects"
            raise TypeError(msg)
        arguments = yield from self._values(node["with"])
        if place in self._made:
            return
        made: Any = kind.__new__(kind, *arguments) if "new" in node else kind(*arguments)
        self._made[place] = made
        for item in (yield from self._values(node.get("items", []))):
            made.append(item)
        for key, item in (yield from self._pairs(node.get("pairs", [[], []]))):
            made[key] = item
        if "state" in node:
            _set_state(made, (yield node["state"]))

    def _class_or_function(self, name: str) -> Any:
        found = find(name, self._known)
        if found is None:
            msg = f"the saved pipeline needs {name!r:.200}, which is not known here"
            raise ConfigError(msg)
        return found


def _set_state(thing: Any, state: Any) -> None:
    if hasattr(thing, "__setstate__"):
        thing.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if attributes:
        thing.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(thing, name, value)


def _in_order(things: Iterable[Any]) -> list[Any]:
    """Return what is in a set in an order that does not depend on the process, if there is one."""
    try:
        return sorted(things, key=lambda thing: (type(thing).__name__, thing))
    except (TypeError, NotImplementedError):
        return list(things)
