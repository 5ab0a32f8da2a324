"""What flows: records in batches, the place in the stream, and the two ends of a pipeline.

A *record* is one message, one line, one ``learn_one`` call. It is the unit of everything: how
records are grouped into batches never changes what is learnt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_w2v.errors import SourceError

if TYPE_CHECKING:
    from stream_w2v.vectors import KeyedVectors

Positions = Mapping[str, Any]
"""Where to go on, for each part of a source (a file, a partition): JSON-serialisable.

A part whose records may be unreadable says how many it has left out so far, by reason: its value
is a mapping, and ``dead`` one of its keys. So they are counted exactly once, like those learnt.
"""


def dead_letters(positions: Positions) -> Counter[str]:
    """Return how many records were left out so far because they could not be read, by reason."""
    total: Counter[str] = Counter()
    for part in positions.values():
        if isinstance(part, Mapping):
            total.update(part.get("dead", {}))
    return total


def missing_bytes(positions: Positions) -> int:
    """Return how many bytes were deleted before they were read, as far as the source knows."""
    return sum(part.get("missing", 0) for part in positions.values() if isinstance(part, Mapping))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive records of a source, as one buffer of bytes.

    Attributes
    ----------
    data
        The records' bytes (UTF-8), one after the other: ``bytes`` or anything with a buffer.
        A line break at the end of a record belongs to it; no tokeniser sees it.
    ends
        int64 ``[n]``, not decreasing, the last one ``len(data)``: record i is
        ``data[ends[i - 1]:ends[i]]``.
    positions
        Where the source goes on after this batch, for every part it has touched so far.
    """

    data: bytes | bytearray | memoryview
    ends: NDArray[np.int64]
    positions: Positions = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ends)

    def records(self) -> Iterator[bytes]:
        """Yield the records one by one, without the line breaks at their ends."""
        data = memoryview(self.data)
        start = 0
        for end in self.ends.tolist():
            yield bytes(data[start:end]).rstrip(b"\r\n")
            start = end


class Source(ABC):
    """Where records come from.

    Iterating yields batches; an idle source that follows something yields an empty batch at
    least once every poll interval, so that its reader can save, report and stop. A source that
    has an end stops iterating there. Iterating is done from one thread at a time, which need
    not be the one that made the source.
    """

    def seek(self, positions: Positions) -> None:
        """Go on from these positions, as a batch reported them. Call before iterating.

        Parts that the positions do not name start where they would have without the call.

        Raises
        ------
        SourceError
            If that is not possible.
        """
        if positions:
            msg = f"{type(self).__name__} cannot go on from a saved position"
            raise SourceError(msg)

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""

    def commit(self, positions: Positions) -> None:  # noqa: B027 - a courtesy, not a duty
        """Hear that everything before these positions is durable. A courtesy, never relied on.

        It may be called while another thread iterates.
        """

    def status(self) -> str:
        """Return where the source stands, in a few words for a progress line ("43 %")."""
        return ""

    def lag(self) -> int | None:
        """Return how much there still is to read, in bytes or messages; None if nobody knows."""
        return None

    def reload(self) -> None:  # noqa: B027 - most sources are what they were named
        """Look at once for what has come into being since. From a signal handler, too."""

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open between batches
        """Release what is held open. Closing twice is harmless.

        It may be called while another thread iterates, and then ends that iteration soon.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Sink(ABC):
    """Where snapshots go.

    Attributes
    ----------
    every
        Seconds after which it wants the next one; None leaves that to who writes to it.
    """

    every: float | None = None

    @abstractmethod
    def write(self, vectors: KeyedVectors) -> None:
        """Take one immutable snapshot.

        Raises
        ------
        StorageError
            If that is not possible now. It may be later: the next snapshot is offered all the same.
        """

    def close(self) -> None:  # noqa: B027 - a file sink holds nothing open
        """Finish. Closing twice is harmless."""
