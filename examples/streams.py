"""The labelled streams in examples/data, one text after the other, as river wants them.

python examples/streams.py                           # how many texts of which topic they have
python examples/streams.py wikinews > news.jsonl     # one of them, as JSON lines
"""

import json
import lzma
import random
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

DATA = Path(__file__).parent / "data"
LEAST_WORDS = 20


def wikinews() -> Iterator[tuple[dict[str, str], str]]:
    """Yield passages of news of 2019 and 2020, in the order of their months, and their topics."""
    with lzma.open(DATA / "wikinews.tsv.xz", "rt", encoding="utf-8") as lines:
        for line in lines:
            date, topic, story, text = line.rstrip("\n").split("\t")
            yield {"text": text, "date": date, "story": story}, topic


def wikipedia() -> Iterator[tuple[dict[str, str], str]]:
    """Yield paragraphs of an encyclopedia, shuffled, and their topics: nothing drifts."""
    with lzma.open(DATA / "wikipedia.txt.xz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    topics = [row.split("\t")[1] for row in rows("wikipedia.topics.tsv")]
    starts = [int(row.split("\t")[2]) for row in rows("wikipedia.titles.tsv")]
    texts = [
        ({"text": line}, topic)
        for topic, (start, end) in zip(topics, pairwise([*starts, len(lines)]), strict=True)
        for line in lines[start:end]
        if len(line.split()) >= LEAST_WORDS
    ]
    random.Random(1).shuffle(texts)
    yield from texts


def titles() -> list[str]:
    """Return the titles of the stories that the news are of."""
    return [row.split("\t")[3] for row in rows("wikinews.titles.tsv")]


def rows(name: str) -> list[str]:
    """Return the lines of a file in examples/data."""
    return (DATA / name).read_text(encoding="utf-8").splitlines()


def main(names: list[str]) -> None:
    """Print streams, or what is in them."""
    streams = {"wikinews": wikinews, "wikipedia": wikipedia}
    for name in names:
        for x, topic in streams[name]():
            print(json.dumps({**x, "topic": topic}))
    for name, stream in streams.items() if not names else ():
        print(f"{name}:", *Counter(topic for _, topic in stream()).most_common())


if __name__ == "__main__":
    main(sys.argv[1:])
