"""The command: what it prints, what it writes, and every way in which it can fail."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from stream_w2v import KeyedVectors, StreamW2VError, Word2Vec, output
from stream_w2v.checkpoint import Checkpoints, checkpoint_files, load_checkpoint
from stream_w2v.cli import main
from stream_w2v.config import Config
from stream_w2v.drift import measure_drift

COMMANDS = ("train", "resume", "similar", "drift", "evaluate", "export", "info")
SMALL = ("--vector-size", "8", "--min-count", "2")
PROGRAM = (sys.executable, "-m", "stream_w2v")


class Result(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command in this process."""

    def call(*arguments: str | Path) -> Result:
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return call


def text(seed: int, lines: int = 300) -> str:
    """Return lines whose words belong together in fives: a0..a4, b0..b4, and so on."""
    draw = np.random.default_rng(seed)
    topics = draw.choice(list("abcdefgh"), lines)
    return "".join(
        " ".join(f"{topic}{n}" for n in draw.integers(0, 5, 12)) + "\n" for topic in topics
    )


class Files(NamedTuple):
    """What most tests read."""

    corpus: Path
    vectors: Path
    model: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Train once."""
    folder = tmp_path_factory.mktemp("cli")
    files = Files(folder / "a.txt", folder / "a.safetensors", folder / "model.safetensors")
    files.corpus.write_text(text(1))
    outputs = ("--vectors", str(files.vectors), "--save", str(files.model), "--quiet")
    assert main(["train", str(files.corpus), *SMALL, *outputs]) == 0
    return files


def names_in(folder: Path) -> list[str]:
    """Return the names of the files there, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def error_of(result: Result, code: int) -> str:
    """Check that a result is an error and nothing else, and return what it says."""
    assert result.code == code, result
    assert result.out == ""
    start = "stream-w2v: error: "
    assert result.err.startswith(start), result.err
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    return result.err[len(start) : -1]


# Help.


