"""Learn word vectors from a text in one pass; ask for neighbours on the way and at the end.

python examples/quickstart.py [TEXT] [WORD]
"""

import sys
from pathlib import Path

from stream_w2v import Word2Vec
from stream_w2v.connectors import open_source

TEXT = Path(__file__).parent / "data" / "wikipedia.txt.xz"
MILLION = 1_000_000


def main(text: str, word: str) -> None:
    """Train on ``text`` and print the neighbours of ``word`` after every million words."""
    model = Word2Vec()
    due = MILLION
    with open_source(text) as source:
        for batch in source:
            model.learn_batch(batch)
            words = int(model.counters["words"])
            if words >= due:
                report(model, word)
                due += MILLION
    report(model, word)


def report(model: Word2Vec, word: str) -> None:
    """Print the five nearest neighbours of a word as they are now."""
    vectors = model.snapshot()
    near = vectors.most_similar(word, topn=5) if word in vectors else []
    neighbours = ", ".join(f"{other} {similarity:.2f}" for other, similarity in near)
    words = int(model.counters["words"])
    print(f"{words:>10,} words, vocabulary {len(vectors):,}: {word}: {neighbours or '(not yet)'}")


if __name__ == "__main__":
    main(*(sys.argv[1:3] + [str(TEXT), "music"][len(sys.argv) - 1 :]))
