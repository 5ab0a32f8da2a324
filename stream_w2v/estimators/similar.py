"""SimilarTexts: the earlier texts that a text is most like, from a window of the last ones."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from river import base, neighbors

from stream_w2v.errors import ConfigError

_WINDOW = 1000
"""Texts that are remembered."""

Direction = dict[Hashable, float]
"""Features scaled to length 1."""


class SimilarTexts(base.Estimator):
    """Finds the earlier texts that are most like a text, to thread stories and to see duplicates.

    The last step of a pipeline: ``Word2VecTransformer(on="text") | SimilarTexts()``, or any other
    features, also sparse ones. Learning remembers a text under what is given as its ``y``, and
    forgets the oldest once the window is full; predicting finds those that are nearest. How alike
    two texts are is the cosine between their features. A text keeps the features that it had when
    it came, though the vectors of its words go on moving: the window should not be so long that
    they move far.

    A text without features, for instance one without a known word, or with some that are not finite
    numbers, is like no other, and is not remembered.

    Parameters
    ----------
    n_neighbors
        Texts to find, at most.
    min_similarity
        Leave out those that are less alike: 1 is the same direction, 0 nothing in common.
    engine
        A search engine of :mod:`river.neighbors`, used with the distance that it has by default:
        between features of length 1 the Euclidean one goes with the cosine. Without it,
        :class:`river.neighbors.LazySearch` over the last 1,000 texts, which is exact and takes some
        2 ms; ``SWINN`` is made for windows that are much longer, and its ``warm_up`` has to be more
        than its ``graph_k``.

    Raises
    ------
    ConfigError
        If ``n_neighbors`` is less than 1, or ``min_similarity`` not from -1 to 1.

    Examples
    --------
    >>> from river import feature_extraction
    >>> from stream_w2v.estimators import SimilarTexts
    >>> texts = feature_extraction.BagOfWords() | SimilarTexts(n_neighbors=1)
    >>> texts.learn_one("storm floods the coast", "monday")
    >>> texts.learn_one("team wins the cup", "tuesday")
    >>> [(day, round(cosine, 2)) for day, cosine in texts.predict_one("floods on the coast")]
    [('monday', 0.75)]
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        min_similarity: float = 0.0,
        engine: neighbors.base.BaseNN | None = None,
    ) -> None:
        if not isinstance(n_neighbors, int) or n_neighbors < 1:
            msg = f"n_neighbors must be a whole number of at least 1, not {n_neighbors!r}"
            raise ConfigError(msg)
        if not -1 <= min_similarity <= 1:
            msg = f"min_similarity must be a number from -1 to 1, not {min_similarity!r}"
            raise ConfigError(msg)
        self.n_neighbors = n_neighbors
        self.min_similarity = min_similarity
        self.engine = neighbors.LazySearch(window_size=_WINDOW) if engine is None else engine
        self._engine = self.engine.clone()
        self._engine.dist_func = neighbors.LazySearch().dist_func
        # Told by this class to compare the features of what is (features, name), the fastest way.
        neighbors.KNNClassifier(engine=self._engine)

    def learn_one(self, x: Mapping[Hashable, float], y: Any = None) -> None:
        """Remember a text, by its features, under the name ``y``."""
        direction = _direction(x)
        if direction:
            self._engine.append((direction, y))

    def predict_one(self, x: Mapping[Hashable, float]) -> list[tuple[Any, float]]:
        """Return the most similar of the texts that are remembered, the most similar first.

        Each is the name that it was learnt under, with the cosine. Of texts that are equally alike
        ``LazySearch`` finds the older one first.
        """
        direction = _direction(x)
        if not direction:
            return []
        # Items and their distances; nothing at all from an empty window of an older river.
        nearest = zip(*self._engine.search((direction, None), self.n_neighbors), strict=True)
        # Rounded, so that nothing in common is 0.
        found = [(name, round(1 - distance * distance / 2, 12)) for (_, name), distance in nearest]
        return [(name, cosine) for name, cosine in found if cosine >= self.min_similarity]

    @property
    def _mutable_attributes(self) -> set[str]:
        return {"n_neighbors", "min_similarity"}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"n_neighbors": 2, "min_similarity": 0.5}
        yield {"engine": neighbors.SWINN(graph_k=5, maxlen=100, warm_up=10, seed=1)}


def _direction(x: Mapping[Hashable, float]) -> Direction:
    length = math.hypot(*x.values())
    whole = 0 < length < math.inf
    return {name: value / length for name, value in x.items()} if whole else {}
