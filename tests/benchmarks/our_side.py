"""What stream-w2v does, in a process of its own: ``python -m tests.benchmarks.our_side``.

The library is imported inside the tasks, because importing it is one of the things measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.child import answer
from tests.benchmarks.clock import clocked

SENTENCE = "the cat sat on the mat and looked at the king of france"


def load() -> dict[str, Any]:
    """Import the library and measure that."""
    start = time.perf_counter()
    from stream_w2v import Word2Vec

    return {"seconds": time.perf_counter() - start, "class": Word2Vec.__name__}


def load_command() -> dict[str, Any]:
    """Import all that the command line uses: some of it only when it reads a command."""
    import stream_w2v.cli

    # There is no such file, which is the first thing that it looks at.
    return {"code": stream_w2v.cli.main(["train", "no-such-file", "--vectors", "none.bin"])}


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
    """Measure learning from batches that lie in memory; vocabulary and noise included.

    Once from their bytes, and once from words that were cut before.
    """
    from stream_w2v import Word2Vec
    from stream_w2v.connectors.files import FileSource

    with FileSource(path) as source:
        batches = list(source)
    # Compiled code is loaded, all of it, before the clock starts.
    Word2Vec(vector_size=vector_size).learn_batch(batches[0])
    model = Word2Vec(vector_size=vector_size)
    with clocked() as clocks:
        for batch in batches:
            model.learn_batch(batch)
    blocks = [list(model.tokenise(batch)) for batch in batches]
    model = Word2Vec(vector_size=vector_size)
    with clocked() as alone:
        for block in blocks:
            model.learn_batch(block)
    return {**clocks, "alone_cpu": alone["cpu"], "words": len(model.vocabulary)}


def roofline(path: str, vector_size: int) -> dict[str, Any]:
    """Measure what one core could do, in FLOP/s and bytes/s, and what training uses of both."""
    from stream_w2v import Word2Vec
    from stream_w2v.connectors.files import FileSource
    from stream_w2v.kernel.memory import stride_of
    from tests.benchmarks.bandwidth import bytes_per_second
    from tests.benchmarks.peak import flops_per_second

    with FileSource(path) as source:
        batches = list(source)
    Word2Vec(vector_size=vector_size).learn_batch(batches[0])
    model = Word2Vec(vector_size=vector_size)
    peak, bandwidth = flops_per_second(), bytes_per_second()
    with clocked() as clocks:
        for batch in batches:
            model.learn_batch(batch)
    cpu = clocks["cpu"]
    windows, outputs = model.counters["windows"], 1 + model.config.negative
    pairs = windows * _inputs(model) * outputs
    # Moving on by one window brings one input row and all output rows, to be read and written.
    rows = windows * (1 + outputs)
    return {
        "peak": max(peak, flops_per_second()),
        "bandwidth": max(bandwidth, bytes_per_second()),
        "useful": 6 * vector_size * pairs / cpu,
        "touched": 2 * 4 * stride_of(vector_size) * rows / cpu,
    }


def _inputs(model: Any) -> float:
    """Return how many context words a window had on average, judging by those looked at."""
    from stream_w2v.kernel.train import LOSS_EVERY

    counters = model.counters
    looked: float = counters["loss_pairs"] / -(-counters["windows"] // LOSS_EVERY)
    return looked


def records(path: str, length: int | None) -> dict[str, Any]:
    """Measure learning the text cut into records of so many words; None leaves it as it is."""
    from stream_w2v import Word2Vec
    from stream_w2v.connectors.files import FileSource
    from tests.benchmarks.corpus import recut

    if length is None:
        with FileSource(path) as source:
            batches = list(source)
    else:
        batches = list(recut(path, length))
    Word2Vec().learn_batch(batches[0])
    model = Word2Vec()
    with clocked() as clocks:
        for batch in batches:
            model.learn_batch(batch)
    return {
        **clocks,
        **{name: model.counters[name] for name in ("records", "words", "windows")},
        "inputs": _inputs(model),
    }


def threads(path: str, workers: int, seed: int, out: Mapping[str, str]) -> dict[str, Any]:
    """Measure a trainer, and save snapshots: for each combination the path to save it at.

    With one worker one thread reads and tokenises and one learns; with several each does both.
    """
    from stream_w2v import Trainer, Word2Vec
    from stream_w2v.connectors.files import FileSource

    Word2Vec(workers=workers).learn_many([SENTENCE])
    model = Word2Vec(workers=workers, seed=seed)
    with clocked() as clocks:
        Trainer(model, FileSource(path)).run()
    for combine, place in out.items():
        model.snapshot(combine=combine).save_word2vec_format(place, binary=True)
    return {**clocks, "words": len(model.vocabulary)}


def read(source: str, **options: Any) -> dict[str, Any]:
    """Measure reading a source, and nothing else."""
    from stream_w2v.connectors import open_source

    with open_source(source, **options) as opened, clocked() as clocks:
        records = sum(len(batch) for batch in opened)
    return {**clocks, "records": records}


def train_from(source: str, **options: Any) -> dict[str, Any]:
    """Measure a trainer over a source, and the time that the thread which reads it is busy."""
    from stream_w2v import Trainer, Word2Vec
    from stream_w2v.connectors import open_source

    Word2Vec().learn_one(SENTENCE)
    model = Word2Vec()
    opened = open_source(source, **options)
    busy = 0.0

    class Watched:
        def __iter__(self) -> Any:
            nonlocal busy
            batches = iter(opened)
            while True:
                before = time.thread_time()
                batch = next(batches, None)
                busy += time.thread_time() - before
                if batch is None:
                    return
                yield batch

        def __getattr__(self, name: str) -> Any:
            return getattr(opened, name)

    with clocked() as clocks:
        Trainer(model, Watched()).run()  # type: ignore[arg-type]
    return {**clocks, "busy": busy, **{n: model.counters[n] for n in ("records", "words")}}


def train_with_snapshots(path: str, every: float | None, combine: str) -> dict[str, Any]:
    """Measure a trainer whose sink gets a snapshot every so many seconds and forgets it."""
    from stream_w2v import KeyedVectors, Trainer, Word2Vec
    from stream_w2v.connectors.files import FileSource
    from stream_w2v.stream import Sink

    taken = 0

    class Nowhere(Sink):
        def write(self, vectors: KeyedVectors) -> None:
            nonlocal taken
            taken += 1

    warm = Word2Vec(min_count=1)
    warm.learn_one(SENTENCE)
    warm.snapshot(combine=combine)
    model = Word2Vec()
    sinks = [] if every is None else [Nowhere()]
    trainer = Trainer(model, FileSource(path), sinks, snapshot_every=every, combine=combine)
    with clocked() as clocks:
        trainer.run()
    return {
        **clocks,
        "snapshots": taken,
        "words": len(model.vocabulary),
    }


def train(
    path: str, out: str, snapshot: Mapping[str, Any] | None = None, **config: Any
) -> dict[str, Any]:
    """Train from a file and take a snapshot, measured, and save the vectors."""
    from dataclasses import replace

    from stream_w2v import Trainer, Word2Vec
    from stream_w2v.connectors.files import FileSource
    from stream_w2v.memory import memory_bound

    Word2Vec(**config).learn_many([SENTENCE])
    model = Word2Vec(**config)
    with clocked() as clocks:
        Trainer(model, FileSource(path)).run()
        vectors = model.snapshot(**(snapshot or {}))
    vectors.save_word2vec_format(out, binary=True)
    without = replace(model.config, replay_tokens=0, refresh_contexts=0)
    beside = memory_bound(model.config) - memory_bound(without)
    return {**clocks, "words": len(vectors), "beside": beside}


def soak(tokens: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Learn endless text; look now and then at the clocks, the model and the process."""
    import psutil

    from stream_w2v import Word2Vec
    from stream_w2v.memory import memory_bound
    from tests.benchmarks import endless

    # A hundred even steps, and finer ones before the first: that is where rebuilds are many.
    marks = {tokens * step // 100 for step in range(1, 101)}
    early = {figure * 10**zeros for figure in (1, 2, 5) for zeros in range(5, 19)}
    due = sorted(marks | {mark for mark in early if mark < min(marks)}, reverse=True)
    # All compiled code is loaded before the clock starts, also that which makes room.
    warm = Word2Vec(max_vocab_size=100, max_candidates=1000)
    for batch in endless.batches(1, seed=0):
        warm.learn_batch(batch)
    model = Word2Vec(**config)
    process = psutil.Process()
    looks = []
    learnt = 0
    cpu = wall = 0.0
    for batch in endless.batches(tokens, model.config.seed):
        # Making the text is not measured.
        with clocked() as clocks:
            model.learn_batch(batch)
        wall += clocks["wall"]
        cpu += clocks["cpu"]
        learnt += endless.BATCH_TOKENS
        if not due or learnt < due[-1]:
            continue
        while due and learnt >= due[-1]:
            due.pop()
        looks.append(
            {
                "tokens": learnt,
                "cpu": cpu,
                "wall": wall,
                "resident": process.memory_info().rss,
                "words": len(model.vocabulary),
                "waiting": model.vocabulary.candidates,
                "rebuilds": model.noise.rebuilds,
                **{name: model.counters[name] for name in ("evicted", "forgotten")},
            }
        )
    return {"bound": memory_bound(model.config), "looks": looks}


def unique(tokens: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Learn words that never come again; look at the process now and then."""
    import numpy as np
    import psutil

    from stream_w2v import Word2Vec
    from stream_w2v.memory import memory_bound
    from stream_w2v.stream import Batch

    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    generator = np.random.default_rng(1)

    def batch(words: int) -> Batch:
        text = np.full((words, 33), ord(" "), dtype=np.uint8)
        text[:, :32] = digits[generator.integers(0, 16, (words, 32), dtype=np.uint8)]
        text[9::10, 32] = ord("\n")
        return Batch(text.tobytes(), np.arange(330, 33 * words + 1, 330, dtype=np.int64))

    warm = Word2Vec(**{**config, "max_vocab_size": 100, "max_candidates": 1000})
    for _ in range(3):
        warm.learn_batch(batch(4000))
    del warm
    process = psutil.Process()
    before = process.memory_info().rss
    model = Word2Vec(**config)
    looks = []
    learnt, cpu = 0, 0.0
    while learnt < tokens:
        made = batch(4000)
        with clocked() as clocks:
            model.learn_batch(made)
        cpu += clocks["cpu"]
        learnt += 4000
        if learnt % (tokens // 100) < 4000:
            looks.append(
                {
                    "tokens": learnt,
                    "cpu": cpu,
                    "resident": process.memory_info().rss,
                    **{name: model.counters[name] for name in ("evicted", "forgotten")},
                }
            )
    return {"bound": memory_bound(model.config), "before": before, "looks": looks}


def wait(folder: str, files: int, lines: int) -> dict[str, Any]:
    """Follow files of which nothing comes, then one that gets a line now and then."""
    import threading
    from pathlib import Path

    from stream_w2v import Trainer, Word2Vec
    from stream_w2v.connectors.follow import FollowSource

    Path(folder).mkdir()
    for number in range(files):
        Path(folder, f"{number}.log").write_text(f"{SENTENCE}\n" * 3)
    Word2Vec(min_count=1).learn_one(SENTENCE)
    model = Word2Vec(min_count=1)
    trainer = Trainer(model, FollowSource(f"{folder}/*.log"))
    thread = threading.Thread(target=trainer.run)
    thread.start()
    while model.records < 3 * files:
        time.sleep(0.1)
    idle = time.process_time()
    time.sleep(10)
    idle = (time.process_time() - idle) / 10
    latency = []
    for number in range(lines):
        # At all moments between two looks.
        time.sleep(0.3 + 0.25 * number / lines)
        before = model.records
        with Path(folder, "0.log").open("a") as file:
            file.write(f"{SENTENCE}\n")
        written = time.monotonic()
        while model.records == before:
            time.sleep(0.001)
        latency.append(time.monotonic() - written)
    trainer.stop()
    thread.join()
    return {"idle": idle, "latency": latency}


def continual(path: str, out: str) -> dict[str, Any]:
    """Learn the first tenth, then measure a call for each further hundredth."""
    import numpy as np

    from stream_w2v import Word2Vec
    from stream_w2v.stream import Batch
    from tests.benchmarks.corpus import pieces

    Word2Vec().learn_one(SENTENCE)
    model = Word2Vec()
    updates = []
    for piece in pieces(path):
        ends = np.flatnonzero(np.frombuffer(piece, dtype=np.uint8) == ord("\n")) + 1
        batch = Batch(piece, ends)
        with clocked() as clocks:
            model.learn_batch(batch)
        updates.append(clocks)
    vectors = model.snapshot()
    vectors.save_word2vec_format(out, binary=True)
    return {"updates": updates[1:], "words": len(vectors)}


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
        records=records,
        threads=threads,
        train_with_snapshots=train_with_snapshots,
        read=read,
        train_from=train_from,
        train=train,
        soak=soak,
        unique=unique,
        wait=wait,
        continual=continual,
        score=score,
    )
