"""Pipelines of river, each in a process of its own: ``python -m tests.benchmarks.topics_side``."""

from __future__ import annotations

import importlib.metadata
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import psutil
from river import (
    base,
    compose,
    dummy,
    feature_extraction,
    linear_model,
    multiclass,
    naive_bayes,
    optim,
    preprocessing,
)

from examples import streams
from stream_w2v.estimators import Word2VecTransformer
from tests.benchmarks.child import answer
from tests.benchmarks.clock import clocked

OWN_RATE = 0.01
"""What river's logistic regression has by default."""

VECTOR_RATE = 0.4
"""What suits pooled vectors of length 1: alone, .3 to 1 do best on the encyclopedia. The news have
fewer texts, and could do with more."""

PLAIN = {"vector_size": 100, "min_count": 2, "pooling": "sif"}
FOR_TOPICS = {
    **PLAIN,
    # The text that a word is in says something of it the first time.
    "min_count": 1,
    # As long as a passage of the news: what a text is about is in all of its words.
    "window": 40,
    # The streams are short, so each word is learnt again, soon and many times.
    "replay_tokens": 10_000,
    "replay_passes": 10,
}
_WARM_TEXTS = 500  # enough for the replay to begin


@dataclass(frozen=True, slots=True)
class Way:
    """A pipeline to measure.

    Attributes
    ----------
    make
        Makes it anew, with a seed.
    without
        The name of the one that has everything but the word vectors.
    seeds
        How many seeds to look at.
    """

    make: Callable[[int], Any]
    without: str | None = None
    seeds: int = 1


def _third(x: dict[Any, float]) -> dict[Any, float]:
    return {name: value / 3 for name, value in x.items()}


def _of_length(x: dict[Any, float], length: float) -> dict[Any, float]:
    """Stretch a vector, but for zeros, at which river's Normalizer fails."""
    norm = math.sqrt(sum(value * value for value in x.values()))
    return {name: value * length / norm for name, value in x.items()} if norm else x


def _classifier(rate: float) -> base.Classifier:
    return multiclass.OneVsRestClassifier(linear_model.LogisticRegression(optim.SGD(rate)))


def _tfidf() -> base.Transformer:
    return feature_extraction.TFIDF(on="text")


def _hashed() -> compose.Pipeline:
    counts = feature_extraction.BagOfWords(on="text")
    return counts | preprocessing.FeatureHasher(n_features=4096, seed=1)


def _words(seed: int) -> base.Transformer:
    return Word2VecTransformer(on="text", seed=seed, **PLAIN)


def _topics(seed: int, rate: float) -> compose.Pipeline:
    """Return vectors that learn at their own rate in a classifier that has another.

    What an update changes a score by is the rate times the square of the length.
    """
    words = Word2VecTransformer(on="text", seed=seed, **FOR_TOPICS)
    length = math.sqrt(VECTOR_RATE / rate)
    return words | compose.FuncTransformer(partial(_of_length, length=length))


def _both(one: base.Transformer, other: base.Transformer, rate: float) -> compose.Pipeline:
    return compose.TransformerUnion(one, other) | _classifier(rate)


_HASHED = "FeatureHasher, rate .01"
WAYS = {
    "no change": Way(lambda seed: dummy.NoChangeClassifier()),
    "BagOfWords, MultinomialNB": Way(
        lambda seed: feature_extraction.BagOfWords(on="text") | naive_bayes.MultinomialNB()
    ),
    "TFIDF, rate .01": Way(lambda seed: _tfidf() | _classifier(OWN_RATE)),
    # Features of length 1: of 1 to 100, the best rate on the encyclopedia, and the best on the
    # news. AdaGrad at its best, of .1 to 3, comes behind.
    "TFIDF, rate 6": Way(lambda seed: _tfidf() | _classifier(6)),
    "TFIDF, rate 10": Way(lambda seed: _tfidf() | _classifier(10)),
    "Word2Vec, rate 10": Way(lambda seed: _words(seed) | _classifier(10)),
    "TFIDF + Word2Vec, rate 10": Way(
        lambda seed: _both(_tfidf(), _words(seed), 10), "TFIDF, rate 10"
    ),
    "TFIDF + Word2Vec / 3, rate 10": Way(
        lambda seed: _both(_tfidf(), _words(seed) | compose.FuncTransformer(_third), 10),
        "TFIDF, rate 10",
    ),
    "Word2Vec for topics, rate .4": Way(
        lambda seed: _topics(seed, VECTOR_RATE) | _classifier(VECTOR_RATE)
    ),
    "TFIDF + Word2Vec for topics, rate 6": Way(
        lambda seed: _both(_tfidf(), _topics(seed, 6), 6), "TFIDF, rate 6", seeds=3
    ),
    "TFIDF + Word2Vec for topics, rate 10": Way(
        lambda seed: _both(_tfidf(), _topics(seed, 10), 10), "TFIDF, rate 10", seeds=3
    ),
    _HASHED: Way(lambda seed: _hashed() | _classifier(OWN_RATE)),
    "FeatureHasher + Word2Vec for topics, rate .01": Way(
        lambda seed: _both(_hashed(), _topics(seed, OWN_RATE), OWN_RATE), _HASHED
    ),
}


def ways() -> dict[str, Any]:
    """Return what there is to measure, and whose version."""
    return {
        "river": importlib.metadata.version("river"),
        "ways": {name: {"without": way.without, "seeds": way.seeds} for name, way in WAYS.items()},
    }


def progressive(way: str, stream: str, texts: int | None, seed: int) -> dict[str, Any]:
    """Measure a pipeline that predicts the topic of each text of a stream, then learns it."""
    labelled = list(islice(getattr(streams, stream)(), texts))
    # All compiled code is loaded before the clock starts.
    _predictions(WAYS[way].make(seed), labelled[:_WARM_TEXTS])
    process = psutil.Process()
    before = process.memory_info().rss
    pipeline = WAYS[way].make(seed)
    with clocked() as clocks:
        predictions = _predictions(pipeline, labelled)
    resident = process.memory_info().rss - before
    topics = [topic for _, topic in labelled]
    hits = [predicted == topic for predicted, topic in zip(predictions, topics, strict=True)]
    return {
        **clocks,
        "texts": len(topics),
        "hits": "".join(map(str, map(int, hits))),
        "f1": _macro_f1(predictions, topics),
        "counted": pipeline._raw_memory_usage,
        "resident": resident,
    }


def _predictions(pipeline: Any, labelled: Sequence[tuple[dict[str, str], str]]) -> list[str | None]:
    predictions = []
    for x, topic in labelled:
        # The first text comes before any topic is known.
        predictions.append(pipeline.predict_one(x))
        pipeline.learn_one(x, topic)
    return predictions


def _macro_f1(predictions: Sequence[str | None], topics: Sequence[str]) -> float:
    """Return the mean over the topics of F1: twice those found, of those named and those there."""
    there, named = Counter(topics), Counter(predictions)
    found = Counter(one for one, two in zip(predictions, topics, strict=True) if one == two)
    return sum(2 * found[one] / (there[one] + named[one]) for one in there) / len(there)


if __name__ == "__main__":
    answer(ways=ways, progressive=progressive)
