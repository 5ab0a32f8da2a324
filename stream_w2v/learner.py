"""Learning blocks of words: in one thread, or in several at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import numpy as np

from stream_w2v.config import Config
from stream_w2v.errors import BrokenModelError, DivergedError
from stream_w2v.kernel import learn as kernel
from stream_w2v.kernel.count import DONE, PLAN_FULL, ROWS_FULL
from stream_w2v.state import State
from stream_w2v.text import TokenBlock
from stream_w2v.workspace import Workspace


class Learner:
    """Learns into a state, and keeps everybody else out while it is not whole.

    Parameters
    ----------
    state
        What is learnt into.
    config
        ``workers`` threads may call :meth:`learn` at the same time; more wait for their turn.

    Attributes
    ----------
    released
        Whether the state's memory is no longer its own: it cannot be used any more.
    """

    def __init__(self, state: State, config: Config) -> None:
        self.released = False
        self._state = state
        self._several = config.workers > 1
        self._spaces: SimpleQueue[Workspace] = SimpleQueue()
        for _ in range(config.workers if self._several else 0):
            self._spaces.put(Workspace(config, several=True))
        # One thread uses its own under the lock, and not the queue: there Ctrl-C might lose it.
        self._alone = Workspace(config, several=False)
        # Who holds the lock may count; the vectors are still while nobody trains.
        self._lock = threading.RLock()
        self._still = threading.Condition(self._lock)
        self._training = 0
        self._wanted = 0
        self._broken = False

    def learn(self, block: TokenBlock) -> None:
        """Learn a block of records.

        Raises
        ------
        BrokenModelError
            If learning was broken off before.
        DivergedError
            If the vectors are no longer finite.
        """
        if not self._several:
            self._learn_alone(block)
            return
        space = self._spaces.get()
        try:
            self._learn_beside(block, space)
        finally:
            self._spaces.put(space)

    def _learn_alone(self, block: TokenBlock) -> None:
        state, space = self._state, self._alone
        with self.whole():
            space.scratch.cursor[0] = 0
            interrupt: KeyboardInterrupt | None = None
            status = -1
            while status != DONE:
                try:
                    status = kernel.learn(
                        block.tokens, block.pieces, *state.arrays(), space.scratch, space.plan,
                        space.private, state.options, state.counters,
                    )  # fmt: skip
                    self._make_room(status)
                except KeyboardInterrupt as error:
                    if self._broken:
                        raise
                    # Ctrl-C takes effect after the block: half a record would be learnt twice.
                    interrupt = error
            self._count(block)
            if interrupt is not None:
                raise interrupt

    def _learn_beside(self, block: TokenBlock, space: Workspace) -> None:
        """Learn while other threads do: one counts at a time, all train."""
        status = -1
        space.scratch.cursor[0] = 0
        try:
            while status != DONE:
                status = self._prepare(block, space)
                self._train(space)
        except BaseException:
            # What was counted may not have been trained.
            self._broken = True
            raise
        with self._lock:
            self._count(block)

    def _prepare(self, block: TokenBlock, space: Workspace) -> int:
        """Count as much of a block as there is room for, and plan its training."""
        state, cursor = self._state, space.scratch.cursor[0]
        with self._lock:
            self._still.wait_for(lambda: self._wanted == 0)
            self._check_whole()
            # Meanwhile another thread may have evicted words of a piece counted in part.
            cursor["changed"] = cursor["word"] > 0
            status: int = kernel.prepare(
                block.tokens, block.pieces, *state.arrays(), space.scratch, space.plan,
                state.options, state.counters,
            )  # fmt: skip
            if status != ROWS_FULL:
                self._make_room(status)
            elif not cursor["planned"]:
                # Rows go to other words only when nobody trains them.
                self._wait_until_still()
                if state.vocabulary.full:
                    self._make_room(status)
            self._training += 1
        return status

    def _train(self, space: Workspace) -> None:
        """Train what is planned."""
        state, counters = self._state, space.counters[0]
        before = counters.copy()
        try:
            kernel.train(
                state.noise.arrays, state.weights, space.scratch, space.plan, space.private,
                state.options, space.counters,
            )  # fmt: skip
        finally:
            with self._lock:
                self._training -= 1
                for name in ("windows", "loss", "loss_pairs"):
                    state.counters[0][name] += counters[name] - before[name]
                self._still.notify_all()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Keep other threads out, and refuse a model that was broken off."""
        with self._lock:
            self._wait_until_still()
            self._check_whole()
            yield

    def _wait_until_still(self) -> None:
        """Wait, holding the lock, until nobody trains."""
        self._wanted += 1
        try:
            self._still.wait_for(lambda: self._training == 0)
        finally:
            self._wanted -= 1
            self._still.notify_all()

    def _check_whole(self) -> None:
        if self._broken:
            msg = "learning was broken off inside a record: load the model's last save"
            raise BrokenModelError(msg)
        if self.released:
            msg = "the model was released, its memory is that of its vectors: save it before"
            raise BrokenModelError(msg)

    def _count(self, block: TokenBlock) -> None:
        counters = self._state.counters[0]
        counters["invalid"] += block.invalid
        counters["oversize"] += block.oversize
        if not np.isfinite(counters["loss"]):
            msg = (
                f"the vectors are no longer finite after record {counters['records']}: "
                "use a lower learning_rate"
            )
            raise DivergedError(msg)

    def _make_room(self, status: int) -> None:
        if status not in (DONE, PLAN_FULL):
            self._broken = True
            self._state.make_room(status)
            self._broken = False
