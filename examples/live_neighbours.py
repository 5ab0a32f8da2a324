"""Learn from a Kafka topic, and print the neighbours of a word as they change.

python examples/live_neighbours.py kafka://localhost:9092/TOPIC WORD [--no-follow]
"""

import sys
import time

from stream_w2v import Word2Vec
from stream_w2v.connectors import open_source

uri, word, *rest = sys.argv[1:]
model, due = Word2Vec(vector_size=50), 0.0
try:
    for batch in open_source(uri, follow="--no-follow" not in rest):
        model.learn_batch(batch)
        if time.monotonic() > due and len(batch):
            vectors, due = model.snapshot(), time.monotonic() + 2
            near = vectors.most_similar(word, topn=6) if word in vectors else []
            print(
                f"{model.records:>9,} messages  {word}:", *(other for other, _ in near), flush=True
            )
except KeyboardInterrupt:
    pass
