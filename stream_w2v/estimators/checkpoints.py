"""PipelineCheckpoints: a river pipeline and its place in a source, in one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from stream_w2v.checkpoint import PIPELINE, Checkpoints
from stream_w2v.config import Tokenizer
from stream_w2v.errors import ConfigError
from stream_w2v.estimators.names import by_name
from stream_w2v.estimators.saved import from_json, to_json
from stream_w2v.storage import StrPath
from stream_w2v.stream import Positions


class PipelineCheckpoints:
    """A directory of checkpoints of a pipeline that has a :class:`Word2VecTransformer` in it.

    Pipeline, metrics and the source's positions are of one moment, between two batches, and in one
    file, which is written aside and renamed. So whoever goes on from it learns and counts every
    record exactly once, however the run before ended. The file is a checkpoint like those of
    :class:`stream_w2v.Checkpoints`, verified when it is read: ``similar``, ``export`` and ``info``
    read the word vectors in it. There is no pickle, and no code: of what the pipeline is made of,
    the file has the names, and only those of river, of this package and those in ``known`` are
    looked up.

    Nobody else can write there until :meth:`close`, or the end of the process.

    Parameters
    ----------
    directory
        Where they are; it is made if it is not there.
    keep
        How many to keep.
    every
        Seconds from one checkpoint to the next, for :meth:`due`.
    text
        The callable that cuts texts into words, for a transformer that was made with one.
    known
        Other functions and classes of yours that are in the pipeline: a metric, what a
        ``FuncTransformer`` calls.

    Attributes
    ----------
    positions
        Where the source is to go on: those of the checkpoint that was loaded, or saved last; none
        before.

    Raises
    ------
    ConfigError
        If ``keep`` or ``every`` is too small, or two of ``known`` have the same name.
    StorageError
        If the directory cannot be made or written to, or another trainer uses it.

    Notes
    -----
    What goes on from a checkpoint ends, bit for bit, as what never stopped. But a few of river's
    classes add up over sets of text, whose order Python makes anew in every process, with a pause
    or without: then the last digits differ, as of ``MacroF1``, ``KNNClassifier`` and
    ``HoeffdingAdaptiveTreeClassifier``.

    Refused are what wraps scikit-learn, ``RandomTreesEmbedding``, ``OutputCodeClassifier`` with
    random codes, and of ``river.sketch`` ``Counter`` and ``Set``: what they hold means nothing in
    another process, or cannot be written.

    A batch is learnt whole. One of Kafka holds up to a megabyte, which may take a pipeline some
    seconds; ``?max_partition_fetch_bytes=100000`` behind the topic makes it smaller.

    Examples
    --------
    >>> from river import linear_model
    >>> from stream_w2v.connectors import open_source
    >>> from stream_w2v.estimators import PipelineCheckpoints, Word2VecTransformer
    >>> def learn(uri, directory):
    ...     with PipelineCheckpoints(directory) as checkpoints, open_source(uri) as source:
    ...         saved = checkpoints.load()
    ...         model, seen = saved or (Word2VecTransformer() | linear_model.Perceptron(), 0)
    ...         source.seek(checkpoints.positions)
    ...         for batch in source:
    ...             for text in batch.records():
    ...                 model.learn_one(text, b"!" in text)
    ...                 seen += 1
    ...             if checkpoints.due():
    ...                 checkpoints.save((model, seen), batch.positions)
    """

    def __init__(
        self,
        directory: StrPath,
        keep: int = 3,
        *,
        every: float = 60.0,
        text: Tokenizer | None = None,
        known: Iterable[Callable[..., Any]] = (),
    ) -> None:
        if not every > 0:
            msg = f"every must be more than 0 seconds, not {every}"
            raise ConfigError(msg)
        self._text = text
        self._known = by_name([*known, *([] if text is None else [text])])
        self._checkpoints = Checkpoints(directory, keep, run={PIPELINE: None})
        self._every = every
        self._last = time.monotonic()
        self.positions: Positions = {}

    def load(self) -> Any:
        """Return what the newest whole checkpoint holds; None if there is none yet.

        Raises
        ------
        FormatError
            If there are checkpoints but none is whole, or they are not of a pipeline.
        VersionError
            If another version, or another river, wrote it.
        ConfigError
            If ``text`` or ``known`` lacks a function of the pipeline.
        """
        found = self._checkpoints.load(text=self._text)
        if found is None:
            return None
        # The model lives on, and would keep the JSON alive.
        found.model.metadata = {}
        thing = from_json(found.run[PIPELINE], [found.model], self._known)
        self.positions = found.positions
        return thing

    def due(self) -> bool:
        """Return whether it is time for the next one."""
        return time.monotonic() - self._last >= self._every

    def save(self, thing: Any, positions: Positions) -> None:
        """Write a checkpoint, and come back when it is on the disk.

        Parameters
        ----------
        thing
            The pipeline, or a tuple or dict of it and whatever belongs to it: metrics, counts.
        positions
            Of the last batch that is learnt whole: ``batch.positions``.

        Raises
        ------
        ConfigError
            If something in it is neither river's nor in ``known``, or if there is not exactly one
            :class:`Word2VecTransformer` in it.
        StorageError
            If it could not be written; older ones are intact.
        """
        kept, models = to_json(thing, self._known)
        if len(models) != 1:
            msg = f"a checkpoint holds one Word2VecTransformer, not {len(models)}"
            raise ConfigError(msg)
        self._checkpoints.run = {PIPELINE: kept}
        try:
            self._checkpoints.save(models[0], positions)
        finally:
            self._checkpoints.run = {PIPELINE: None}
        self.positions = positions
        self._last = time.monotonic()

    def close(self) -> None:
        """Let others write into the directory. Closing twice is harmless."""
        self._checkpoints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
