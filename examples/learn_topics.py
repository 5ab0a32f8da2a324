"""Learn to tell the topics of texts as they come; killed at any time, it goes on where it was.

python examples/streams.py wikinews > news.jsonl
python examples/replay_to_kafka.py news.jsonl kafka://localhost:9092/news --once
python examples/learn_topics.py kafka://localhost:9092/news state/ [--no-follow]

A record is a JSON object with a "text" and its "topic". The classifier is asked for the topic
before it is told, so the scores are those of texts that it had not seen.
"""

import argparse
import json
import signal
from collections import Counter

from river import feature_extraction, linear_model, metrics, multiclass, optim

from stream_w2v.connectors import open_source
from stream_w2v.estimators import PipelineCheckpoints, Word2VecTransformer
from stream_w2v.stream import dead_letters


def main() -> None:
    """Learn until the end of the source, Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="kafka://host:port/topic, a file, or what else can be read")
    parser.add_argument("state", help="directory of the checkpoints")
    parser.add_argument("--no-follow", action="store_true", help="stop at the present end")
    parser.add_argument("--checkpoint-every", type=float, default=10.0, metavar="SECONDS")
    arguments = parser.parse_args()
    stopped_by: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped_by.append(number))
    with (
        PipelineCheckpoints(arguments.state, every=arguments.checkpoint_every) as checkpoints,
        open_source(arguments.source, follow=not arguments.no_follow) as source,
    ):
        # One file holds all that is learnt and counted, and the place that belongs to it.
        model, scores, counts = learning = checkpoints.load() or new()
        positions = checkpoints.positions
        source.seek(positions)
        for batch in source:
            for record in batch.records():
                counts[learn(model, scores, record)] += 1
            positions = batch.positions
            if stopped_by:
                break
            if checkpoints.due() and positions != checkpoints.positions:
                checkpoints.save(learning, positions)
                report(scores, counts + dead_letters(positions), ".4f")
        if positions != checkpoints.positions:
            checkpoints.save(learning, positions)
        # A sum over a set of topics has other last digits in every process.
        report(scores, counts + dead_letters(positions), ".12f")


def new():
    """Return a classifier that has learnt nothing, its scores, and how many records came."""
    features = feature_extraction.TFIDF(on="text") + Word2VecTransformer(on="text")
    classifier = multiclass.OneVsRestClassifier(linear_model.LogisticRegression(optim.SGD(10)))
    scores = {"accuracy": metrics.Accuracy(), "macro F1": metrics.MacroF1()}
    return features | classifier, scores, Counter()


def learn(model, scores, record: bytes) -> str:
    """Learn one record; return "learnt", or why it was left out."""
    try:
        message = json.loads(record)
    except (ValueError, RecursionError):
        return "no JSON"
    for name in ("text", "topic"):
        if not isinstance(message, dict) or not isinstance(message.get(name), str):
            return f"no {name}"
    guess = model.predict_one(message)
    for score in scores.values() if guess is not None else ():
        score.update(message["topic"], guess)
    model.learn_one(message, message["topic"])
    return "learnt"


def report(scores, counts: Counter, digits: str) -> None:
    """Print one line: how many records were learnt, the scores, and what was left out."""
    said = [f"{name} {score.get():{digits}}" for name, score in scores.items()]
    said += [f"{count:,} {why}" for why, count in counts.items() if why != "learnt"]
    print(f"{counts['learnt']:>9,} texts", *said, sep="  ", flush=True)


if __name__ == "__main__":
    main()
