"""What stream-w2v does, in a process of its own: ``python -m tests.benchmarks.our_side``.

The library is imported inside the tasks, because importing it is one of the things measured.
"""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.child import answer

SENTENCE = "the cat sat on the mat and looked at the king of france"


def load() -> dict[str, Any]:
    """Import the library and measure that."""
    start = time.perf_counter()
    from stream_w2v import Word2Vec

    return {"seconds": time.perf_counter() - start, "class": Word2Vec.__name__}


def load_command() -> dict[str, Any]:
    """Import all that the command line uses."""
    import stream_w2v.cli

    return {"module": stream_w2v.cli.__name__}


def first() -> dict[str, Any]:
    """Measure the first record that a new process learns."""
    start = time.perf_counter()
    from stream_w2v import Word2Vec

    model = Word2Vec(min_count=1)
    made = time.perf_counter()
    model.learn_one(SENTENCE)
    learnt = time.perf_counter()
    model.learn_one(SENTENCE)
    return {
        "until_made": made - start,
        "first": learnt - made,
        "until_learnt": learnt - start,
        "second": time.perf_counter() - learnt,
    }


def kernel(path: str, vector_size: int) -> dict[str, Any]:
    """Measure learning from batches that lie in memory; vocabulary and noise included."""
    from stream_w2v import Word2Vec
    from stream_w2v.connectors.files import FileSource

    with FileSource(path) as source:
        batches = list(source)
    # Compiled code is loaded, all of it, before the clock starts.
    Word2Vec(vector_size=vector_size).learn_batch(batches[0])
    model = Word2Vec(vector_size=vector_size)
    cpu, wall = time.process_time(), time.perf_counter()
    for batch in batches:
        model.learn_batch(batch)
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "words": len(model.vocabulary),
    }


def roofline(path: str, vector_size: int) -> dict[str, Any]:
    """Measure one core's peak of multiply-adds, and what training uses of it, in FLOP/s."""
    from stream_w2v import Word2Vec
    from stream_w2v.connectors.files import FileSource
    from tests.benchmarks.peak import flops_per_second

    with FileSource(path) as source:
        batches = list(source)
    Word2Vec(vector_size=vector_size).learn_batch(batches[0])
    model = Word2Vec(vector_size=vector_size)
    peak = flops_per_second()
    cpu = time.process_time()
    for batch in batches:
        model.learn_batch(batch)
    cpu = time.process_time() - cpu
    counters = model.counters
    # The loss is sampled at one window in 256, and says how many inputs those had.
    inputs = counters["loss_pairs"] / -(-counters["windows"] // 256)
    pairs = counters["windows"] * inputs * (1 + model.config.negative)
    return {"peak": max(peak, flops_per_second()), "useful": 6 * vector_size * pairs / cpu}


def threads(path: str, vector_size: int) -> dict[str, Any]:
    """Measure a trainer, with one thread that reads and tokenises and one that learns."""
    from stream_w2v import Trainer, Word2Vec
    from stream_w2v.connectors.files import FileSource

    Word2Vec(vector_size=vector_size).learn_one(SENTENCE)
    model = Word2Vec(vector_size=vector_size)
    cpu, wall = time.process_time(), time.perf_counter()
    Trainer(model, FileSource(path)).run()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "words": len(model.vocabulary),
    }


def train(path: str, out: str, seed: int = 1) -> dict[str, Any]:
    """Train at the defaults and save the vectors."""
    from stream_w2v import Word2Vec
    from stream_w2v.connectors.files import FileSource

    model = Word2Vec(seed=seed)
    with FileSource(path) as source:
        for batch in source:
            model.learn_batch(batch)
    vectors = model.snapshot()
    vectors.save_word2vec_format(out, binary=True)
    return {"words": len(vectors)}


def learn(path: str) -> dict[str, Any]:
    """Train at the defaults from a file, as a program that uses the library would."""
    from stream_w2v import Word2Vec
    from stream_w2v.connectors.files import FileSource

    model = Word2Vec()
    with FileSource(path) as source:
        for batch in source:
            model.learn_batch(batch)
    return {"words": len(model.vocabulary)}


def score(vectors: str, similarities: dict[str, str], analogies: str) -> dict[str, Any]:
    """Score a file of vectors, whoever trained it."""
    from stream_w2v import KeyedVectors
    from stream_w2v.evaluation import evaluate_analogies, evaluate_similarity

    wv = KeyedVectors.load_word2vec_format(vectors, binary=True)
    scores = {name: evaluate_similarity(wv, path).spearman for name, path in similarities.items()}
    return {**scores, "analogies": evaluate_analogies(wv, analogies).accuracy}


if __name__ == "__main__":
    answer(
        load=load,
        load_command=load_command,
        first=first,
        learn=learn,
        kernel=kernel,
        roofline=roofline,
        threads=threads,
        train=train,
        score=score,
    )
