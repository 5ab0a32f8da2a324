"""Thread news as they arrive: the earlier texts that are most like each one, and clusters of them.

python examples/news_stories.py
"""

import math
from collections import Counter, defaultdict

import pandas as pd
import streams
from river import cluster, feature_extraction, neighbors

from stream_w2v.estimators import SimilarTexts, Word2VecTransformer


def main() -> None:
    """Read an encyclopedia, then the news of two years one by one."""
    words = Word2VecTransformer(
        on="text", vector_size=50, min_count=2, pooling="sif", remove_component=True
    )
    words.learn_many(pd.DataFrame(x for x, _ in streams.wikipedia()))
    print(f"{words.model.records:,} paragraphs read before the news")
    # Names that a story is about tell it best, and a third of the word vectors what it is like.
    features = feature_extraction.TFIDF(on="text") + (words | third)
    # Some two months of news, beyond which stories are rarely told.
    similar = features | SimilarTexts(n_neighbors=1, engine=neighbors.LazySearch(window_size=300))
    clusters = cluster.DBSTREAM(clustering_threshold=0.6, fading_factor=0.001, minimum_weight=3)
    titles = streams.titles()
    told, begun, right = set(), 0, 0
    placed = defaultdict(Counter)
    for number, (x, topic) in enumerate(streams.wikinews()):
        story = int(x["story"])
        direction = of_length_one(words.transform_one(x))
        if number >= 2000:
            placed[clusters.predict_one(direction)][story, topic] += 1
        clusters.learn_one(direction)
        if story in told:
            ((nearest, cosine),) = similar.predict_one(x)
            right += nearest == story
            begun += 1
            if number % 500 == 0:
                print(f"{x['date']} {x['text'][:60]}...")
                print(f"    {cosine:.2f} like: {titles[nearest]}")
        told.add(story)
        similar.learn_one(x, story)
    print(
        f"{right / begun:.0%} of {begun:,} texts of a story that had begun are most like one of it"
    )
    for name, stories in sorted(placed.items(), key=lambda item: -item[1].total())[:5]:
        topics = Counter()
        for (_, topic), count in stories.items():
            topics[topic] += count
        print(f"cluster {name}: {stories.total()} texts, {topics.most_common(2)}")
        for (story, _), count in stories.most_common(3):
            print(f"    {count:3} of: {titles[story]}")


def third(x: dict[str, float]) -> dict[str, float]:
    """Let the word vectors count less than the words themselves."""
    return {name: value / 3 for name, value in x.items()}


def of_length_one(x: dict[str, float]) -> dict[str, float]:
    """Return a direction, for what measures distances."""
    length = math.hypot(*x.values()) or 1.0
    return {name: value / length for name, value in x.items()}


if __name__ == "__main__":
    main()
