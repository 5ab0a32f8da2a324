"""Files that grow and rotate as a source of records: ``tail -F``, with every line exactly once."""

from __future__ import annotations

import glob
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator

from stream_w2v.connectors.content import is_transient
from stream_w2v.connectors.dead_letters import DeadLettersFile
from stream_w2v.connectors.followed import Followed, RewrittenError
from stream_w2v.connectors.inputs import POLL_SECONDS, STDIN
from stream_w2v.connectors.lines import BOM, Cutter, Piece, join
from stream_w2v.connectors.tracker import Tracker
from stream_w2v.errors import ConfigError, SourceError, SourceNotFoundError
from stream_w2v.stream import Batch, Positions, Source

_POLLS_A_LOOK_AT_NAMES = 4
"""Files that grow are looked at at each poll, and whether they have been rotated less often."""

_BROKEN = "damaged file"

_log = logging.getLogger(__name__)


class FollowSource(Source):
    """Lines of files that grow, are rotated, and appear.

    Parameters
    ----------
    paths
        Paths and globs. Neither needs to exist yet: what appears later is read from its beginning.
    start
        Where to begin in files that are there already and that the positions do not name: at the
        ``earliest`` line, or after the ``latest``. What they were rotated to before is not read
        unless a glob matches it.
    follow
        Whether to wait for more at the end. If not, the source ends when all whole lines that are
        there are read; a last one without a line break is left for the next time.
    field, record_start
        What a record is: see :class:`~stream_w2v.connectors.lines.Cutter`.
    dead_letters
        Path of a file to keep records in that are not learnt, beside counting them: JSON lines.
        After a crash some may be there twice.
    poll_seconds
        Between two looks whether there is more.
    settle_seconds
        How long a file that was rotated must have been silent before a last line without a line
        break counts as whole. Also how long an event of several lines is waited for.
    batch_bytes
        About how much a batch holds.
    max_record_bytes
        The longest record; a longer one is not learnt.

    Raises
    ------
    ConfigError
        If an option has a value that cannot work, or a path is standard input or a pipe.
    SourceNotFoundError
        If a path is a directory.
    StorageError
        If dead letters cannot be written.

    Notes
    -----
    A file is known by its device and inode and by its content (see
    :mod:`~stream_w2v.connectors.followed`), so it is read to its end wherever it is renamed or
    copied to, compressed or not, also if that happened while nobody was looking. Files that it
    takes for a rotated one are those in the same directory whose name, without a number, a date
    and the ending of a compressed file, is that of a file that is followed.

    A file with the name of a rotated one that holds nothing but what another file of its log begins
    with is a copy, which is said and not learnt; if nobody saw it appear, only if it has a KiB.
    ``server.1.log`` counts as rotated if there is ``server.log``. A copy under a name that is none
    of a rotated file is a file of its own, if a glob matches it. Where a name has a date in it, the
    files of other days belong to it, too.

    A file that cannot be read is named in a warning, and tried again; one that is damaged is read
    as far as possible, and counted as a dead letter. A file that is gone is remembered for an hour:
    if it comes back with the same inode, as from a disk that was away, it is read on.

    What cannot be seen: a file that was truncated and has the same bytes again up to where it had
    been read; lines that were written and deleted between two looks, or to a deleted file that had
    been silent. A file that has become shorter is a new one, and learnt from its beginning. If a
    log is rotated into another folder, or to a name that nobody could guess, while nobody follows
    it, what is compressed there or was rotated several times is only found if a glob matches it. A
    copy is known by what is beside it: if that is emptied before both were seen, it is learnt.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        start: str = "earliest",
        follow: bool = True,
        field: str | None = None,
        record_start: str | None = None,
        dead_letters: str | os.PathLike[str] | None = None,
        poll_seconds: float = 0.25,
        settle_seconds: float = 5.0,
        batch_bytes: int = 1 << 17,
        max_record_bytes: int = 1 << 20,
    ) -> None:
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        patterns = [_followable(os.fspath(path)) for path in given]
        if not patterns:
            msg = "no file was named: give a path or a glob"
            raise ConfigError(msg)
        if start not in ("earliest", "latest"):
            msg = f"start must be earliest or latest, not {start}"
            raise ConfigError(msg)
        for name, value, low in (
            ("poll_seconds", poll_seconds, 0),
            ("settle_seconds", settle_seconds, 0),
            ("batch_bytes", batch_bytes, 1),
            ("max_record_bytes", max_record_bytes, 4),
        ):
            if value < low:
                msg = f"{name} must be at least {low}, not {value}"
                raise ConfigError(msg)
        self._follow = follow
        self._cutter = Cutter(max_record_bytes, field, record_start)
        self._letters = None if dead_letters is None else DeadLettersFile(dead_letters)
        self._poll_seconds, self._settle_seconds = poll_seconds, settle_seconds
        self._batch_bytes = batch_bytes
        self._tracker = Tracker(patterns, latest=start == "latest", settle_seconds=settle_seconds)
        self._busy: list[Followed] = []  # those that have to be looked after
        self._clock = time.monotonic
        self._names_due = 0.0
        self._wake = threading.Event()
        self._closed = False
        self._lock = threading.Lock()

    # The source.

    def seek(self, positions: Positions) -> None:
        """Go on from these positions, as a batch of this source or a FileSource reported them."""
        self._tracker.seek(positions, self._clock())

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches, in order for each log, and an empty one whenever nothing has come."""
        with self._lock:
            try:
                self._look()
                # So that what was there before is known before anything is learnt.
                yield self._batch([])
                while not self._closed:
                    yield from self._batches()
                    if not self._ready():
                        if not self._follow and not self._tracker.due:
                            break
                        self._wake.wait(self._poll_seconds)
                    self._look()
            finally:
                if self._closed:
                    self._tracker.close()

    def reload(self) -> None:
        """Look which files match the globs with the next poll."""
        # No more: to set an event may interrupt itself in a signal handler, and wait for ever.
        self._names_due = 0.0
        self._tracker.reload()

    def status(self) -> str:
        """Return how many files are followed, and how many bytes there still are to read."""
        files = sum(file.is_open for file in self._tracker.files)
        return f"{files} files, lag {self.lag() / 1e6:.1f} MB"

    def lag(self) -> int:
        """Return how many bytes there still are to read, as of the last look."""
        return sum(max(0, file.seen.size - file.offset) for file in self._busy if file.is_behind)

    def close(self) -> None:
        """Stop iterating, in whatever thread that happens, and close the files."""
        self._closed = True
        self._wake.set()
        if self._lock.acquire(timeout=5):
            try:
                self._tracker.close()
            finally:
                self._lock.release()

    def _look(self) -> None:
        now = self._clock()
        names = now >= self._names_due
        if names:
            self._names_due = now + _POLLS_A_LOOK_AT_NAMES * self._poll_seconds
        if self._tracker.look(now, names=names):
            self._busy = [file for file in self._tracker.files if file.is_busy]

    # Reading.

    def _batches(self) -> Iterator[Batch]:
        """Yield what there is to read until it is time to look again: at least one batch."""
        pieces: list[Piece] = []
        due = self._clock() + POLL_SECONDS
        while True:
            ready = self._ready()
            for file in ready:
                pieces += self._cut(file)
                if sum(len(data) for data, _ in pieces) > self._batch_bytes // 2:
                    yield self._batch(pieces)
                    pieces = []
                if self._closed:
                    return
            if not ready or self._clock() >= due:
                break
        for file in self._busy:
            pieces += self._settled(file)
        self._busy = [file for file in self._busy if file.is_busy]
        yield self._batch(pieces)

    def _ready(self) -> list[Followed]:
        """Return the files with something to read, of each log only the oldest."""
        oldest: dict[tuple[str, str], Followed] = {}
        for file in self._busy:
            if file.is_behind and file.log not in self._tracker.waiting:
                oldest.setdefault(file.log, file)
        return list(oldest.values())

    def _cut(self, file: Followed) -> list[Piece]:
        """Read some more of a file, and return the records in it."""
        try:
            data = file.read(self._batch_bytes)
        except RewrittenError:
            self._tracker.due = True
            return []
        except (SourceError, OSError) as error:
            now = self._clock()
            if is_transient(error):
                file.close()
                self._tracker.retry(file, str(error), now)
                return []
            if now - file.quiet_since < self._settle_seconds:
                # What is being compressed cannot be read to its end yet.
                file.close()
                self._tracker.due = True
                return []
            return self._broken(file, error)
        return self._records(file, data, ended=file.ended)

    def _settled(self, file: Followed) -> list[Piece]:
        """Return what counts as whole because nothing more has come for a while."""
        if not file.is_open or file.is_behind or file.finished:
            return []
        now = self._clock()
        quiet = now - file.quiet_since >= self._settle_seconds
        if file.superseded and quiet and file.is_plain:
            # It may have grown between the last look and its rotation.
            file.look(now)
            if file.is_behind:
                return []
            if file.is_outgrown():
                file.close()
                self._tracker.due = True
                return []
        pieces: list[Piece] = []
        if file.ended or (file.superseded and quiet):
            pieces = self._records(file, file.rest, ended=True)
            file.finish()
        elif quiet and self._cutter.joins and file.rest:
            whole = file.rest[: file.rest.rfind(b"\n") + 1]
            pieces = self._records(file, whole, ended=True)
        if file.ended:
            file.close()
        return pieces

    def _records(self, file: Followed, data: bytes, *, ended: bool) -> list[Piece]:
        if file.next == 0 and data.startswith(BOM):
            file.take(len(BOM), skipping=False)
            data = file.rest
        cut = self._cutter.cut(data, ended=ended, skipping=file.skipping)
        file.dead.update(line.reason for line in cut.dead)
        if cut.dead and self._letters is not None:
            self._letters.write(cut.letters(file.seen.path, file.next))
        file.take(cut.size, skipping=cut.skipping)
        return [(cut.data, cut.ends)] if len(cut.ends) else []

    def _broken(self, file: Followed, error: Exception) -> list[Piece]:
        """Go on without a file that cannot be read any further."""
        _log.warning("%s; going on without the rest of it", error)
        self._tracker.past[_BROKEN] += 1
        pieces = self._records(file, file.rest, ended=True)
        file.finish()
        file.close()
        return pieces

    def _batch(self, pieces: list[Piece]) -> Batch:
        data, ends = join(pieces)
        return Batch(data, ends, self._tracker.positions())


def _followable(path: str) -> str:
    """Return a path or glob as it is from the root; one that does not exist may do so later."""
    if path == STDIN:
        msg = "standard input cannot be followed: it ends by itself, leave out --follow"
        raise ConfigError(msg)
    if os.path.isdir(path):
        msg = f"{path} is a directory: name its files, for example {os.path.join(path, '*')}"
        raise SourceNotFoundError(msg)
    if os.path.exists(path) and not os.path.isfile(path):
        msg = f"{path} is no file that grows: leave out --follow"
        raise ConfigError(msg)
    if not glob.has_magic(path) and not os.path.lexists(path):
        _log.warning("%s does not exist yet: it is waited for", path)
    return os.path.abspath(path)
