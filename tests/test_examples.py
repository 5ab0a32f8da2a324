"""The examples, and the README's code, are run as a user would run them."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from stream_w2v.estimators import PipelineCheckpoints
from stream_w2v.estimators.saved import to_json
from stream_w2v.storage import TEMPORARY

ROOT = Path(__file__).parent.parent
PARTS = ["auth", "bill", "mail", "disk", "chat", "video", "proxy", "cron", "index", "cache"]
CALLS = ["open", "read", "write", "close", "retry", "flush", "scan", "lock", "merge", "drop"]
IGNORING = ("-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning")
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def run(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


def test_quickstart_learns_that_music_is_like_jazz():
    """The neighbours of music, after four million words, are other words of music."""
    lines = run("examples/quickstart.py").splitlines()
    assert len(lines) == 4
    assert {"jazz", "folk", "musical", "pop", "blues"} & set(re.findall(r"[a-z]+", lines[-1]))


def test_own_tokenizer_finds_the_other_hashtag():
    """Words that a callable kept whole have vectors."""
    assert "#rust" in run("examples/own_tokenizer.py")


def test_a_text_is_replayed_to_kafka_and_learnt_as_it_comes(broker, tmp_path):
    """One example sends, the other prints neighbours."""
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat\nthe dog sat on the rug\n" * 400)
    topic = f"kafka://{broker}/replayed"
    sent = run(*IGNORING, "examples/replay_to_kafka.py", str(text), topic, "--rate=1e9", "--once")
    assert sent == "800 messages sent\n"
    seen = run(*IGNORING, "examples/live_neighbours.py", topic, "cat", "--no-follow")
    assert re.fullmatch(r" +\d+ messages  cat:( \w+){6}\n", seen.splitlines(keepends=True)[-1])


def service_log(seed: int, slow: str) -> str:
    """Return the log of a service whose parts log their own calls, and one of them timeouts."""
    draw = random.Random(seed)
    lines = []
    for _ in range(4000):
        part = draw.choice(PARTS)
        words = [part + call for call in draw.sample(CALLS, 5)]
        if part == slow and draw.random() < 0.5:
            words.insert(draw.randrange(5), "timeout")
        lines.append(f"{draw.choice(['info', 'warn', 'debug'])} {part} {' '.join(words)}\n")
    return "".join(lines)


def test_the_token_that_moved_to_another_part_of_a_service_is_found(tmp_path):
    """The disk timed out, then the mail does; nothing else has changed."""
    logs = [tmp_path / name for name in ("app.log.2", "app.log.1", "app.log")]
    for seed, (log, slow) in enumerate(zip(logs, ("disk", "disk", "mail"), strict=True)):
        log.write_text(service_log(seed, slow))
    said = run("examples/log_drift.py", *map(str, logs))
    last = said.split("app.log:")[1]
    near = r": was near (disk\w*(, )?){5}\n    and is near (mail\w*(, )?){5}\n"
    assert re.search(rf"4\.0\n  [\d.]+ timeout{near}", last)


def test_a_log_that_grows_is_reported_on_again(tmp_path):
    """First what is alike; then, when it has changed, what moved."""
    log = tmp_path / "app.log"
    log.write_text(service_log(0, "disk") + service_log(1, "disk"))
    command = [sys.executable, "-W", "error", "examples/log_drift.py", "--every", "0.5", str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as example:
        try:
            assert re.match(r"\d\d:\d\d:\d\d: 8,000 lines so far", example.stdout.readline())
            with log.open("a") as file:
                file.write(service_log(2, "mail"))
            for line in example.stdout:
                if "timeout: was near disk" in line:
                    break
            else:
                pytest.fail("it ended")
        finally:
            example.kill()


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run an example until the block ends."""
    command = [sys.executable, *IGNORING, *arguments]
    # TFIDF keeps words in the order in which it finds them in sets.
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    ) as example:
        try:
            yield example
        finally:
            example.kill()


def lines_until(texts: int, example: subprocess.Popen[str]) -> str:
    """Return the first line that an example prints after it has learnt so many texts."""
    for line in example.stdout:
        if int(line.split()[0]) >= texts:
            return line
    pytest.fail("it ended")


def test_streams_are_counted_and_written_as_json_lines():
    """What they print is what the others read."""
    assert re.fullmatch(
        r"wikinews: \('politics', 1219\).*\nwikipedia: .*\n", run("examples/streams.py")
    )
    lines = run("examples/streams.py", "wikinews").splitlines()
    assert len(lines) == 3890
    assert json.loads(lines[0])["topic"] == "science"
    assert json.loads(lines[0])["text"].startswith("In findings published earlier this month")


NEWS = [
    {"text": f"{words} {number % 7}", "topic": topic}
    for number in range(300)
    for words, topic in (("the cup was won", "sports"), ("the law was passed", "politics"))
]
ODD = [{"text": "", "topic": ""}, {"text": "half \ud83d", "topic": "sports"}]
NONE = ["nonsense", "[" * 5000, "[1, 2]", '{"text": 5, "topic": "sports"}', '{"text": "the cup"}']


