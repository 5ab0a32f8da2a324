"""What the peers do, each in a process and perhaps an environment of its own.

A script that imports the standard library, the peer and nothing else: there may be a package in
the peer's environment that has the name of ours. Lists of words are made before the clock starts.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any


def version(module: str) -> dict[str, Any]:
    """Return the package that has a module, and its version, if the module can be imported."""
    try:
        importlib.import_module(module)
    except ImportError:
        return {}
    package = importlib.metadata.packages_distributions()[module][0]
    return {"package": package, "version": importlib.metadata.version(package)}


def _lists(path: str) -> list[list[str]]:
    with Path(path).open(encoding="utf-8") as file:
        lists = [line.split() for line in file]
    # Millions of lists that never go: looking through them again and again is no peer's work.
    gc.freeze()
    return lists


def _save(out: str, words: Sequence[str], vectors: Any) -> None:
    """Write word2vec's binary format."""
    with Path(out).open("wb") as file:
        file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
        for word, vector in zip(words, vectors.astype("<f4"), strict=True):
            file.write(word.encode() + b" " + vector.tobytes())


def fasttext(path: str, out: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train without subwords, which makes it word2vec. From Python its seed cannot be set."""
    from fasttext import train_unsupervised

    cpu, wall = time.process_time(), time.perf_counter()
    model = train_unsupervised(
        path, "skipgram", dim=100, ws=5, neg=5, t=1e-3, minCount=5, minn=0, maxn=0,
        epoch=epochs, thread=1, verbose=0,
    )  # fmt: skip
    clocks = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    vectors = model.get_input_matrix()
    # It counts the ends of the lines as a word.
    kept = [(row, word) for row, word in enumerate(model.words) if word != "</s>"]
    rows, words = zip(*kept, strict=True)
    _save(out, words, vectors[list(rows)])
    return {**clocks, "words": len(words)}


def itembed(path: str, out: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train on the lines as sets: each word with one other of its line, uniform noise."""
    import numpy as np
    from itembed import UnsupervisedTask, initialize_syn, pack_itemsets, train

    np.random.seed(seed)  # noqa: NPY002 - it draws from the global generator
    lists = _lists(path)
    cpu, wall = time.process_time(), time.perf_counter()
    labels, items, offsets = pack_itemsets(lists, min_count=5, min_length=2)
    vectors = initialize_syn(len(labels), 100)
    task = UnsupervisedTask(
        items, offsets, vectors, initialize_syn(len(labels), 100), num_negative=5
    )
    train(task, num_epoch=epochs)
    clocks = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    _save(out, labels, vectors)
    return {**clocks, "words": len(labels)}


def word2vec_matryoshka(path: str, out: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train at one level, which makes it word2vec; it has no subsampling."""
    from word2vec_matryoshka import Word2Vec, set_seed

    set_seed(seed)
    lists = _lists(path)
    cpu, wall = time.process_time(), time.perf_counter()
    model = Word2Vec(
        lists, vector_size=100, levels=[100], window=5, negative=5, sg=1, min_count=5,
        epochs=epochs, workers=1, verbose=False,
    )  # fmt: skip
    clocks = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    _save(out, model.wv.index_to_key, model.wv.vectors)
    return {**clocks, "words": len(model.wv.index_to_key)}


def _iword2vec() -> Any:
    from rivertext.models.iw2v import IWord2Vec

    # Smaller tables than its own, which hold 1,000,000 words: those make it slower still. Its own
    # tokenizer gives a generator, which it then reads twice.
    return IWord2Vec(
        vocab_size=100_000, emb_size=100, unigram_table_size=10_000_000, window_size=5,
        neg_samples_sum=5, sg=1, tokenizer=str.split,
    )  # fmt: skip


def rivertext(path: str, out: str, seed: int, tokens: int) -> dict[str, Any]:
    """Measure the first so many tokens only; nothing is saved."""
    import torch

    torch.manual_seed(seed)
    lines: list[str] = []
    with Path(path).open(encoding="utf-8") as file:
        while tokens > 0 and (line := file.readline()):
            lines.append(line)
            tokens -= len(line.split())
    model = _iword2vec()
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, len(lines), 32):
        model.learn_many(lines[start : start + 32])
    clocks = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**clocks, "tokens": sum(len(line.split()) for line in lines)}


def rivertext_messages(path: str, most: int, thinned: bool) -> dict[str, Any]:
    """Measure messages one by one, with its subsampling or without.

    Its ``learn_one`` takes the letters of each word for words, so a message is a list of one.
    """
    with Path(path).open(encoding="utf-8") as file:
        messages = list(islice(file, most))

    def learn(model: Any, some: list[str]) -> int:
        failed = 0
        for message in some:
            try:
                model.learn_many([message])
            except RuntimeError:
                # So few words are left of it that it has no pair.
                failed += 1
        return failed

    models = _iword2vec(), _iword2vec()
    if not thinned:
        for model in models:
            model.prep.subsample_prob = lambda word: 1.0
    learn(models[0], messages[:100])
    cpu, wall = time.process_time(), time.perf_counter()
    failed = learn(models[1], messages)
    clocks = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**clocks, "messages": len(messages), "failed": failed}


if __name__ == "__main__":
    tasks = (version, fasttext, itembed, word2vec_matryoshka, rivertext, rivertext_messages)
    task = {task.__name__: task for task in tasks}[sys.argv[1]]
    print(json.dumps(task(**json.loads(sys.argv[2]))), flush=True)
