"""A pipeline, its metrics and its place in one file: cut anywhere, it goes on bit for bit."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, feature_extraction, linear_model, metrics, neighbors, optim
from test_estimators import SMALL, cut, messages

from stream_w2v import Word2Vec
from stream_w2v.checkpoint import Checkpoints, checkpoint_files, load_checkpoint
from stream_w2v.cli import main
from stream_w2v.connectors import open_source
from stream_w2v.errors import ConfigError, FormatError, StorageError, VersionError
from stream_w2v.estimators import PipelineCheckpoints, Word2VecTransformer, saved
from stream_w2v.estimators.saved import to_json

DATA = messages(120)


def fresh():
    """Return a pipeline that has learnt nothing, and what is counted of it."""
    words = Word2VecTransformer(on="body", pooling="sif", remove_component=True, **SMALL)
    model = (feature_extraction.TFIDF(on="body") + words) | linear_model.LogisticRegression(
        optim.Adam(0.1)
    )
    return model, metrics.Accuracy() + metrics.MacroF1(), 0


def learn(thing, data):
    """Let a pipeline learn, each message after it was asked about it."""
    model, metric, seen = thing
    for x, y in data:
        metric.update(y, model.predict_one(x))
        model.learn_one(x, y)
        seen += 1
    return model, metric, seen


def state(thing):
    """Return all that a pipeline and its metrics have learnt, to compare: digests of the parts."""
    kept, models = to_json(thing, {})
    return {
        "pipeline": hashlib.sha256(json.dumps(kept).encode()).hexdigest(),
        "metrics": repr(thing[1]),
        **{
            name: hashlib.sha256(tensor.tobytes()).hexdigest()
            for name, tensor in models[0].tensors().items()
        },
    }


def numbers(directory):
    """Return the numbers of the checkpoints there, the newest first."""
    return [int(path.stem.split("-")[1]) for path in checkpoint_files(directory)]


# The directory.


def test_what_is_saved_is_loaded(tmp_path):
    """Pipeline, metrics, a number and the place; and it goes on as the first would."""
    thing = learn(fresh(), DATA[:60])
    with PipelineCheckpoints(tmp_path / "new" / "state") as checkpoints:
        assert checkpoints.load() is None
        assert checkpoints.positions == {}
        checkpoints.save(thing, {"a": {"next": 7}})
        assert checkpoints.positions == {"a": {"next": 7}}
        before = state(thing)
        loaded = checkpoints.load()
    assert state(loaded) == before
    assert loaded[2] == 60
    with PipelineCheckpoints(tmp_path / "new" / "state") as checkpoints:
        assert checkpoints.positions == {}
        again = checkpoints.load()
        assert checkpoints.positions == {"a": {"next": 7}}
    after = [learn(each, DATA[60:]) for each in (thing, loaded, again)]
    assert state(after[0]) == state(after[1]) == state(after[2]) != before


def test_the_newest_are_kept(tmp_path):
    """As many as asked for, and numbers go on after a restart."""
    thing = learn(fresh(), DATA[:5])
    with PipelineCheckpoints(tmp_path, keep=2) as checkpoints:
        for place in range(4):
            checkpoints.save(thing, {"a": place})
    assert numbers(tmp_path) == [4, 3]
    with PipelineCheckpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.load()
        assert checkpoints.positions == {"a": 3}
        checkpoints.save(thing, {"a": 4})
    assert numbers(tmp_path) == [5]


def test_one_is_due_some_seconds_after_the_last(tmp_path, monkeypatch):
    """Or after the beginning."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with PipelineCheckpoints(tmp_path, every=10) as checkpoints:
        for clock[0], due in ((100.0, False), (109.9, False), (110.0, True), (125.0, True)):
            assert checkpoints.due() == due
        checkpoints.save(learn(fresh(), DATA[:5]), {})
        for clock[0], due in ((125.0, False), (134.9, False), (135.1, True)):
            assert checkpoints.due() == due


def test_what_is_kept_in_memory_is_only_the_pipeline(tmp_path):
    """Neither what was written of it nor what was read."""
    with PipelineCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(learn(fresh(), DATA), {})
        assert checkpoints._checkpoints.run == {"pipeline": None}
        model, *_ = checkpoints.load()
        assert not model["TransformerUnion"]["Word2VecTransformer"].model.metadata


