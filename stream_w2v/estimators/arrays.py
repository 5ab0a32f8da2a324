"""Arrays, numbers of numpy and its random generators as JSON, to the last bit, and back."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_KINDS = "biufcSUMm"
"""Arrays of these are bytes: numbers, text and times. Others hold addresses of objects."""

_BITS = "MT19937"
"""The random generator that river uses, and how many numbers its table has."""
_TABLE = 624


def text_of(data: bytes) -> str:
    """Return bytes as text."""
    return base64.b64encode(data).decode("ascii")


def floats_text(numbers: Sequence[float]) -> str:
    """Return floats as text: half as long as their digits, and ten times as fast."""
    return text_of(np.array(numbers, "<f8").tobytes())


def floats_of(text: str) -> list[float]:
    """Return what :func:`floats_text` was given."""
    numbers: list[float] = np.frombuffer(base64.b64decode(text), "<f8").tolist()
    return numbers


def node_of(thing: Any) -> dict[str, Any] | None:
    """Return an array, a number or a generator as JSON; None of whatever is none of these."""
    kind = type(thing)
    if (kind is np.ndarray or isinstance(thing, np.generic)) and thing.dtype.kind in _KINDS:
        # Compiled code that changes an array in place looks at its order.
        order = "C" if thing.flags.c_contiguous or not thing.flags.f_contiguous else "F"
        data = {"dtype": thing.dtype.str, "order": order, "data": text_of(thing.tobytes(order))}
        return {"array" if kind is np.ndarray else "scalar": list(thing.shape), **data}
    if kind is np.random.RandomState:
        state = thing.get_state(legacy=False)
        if state["bit_generator"] == _BITS:
            table = text_of(state["state"]["key"].astype("<u4").tobytes())
            waiting = [state["has_gauss"], state["gauss"]]
            return {"random": state["state"]["pos"], "gauss": waiting, "data": table}
    return None


def thing_of(node: Mapping[str, Any]) -> Any:
    """Return what :func:`node_of` was given.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the node is none of its.
    """
    data = base64.b64decode(node["data"])
    if "random" in node:
        return _generator(np.frombuffer(data, "<u4"), node["random"], *node["gauss"])
    dtype = np.dtype(node["dtype"])
    if dtype.kind not in _KINDS:
        msg = f"{dtype} is no dtype of bytes"
        raise TypeError(msg)
    if "scalar" in node:
        return np.ndarray((), dtype, data)[()]
    return np.ndarray(node["array"], dtype, data, order=node["order"]).copy(node["order"])


def _generator(table: Any, place: int, has_gauss: int, gauss: float) -> np.random.RandomState:
    # numpy would read whatever is behind the table.
    if len(table) != _TABLE or not 0 <= place <= _TABLE:
        msg = "the place of a random generator is not in its table"
        raise ValueError(msg)
    state = {"key": table, "pos": place}
    made = np.random.RandomState(0)
    made.set_state({"bit_generator": _BITS, "state": state, "has_gauss": has_gauss, "gauss": gauss})
    return made
