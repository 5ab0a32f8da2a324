"""Learn the topics of messages from Kafka, or any other source, and go on wherever it was killed.

python examples/learn_topics.py kafka://localhost:9092/TOPIC state/ [--no-follow] [--every SECONDS]

A message is {"text": ..., "topic": ...}; examples/streams.py prints some.
"""

import argparse
import contextlib
import json
import signal
import sys
from collections import Counter

from river import feature_extraction, linear_model, metrics, multiclass, optim

from stream_w2v.connectors import open_source
from stream_w2v.estimators import PipelineCheckpoints, Word2VecTransformer
from stream_w2v.stream import Source


def main() -> None:
    """Read the command line, and learn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="kafka://host:port/topic, or files")
    parser.add_argument("state", help="the directory of the checkpoints")
    parser.add_argument("--no-follow", action="store_true", help="stop at the end of the source")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between checkpoints")
    arguments = parser.parse_args()
    # As Ctrl-C does. What came after the last checkpoint is learnt again from there.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        PipelineCheckpoints(arguments.state, every=arguments.every) as checkpoints,
        open_source(arguments.source, follow=not arguments.no_follow) as source,
    ):
        learn(source, checkpoints)


def learn(source: Source, checkpoints: PipelineCheckpoints) -> None:
    """Predict each message's topic, then learn it."""
    pipeline, accuracy, f1, seen = checkpoints.load() or (
        make(), metrics.Accuracy(), metrics.MacroF1(), Counter()
    )  # fmt: skip
    source.seek(checkpoints.positions)
    positions = checkpoints.positions
    for batch in source:
        for record in batch.records():
            message = read(record)
            seen["learnt" if message else "unreadable"] += 1
            if message:
                text, topic = message
                said = pipeline.predict_one(text)
                accuracy.update(topic, said)
                f1.update(topic, said)
                pipeline.learn_one(text, topic)
        positions = batch.positions
        if checkpoints.due():
            checkpoints.save((pipeline, accuracy, f1, seen), positions)
            print(f"{seen['learnt']:,} messages, {accuracy}, {f1}", flush=True)
    checkpoints.save((pipeline, accuracy, f1, seen), positions)
    print(f"{seen['learnt']:,} learnt, {seen['unreadable']:,} unreadable, "
          f"accuracy {accuracy.get()!r}, macro F1 {f1.get()!r}")  # fmt: skip


def make():
    """Return the pipeline at its beginning."""
    words = Word2VecTransformer(min_count=2, pooling="sif")
    topics = linear_model.LogisticRegression(optimizer=optim.SGD(10.0))
    return (feature_extraction.TFIDF() + words) | multiclass.OneVsRestClassifier(topics)


def read(record: bytes) -> tuple[str, str] | None:
    """Return a message's text and topic, or None if it is no such message."""
    try:
        message = json.loads(record)
        text, topic = message["text"], message["topic"]
    except (ValueError, KeyError, TypeError):
        return None
    return (text, topic) if isinstance(text, str) and isinstance(topic, str) else None


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
