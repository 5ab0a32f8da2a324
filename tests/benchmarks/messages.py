"""Kafka against a file: the same messages, read and learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.child import work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import middle, say, spread

BYTES = 200
MESSAGES = 500_000
QUICK_MESSAGES = 20_000
CLIENTS = ("kafka-python", "confluent-kafka")


def measure(setting: Setting) -> Section:
    """Train from a file of lines, and from a topic of the same, by turns."""
    from tests.broker import Broker

    many = QUICK_MESSAGES if setting.quick else MESSAGES
    path = setting.folder / "messages.txt"
    lines = _cut(setting.text, path, many)
    with Broker(setting.folder / "broker") as broker:
        uri = _topic(broker.address, path)
        sources = {
            "a file": str(path),
            **{name: f"{uri}?client={name}" for name in CLIENTS},
        }
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
        for turn in range(setting.pairs):
            for name, source in sources.items():
                say(f"messages: {name}, turn {turn + 1} of {setting.pairs}")
                options: dict[str, Any] = {"source": source, "follow": False}
                runs[name].append(
                    {
                        "read": work("our_side", "read", **options).answer,
                        "train": work("our_side", "train_from", **options).answer,
                    }
                )
    rows = []
    for name, found in runs.items():
        trained = [lines / run["train"]["wall"] for run in found]
        ratios = [
            b["train"]["wall"] / a["train"]["wall"]
            for a, b in zip(found, runs["a file"], strict=True)
        ]
        rows.append(
            [
                name,
                middle([lines / run["read"]["wall"] / 1e3 for run in found], unit=" k/s"),
                middle([rate / 1e3 for rate in trained], unit=" k/s"),
                "" if name == "a file" else spread(ratios, ".2f", "x"),
                spread(
                    [100 * run["train"]["busy"] / run["train"]["wall"] for run in found],
                    ".0f",
                    " %",
                ),
            ]
        )
    return Section(
        title="Messages from Kafka",
        columns=(
            "",
            "messages read, nothing learnt",
            "messages read and learnt",
            "times the file",
            "processor time of reading, of the whole",
        ),
        rows=rows,
        notes=(
            f"{lines:,} messages of {BYTES} bytes on average, lz4, one partition, a broker on the "
            "same two cores, whose work is not in the processor time; the same lines in a file. "
            "`Trainer` with one worker: a thread reads and cuts into words, one learns. "
            "Reading: what the source does, in the first of the two.",
        ),
        raw=runs,
    )


def _cut(text: Path, path: Path, many: int) -> int:
    """Write lines of about so many bytes, cut at spaces."""
    written = 0
    with text.open(encoding="utf-8") as source, path.open("w", encoding="utf-8") as target:
        line: list[str] = []
        size = 0
        for one in source:
            for word in one.split():
                line.append(word)
                size += len(word) + 1
                if size >= BYTES:
                    target.write(" ".join(line) + "\n")
                    line, size = [], 0
                    written += 1
                    if written == many:
                        return written
    return written


def _topic(address: str, path: Path) -> str:
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import NewTopic

    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic("messages", 1, 1)])
    admin.close()
    producer = KafkaProducer(
        bootstrap_servers=address, compression_type="lz4", linger_ms=50, batch_size=1 << 17
    )
    with path.open("rb") as lines:
        for line in lines:
            producer.send("messages", line.rstrip(b"\n"))
    producer.close()
    return f"kafka://{address}/messages"