def test_another_process_is_refused_until_the_first_is_done(tmp_path):
    """Whether it wants to keep a pipeline there, or a model."""
    with PipelineCheckpoints(tmp_path) as first:
        refused = f"process {os.getpid()} trains into {tmp_path} already"
        for kind in (PipelineCheckpoints, Checkpoints):
            with pytest.raises(StorageError, match=refused):
                kind(tmp_path)
        other = (
            "import sys; from stream_w2v.estimators import PipelineCheckpoints\n"
            "from stream_w2v.errors import StorageError\n"
            "try:\n    PipelineCheckpoints(sys.argv[1])\n"
            "except StorageError as error:\n    print(error)"
        )
        run = subprocess.run(
            [sys.executable, "-c", other, tmp_path], capture_output=True, text=True, check=True
        )
        assert run.stdout.startswith(refused)
        first.close()
        first.close()
        PipelineCheckpoints(tmp_path).close()


def test_bad_bounds_are_refused(tmp_path):
    """And what has no name."""
    with pytest.raises(ConfigError, match="keep must be at least 1 checkpoint, not 0"):
        PipelineCheckpoints(tmp_path, keep=0)
    for every in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match=f"every must be more than 0 seconds, not {every}"):
            PipelineCheckpoints(tmp_path, every=every)
    with pytest.raises(ConfigError, match="make it a function with def"):
        PipelineCheckpoints(tmp_path, known=[lambda x: x])
    assert not list(tmp_path.iterdir())


# What cannot be used.


def test_of_a_damaged_checkpoint_the_one_before_is_used(tmp_path, caplog):
    """With a warning that names it, wherever the damage is; and it is set aside."""
    with PipelineCheckpoints(tmp_path) as checkpoints:
        for place in (20, 40):
            checkpoints.save(learn(fresh(), DATA[:place]), {"a": place})
        newest = checkpoint_files(tmp_path)[0]
        whole = newest.read_bytes()
        for percent in range(0, 100, 9):
            damaged = bytearray(whole)
            damaged[len(whole) * percent // 100] ^= 1 << percent % 8
            newest.write_bytes(damaged)
            loaded = checkpoints.load()
            assert checkpoints.positions == {"a": 20} == {"a": loaded[2]}
            assert f"{newest}" in caplog.records[-1].message
            assert newest.with_name(newest.name + ".damaged").exists()
        checkpoint_files(tmp_path)[0].write_bytes(b"rubbish")
        with pytest.raises(FormatError, match=r"no checkpoint in .* is whole"):
            checkpoints.load()


def test_a_checkpoint_of_word_vectors_alone_is_refused(tmp_path):
    """It is a run of the command, which would be lost."""
    model = Word2Vec(**SMALL)
    model.learn_one("win cash")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(model, {"a": 1})
    with (
        PipelineCheckpoints(tmp_path) as checkpoints,
        pytest.raises(FormatError, match="holds word vectors alone, and no pipeline: use another"),
    ):
        checkpoints.load()
    assert numbers(tmp_path) == [1]


def test_a_checkpoint_of_a_pipeline_is_none_of_word_vectors(tmp_path):
    """Going on without the pipeline would remove it, checkpoint by checkpoint."""
    with PipelineCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(learn(fresh(), DATA[:20]), {"a": 1})
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(FormatError, match="go on with it in Python, with PipelineCheckpoints"),
    ):
        checkpoints.load()


@pytest.mark.parametrize("count", [0, 2])
def test_exactly_one_transformer_is_kept(tmp_path, count):
    """In one file there is one model."""
    pipeline = feature_extraction.BagOfWords(on="body")
    for number in range(count):
        pipeline += Word2VecTransformer(on="body", prefix=f"{number}_", **SMALL)
    with PipelineCheckpoints(tmp_path) as checkpoints:
        with pytest.raises(ConfigError, match=f"holds one Word2VecTransformer, not {count}"):
            checkpoints.save(pipeline, {})
        assert checkpoints.positions == {}
    assert numbers(tmp_path) == []