def test_topics_are_learnt_from_a_file_that_grows_until_it_is_stopped(tmp_path):
    """What is no message is counted and left out; after SIGTERM it goes on where it was."""
    news, state = tmp_path / "news.jsonl", tmp_path / "state"
    news.write_text("".join(f"{line}\n" for line in [*map(json.dumps, [*NEWS, *ODD]), *NONE]))
    unread = "2 no JSON  2 no text  1 no topic"
    for texts, number in ((602, signal.SIGTERM), (603, signal.SIGINT)):
        example = ("examples/learn_topics.py", str(news), str(state), "--checkpoint-every", "0.1")
        with started(*example) as learning:
            said = rf" {{6}}{texts} texts  accuracy 0\.99\d\d  macro F1 0\.\d{{4}}  {unread}\n"
            assert re.fullmatch(said, lines_until(texts, learning))
            learning.send_signal(number)
            scores = r"accuracy 0\.99\d{10}  macro F1 0\.\d{12}"
            last = learning.stdout.read()
            assert re.fullmatch(rf" {{6}}{texts} texts  {scores}  {unread}\n", last)
            assert learning.wait() == 0
        with news.open("a") as file:
            file.write(json.dumps(NEWS[0]) + "\n")


def kept_in(directory: Path):
    """Return the pipeline in the newest checkpoint, its word vectors, and the place."""
    with PipelineCheckpoints(directory) as checkpoints:
        pipeline, *_ = checkpoints.load()
        kept, (model,) = to_json(pipeline, {})
        return kept, model, checkpoints.positions


def test_topics_learnt_from_kafka_are_the_same_however_often_it_is_killed(broker, tmp_path):
    """Scores, classifier and vectors, to the last bit; killed while it writes, too."""
    topic, news = f"kafka://{broker}/topics", tmp_path / "news.jsonl"
    lines = run("examples/streams.py", "wikinews").splitlines(keepends=True)
    news.write_text("".join(lines[:600]))
    run(*IGNORING, "examples/replay_to_kafka.py", str(news), topic, "--rate=1e9", "--once")

    def learning(name: str) -> AbstractContextManager[subprocess.Popen[str]]:
        # Batches of a few records.
        source = f"{topic}?max_partition_fetch_bytes=2000"
        options = ("--no-follow", "--checkpoint-every", "0.1")
        return started("examples/learn_topics.py", source, str(tmp_path / name), *options)

    draw, learnt = random.Random(1), 0
    with learning("undisturbed") as undisturbed:
        for kill in range(3):
            with learning("killed") as victim:
                learnt = int(lines_until(learnt + 1, victim).split()[0])
                if kill % 2:
                    time.sleep(draw.uniform(0, 0.2))
                while kill % 2 == 0 and not any((tmp_path / "killed").glob(TEMPORARY)):
                    assert victim.poll() is None
                victim.kill()
                assert victim.wait() == -signal.SIGKILL
        with learning("killed") as last:
            said = last.stdout.read().splitlines()[-1]
        assert said == undisturbed.stdout.read().splitlines()[-1]
    assert learnt < 600
    assert re.fullmatch(r" {6}600 texts  accuracy 0\.[5-9]\d{11}  macro F1 0\.\d{12}", said)
    pipelines, models, places = zip(
        *(kept_in(tmp_path / name) for name in ("killed", "undisturbed")), strict=True
    )
    assert pipelines[0] == pipelines[1]
    assert places[0] == places[1]
    for name, tensor in models[0].tensors().items():
        np.testing.assert_array_equal(tensor, models[1].tensors()[name], err_msg=name)


def test_news_are_threaded_into_stories_and_clustered():
    """Most texts find one of their own story, and the campaign is in a cluster of politics."""
    said = run("examples/news_stories.py")
    share = re.search(r"(\d+)% of 3,597 texts of a story that had begun", said)
    assert int(share[1]) >= 75
    clusters = said.split("cluster ")[1:]
    assert len(clusters) == 5
    campaign = [text for text in clusters if "On the campaign trail in the USA" in text]
    assert any("[('politics'," in text for text in campaign)


def test_every_example_is_run():
    """An example without a test would break unseen."""
    assert EXAMPLES == [
        "learn_topics.py",
        "live_neighbours.py",
        "log_drift.py",
        "news_stories.py",
        "own_tokenizer.py",
        "quickstart.py",
        "replay_to_kafka.py",
        "streams.py",
    ]


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", python_blocks())
def test_code_of_the_readme_runs(block):
    """Every block of Python in the README runs by itself from a checkout."""
    run("-c", block)


def test_readme_shows_code():
    """There is something for the test above to run."""
    assert python_blocks()
