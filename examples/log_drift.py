"""Learn logs, and say which tokens are alike, and which behave otherwise than before.

python examples/log_drift.py app.log.2.gz app.log.1 app.log     # one after the other
python examples/log_drift.py --every 60 app.log                 # as it grows, each minute

Beside a service that runs, the command does the same, for as long as it runs:

stream-w2v train --follow app.log --text log --checkpoint state/ --drift drift.jsonl
"""

import argparse
import time
from collections.abc import Iterator

from stream_w2v import KeyedVectors, Word2Vec
from stream_w2v.connectors import open_source
from stream_w2v.drift import ALARM, measure_drift

NEIGHBOURS = 5
SHOWN = 10


def main() -> None:
    """Report on each log, or on one again and again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", nargs="+")
    parser.add_argument(
        "--every", type=float, help="follow the logs, and report again after so many seconds"
    )
    arguments = parser.parse_args()
    # Logs are short: each line is learnt several times.
    model = Word2Vec(text="log", replay_tokens=1_000_000)
    if arguments.every is None:
        learnt = one_by_one(model, arguments.logs)
    else:
        learnt = followed(model, arguments.logs, arguments.every)
    before = None
    for what in learnt:
        vectors = model.snapshot()
        print(f"{what}: {model.records:,} lines so far, {len(vectors):,} words", flush=True)
        if before is None:
            neighbours(vectors)
        else:
            changes(before, vectors)
        before = vectors


def one_by_one(model: Word2Vec, logs: list[str]) -> Iterator[str]:
    """Learn logs in order, and yield the name of each."""
    for log in logs:
        with open_source(log) as source:
            for batch in source:
                model.learn_batch(batch)
        yield log


def followed(model: Word2Vec, logs: list[str], seconds: float) -> Iterator[str]:
    """Learn logs as they grow, and yield the time again and again if anything has come."""
    due, seen = time.monotonic() + seconds, 0
    with open_source(logs, follow=True) as source:
        for batch in source:
            model.learn_batch(batch)
            if time.monotonic() >= due and model.records > seen:
                yield time.strftime("%H:%M:%S")
                due, seen = time.monotonic() + seconds, model.records


def neighbours(vectors: KeyedVectors) -> None:
    """Print which tokens are alike, for the most frequent ones."""
    for word in vectors.index_to_key[:SHOWN]:
        near = vectors.most_similar(word, topn=NEIGHBOURS)
        print(f"  {word}: {', '.join(other for other, _ in near)}")


def changes(before: KeyedVectors, now: KeyedVectors) -> None:
    """Print which tokens changed their company."""
    drift = measure_drift(before, now)
    print(f"  {drift.alarms} of {len(drift.words)} tokens have a drift score above {ALARM}")
    for word in drift.most(drift.alarms):
        print(f"  {word.score:.1f} {word.word}: was near {', '.join(word.lost[:NEIGHBOURS])}")
        print(f"    and is near {', '.join(word.gained[:NEIGHBOURS])}")
    print(f"  new: {', '.join(drift.appeared[:SHOWN]) or 'none'}")


if __name__ == "__main__":
    main()
