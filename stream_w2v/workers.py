"""Several threads that do the same to one thing after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

_WAITING = 2
"""Things that wait for each thread, at most: enough that none is idle."""


class Workers(Generic[Item]):
    """Threads that call a function on whatever is put; with one, the caller does it at once.

    A context manager: leaving it waits for what was put. An error of the function comes up in the
    next call of :meth:`put` or :meth:`finish`.

    Parameters
    ----------
    function
        What is called.
    count
        How many threads.
    """

    def __init__(self, function: Callable[[Item], None], count: int) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(count, "stream-w2v worker") if count > 1 else None
        self._room = threading.Semaphore(count * (1 + _WAITING))
        self._open: list[Future[None]] = []

    def put(self, item: Item) -> None:
        """Hand one thing on; this waits while too many wait."""
        if self._pool is None:
            self._function(item)
            return
        self._room.acquire()
        task = self._pool.submit(self._function, item)
        task.add_done_callback(lambda _: self._room.release())
        self._open.append(task)
        # Each is looked at once: one that ends meanwhile is for the next call.
        waiting, self._open = self._open, []
        for one in waiting:
            if one.done():
                one.result()
            else:
                self._open.append(one)

    @property
    def idle(self) -> bool:
        """Whether all that was put is done, and none of it failed."""
        return all(task.done() and task.exception() is None for task in self._open)

    def finish(self) -> None:
        """Wait until all that was put is done."""
        waiting, self._open = self._open, []
        for task in waiting:
            task.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        if error[0] is None:
            self.finish()
