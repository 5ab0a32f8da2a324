"""The examples, and the README's code, are run as a user would run them."""

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stream_w2v.estimators import PipelineCheckpoints

ROOT = Path(__file__).parent.parent
PARTS = ["auth", "bill", "mail", "disk", "chat", "video", "proxy", "cron", "index", "cache"]
CALLS = ["open", "read", "write", "close", "retry", "flush", "scan", "lock", "merge", "drop"]
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
    ignoring = ("-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning")
    sent = run(*ignoring, "examples/replay_to_kafka.py", str(text), topic, "--rate=1e9", "--once")
    assert sent == "800 messages sent\n"
    seen = run(*ignoring, "examples/live_neighbours.py", topic, "cat", "--no-follow")
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


def test_news_are_threaded_into_stories_and_clustered():
    """Most texts find one of their own story, and the campaign is in a cluster of politics."""
    said = run("examples/news_stories.py")
    share = re.search(r"(\d+)% of 3,597 texts of a story that had begun", said)
    assert int(share[1]) >= 75
    clusters = said.split("cluster ")[1:]
    assert len(clusters) == 5
    campaign = [text for text in clusters if "On the campaign trail in the USA" in text]
    assert any("[('politics'," in text for text in campaign)


IGNORING = ("-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning")


def newest(state: Path) -> str:
    """Return the name of the newest checkpoint, or nothing."""
    return max((path.name for path in state.glob("checkpoint-*.safetensors")), default="")


def test_a_pipeline_that_is_killed_goes_on_with_the_same_metric(broker, tmp_path):
    """To the last digit and the last bit, as one that nobody stopped; rubbish is counted once."""
    text = tmp_path / "news.jsonl"
    lines = run("examples/streams.py", "wikinews").splitlines(keepends=True)[:2000]
    lines[700:700] = ["no json\n", "[]\n", '{"text": 5, "topic": "x"}\n', '{"topic": "x"}\n']
    text.write_text("".join(lines))
    topic = f"kafka://{broker}/news"
    run(*IGNORING, "examples/replay_to_kafka.py", str(text), topic, "--rate=1e9", "--once")
    learn = [*IGNORING, "examples/learn_topics.py", topic]
    more = ("--no-follow", "--every=0.05")
    undisturbed = run(*learn, str(tmp_path / "undisturbed"), *more).splitlines()[-1]
    assert undisturbed.startswith("2,000 learnt, 4 unreadable, accuracy 0.8")
    state = tmp_path / "killed"
    draw = random.Random(1)
    for _ in range(3):
        before = newest(state)
        command = [sys.executable, "-W", "error", *learn, str(state), *more]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            while newest(state) == before:
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.3))
            assert process.poll() is None
            process.kill()
    assert run(*learn, str(state), *more).splitlines()[-1] == undisturbed
    ends = []
    for name in ("undisturbed", "killed"):
        with PipelineCheckpoints(tmp_path / name) as checkpoints:
            pipeline, *_ = checkpoints.load()
            ends.append((pipeline, checkpoints.positions))
    (one, positions), (other, others) = ends
    assert positions == others
    for line in lines[-200:]:
        message = json.loads(line)
        said = one.predict_proba_one(message["text"])
        assert said == other.predict_proba_one(message["text"])
        one.learn_one(message["text"], message["topic"])
        other.learn_one(message["text"], message["topic"])
    theirs = other["TransformerUnion"]["Word2VecTransformer"].model.tensors()
    mine = one["TransformerUnion"]["Word2VecTransformer"].model.tensors()
    for name, tensor in mine.items():
        np.testing.assert_array_equal(tensor, theirs[name], err_msg=name)


def test_streams_are_counted():
    """As they are described beside the files."""
    said = run("examples/streams.py")
    assert said.startswith("wikinews: ('politics', 1219) ('science', 1088)")


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
