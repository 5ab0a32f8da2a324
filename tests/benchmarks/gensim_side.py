"""What gensim does, in a process of its own: ``python -m tests.benchmarks.gensim_side``.

The library is imported inside the tasks, because importing it is one of the things measured.
"""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.child import answer
from tests.benchmarks.clock import clocked

SETTING: dict[str, Any] = {
    "window": 5,
    "negative": 5,
    "sample": 1e-3,
    "min_count": 5,
    "sg": 1,
    "epochs": 1,
}
"""What stream-w2v has as its defaults, so that both do the same."""


def load() -> dict[str, Any]:
    """Import the library and measure that."""
    start = time.perf_counter()
    from gensim.models import Word2Vec

    return {"seconds": time.perf_counter() - start, "class": Word2Vec.__name__}


def kernel(
    path: str, vector_size: int, workers: int, seed: int = 1, out: str | None = None
) -> dict[str, Any]:
    """Measure one training call over a vocabulary that is there already."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=vector_size,
        workers=workers,
        seed=seed,
        **SETTING,
    )
    with clocked() as scan:
        model.build_vocab(corpus_file=path)
    with clocked() as clocks:
        model.train(
            corpus_file=path,
            total_words=model.corpus_total_words,
            total_examples=model.corpus_count,
            epochs=1,
        )
    if out is not None:
        model.wv.save_word2vec_format(out, binary=True)
    return {
        **clocks,
        "vocabulary_cpu": scan["cpu"],
        "tokens": model.corpus_total_words,
        "words": len(model.wv),
    }


def learn(path: str) -> dict[str, Any]:
    """Train from a file, as a program that uses the library would."""
    from gensim.models import Word2Vec

    model = Word2Vec(corpus_file=path, vector_size=100, workers=1, **SETTING)
    return {"words": len(model.wv)}


def train(path: str, out: str, workers: int = 1, **options: Any) -> dict[str, Any]:
    """Train from a file, measured, and save the vectors, as a short script of a user would."""
    from gensim.models import Word2Vec

    with clocked() as clocks:
        model = Word2Vec(
            corpus_file=path, vector_size=100, workers=workers, **{**SETTING, **options}
        )
    model.wv.save_word2vec_format(out, binary=True)
    return {**clocks, "words": len(model.wv), "tokens": model.corpus_total_words}


def continual(path: str, out: str, alpha: float = 0.025) -> dict[str, Any]:
    """Learn the first tenth, then measure an update for each further hundredth."""
    from gensim.models import Word2Vec

    from tests.benchmarks.corpus import pieces

    model = Word2Vec(vector_size=100, workers=1, alpha=alpha, **SETTING)
    updates = []
    for piece in pieces(path):
        sentences = [line.split() for line in piece.decode().splitlines()]
        with clocked() as clocks:
            model.build_vocab(sentences, update=len(model.wv) > 0)
            model.train(sentences, total_examples=model.corpus_count, epochs=model.epochs)
        updates.append(clocks)
    model.wv.save_word2vec_format(out, binary=True)
    return {"updates": updates[1:], "words": len(model.wv)}


if __name__ == "__main__":
    answer(load=load, kernel=kernel, learn=learn, train=train, continual=continual)
