"""How kernels are compiled: one place for every option.

No fast-math flag is set. A sum has one order, so a seed gives one result, and a NaN stays a NaN,
so that diverging can be seen. Where the order of a sum may be changed it is written that way.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit, typeof
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys

Function = Callable[..., Any]
Compiled = Any
"""A function that numba compiles when it is called; ``py_func`` is the one that was written."""


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCES = _digest_of_sources()


class _Cache(FunctionCache):
    """A cache on disk that knows every source of the kernel.

    numba compares the time stamp of the file that holds the function, so a change in a function
    that it calls, in another file, would go unseen.
    """

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _SOURCES)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # numba would first load all that it needs to compile, 200 modules: two thirds of the time
        # that a first call takes. What is compiled already needs only the runtime, which is up.
        try:
            return self._load_overload(sig, target_context)
        except Exception:
            # Damaged, by a power cut for example: it is compiled anew and written over.
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        # A full disk is no reason not to run what was just compiled.
        with suppress(OSError):
            super().save_overload(sig, data)


class _NoCollection(event.Listener):
    """No garbage collection while a kernel compiles: there is none, and looking takes an eighth."""

    def __init__(self) -> None:
        self._depth = 0
        self._was_enabled = False

    def on_start(self, event: Any) -> None:
        if self._is_ours(event):
            if self._depth == 0:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._depth += 1

    def on_end(self, event: Any) -> None:
        if self._is_ours(event):
            self._depth -= 1
            if self._depth == 0 and self._was_enabled:
                gc.enable()

    def _is_ours(self, event: Any) -> bool:
        # A function made by exec has no module.
        module = getattr(event.data["dispatcher"], "__module__", None) or ""
        return module.startswith(__package__)


event.register("numba:compile", _NoCollection())

# 20 ms that the first record need not wait for.
rtsys.initialize(cpu_target.target_context)

# No kernel allocates, so nothing needs to count references. And only entry points need what makes
# a function callable from Python. Leaving both out halves the time to compile; `function.py_func`
# is always there.
_OUTER = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
_INNER = {**_OUTER, "no_cpython_wrapper": True}


def compiled(function: Function) -> Compiled:
    """Compile a function that other kernels call."""
    return njit(**_INNER)(function)


def inlined(function: Function) -> Compiled:
    """Compile a small function into each of its callers."""
    return njit(forceinline=True, **_INNER)(function)


def pasted(function: Function) -> Compiled:
    """Compile a function as a part of its only caller."""
    return njit(inline="always", **_INNER)(function)


def entry_point(function: Function) -> Compiled:
    """Compile a function that Python calls: without the GIL, kept on disk if possible."""
    dispatcher = njit(**_OUTER)(function)
    # Without a writable place for a cache every process compiles anew, which works.
    with suppress(RuntimeError):
        dispatcher._cache = _Cache(function)
    return dispatcher


class SameTypes:
    """An entry point for a caller whose arguments always have the same types.

    To see of what types sixty arrays in named tuples are takes numba as long as learning a dozen
    words. This looks at them in the first call, and trusts the caller in all that follow.

    Parameters
    ----------
    function
        The entry point.
    """

    def __init__(self, function: Compiled) -> None:
        self._function = function
        self._compiled: Function | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the entry point."""
        if self._compiled is None:
            types = tuple(map(typeof, arguments))
            self._function.compile(types)
            self._compiled = self._function.overloads[types].entry_point
        return self._compiled(*arguments)
