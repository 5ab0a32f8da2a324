"""Learn logs one after the other, and say which tokens behave otherwise in each than before.

python examples/log_drift.py app.log.2.gz app.log.1 app.log

Beside a service that runs, the command does the same, for as long as it runs:

stream-w2v train --follow app.log --checkpoint state/ --drift drift.jsonl --drift-every 3600
"""

import sys

from stream_w2v import KeyedVectors, Word2Vec
from stream_w2v.connectors import open_source
from stream_w2v.drift import ALARM, measure_drift

NEIGHBOURS = 5
SHOWN = 10


def main(logs: list[str]) -> None:
    """Learn some logs in order, and report after each."""
    # Logs are short and say the same again and again: each line is learnt several times. What
    # varies from line to line, such as numbers, is words like all others here.
    model = Word2Vec(text="words", replay_tokens=1_000_000)
    before = None
    for log in logs:
        with open_source(log) as source:
            for batch in source:
                model.learn_batch(batch)
        vectors = model.snapshot()
        print(f"{log}: {model.records:,} lines so far, {len(vectors):,} words")
        if before is None:
            neighbours(vectors)
        else:
            changes(before, vectors)
        before = vectors


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
    main(sys.argv[1:])