def test_version_is_the_packages(run: Run) -> None:
    """It is printed alone."""
    assert run("--version") == Result(0, f"stream-w2v {version('stream-w2v')}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(run: Run, command: str) -> None:
    """The general help names the command; its own help shows how it is used."""
    assert f"│ {command} " in run("--help").out
    result = run(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert "Examples" in result.out
    assert f"stream-w2v {command} " in result.out.partition("Examples")[2]


def test_every_field_of_the_config_is_an_option(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its default and its help from there."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 250)
    panel = run("train", "--help").out.partition("─ Model ─")[2].partition("╰")[0]
    helps = dict(re.findall(r"│ --([a-z-]+) +(.*?)(?=│ --|\Z)", panel, re.DOTALL))
    assert helps["vector-size"].startswith("<int> ")
    assert "Length of a vector." in helps["vector-size"]
    assert "per-row|linear|inverse-sqrt|constant" in helps["schedule"]
    assert list(helps) == [field.name.replace("_", "-") for field in dataclasses.fields(Config)]
    for field, said in zip(dataclasses.fields(Config), helps.values(), strict=True):
        assert re.search(r"[A-Z][a-z]+,? .*\.", said), "no help"
        if field.default is not None and field.default is not False:
            assert f"[default: {field.default}]" in said


def test_python_m_runs_the_command() -> None:
    """It is called by the same name there."""
    done = subprocess.run([*PROGRAM, "bogus"], capture_output=True, text=True)
    said = "stream-w2v: error: No such command 'bogus' (see stream-w2v --help)\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_the_library_does_not_import_what_only_the_command_needs() -> None:
    """Whoever only uses the library does not pay for typer and rich."""
    code = "import stream_w2v, sys; print({'typer', 'rich'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# train


def test_train_writes_vectors_and_model_and_says_so(run: Run, files: Files, tmp_path: Path) -> None:
    """The summary tells how much there was; standard output stays free."""
    vectors, model = tmp_path / "v.txt.gz", tmp_path / "m.safetensors"
    result = run("train", files.corpus, *SMALL, "--vectors", vectors, "--save", model)
    assert (result.code, result.out) == (0, "")
    assert re.fullmatch(
        r"3,600 words of 300 records in \d+\.\d s \([\d.]+ [kM]? ?words/s\); vocabulary 40; "
        + re.escape(f"wrote {vectors} and {model}\n"),
        result.err,
    )
    wv = KeyedVectors.load(vectors)
    assert sorted(wv) == sorted(KeyedVectors.load(files.vectors))
    assert np.array_equal(wv["a0"], KeyedVectors.load(files.vectors)["a0"])
    assert model.read_bytes() == files.model.read_bytes()


def test_train_takes_every_option_by_its_name(run: Run, files: Files, tmp_path: Path) -> None:
    """What is given arrives in the config."""
    given: dict[str, Any] = {
        "vector_size": 12, "window": 3, "negative": 4, "min_count": 2, "sample": 0.5,
        "ns_exponent": 0.5, "noise_staleness": 0.1, "max_vocab_size": 20, "max_candidates": 30,
        "half_life": 5000.0, "schedule": "linear", "learning_rate": 0.1,
        "min_learning_rate": 0.01, "total_tokens": 4000, "text": "log", "split_identifiers": True,
        "seed": 7,
        "workers": 2, "replay_tokens": 1000, "replay_passes": 2, "replay_sample": 0.01,
        "refresh_contexts": 100,
    }  # fmt: skip
    assert sorted(given) == sorted(field.name for field in dataclasses.fields(Config))
    options = [
        f"--{name.replace('_', '-')}" + f"={value}" * (value is not True)
        for name, value in given.items()
    ]
    model = tmp_path / "m.safetensors"
    result = run("train", files.corpus, *options, "--save", model)
    assert result.code == 0
    assert "words evicted" in result.err
    assert Word2Vec.load(model).config == Config(**given)


def test_a_loaded_model_may_have_another_number_of_workers(
    run: Run, files: Files, tmp_path: Path
) -> None:
    """That is no option that the saved model could contradict."""
    out = tmp_path / "m.safetensors"
    result = run("train", files.corpus, "--load", files.model, "--workers", "2", "--save", out)
    assert result.code == 0
    loaded = Word2Vec.load(out)
    assert loaded.config.workers == 2
    assert loaded.records == 2 * Word2Vec.load(files.model).records


def test_combine_and_refresh_reach_the_vectors(run: Run, files: Files, tmp_path: Path) -> None:
    """For train and for export alike, which write the same vectors of the same model."""
    model = tmp_path / "m.safetensors"
    outputs = ["--save", model, "--vectors", tmp_path / "a.safetensors", "--quiet"]
    replay, options = ["--replay-tokens", "500"], ["--combine", "input", "--refresh"]
    assert run("train", files.corpus, *SMALL, *replay, *options, *outputs).code == 0
    loaded = Word2Vec.load(model)
    assert loaded.config.refresh_contexts == 500_000, "--refresh needs something to refresh from"
    assert run("export", model, tmp_path / "b.safetensors", *options).code == 0
    expected = loaded.snapshot(combine="input", refresh=True)
    for name in ("a", "b"):
        written = KeyedVectors.load(tmp_path / f"{name}.safetensors")
        assert written.index_to_key == expected.index_to_key
        assert np.array_equal(written.vectors, expected.vectors)
    assert not np.array_equal(expected.vectors, loaded.snapshot(combine="input").vectors)
    assert run("export", model, tmp_path / "c.safetensors").code == 0
    written = KeyedVectors.load(tmp_path / "c.safetensors")
    assert np.array_equal(written.vectors, loaded.snapshot(combine="sum").vectors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["export", "{model}", "x.txt", "--combine", "mean"],
            "combine must be one of input, sum, not 'mean'",
        ),
        (
            ["export", "{vectors}", "x.txt", "--refresh"],
            "{vectors} holds vectors only: --combine and --refresh need a saved model",
        ),
        (
            ["export", "{model}", "x.txt", "--refresh"],
            "there is nothing to refresh from: set refresh_contexts, or replay_tokens",
        ),
        (
            ["train", "{corpus}", "--vectors", "x.txt", "--combine", "both"],
            "combine must be one of input, sum, not 'both'",
        ),
    ],
)
def test_what_cannot_be_combined_or_refreshed_is_refused(
    run: Run, files: Files, arguments: list[str], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Before anything is read or written, and the exit code is 2."""
    monkeypatch.chdir(tmp_path)
    names = files._asdict()
    result = run(*(argument.format(**names) for argument in arguments))
    assert error_of(result, 2) == message.format(**names)
    assert names_in(tmp_path) == []


def test_train_json_is_one_object_on_standard_output(
    run: Run, files: Files, tmp_path: Path
) -> None:
    """It has the totals and what was written; with --quiet there is nothing else."""
    vectors = tmp_path / "v.bin"
    result = run("train", files.corpus, *SMALL, "--vectors", vectors, "--json", "--quiet")
    summary = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert summary.pop("seconds") > 0
    assert summary.pop("kept") <= 3600
    assert summary == {
        "stopped": False, "records": 300, "words": 3600, "invalid": 0, "oversize": 0,
        "evicted": 0, "forgotten": 0, "dead": 0, "snapshots": 1, "checkpoints": 0,
        "longest_pause": 0.0,
        "vocabulary": 40, "vectors": str(vectors), "save": None, "drift": None,
        "checkpoint": None,
    }  # fmt: skip


def test_train_goes_on_with_a_saved_model(run: Run, files: Files, tmp_path: Path) -> None:
    """The model of two runs is that of one, bit for bit; options may be repeated."""
    more, both = tmp_path / "more.txt", tmp_path / "both.safetensors"
    more.write_text(text(2))
    continued = tmp_path / "continued.safetensors"
    continued.write_bytes(files.model.read_bytes())
    save = ("--save", continued, "--quiet")
    assert run("train", more, "--load", continued, "--window", "5", *save) == (0, "", "")
    run("train", files.corpus, more, *SMALL, "--save", both)
    assert continued.read_bytes() == both.read_bytes()


# Checkpoints.


def newest(directory: Path) -> Path:
    """Return the newest checkpoint there."""
    return checkpoint_files(directory)[0]


def state_in(directory: Path) -> dict[str, bytes]:
    """Return the state in the newest checkpoint there."""
    tensors = load_checkpoint(directory).model.tensors()
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


def test_train_goes_on_from_its_checkpoint(run: Run, tmp_path: Path) -> None:
    """What was read is not read again; what was added to the file is, and only that."""
    corpus, other = tmp_path / "c.txt", tmp_path / "other"
    state, vectors = tmp_path / "state", tmp_path / "v.bin"
    corpus.write_text(text(1))
    train = ("train", corpus, "--checkpoint")
    result = run(*train, state, *SMALL, "--checkpoint-every", "100")
    assert result.code == 0
    assert f"wrote {state}\n" in result.err
    corpus.write_text(text(1) + text(2))
    result = run(*train, state, *SMALL, "--vectors", vectors, "--json")
    assert json.loads(result.out)["records"] == 300
    assert len(KeyedVectors.load(vectors)) == 40
    assert run(*train, other, *SMALL).code == 0
    assert state_in(state) == state_in(other)
    # Nothing is left to read, and that is no error.
    assert json.loads(run(*train, state, "--json").out)["records"] == 0


def test_resume_does_what_train_did(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source, the vectors and the cadence are in the checkpoint; each can be overridden."""
    monkeypatch.chdir(tmp_path)
    Path("c.txt").write_text(text(1))
    vectors = ("--vectors", "v.tsv", "--combine", "input")
    every = ("--checkpoint-every", "50", "--checkpoint-keep", "2")
    assert run("train", "c.txt", *SMALL, *vectors, *every, "--checkpoint", "state").code == 0
    Path("c.txt").write_text(text(1) + text(2))
    Path("v.tsv").unlink()
    result = run("resume", "state", "--json")
    summary = json.loads(result.out)
    assert (summary["records"], summary["vectors"]) == (300, "v.tsv")
    expected = load_checkpoint("state").model.snapshot(combine="input")
    assert np.array_equal(KeyedVectors.load("v.tsv").vectors, expected.vectors)
    saved = load_checkpoint("state").run
    assert (saved["checkpoint_every"], saved["checkpoint_keep"]) == (50, 2)
    assert len(checkpoint_files("state")) == 2

    assert run("resume", "state", "--vectors", "v.bin", "--workers", "2", "-q").code == 0
    assert len(KeyedVectors.load("v.bin")) == 40
    assert run("resume", "state", "--checkpoint-seconds", "9", "--no-follow", "-q").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = f"the run named c.txt in the directory {tmp_path}: resume it from there"
    assert error_of(run("resume", "../state"), 2).startswith(said)


def test_to_follow_is_kept_and_to_stop_at_the_end_is_for_one_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was followed once goes on as such: its positions say more than where a file ends."""
    corpus, state = tmp_path / "c.txt", tmp_path / "state"
    corpus.write_text(text(1))
    assert run("train", corpus, *SMALL, "--checkpoint", state, "-q").code == 0
    for number, (option, follow) in enumerate(
        [("--no-follow", None), ("--follow", True), ("--no-follow", True)], 2
    ):
        with corpus.open("a") as file:
            file.write(text(number))
        with monkeypatch.context() as patched:
            if option == "--follow":
                interrupting(patched, "Word2Vec.learn_batch", signal.SIGTERM)
            assert run("resume", state, option, "-q").code == 0
        assert load_checkpoint(state).run["follow"] is follow
    assert load_checkpoint(state).model.records == 1200


def test_resume_writes_the_vectors_elsewhere_from_another_directory(
    run: Run, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the run wrote them, relative to where it was, does not matter then."""
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "state"
    train = ("train", files.corpus, *SMALL, "--vectors", "v.bin", "--checkpoint", state, "-q")
    assert run(*train).code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert error_of(run("resume", state), 2).startswith("the run named v.bin in the directory")
    for vectors in (str(tmp_path / "other.bin"), "here.bin"):
        assert run("resume", state, "--vectors", vectors, "-q").code == 0
        assert len(KeyedVectors.load(vectors)) == 40


def test_what_a_checkpoint_contradicts_is_refused(run: Run, files: Files, tmp_path: Path) -> None:
    """Another option, another model to start from; and a directory is made only if all is well."""
    state = tmp_path / "state"
    train = ("train", files.corpus, "--checkpoint", state)
    no = tmp_path / "no"
    for arguments, said in [
        (("train", no, "--checkpoint", state), f"{no} does not exist"),
        ((*train, "--window", "0"), "window must be from 1"),
        (("resume", state), f"there is no directory {state}"),
        (("resume", tmp_path), f"{tmp_path} holds no checkpoint: start with train SOURCE"),
        (("resume", tmp_path, "--format", "tsv"), "--format is about --vectors, which is not"),
    ]:
        assert error_of(run(*arguments), 2).startswith(said)
    assert names_in(tmp_path) == []
    assert run(*train, *SMALL, "-q").code == 0
    for arguments, said in [
        ((*train, "--vector-size", "9"), "--vector-size 9 contradicts "),
        (("resume", state, "--broker", "localhost:9092"), "--broker is about Kafka, and this run"),
        (
            ("resume", state, "--broker", "kafka://a:1"),
            "--broker is HOST:PORT, several with commas",
        ),
    ]:
        assert error_of(run(*arguments), 2).startswith(said)


def test_the_same_command_goes_on_whatever_it_began_with(
    run: Run, files: Files, tmp_path: Path
) -> None:
    """With --load, as a supervisor starts it again; what it saves is a model and no checkpoint."""
    corpus, state, model = tmp_path / "c.txt", tmp_path / "state", tmp_path / "m.safetensors"
    corpus.write_text(text(2))
    train = ("train", corpus, "--load", files.model, "--checkpoint", state, "--save", model, "-q")
    assert run(*train).code == 0
    corpus.write_text(text(2) + text(3))
    assert run(*train).code == 0
    for path in (state, model):
        assert json.loads(run("info", path, "--json").out)["counters"]["records"] == 900
    facts = json.loads(run("info", model, "--json").out)
    assert facts["kind"] == "model"
    assert "positions" not in facts
    model.unlink()
    assert run("resume", state, "-q").code == 0
    assert Word2Vec.load(model).records == 900


def test_a_run_stopped_before_its_first_word_goes_on(tmp_path: Path) -> None:
    """SIGTERM is no failure, though there are no vectors to write yet."""
    reader, writer = os.pipe()
    state, vectors = tmp_path / "state", tmp_path / "v.bin"
    train = [*PROGRAM, "train", "-", "--checkpoint", state, "--vectors", vectors, "--json"]
    with subprocess.Popen(
        train, stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.write(writer, b"only words that come once\n")
        wait_for(process, lambda: state.is_dir() and checkpoint_files(state))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
    os.close(reader)
    os.close(writer)
    assert not vectors.exists()
    # Nor is it said that there were.
    assert err.endswith(f"; wrote {state}\n")
    assert json.loads(out)["vectors"] is None
    assert load_checkpoint(state).model.records == 1


def wait_for(process: subprocess.Popen[Any], reached: Callable[[], Any]) -> None:
    """Wait until something is true, while a process runs."""
    end = time.monotonic() + 60
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_directory_that_another_trainer_uses_is_refused(
    run: Run, files: Files, tmp_path: Path
) -> None:
    """Two would overwrite each other's checkpoints."""
    with Checkpoints(tmp_path):
        result = run("train", files.corpus, *SMALL, "--checkpoint", tmp_path)
    assert error_of(result, 1).startswith(f"process {os.getpid()} trains into {tmp_path} already")


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(run: Run, tmp_path: Path) -> None:
    """The warning is one line; the result is as if nothing had been damaged."""
    corpus, state, other = tmp_path / "c.txt", tmp_path / "state", tmp_path / "other"
    for content in (text(1), text(1) + text(2)):
        corpus.write_text(content)
        assert run("train", corpus, *SMALL, "--checkpoint", state, "-q").code == 0
    assert run("train", corpus, *SMALL, "--checkpoint", other, "-q").code == 0
    damaged = newest(state)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    result = run("resume", state, "-q")
    assert result.code == 0
    assert result.err.startswith(f"stream-w2v: warning: {damaged} is damaged")
    assert result.err.count("\n") == 1
    assert state_in(state) == state_in(other)


def test_every_command_takes_checkpoints(run: Run, files: Files, tmp_path: Path) -> None:
    """A directory of them, or one of them."""
    state = tmp_path / "state"
    assert run("train", files.corpus, *SMALL, "--checkpoint", state, "-q").code == 0
    for place in (state, newest(state)):
        assert run("similar", place, "a0", "-n", "3").out.count("\n") == 3
        assert run("export", place, tmp_path / "v.txt").code == 0
        facts = json.loads(run("info", place, "--json").out)
        assert facts["kind"] == "checkpoint"
        size = files.corpus.stat().st_size
        at = facts["positions"][str(files.corpus)]
        assert (at["next"], at["finished"]) == (size, True)
        assert facts["run"]["sources"] == [str(files.corpus)]
        assert "positions" in run("info", place).out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    files: Files, tmp_path: Path, number: signal.Signals
) -> None:
    """SIGTERM and Ctrl-C end with a checkpoint and code 0."""
    corpus = tmp_path / "long.txt"
    corpus.write_text(text(1, 100_000))
    directories = [tmp_path / "stopped", tmp_path / "alone"]
    # Some seconds of training, so that the signal comes in the middle of it.
    slow = ("--vector-size", "400", "--sample", "0")
    train = [*PROGRAM, "train", corpus, *SMALL, *slow, "--quiet", "--checkpoint"]
    with subprocess.Popen([*train, directories[0], "--checkpoint-seconds", "0.1"]) as process:
        wait_for(
            process, lambda: directories[0].is_dir() and len(checkpoint_files(directories[0])) > 1
        )
        process.send_signal(number)
        assert process.wait(60) == 0
    assert 0 < load_checkpoint(directories[0]).model.records < 100_000
    subprocess.run([*PROGRAM, "resume", directories[0], "--quiet"], check=True)
    subprocess.run([*train, directories[1]], check=True)
    assert state_in(directories[0]) == state_in(directories[1])


# Standard input and output.


def test_train_reads_standard_input_and_writes_standard_output(files: Files) -> None:
    """As in a pipeline."""
    arguments = ("train", "-", *SMALL, "--vectors", "/dev/stdout", "--format", "vocab")
    with gzip.open(files.corpus.with_suffix(".gz"), "wb") as packed:
        packed.write(files.corpus.read_bytes())
    with files.corpus.with_suffix(".gz").open("rb") as packed:
        done = subprocess.run([*PROGRAM, *arguments], stdin=packed, capture_output=True, text=True)
    assert done.returncode == 0
    counts = dict(line.split() for line in done.stdout.splitlines())
    assert len(counts) == 40
    assert sum(map(int, counts.values())) == 3600
    assert done.stderr.startswith("3,600 words of 300 records in ")


def test_train_says_what_was_left_out(run: Run, tmp_path: Path) -> None:
    """Characters that are no UTF-8 and words that are too long are counted."""
    corpus = tmp_path / "odd.txt"
    corpus.write_bytes(b"one two\xff two " + b"x" * 300 + b" one\n\0 one two\n")
    result = run("train", corpus, "--min-count", "1", "--vectors", tmp_path / "v.txt")
    assert "; vocabulary 2; 1 invalid characters; 1 words too long; wrote " in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["{corpus}"],
            "nothing would be kept: give --vectors OUT, --save MODEL or --checkpoint DIR",
        ),
        (
            ["{corpus}", "--save", "m", "--checkpoint-every", "5"],
            "--checkpoint-every is about --checkpoint, which is not given",
        ),
        (
            ["{corpus}", "--save", "m", "--checkpoint-keep", "5"],
            "--checkpoint-keep is about --checkpoint, which is not given",
        ),
        (
            ["{corpus}", "--save", "m", "--checkpoint-seconds", "5"],
            "--checkpoint-seconds is about --checkpoint, which is not given",
        ),
        (
            ["{corpus}", "--save", "m", "--format", "tsv"],
            "--format is about --vectors, which is not given",
        ),
        (
            ["{corpus}", "--save", "m", "--combine", "input"],
            "--combine is about --vectors, which is not given",
        ),
        (
            ["{corpus}", "--save", "m", "--refresh"],
            "--refresh is about --vectors, which is not given",
        ),
        (
            ["{corpus}", "--save", "m", "--drift-every", "2"],
            "--drift-every is about --drift, which is not given",
        ),
        (
            ["{corpus}", "--save", "{tmp}/m.bin", "--drift", "{tmp}/./m.bin"],
            "--save and --drift name the same file",
        ),
        (
            ["{corpus}", "--save", "m", "--replay-passes", "2"],
            "--replay-passes is about --replay-tokens, which is 0",
        ),
        (
            ["{corpus}", "--save", "{tmp}/m.bin", "--vectors", "{tmp}/./m.bin"],
            "--vectors and --save name the same file",
        ),
        (
            ["{tmp}/*.b", "--follow", "--save", "m", "--drift", "{tmp}/x.b"],
            "{tmp}/x.b would be followed, because {tmp}/*.b matches it: write it elsewhere",
        ),
        (
            ["{tmp}/**", "--follow", "--checkpoint", "{tmp}/a"],
            "{tmp}/a/checkpoint-000000000001.safetensors would be followed, because {tmp}/** "
            "matches it: write it elsewhere",
        ),
        (
            ["{corpus}", "--vectors", "x.doc"],
            "cannot tell the format of x.doc: "
            "let it end in .txt, .bin, .safetensors, .tsv, .vocab (and .gz), or name a format",
        ),
        (
            ["{corpus}", "--vectors", "x.txt", "--format", "doc"],
            "format must be one of word2vec, word2vec-binary, safetensors, tsv, vocab, not 'doc'",
        ),
        (
            ["{corpus}", "--vectors", "{tmp}/no/x.txt"],
            "cannot write {tmp}/no/x.txt: there is no directory {tmp}/no",
        ),
        (["{corpus}", "--save", "{tmp}"], "{tmp} is a directory: name a file in it"),
        (
            ["{tmp}/../{name}/a.*", "--vectors", "{corpus}"],
            "{corpus} is one of the sources, and would be overwritten",
        ),
        (["{tmp}/no.txt", "--vectors", "x.txt"], "{tmp}/no.txt does not exist: check the path"),
        (["{tmp}/*.no", "--vectors", "x.txt"], "{tmp}/*.no matches no file"),
        (
            ["{tmp}", "--vectors", "x.txt"],
            "{tmp} is a directory: name its files, for example {tmp}/*",
        ),
        (
            ["no://where", "--vectors", "x.txt"],
            "no installed source reads no:// (there is: file://, kafka://)",
        ),
        (
            ["{corpus}", "--vectors", "x.txt", "--window", "0"],
            "window must be from 1 to 1000, not 0",
        ),
        (
            ["{corpus}", "--vectors", "x.txt", "--text", "lines"],
            "text must be one of words, whitespace, log, not 'lines'",
        ),
        (
            ["{corpus}", "--vectors", "x.txt", "--split-identifiers"],
            "split_identifiers cuts the names in a log: set text to log",
        ),
        (
            ["{corpus}", "--vectors", "x.txt", "--load", "{model}", "--vector-size", "9"],
            "--vector-size 9 contradicts {model}, which has vector_size 8: "
            "leave the option out, or train a new model",
        ),
        (
            ["{corpus}", "--vectors", "x.txt", "--load", "{vectors}"],
            "{vectors} holds vectors only, which cannot be trained on: name a saved model",
        ),
        (
            ["{corpus}", "--vectors", "x.txt", "--load", "{tmp}/no"],
            "there is no file {tmp}/no",
        ),
    ],
)
def test_train_refuses_what_cannot_work(
    run: Run, files: Files, arguments: list[str], message: str
) -> None:
    """All of it is found before anything is read, and the exit code is 2."""
    names = {**files._asdict(), "tmp": files.corpus.parent, "name": files.corpus.parent.name}
    result = run("train", *(argument.format(**names) for argument in arguments))
    assert error_of(result, 2) == message.format(**names)
    assert not Path("x.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command"),
        (["bogus"], "No such command 'bogus'"),
        (["train"], "Missing argument 'SOURCE'"),
        (["train", "x", "--bogus"], "No such option: --bogus"),
        (["train", "x", "--vectors"], "requires an argument"),
        (["train", "x", "--window", "five"], "Invalid value for '--window': "),
        (["train", "x", "--vectors", "v.txt", "--vectors-every", "0"], "--vectors-every"),
        (["similar", "x"], "Missing argument 'WORD'"),
        (["similar", "x", "king", "-n", "0"], "Invalid value for '-n'"),
    ],
)
def test_a_wrong_command_line_is_one_line_too(run: Run, arguments: list[str], said: str) -> None:
    """What the parser finds reads like all else, and says where there is help."""
    message = error_of(run(*arguments), 2)
    assert said in message
    assert re.search(r"\(see stream-w2v.* --help\)$", message)


