"""Short messages, as river has them: ``python -m tests.benchmarks.one_by_one_side``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from river import feature_extraction

from stream_w2v.estimators import Word2VecTransformer
from tests.benchmarks.child import answer
from tests.benchmarks.clock import clocked

_WARM = ["the cat sat on the mat and looked at the king of france"] * 10


def _messages(path: str, most: int) -> list[str]:
    with Path(path).open(encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in islice(lines, most)]


def _transformer(**options: Any) -> Word2VecTransformer:
    """Make one, with all compiled code loaded."""
    warm = Word2VecTransformer(**options)
    warm.learn_many(pd.DataFrame({"text": _WARM}))
    warm.transform_one({"text": _WARM[0]})
    return Word2VecTransformer(**options)


def learn(path: str, most: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Measure learning messages one by one."""
    messages = _messages(path, most)
    words = _transformer(**options)
    with clocked() as clocks:
        for message in messages:
            words.learn_one(message)
    return {**clocks, "messages": len(messages)}


def features(path: str, most: int, ours: bool) -> dict[str, Any]:
    """Measure learning each message and making features of it: our numbers, or river's words."""
    messages = _messages(path, most)
    transformer: Any = _transformer()
    if not ours:
        transformer = feature_extraction.BagOfWords() + feature_extraction.TFIDF()
    with clocked() as clocks:
        for message in messages:
            transformer.learn_one(message)
            transformer.transform_one(message)
    return {**clocks, "messages": len(messages)}


def frames(path: str, most: int, rows: int, whole: bool) -> dict[str, Any]:
    """Measure learning frames of so many messages, at once or row by row; say what came of it."""
    messages = _messages(path, most)
    words = _transformer(on="text")
    made = [
        pd.DataFrame({"text": messages[start : start + rows]})
        for start in range(0, len(messages), rows)
    ]
    records = [{"text": message} for message in messages]
    with clocked() as clocks:
        if whole:
            for frame in made:
                words.learn_many(frame)
        else:
            for record in records:
                words.learn_one(record)
    state = hashlib.sha256()
    for name, tensor in sorted(words.model.tensors().items()):
        state.update(name.encode() + tensor.tobytes())
    return {**clocks, "messages": len(messages), "state": state.hexdigest()}


if __name__ == "__main__":
    answer(learn=learn, features=features, frames=frames)
