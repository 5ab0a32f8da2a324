"""Learning blocks of words: in one thread, or in several at the same time."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

from stream_w2v.errors import BrokenModelError, DivergedError
from stream_w2v.kernel import learn as kernel
from stream_w2v.kernel.compile import SameTypes
from stream_w2v.kernel.count import DONE, PLAN_FULL, ROWS_FULL
from stream_w2v.state import State
from stream_w2v.text import TokenBlock
from stream_w2v.workspace import Workspace


class Learner:
    """Learns into a state, and keeps everybody else out while it is not whole.

    Parameters
    ----------
    state
        What is learnt into. ``workers`` threads may call :meth:`learn` at the same time; more wait
        for their turn.

    Attributes
    ----------
    released
        Whether the state's memory is no longer its own: it cannot be used any more.
    """

    def __init__(self, state: State) -> None:
        config = state.config
        self.released = False
        self._state = state
        self._several = config.workers > 1
        self._spaces: SimpleQueue[Workspace] = SimpleQueue()
        for _ in range(config.workers if self._several else 0):
            self._spaces.put(Workspace(config, several=True))
        # One thread uses its own under the lock, and not the queue: there Ctrl-C might lose it.
        self._alone = Workspace(config, several=False)
        self._kernel = SameTypes(kernel.learn)
        # Who holds the lock may count; the vectors are still while nobody trains.
        self._lock = threading.RLock()
        self._still = threading.Condition(self._lock)
        self._training = 0
        self._wanted = 0  # how many wait for the vectors to be still
        self._evicting: Workspace | None = None  # whose piece is counted in part
        self._broken = False
        # For the main thread, where signals strike: see _learn_elsewhere.
        self._elsewhere = ThreadPoolExecutor(1, "stream-w2v learner") if self._several else None

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
        elif threading.current_thread() is threading.main_thread():
            self._learn_elsewhere(block)
        else:
            self._learn_beside(block)

    def _learn_elsewhere(self, block: TokenBlock) -> None:
        """Learn in a thread in which no signal is handled: Ctrl-C would leave a part unlearnt."""
        assert self._elsewhere is not None
        task = self._elsewhere.submit(self._learn_beside, block)
        interrupt: KeyboardInterrupt | None = None
        while True:
            try:
                task.result()
                break
            except KeyboardInterrupt as error:
                # It takes effect after the block.
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _learn_alone(self, block: TokenBlock) -> None:
        state, space = self._state, self._alone
        # What one thread trains it trains under the lock: there is nobody to wait for.
        with self._lock:
            self._check_whole()
            space.scratch.cursor[0] = 0
            interrupt: KeyboardInterrupt | None = None
            status = -1
            while status != DONE:
                try:
                    status = self._kernel(
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

    def _learn_beside(self, block: TokenBlock) -> None:
        """Learn while other threads do: one counts at a time, all train."""
        space = self._spaces.get()
        space.scratch.cursor[0] = 0
        status = -1
        try:
            while status != DONE:
                status = self._prepare(block, space)
                self._train(space)
            with self._lock:
                self._count(block)
        finally:
            self._spaces.put(space)

    def _prepare(self, block: TokenBlock, space: Workspace) -> int:
        """Count as many records of a block as there is room for, and plan their training."""
        state = self._state
        with self._lock:
            if self._evicting is space:
                # Rows go to other words only when nobody trains them.
                self._still.wait_for(lambda: self._training == 0 or self._broken)
                self._check_whole()
                self._make_room(ROWS_FULL)
            else:
                self._still.wait_for(lambda: not (self._wanted or self._evicting) or self._broken)
                self._check_whole()
            while True:
                status: int = kernel.prepare(
                    block.tokens, block.pieces, *state.arrays(), space.scratch, space.plan,
                    state.options, state.counters,
                )  # fmt: skip
                if status in (DONE, PLAN_FULL, ROWS_FULL):
                    break
                self._make_room(status)
            # What is planned may name the rows that are to go, so it is trained first; until then
            # nobody else counts, and nobody takes a record counted in part for a whole one.
            self._evicting = space if status == ROWS_FULL else None
            self._training += 1
            self._still.notify_all()
        return status

    def _train(self, space: Workspace) -> None:
        """Train what is planned."""
        state, counters = self._state, space.counters[0]
        before = counters.copy()
        done = False
        try:
            kernel.train(
                state.noise.arrays, state.weights, space.scratch, space.plan, space.private,
                state.options, space.counters,
            )  # fmt: skip
            done = True
        finally:
            with self._lock:
                self._training -= 1
                # What was counted and not trained is no state to go on from.
                self._broken |= not done
                for name in ("windows", "loss", "loss_pairs"):
                    state.counters[0][name] += counters[name] - before[name]
                self._still.notify_all()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Keep other threads out, and refuse a model that was broken off."""
        with self._lock:
            self._wanted += 1
            try:
                self._still.wait_for(lambda: not (self._training or self._evicting) or self._broken)
            finally:
                self._wanted -= 1
                self._still.notify_all()
            self._check_whole()
            yield

    def _check_whole(self) -> None:
        if self._broken:
            msg = "learning was broken off inside a record: load the model's last save"
            raise BrokenModelError(msg)
        if self.released:
            msg = "the model was released, its memory is that of its vectors: save it before"
            raise BrokenModelError(msg)

    def _count(self, block: TokenBlock) -> None:
        counters = self._state.counters[0]
        # Each look into the counters takes a quarter of a microsecond.
        if block.invalid or block.oversize:
            counters["invalid"] += block.invalid
            counters["oversize"] += block.oversize
        if not math.isfinite(counters["loss"]):
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