def test_another_rivers_is_refused_though_there_are_older_ones(tmp_path, monkeypatch):
    """Going back would throw away what was learnt since."""
    thing = learn(fresh(), DATA[:20])
    with PipelineCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(thing, {"a": 1})
        with monkeypatch.context() as patch:
            patch.setattr(saved, "river_version", lambda: "9.9")
            checkpoints.save(thing, {"a": 2})
        with pytest.raises(VersionError, match=r"saved with river 9\.9, and this is .*: install"):
            checkpoints.load()
        assert checkpoints.positions == {"a": 2}
    assert numbers(tmp_path) == [2, 1]


CALL = {"call": "os.system", "with": ["touch run"]}


@pytest.mark.parametrize(
    ("run", "match"),
    [
        ({"pipeline": {"river": saved.river_version(), "root": [0], "nodes": [CALL]}}, "os.system"),
        ({"pipeline": None}, "the saved pipeline does not hold together"),
        ({"pipeline": [5]}, "the saved pipeline does not hold together"),
        ([], "no checkpoint in .* is whole"),
        (None, "no checkpoint in .* is whole"),
    ],
    ids=str,
)
def test_a_checkpoint_that_was_made_up_is_refused(tmp_path, monkeypatch, run, match):
    """It is sealed, as anybody can do; what is in it is never run."""
    monkeypatch.chdir(tmp_path)
    model = Word2Vec(**SMALL)
    model.learn_one("win cash")
    model.save("checkpoint-000000000001.safetensors", {"positions": {}, "run": run})
    with PipelineCheckpoints(".") as checkpoints:
        with pytest.raises((FormatError, ConfigError), match=match):
            checkpoints.load()
        assert checkpoints.positions == {}
    assert not Path("run").exists()


# What is the caller's own.


def shout(x):
    """Make the text of a message capitals."""
    return {"body": x["body"].upper()}


def test_functions_are_given_again(tmp_path):
    """The tokenizer, and what a step of the pipeline calls."""

    def made():
        words = Word2VecTransformer(on="body", text=cut, **SMALL)
        return compose.FuncTransformer(shout) | words | neighbors.KNNClassifier()

    pipeline = made()
    for x, y in DATA[:30]:
        pipeline.learn_one({"body": x["body"].replace(" ", "-")}, y)
    with PipelineCheckpoints(tmp_path, text=cut, known=[shout]) as checkpoints:
        checkpoints.save(pipeline, {})
        loaded = checkpoints.load()
        words = loaded["Word2VecTransformer"]
        assert words.model.config.text is words.text is cut
        assert any(words.transform_one({"body": "WIN-CASH"}).values())
        assert not any(words.transform_one({"body": "win cash"}).values())
    for missing, match in (
        ({"text": cut}, r"test_pipeline_checkpoints\.shout"),
        ({"known": [shout]}, "text"),
    ):
        with PipelineCheckpoints(tmp_path, **missing) as checkpoints:
            with pytest.raises(ConfigError, match=match):
                checkpoints.load()
            with pytest.raises(ConfigError, match="cannot be saved by its name: add it to known"):
                checkpoints.save(made(), {})
    assert numbers(tmp_path) == [1]


# The word vectors in it.


@pytest.fixture
def kept(tmp_path):
    """Return a directory of checkpoints of a pipeline, and its words."""
    directory = tmp_path / "state"
    with PipelineCheckpoints(directory) as checkpoints:
        for place in (60, 120):
            thing = learn(fresh(), DATA[:place])
            checkpoints.save(thing, {"/data/news.jsonl": {"next": place, "dead": {"no JSON": 2}}})
    return directory, thing[0]["TransformerUnion"]["Word2VecTransformer"].model


def test_the_word_vectors_are_read_without_the_pipeline(kept, tmp_path, capfd):
    """By load_checkpoint, and by every command that reads vectors."""
    directory, model = kept
    found = load_checkpoint(directory)
    assert found.positions["/data/news.jsonl"]["next"] == 120
    assert found.model.snapshot().most_similar("win") == model.snapshot().most_similar("win")
    for state in (directory, checkpoint_files(directory)[0]):
        assert main(["similar", str(state), "win", "-n", "3", "--json"]) == 0
        near = json.loads(capfd.readouterr().out)
        assert [one["word"] for one in near] == [
            word for word, _ in model.snapshot().most_similar("win", topn=3)
        ]
        assert main(["export", str(state), str(tmp_path / "words.txt")]) == 0
        assert (tmp_path / "words.txt").read_text().startswith(f"{len(model.vocabulary)} 6\n")
        assert main(["info", str(state), "--json"]) == 0
        facts = json.loads(capfd.readouterr().out)
        assert (facts["kind"], facts["words"]) == ("checkpoint", len(model.vocabulary))
        assert facts["run"] == {"pipeline": "of river"}
        assert facts["unreadable_records"] == {"no JSON": 2}
        assert main(["info", str(state)]) == 0
        assert len(capfd.readouterr().out) < 10_000


