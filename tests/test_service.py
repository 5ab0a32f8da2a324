"""What a service does: end on SIGTERM, look again on SIGHUP, say what it does to programs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from stream_w2v import Trainer, Word2Vec
from stream_w2v.checkpoint import load_checkpoint
from stream_w2v.cli import main
from stream_w2v.connectors.files import FileSource
from stream_w2v.errors import ConfigError
from stream_w2v.metrics import Metrics

LINE = "the cat sat on the mat\n"


def wait(reached, seconds=60.0):
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := reached()):
        assert time.monotonic() < end, "this takes too long"
        time.sleep(0.02)
    return value


@pytest.fixture
def service(tmp_path):
    """Return what starts the command, and kills it in the end."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "stream_w2v", *map(str, arguments)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def records(state):
    """Return how many records the newest checkpoint has learnt."""
    if not (state.is_dir() and any(state.glob("checkpoint-*"))):
        return 0
    return load_checkpoint(state).model.records


def test_a_service_follows_is_asked_and_stops(tmp_path, service):
    """Its log is JSON; metrics say what it does; SIGHUP and SIGTERM are heard; it goes on."""
    log, state = tmp_path / "app.log", tmp_path / "state"
    log.write_text(LINE * 10)
    train = ["train", log, tmp_path / "more*.log", "--follow", "--min-count", 1, "--vector-size",
             8, "--checkpoint", state, "--checkpoint-seconds", 0.2, "--log-format", "json",
             "--metrics", 0]  # fmt: skip
    process = service(*train)
    first = json.loads(process.stderr.readline())
    address = re.search(r"http://(127\.0\.0\.1:\d+)/metrics", first["message"])[1]

    def metrics():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    wait(lambda: metrics().get("stream_w2v_records_total") == 10)
    (tmp_path / "more1.log").write_text(LINE * 5)
    process.send_signal(signal.SIGHUP)
    wait(lambda: metrics()["stream_w2v_records_total"] == 15)
    told = wait(lambda: (found := metrics()).get("stream_w2v_source_lag") == 0 and found)
    assert told["stream_w2v_words_total"] == 90
    assert told["stream_w2v_vocabulary_words"] == 5
    assert 0 <= told["stream_w2v_checkpoint_age_seconds"] < 60
    assert told["stream_w2v_checkpoint_pause_seconds"] > 0
    assert told["process_resident_memory_bytes"] > 1e6
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines[-1]["message"].startswith("stopped by SIGTERM: 90 words of 15 records")
    assert lines[-1]["records"] == 15
    assert all(line["level"] == "info" and line["time"] for line in lines)
    assert records(state) == 15
    with log.open("a") as file:
        file.write(LINE)
    resume = subprocess.run(
        [sys.executable, "-m", "stream_w2v", "resume", state, "--no-follow", "--quiet"],
        check=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert resume.returncode == 0
    assert records(state) == 16


def test_errors_are_json_if_asked(capsys):
    """Also those of the command line."""
    assert main(["train", "no-such-file", "--vectors", "v.bin", "--log-format", "json"]) == 2
    error = json.loads(capsys.readouterr().err)
    assert error["level"] == "error"
    assert "no-such-file does not exist" in error["message"]
    assert main(["train", "x", "--vectors", "v.bin", "--log-format", "xml"]) == 2
    assert "--log-format must be one of text, json" in capsys.readouterr().err


def test_metrics_cannot_be_served_anywhere():
    """What is no address, and what is taken, is said."""
    for address in ("nowhere", "127.0.0.1:99999", ":"):
        with pytest.raises(ConfigError, match="metrics are served at HOST:PORT, not at"):
            Metrics(address)
    with Metrics("0") as metrics:
        assert metrics.address.startswith("127.0.0.1:")
        with pytest.raises(ConfigError, match=f"cannot be served at {metrics.address}"):
            Metrics(metrics.address)


def test_dead_letters_are_counted_by_reason(tmp_path):
    """As the positions say."""
    path = tmp_path / "lines.json"
    path.write_text('{"text": "a b c"}\nrubbish\n')
    model = Word2Vec(min_count=1, vector_size=8)
    with Metrics("127.0.0.1:0") as metrics:
        trainer = Trainer(model, FileSource(path, field="text"))
        trainer.run()
        metrics.update(trainer)
        with urllib.request.urlopen(f"http://{metrics.address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    assert 'stream_w2v_dead_letters_total{reason="invalid JSON"} 1.0' in text
    assert "stream_w2v_records_total 1.0" in text


def test_without_the_client_library_it_is_said_what_to_install(monkeypatch):
    """The command's error names the extra."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "stream_w2v.metrics", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'stream-w2v\[metrics\]'"):
        __import__("stream_w2v.metrics")


def test_the_unit_names_options_that_there_are():
    """And what it starts can be read by the command."""
    unit = Path(__file__).parents[1] / "examples" / "stream-w2v.service"
    command = re.search(r"^ExecStart=\S+ (.*?)(?<!\\)$", unit.read_text(), re.M | re.S)[1]
    options = re.findall(r"--[a-z-]+", command)
    said = subprocess.run(
        [sys.executable, "-m", "stream_w2v", "train", "--help"],
        check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"},
    ).stdout  # fmt: skip
    assert len(options) >= 6
    assert [option for option in options if option not in said] == []
