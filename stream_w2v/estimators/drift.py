"""WordDrift: says when words, or a text as a whole, begin to be used in another way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from river import base, drift, stats

from stream_w2v.errors import ConfigError
from stream_w2v.estimators.transformer import Word2VecTransformer
from stream_w2v.movement import Look

_FREQUENT = 1000
"""Words by whose movement the text as a whole is judged, the most frequent ones."""

_LEAST_MOVED = 10
"""Of those, so many must have moved since the last look for their mean to say anything."""

_FADING = 0.1
"""How much of the level of the whole text is made anew by each look. It goes on rising slowly while
a model settles: by .1 in 25 looks after the first 30, which a level that is ten looks old hides."""

_WARNING_LOOKS = 10
"""Looks for which a warning stands if nothing follows."""

_IDLE_LOOKS = 100
"""Looks that may find nothing learnt: a batch that was learnt at once is followed by some."""


class WordDrift(base.DriftAndWarningDetector):
    """Says when chosen words, or the text as a whole, are used in another way than before.

    It looks at a transformer that learns beside it: every so many updates, at how far the vectors
    of words have moved since the last look, for as much as they were trained
    (:meth:`stream_w2v.Word2Vec.movement`). What it is updated with is not looked at, so it may be
    the detector of a :class:`river.drift.DriftRetrainingClassifier`, which passes on errors.

    With ``words``, each of them is compared with the mean of all frequent words, and has a detector
    of its own, so that it is known which one drifts. Without, that mean is compared with what it
    was in the last ten looks or so: another kind of text moves all words at once.

    On 40,000 paragraphs of Wikipedia in three random orders, with a look after each 100, one or two
    of 39 words raised a false alarm; of 20 words that were swapped in pairs after half of it, 15 to
    17 were found within 5,000 paragraphs, most of them within 1,500. The text as a whole raised no
    alarm, and one when political speeches came instead, within 1,100 of them; when news followed it
    raised none, for they use the words in much the same way. A look takes a millisecond or two.

    Parameters
    ----------
    transformer
        The one to look at: the very object that is in the pipeline, and goes on learning there. It
        stands before a classifier that is retrained, not in what is replaced. A clone of a pipeline
        that contains both would look at a transformer that nobody teaches, which is an error in the
        end; make the pipeline anew instead, or copy it deeply.
    words
        The words, as the transformer's model knows them: lower-cased, if its ``text`` is. None for
        the text as a whole.
    every
        Updates from one look to the next: some that bring most of the words several times.
    detector
        What drift is detected with, for instance :class:`river.drift.ADWIN`; each word has a clone
        of it. By default :class:`river.drift.PageHinkley`: for words one that sees rises (of .25
        for 20 looks, or of more for fewer: where nothing changes, single values spread by .45),
        for the whole text one that sees both directions, and less (the mean spreads by .02 to .05).
    warning_detector
        What warns; by default the same with half its threshold. A warning stands until drift is
        detected, or for ten looks.
    grace_period
        Looks that are left out of each word, or of the whole, once it has begun to move: a model
        that begins moves in its own way. So it does with a replay, with ``half_life``, and at rates
        that fall fast: there look less often, or be patient.

    Attributes
    ----------
    drifted
        The words that drifted at the last update; empty if none did, or if it was the text as a
        whole.

    Raises
    ------
    ConfigError
        If ``transformer`` is none, ``words`` no list of words, or ``every`` or ``grace_period`` no
        whole number or too small.

    Examples
    --------
    >>> from river import drift, linear_model
    >>> from stream_w2v.estimators import Word2VecTransformer, WordDrift
    >>> texts = Word2VecTransformer(on="text", vector_size=50)
    >>> model = texts | drift.DriftRetrainingClassifier(
    ...     linear_model.LogisticRegression(), WordDrift(texts, words=["virus", "mask"])
    ... )

    References
    ----------
    Page, Continuous inspection schemes, 1954.
    """

    def __init__(
        self,
        transformer: Word2VecTransformer,
        words: Sequence[str] | None = None,
        every: int = 100,
        detector: base.DriftDetector | None = None,
        warning_detector: base.DriftDetector | None = None,
        grace_period: int = 30,
    ) -> None:
        super().__init__()
        if not isinstance(transformer, Word2VecTransformer):
            msg = f"transformer must be a Word2VecTransformer, not {type(transformer).__name__}"
            raise ConfigError(msg)
        listed = isinstance(words, list | tuple | set | frozenset) and len(words) > 0
        if words is not None and not (listed and all(isinstance(word, str) for word in words)):
            msg = f"words must be a list of words, or None for the whole text, not {words!r}"
            raise ConfigError(msg)
        for name, value, least in (("every", every, 1), ("grace_period", grace_period, 0)):
            if not isinstance(value, int) or value < least:
                msg = f"{name} must be a whole number of at least {least}, not {value!r}"
                raise ConfigError(msg)
        self.transformer = transformer
        self.words = words
        self.every = every
        self.detector = detector
        self.warning_detector = warning_detector
        self.grace_period = grace_period
        self.drifted: list[str] = []
        self._updates = 0
        self._idle = 0
        self._records = 0
        self._before: tuple[Look, Look | None] | None = None
        self._level = stats.EWMean(fading_factor=_FADING)
        watched = [None] if words is None else list(words)
        self._watches = {word: self._watch() for word in watched}

    def _watch(self) -> _Watch:
        whole = self.words is None
        return _Watch(
            _page_hinkley(whole, 1.0) if self.detector is None else self.detector.clone(),
            _page_hinkley(whole, 0.5)
            if self.warning_detector is None
            else self.warning_detector.clone(),
            self.grace_period,
        )

    def update(self, x: Any = None) -> None:
        """Count one more text, which the transformer has learnt, and look if it is time.

        Raises
        ------
        ValueError
            If the transformer has learnt nothing so far, or for very long.
        """
        self._drift_detected = False
        self.drifted = []
        self._updates += 1
        if self._updates % self.every == 0:
            self._look()
            self._warning_detected = not self._drift_detected and any(
                watch.looks_left > 0 for watch in self._watches.values()
            )

    def _look(self) -> None:
        model = self.transformer.model
        for watch in self._watches.values():
            watch.looks_left = max(watch.looks_left - 1, 0)
        if model.records == self._records:
            self._idle += 1
            if not model.records or self._idle >= _IDLE_LOOKS:
                msg = (
                    "the transformer that is looked at learns nothing: it must be the very one "
                    "that is in the pipeline, not a clone of it, nor in a model that was replaced"
                )
                raise ValueError(msg)
            return
        self._idle, self._records = 0, model.records
        if self._before is not None:
            self._compare(*self._before)
        words = None if self.words is None else model.look(self.words)
        self._before = model.look(_FREQUENT), words

    def _compare(self, frequent: Look, chosen: Look | None) -> None:
        model = self.transformer.model
        moved = model.movement(frequent)
        moved = moved[~np.isnan(moved)]
        if len(moved) < _LEAST_MOVED:
            return
        mean = float(moved.mean())
        if chosen is None:
            self._level.update(mean)
            values: dict[str | None, float] = {None: mean - self._level.get()}
        else:
            values = dict(zip(chosen.words, (model.movement(chosen) - mean).tolist(), strict=True))
        for word, value in values.items():
            if not math.isnan(value) and self._watches[word].drifts(value):
                self._drift_detected = True
                if word is not None:
                    self.drifted.append(word)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"transformer": Word2VecTransformer(vector_size=8, min_count=1)}
        yield {
            "transformer": Word2VecTransformer(vector_size=8, min_count=1),
            "words": ["word"],
            "detector": drift.PageHinkley(mode="up"),
        }


class _Watch:
    """The detectors of one word, or of the whole text.

    Attributes
    ----------
    looks_left
        For how many more looks a warning stands.
    """

    def __init__(
        self, detector: base.DriftDetector, warning: base.DriftDetector, grace_period: int
    ) -> None:
        self._detector = detector
        self._warning = warning
        self._grace = grace_period
        self.looks_left = 0

    def drifts(self, value: float) -> bool:
        """Take one more value, and return whether it is drift."""
        if self._grace > 0:
            self._grace -= 1
            return False
        self._detector.update(value)
        self._warning.update(value)
        if self._warning.drift_detected:
            self.looks_left = _WARNING_LOOKS
        if self._detector.drift_detected:
            self.looks_left = 0
        return bool(self._detector.drift_detected)


def _page_hinkley(whole: bool, part: float) -> drift.PageHinkley:
    """Return the default detector, with such a part of its threshold."""
    if whole:
        return drift.PageHinkley(min_instances=10, delta=0.1, threshold=1.0 * part, mode="both")
    return drift.PageHinkley(min_instances=10, delta=0.25, threshold=5.0 * part, mode="up")
