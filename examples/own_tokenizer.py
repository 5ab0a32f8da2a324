"""Cut records into words with a function of your own, save the model, load it and go on.

python examples/own_tokenizer.py
"""

import re
import tempfile
from pathlib import Path

from stream_w2v import Word2Vec

MESSAGES = [
    "New #python release, get it at https://example.org/python",
    "The #python release is out: https://example.org/news",
    "New #rust release, get it at https://example.org/rust",
    "The #rust release is out: https://example.org/rust/news",
] * 50


def words(text: str) -> list[str]:
    """Keep hashtags whole, and put every address into one word."""
    text = re.sub(r"https?://\S+", "<url>", text.lower())
    return re.findall(r"<url>|#?\w+", text)


def main() -> None:
    """Learn the messages in two halves, with a saved model between them."""
    model = Word2Vec(text=words, vector_size=20, min_count=3, sample=0)
    model.learn_many(MESSAGES[:100])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages.safetensors"
        model.save(path)
        # A file holds no code, so the function is given again.
        model = Word2Vec.load(path, text=words)
    model.learn_many(MESSAGES[100:])
    print(model.snapshot().most_similar("#python", topn=3))


if __name__ == "__main__":
    main()