def test_a_run_that_learns_nothing_fails(run: Run, tmp_path: Path) -> None:
    """It says why; nothing is written."""
    corpus, vectors = tmp_path / "few.txt", tmp_path / "v.txt"
    for content, message in [
        ("", "no word was learnt: the source gave no record"),
        (
            "one two\n",
            "no word was learnt: of the 2 words seen none occurred 5 times; lower min_count",
        ),
    ]:
        corpus.write_text(content)
        assert error_of(run("train", corpus, "--vectors", vectors), 1) == message
        assert names_in(tmp_path) == ["few.txt"]


def test_a_source_that_is_cut_short_fails_and_writes_nothing(
    run: Run, files: Files, tmp_path: Path
) -> None:
    """What was there before stays."""
    vectors, corpus = tmp_path / "v.txt", tmp_path / "a.gz"
    vectors.write_text("old")
    corpus.write_bytes(gzip.compress(files.corpus.read_bytes())[:-9])
    message = error_of(run("train", corpus, *SMALL, "--vectors", vectors), 1)
    assert message.startswith(f"{corpus} is damaged or cut short: its content breaks off after ")
    assert vectors.read_text() == "old"


def test_a_full_disk_fails_and_leaves_the_old_file(run: Run, files: Files, tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk."""
    model = tmp_path / "m.safetensors"
    model.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        result = run("train", files.corpus, *SMALL, "--save", model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error_of(result, 1).startswith(f"cannot write {model}: File too large; ")
    assert model.read_text() == "old"
    assert names_in(tmp_path) == ["m.safetensors"]


def test_an_error_that_nobody_expected_is_one_line(
    run: Run, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called a bug; --debug, anywhere in the line, shows where it is."""

    def fail(path: Path) -> None:
        msg = "so\nodd"
        raise RuntimeError(msg)

    monkeypatch.setattr("stream_w2v.cli.kind_of", fail)
    expected = "this is a bug, RuntimeError: so odd (--debug shows where)"
    assert error_of(run("info", files.model), 1) == expected
    for arguments in (["--debug", "info", files.model], ["info", files.model, "--debug"]):
        result = run(*arguments)
        assert result.code == 1
        assert result.err.startswith("Traceback (most recent call last):\n")
        assert result.err.endswith(f"stream-w2v: error: {expected}\n")


# Signals.


def interrupting(monkeypatch: pytest.MonkeyPatch, target: str, *signals: signal.Signals) -> None:
    """Make a method raise signals before it does its work, the first time it is called."""
    name, _, method = target.rpartition(".")
    owner = {"Word2Vec": Word2Vec, "KeyedVectors": KeyedVectors}[name]
    original = getattr(owner, method)
    left = [*signals]

    def interrupted(*arguments: object, **options: object) -> object:
        while left:
            signal.raise_signal(left.pop())
        return original(*arguments, **options)

    monkeypatch.setattr(owner, method, interrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_training_saves_what_was_learnt(
    run: Run,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    """The batch in hand is finished, all is written, and the exit code is 0."""
    interrupting(monkeypatch, "Word2Vec.learn_batch", number)
    before = signal.getsignal(number)
    vectors, model = tmp_path / "v.txt", tmp_path / "m.safetensors"
    result = run("train", files.corpus, *SMALL, "--vectors", vectors, "--save", model)
    assert result.code == 0
    assert result.err.startswith(f"stopped by {number.name}: 3,600 words of 300 records in ")
    assert result.err.endswith(f"wrote {vectors} and {model}\n")
    assert len(KeyedVectors.load(vectors)) == 40
    assert Word2Vec.load(model).records == 300
    assert signal.getsignal(number) is before


def test_the_same_signal_twice_at_once_is_one(
    run: Run, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As timeout sends it: to the process, then to its group."""
    vectors = tmp_path / "v.txt"
    interrupting(monkeypatch, "Word2Vec.learn_batch", signal.SIGTERM, signal.SIGTERM)
    result = run("train", files.corpus, *SMALL, "--vectors", vectors)
    assert result.code == 0
    assert result.err.startswith("stopped by SIGTERM: 3,600 words")
    assert len(KeyedVectors.load(vectors)) == 40


def test_a_second_signal_aborts_and_leaves_no_file(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it comes while the vectors are being written."""
    vectors = tmp_path / "v.txt"
    monkeypatch.setattr("stream_w2v.run._AT_ONCE_SECONDS", 0.0)
    interrupting(monkeypatch, "Word2Vec.learn_batch", signal.SIGINT)
    monkeypatch.setattr("stream_w2v.formats._text_rows", lambda _: signal.raise_signal(2))
    with pytest.raises(SystemExit) as caught:
        main(["train", str(files.corpus), *SMALL, "--vectors", str(vectors)])
    assert caught.value.code == 130
    assert names_in(tmp_path) == []


def test_a_signal_before_anything_was_learnt_fails(tmp_path: Path) -> None:
    """The reader of a silent pipe is stopped at once; there is nothing to write."""
    process = subprocess.Popen(
        [*PROGRAM, "train", "-", "--vectors", str(tmp_path / "v.txt")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_handler(process.pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    said = "no word was learnt before the run was stopped: the source gave no record"
    assert (process.returncode, err) == (1, f"stream-w2v: error: {said}\n")
    assert names_in(tmp_path) == []


def test_a_real_interrupt_of_a_live_stream(files: Files, tmp_path: Path) -> None:
    """The vectors are written every second, and once more at the end."""
    vectors = tmp_path / "v.bin"
    with subprocess.Popen(
        [*PROGRAM, "train", "-", *SMALL, "--vectors", str(vectors), "--vectors-every", "1"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(files.corpus.read_bytes())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not vectors.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        err = process.stderr.read().decode()
        assert process.wait(20) == 0
    assert "stopped by SIGINT: 3,600 words of 300 records in " in err
    assert len(KeyedVectors.load(vectors)) == 40


def wait_for_handler(pid: int, number: signal.Signals) -> None:
    """Wait until a process handles a signal itself."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
        if caught and int(caught[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.02)
    pytest.fail("the process never got ready")


# Terminals and pipes.


def test_on_a_terminal_the_display_is_live(files: Files, tmp_path: Path) -> None:
    """It is wiped away at the end; the summary stays."""
    ours, theirs = pty.openpty()
    arguments = ("train", str(files.corpus), *SMALL, "--vectors", str(tmp_path / "v.txt"))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([*PROGRAM, *arguments], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait(20) == 0
    assert b"starting" in shown
    assert f"writing {tmp_path / 'v.txt'}".encode() in shown
    assert b"\x1b[2K" in shown
    assert b"vocabulary 40; wrote " in shown


def test_a_reader_that_has_seen_enough_is_no_error(files: Files) -> None:
    """As with `| head`: neither a word nor an exit code."""
    for arguments in (
        ("similar", files.vectors, "a0"),
        ("export", files.vectors, "/dev/stdout", "--format", "word2vec"),
    ):
        reading, writing = os.pipe()
        os.close(reading)
        command = [*PROGRAM, *map(str, arguments)]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")


def test_standard_output_on_a_full_disk_is_an_error(files: Files) -> None:
    """What was not printed was not done."""
    with Path("/dev/full").open("wb") as full:
        command = [*PROGRAM, "similar", str(files.vectors), "a0"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    said = "stream-w2v: error: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_a_terminal_gets_no_control_codes_from_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of a stream may be anything; a pipe gets it as it is."""
    assert output.printable("\x1b[31mред") == "\x1b[31mред"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert output.printable("\x1b[31mред") == "\\x1b[31mред"


# The commands that read.


@pytest.mark.parametrize("kind", ["vectors", "model"])
def test_similar_prints_the_nearest_words(run: Run, files: Files, kind: str) -> None:
    """Vectors and models are the same to it; several words are summed, --minus is taken off."""
    path = getattr(files, kind)
    wv = KeyedVectors.load(files.vectors)
    expected = wv.most_similar(["a0", "a1"], ["b0", "c0"], topn=4)
    arguments = ("similar", path, "a0", "a1", "--minus", "b0", "--minus", "c0", "-n", "4")
    lines = "".join(f"{word}\t{score:.4f}\n" for word, score in expected)
    assert run(*arguments) == Result(0, lines, "")
    found = json.loads(run(*arguments, "--json").out)
    assert found == [{"word": word, "similarity": score} for word, score in expected]


def test_similar_finds_what_belongs_together(run: Run, tmp_path: Path) -> None:
    """With enough text, the four nearest words are the four others of the topic."""
    corpus, vectors = tmp_path / "c.txt", tmp_path / "v.txt"
    corpus.write_text(text(3, 3000))
    run("train", corpus, *SMALL, "--sample", "0", "--vectors", vectors)
    nearest = {line.split("\t")[0] for line in run("similar", vectors, "a0").out.splitlines()[:4]}
    assert nearest == {"a1", "a2", "a3", "a4"}


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Train, and then go on with more text."""
    folder = tmp_path_factory.mktemp("drift")
    old, new = folder / "old.safetensors", folder / "new.safetensors"
    for seed, saves in ((1, ("--save", old)), (2, ("--load", old, "--save", new))):
        corpus = folder / f"{seed}.txt"
        corpus.write_text(text(seed))
        assert main(["train", str(corpus), *SMALL, *map(str, saves), "-q"]) == 0
    return old, new


def test_drift_prints_what_moved(run: Run, snapshots: tuple[Path, Path]) -> None:
    """As tab-separated lines, or as JSON with all that is known."""
    old, new = (Word2Vec.load(path).snapshot() for path in snapshots)
    found = measure_drift(old, new)
    (first, _) = found.most(2)
    result = run("drift", *snapshots, "-n", "2")
    assert (result.code, result.err) == (0, "")
    line, second = result.out.splitlines()
    word, score, distance, usual, then, now, lost, gained = line.split("\t")
    assert second.count("\t") == 7
    assert (word, score, float(distance)) == (
        first.word,
        f"{first.score:.1f}",
        round(first.distance, 3),
    )
    assert float(usual) == round(first.expected, 3)
    assert (int(then), int(now)) == (first.then, first.now)
    assert (lost, gained) == (", ".join(first.lost[:4]), ", ".join(first.gained[:4]))
    assert json.loads(run("drift", *snapshots, "-n", "2", "--json").out) == json.loads(
        json.dumps(found.to_dict(2))
    )
    often = json.loads(run("drift", *snapshots, "--min-count", "60", "--json").out)
    assert often["compared"] == len(measure_drift(old, new, 60).words) < len(found.words)


def test_drift_refuses_what_cannot_be_compared(
    run: Run, files: Files, snapshots: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each in one line that says what to do."""
    other, longer, bare = (tmp_path / name for name in ("o.txt", "l.txt", "b.txt"))
    other.write_text("1 8\nzzz 1 2 3 4 5 6 7 8\n")
    longer.write_text("1 2\na0 1 2\n")
    KeyedVectors.load(files.vectors).save(bare)
    for arguments, said in [
        ((files.vectors, other), f"{files.vectors} and {other} have no word in common"),
        ((files.vectors, longer), "vectors of 8 and of 2 numbers cannot be compared: name two"),
        ((files.vectors, files.vectors), "fewer than 30 of the 40 words that "),
        ((*snapshots, "--min-count", "999999"), "fewer than 30 of the 40 words that "),
        ((bare, bare, "--min-count", "2"), "min_count needs counts, and these vectors have none"),
        ((files.vectors, tmp_path / "no"), f"there is no file {tmp_path / 'no'}"),
    ]:
        assert error_of(run("drift", *arguments), 2).startswith(said)


def test_train_looks_for_drift_on_the_way(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line a look; the checkpoint keeps where to, and resume goes on there."""
    monkeypatch.chdir(tmp_path)
    Path("c.txt").write_text(text(1))
    looks = ("--drift", "d.jsonl", "--drift-every", "60", "--checkpoint", "state")
    result = run("train", "c.txt", *SMALL, *looks, "--json")
    assert (result.code, json.loads(result.out)["drift"]) == (0, "d.jsonl")
    saved = load_checkpoint("state").run
    assert (saved["drift"], saved["drift_every"]) == ("d.jsonl", 60.0)
    # One look alone has nothing to compare with.
    assert not Path("d.jsonl").exists()
    monkeypatch.setattr("stream_w2v.trainer._Due.now", lambda _: True)
    Path("c.txt").write_text(text(1) + text(2, 20_000))
    assert run("resume", "state", "-q").code == 0
    first, *_ = [json.loads(line) for line in Path("d.jsonl").read_text().splitlines()]
    assert first["compared"] == 40
    assert first["since"] <= first["time"]
    assert {"word", "score", "lost", "gained"} < set(first["drifted"][0])
    assert error_of(run("train", "c.txt", "--drift", "no/d", "--save", "m"), 2).startswith(
        "cannot write no/d: there is no directory"
    )


def test_on_a_terminal_drift_is_a_table(
    snapshots: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With titles, and a line on all words."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["drift", *map(str, snapshots), "-n", "3"]) == 0
    titles, *lines, summary = capsys.readouterr().out.splitlines()
    assert re.split("  +", titles) == [
        "word", "score", "distance", "usual", "then", "now", "away from", "towards"
    ]  # fmt: skip
    assert [line.index(re.split("  +", line)[1]) for line in lines] == [titles.index("score")] * 3
    pattern = r"\d+ of 40 words score above 4\.0; 0 words are new, 0 have gone"
    assert re.fullmatch(pattern, summary)


def test_what_cannot_be_read_is_one_line(run: Run, files: Files, tmp_path: Path) -> None:
    """An unknown word and a damaged file are failures of the run; a missing file is not there."""
    damaged, random = tmp_path / "damaged.safetensors", tmp_path / "random"
    content = bytearray(files.model.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    random.write_bytes(np.random.default_rng(1).bytes(1000))
    for arguments, code, message in [
        (
            (files.vectors, "zzz"),
            1,
            "there is no vector for 'zzz': it was too rare, or is written in another way",
        ),
        ((damaged, "a0"), 1, f"{damaged} is damaged: the tensor "),
        ((random, "a0"), 1, f"{random} holds no vectors that can be read: expected "),
        ((tmp_path / "no", "a0"), 2, f"there is no file {tmp_path / 'no'}"),
        ((tmp_path, "a0"), 2, f"there is no checkpoint in {tmp_path}"),
    ]:
        assert error_of(run("similar", *arguments), code).startswith(message)


def test_evaluate_prints_both_scores(run: Run, files: Files, tmp_path: Path) -> None:
    """In words, or as JSON with the sections of the analogies."""
    pairs, questions = tmp_path / "pairs.tsv", tmp_path / "questions.txt"
    pairs.write_text("a0\ta1\t9\na0\tb1\t1\na2\tc1\t2\na2\tzzz\t2\n")
    questions.write_text(": first\na0 a1 a2 a3\na0 a1 zzz a3\n: second\nzzz a1 a2 a3\n")
    arguments = ("evaluate", files.model, "--similarity", pairs, "--analogies", questions)
    result = run(*arguments)
    assert (result.code, result.err) == (0, "")
    assert re.fullmatch(
        r"similarity -?[01]\.\d{3} \(Spearman, 3 of 4 pairs\)\n"
        r"analogies (0\.0|100\.0) % \([01] right of 1 asked, 3 in the file\)\n",
        result.out,
    )
    scores = json.loads(run(*arguments, "--json").out)
    assert scores["similarity"].keys() == {"spearman", "pairs", "unknown"}
    first, second = scores["analogies"]["sections"]
    assert (first["name"], first["total"], first["unknown"]) == ("first", 1, 1)
    assert second == {"name": "second", "correct": 0, "total": 0, "unknown": 1, "accuracy": None}


def test_evaluate_without_a_known_word_says_so(run: Run, files: Files, tmp_path: Path) -> None:
    """There is no number then; JSON, which has no nan, gets null."""
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("yyy zzz 9\n")
    arguments = ("evaluate", files.vectors, "--similarity", pairs)
    assert run(*arguments).out == "similarity unknown (Spearman, 0 of 1 pairs)\n"
    assert json.loads(run(*arguments, "--json").out)["similarity"]["spearman"] is None


def test_evaluate_needs_something_to_ask(run: Run, files: Files) -> None:
    """Neither file named is a wrong command line."""
    message = "nothing to evaluate: give --similarity FILE or --analogies FILE"
    assert error_of(run("evaluate", files.vectors), 2) == message


@pytest.mark.parametrize("kind", ["vectors", "model"])
@pytest.mark.parametrize("name", ["v.txt", "v.bin.gz", "v.tsv", "v.safetensors", "v.vocab"])
def test_export_writes_every_format(
    run: Run, files: Files, tmp_path: Path, kind: str, name: str
) -> None:
    """From vectors and from a model alike; nothing is printed."""
    path = tmp_path / name
    assert run("export", getattr(files, kind), path) == Result(0, "", "")
    wv = KeyedVectors.load(files.vectors)
    assert wv.counts is not None
    if name == "v.vocab":
        assert path.read_text().splitlines()[0] == f"{wv.index_to_key[0]} {wv.counts[0]:.0f}"
    else:
        assert np.array_equal(KeyedVectors.load(path).vectors, wv.vectors)


def test_export_refuses_what_cannot_work(run: Run, files: Files, tmp_path: Path) -> None:
    """Before the vectors are read."""
    assert error_of(run("export", "no", tmp_path / "x"), 2).startswith("cannot tell the format of")
    assert error_of(run("export", "no", tmp_path / "no" / "x.txt"), 2) == (
        f"cannot write {tmp_path / 'no' / 'x.txt'}: there is no directory {tmp_path / 'no'}"
    )
    assert error_of(run("export", "no", tmp_path / "x.txt"), 2) == "there is no file no"


def test_info_says_what_a_model_holds(run: Run, files: Files) -> None:
    """Its options, its counters, its memory and what that can come to."""
    facts = json.loads(run("info", files.model, "--json").out)
    assert (facts["kind"], facts["words"], facts["vector_size"]) == ("model", 40, 8)
    assert facts["counters"]["records"] == 300
    assert facts["config"] == Word2Vec.load(files.model).config.to_dict()
    assert 0 < facts["memory"]["now"] < facts["memory"]["bound"]
    lines = run("info", files.model).out.splitlines()
    assert lines[:3] == [
        "kind                 model",
        "words                40",
        "vector_size          8",
    ]
    assert "  min_count          2" in lines
    assert any(re.fullmatch(r"  bound +[\d.]+ MB", line) for line in lines)


def test_info_says_what_vectors_hold(run: Run, files: Files) -> None:
    """They have no options."""
    expected = {"kind": "vectors", "words": 40, "vector_size": 8, "counts": True}
    assert json.loads(run("info", files.vectors, "--json").out) == expected


def test_a_model_with_a_tokenizer_of_its_own_can_be_asked_but_not_trained(
    run: Run, tmp_path: Path
) -> None:
    """The command line cannot say which function it was."""
    model = Word2Vec(vector_size=8, min_count=1, text=str.split)
    model.learn_one("one two one two")
    path = tmp_path / "m.safetensors"
    model.save(path)
    assert run("similar", path, "one").out.startswith("two\t")
    assert json.loads(run("info", path, "--json").out)["config"]["text"] == "custom"
    corpus = tmp_path / "a.txt"
    corpus.write_text("one")
    message = f"{path} cuts text into words by a Python function: go on with it in Python"
    assert error_of(run("train", corpus, "--load", path, "--save", path), 2) == message


def test_every_error_of_the_library_has_an_exit_code() -> None:
    """Those that the caller mends on the command line give 2, all others 1."""
    from stream_w2v import errors
    from stream_w2v.cli import _explain

    codes = {
        name: _explain(error("said"))
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, StreamW2VError)
    }
    assert {name for name, (_, code) in codes.items() if code == 2} == {
        "ConfigError",
        "NotInstalledError",
        "SourceNotFoundError",
    }
    assert {message for message, _ in codes.values()} == {"said"}