def test_the_command_does_not_go_on_with_it(kept, tmp_path, capfd):
    """It says in one line who can, and leaves it as it is."""
    directory, _ = kept
    text = tmp_path / "text.txt"
    text.write_text("win cash\n" * 100)
    before = {path: path.read_bytes() for path in checkpoint_files(directory)}
    for command in (
        ["resume", str(directory)],
        ["train", str(text), "--checkpoint", str(directory)],
        ["train", str(text), "--checkpoint", str(directory), "--vector-size", "6"],
    ):
        assert main(command) == 1
        said = capfd.readouterr().err
        assert said == (
            f"stream-w2v: error: {checkpoint_files(directory)[0]} holds a pipeline of river: "
            "go on with it in Python, with PipelineCheckpoints\n"
        )
    assert {path: path.read_bytes() for path in checkpoint_files(directory)} == before


# What goes wrong while it is written.


def test_a_full_disk_is_an_error_and_the_older_checkpoint_is_intact(tmp_path):
    """The place is still the older one's, and when there is room again it goes on."""
    script = (
        "import resource, signal, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_pipeline_checkpoints import *\n"
        "thing = learn(fresh(), DATA[:20])\n"
        "checkpoints = PipelineCheckpoints(sys.argv[1])\n"
        "checkpoints.save(thing, {'a': 20})\n"
        "thing = learn(thing, DATA[20:])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "limits = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))\n"
        "try:\n"
        "    checkpoints.save(thing, {'a': 120})\n"
        "except StorageError as error:\n"
        "    print(error)\n"
        "print(checkpoints.positions, checkpoints.load()[2])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limits)\n"
        "checkpoints.save(thing, {'a': 120})\n"
        "print(checkpoints.positions, checkpoints.load()[2])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path, Path(__file__).parent],
        capture_output=True,
        text=True,
        check=True,
    )
    failed, before, after = run.stdout.splitlines()
    assert "File too large; raise the limit on file sizes" in failed
    assert (before, after) == ("{'a': 20} 20", "{'a': 120} 120")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", "checkpoint-000000000001.safetensors", "checkpoint-000000000002.safetensors",
    ]  # fmt: skip


def test_a_read_only_directory_is_refused_before_anything_is_learnt(tmp_path, monkeypatch):
    """In one line that says what to do."""
    # To root every directory is writeable.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(StorageError, match="Permission denied; change the permissions or write"):
        PipelineCheckpoints(tmp_path)


# Bit for bit.


def taught(directory, path, batches):
    """Learn so many batches of a file from the newest checkpoint on; return what comes of it."""
    with (
        PipelineCheckpoints(directory) as checkpoints,
        open_source(str(path), batch_bytes=700) as source,
    ):
        thing = checkpoints.load() or fresh()
        source.seek(checkpoints.positions)
        for _, batch in zip(range(batches), source, strict=False):
            thing = learn(thing, (tuple(json.loads(record)) for record in batch.records()))
            checkpoints.save(thing, batch.positions)
        return thing, checkpoints.positions[str(path)]["next"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a file of messages, and what comes of it without a pause."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "messages.jsonl"
    path.write_text("".join(json.dumps(message) + "\n" for message in DATA))
    thing, place = taught(folder / "state", path, 1000)
    assert (thing[2], place) == (len(DATA), path.stat().st_size)
    assert thing[1].data[0].get() > 0.8
    return path, state(thing)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(1, 15), max_size=6))
def test_a_run_that_is_cut_anywhere_ends_as_one_that_is_not(whole, tmp_path_factory, cuts):
    """Pipeline, vectors and metrics, to the last bit, wherever it was cut and however often."""
    path, expected = whole
    directory = tmp_path_factory.mktemp("cut")
    for batches in [*cuts, 1000]:
        thing, place = taught(directory, path, batches)
    assert state(thing) == expected
    assert place == path.stat().st_size
