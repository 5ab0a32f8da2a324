"""The compiled model against its plain-Python twin, number by number."""

import ast
import copy
import importlib
import itertools
import pkgutil
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

import stream_w2v.kernel
from stream_w2v import Word2Vec
from stream_w2v.pooling import Component

BASE = {
    "vector_size": 16, "window": 5, "negative": 5, "min_count": 1, "sample": 0.0, "seed": 3,
}  # fmt: skip


def corpus(seed: int, records: int = 30, words: int = 40, longest: int = 20) -> list[list[bytes]]:
    """Return random records of 0, 1, 2, ... words, the frequent ones far more often."""
    rng = np.random.default_rng(seed)
    lengths = [0, 1, 2, *rng.integers(0, longest, records - 3).tolist()]
    weights = 1 / np.arange(1, words + 1)
    return [
        [b"w%d" % word for word in rng.choice(words, length, p=weights / weights.sum())]
        for length in lengths
    ]


def compare(model: Word2Vec, twin: naive.NaiveWord2Vec) -> None:
    """Check that a model and its twin are in the same state."""
    tensors = model.tensors()
    vocabulary = model.vocabulary
    rows = vocabulary.rows()
    assert dict(zip(vocabulary.words(rows), rows.tolist(), strict=True)) == {
        word.decode(): row for word, row in twin.rows.items()
    }
    assert {int(row): int(tensors["rows.stamp"][row]) for row in rows} == twin.stamp
    assert tensors["rows.free"].tolist() == twin.free
    waiting = zip(tensors["candidates.hash"], tensors["candidates.count"], strict=True)
    assert {int(value): int(count) for value, count in waiting} == twin.waiting
    for name, value in twin.counters.items():
        if name != "loss":
            assert model.counters[name] == value, name

    close = {"rtol": 1e-9, "atol": 0}
    end = twin.rows_end
    counts = [twin.count.get(row, 0.0) for row in range(end)]
    np.testing.assert_allclose(tensors["rows.count"], counts, **close)
    np.testing.assert_allclose(vocabulary.total, twin.total / twin.increment, **close)
    np.testing.assert_allclose(tensors["noise.mass"][0], twin.mass, **close)
    np.testing.assert_allclose(tensors["noise.built_mass"][0], twin.built_mass, **close)
    assert model.noise.rebuilds == twin.rebuilds
    assert tensors["noise.size"][0] == len(twin.table)
    table = tensors["noise.table"][: len(twin.table)]
    assert (table & np.uint64(0xFFFFFFFF)).tolist() == [other for _, other in twin.table]
    thresholds = [threshold for threshold, _ in twin.table]
    # The last bits of a threshold differ where counts decay: sums are added up differently.
    tolerance = 0 if twin.half_life is None else 1 << 10
    np.testing.assert_allclose((table >> np.uint64(32)).astype(float), thresholds, atol=tolerance)

    np.testing.assert_array_equal(tensors["weights.input_windows"], twin.input_windows[:end])
    np.testing.assert_array_equal(tensors["weights.output_windows"], twin.output_windows[:end])
    for name, expected in (("input_vectors", twin.inputs), ("output_vectors", twin.outputs)):
        actual = tensors[f"weights.{name}"]
        expected = expected[:end]
        assert not actual[:, expected.shape[1] :].any(), "beyond the vector size"
        scale = np.abs(expected).max(initial=1e-3)
        np.testing.assert_allclose(
            actual[:, : expected.shape[1]], expected, rtol=0, atol=2e-4 * scale, err_msg=name
        )
    np.testing.assert_allclose(model.counters["loss"], twin.counters["loss"], rtol=1e-3)

    sizes = [sum(map(len, twin.ring[:end])) for end in (len(twin.ring), *twin.passed)]
    assert tensors["replay.places"].tolist() == sizes
    left = [
        2 * (-1 if row is None else row) + (i == len(piece) - 1)
        for piece in twin.ring[min(twin.passed) :]
        for i, row in enumerate(piece)
    ]
    assert tensors["replay.tokens"].tolist() == left
    slots = [(i, entry) for i, entry in enumerate(itertools.chain(*twin.buckets)) if entry]
    assert tensors["contexts.slots"].tolist() == [slot for slot, _ in slots]
    assert tensors["contexts.keys"].tolist() == [key for _, (key, _) in slots]
    rows = [[-1 if row is None else row for row in rows] for _, (_, rows) in slots]
    assert tensors["contexts.rows"].tolist() == rows
    assert tensors["contexts.turns"].tolist() == twin.turns


def learn_both(
    records: list[list[bytes]], *, every: int = 1, **options
) -> tuple[Word2Vec, naive.NaiveWord2Vec]:
    """Learn records one by one with both, and compare after some of them and at the end."""
    options = {**BASE, **options}
    model = Word2Vec(**options, text="whitespace")
    twin = naive.NaiveWord2Vec(**options)
    for i, record in enumerate(records):
        model.learn_one(b" ".join(record))
        twin.learn(record)
        if i % every == 0:
            compare(model, twin)
    compare(model, twin)
    return model, twin


@pytest.mark.parametrize("vector_size", [1, 7, 16, 100])
@pytest.mark.parametrize("window", [1, 2, 5, 12])
def test_vectors_equal_the_twin_at_any_vector_size_and_window(vector_size, window):
    """Rows that fill no whole vector, and windows that reach beyond the record, are right."""
    learn_both(corpus(1), every=10, vector_size=vector_size, window=window)


@pytest.mark.parametrize("negative", [0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 20])
def test_vectors_equal_the_twin_at_any_number_of_negatives(negative):
    """Every mixture of wide and narrow blocks of outputs is right."""
    learn_both(corpus(2), every=10, negative=negative)


@pytest.mark.parametrize("negative", [5, 13])
@pytest.mark.parametrize("words", [2, 3, 8])
def test_noise_words_that_repeat_or_equal_the_centre_are_right(negative, words):
    """With few words most draws repeat one, or are the centre, and contexts repeat words."""
    learn_both(corpus(3, words=words), negative=negative, learning_rate=0.1)


def test_a_record_of_one_word_again_and_again_is_right():
    """Each context word is the centre itself, and every noise word too."""
    learn_both([[b"a"] * 10] * 5)


@pytest.mark.parametrize("sample", [1e-3, 0.1])
@pytest.mark.parametrize("min_count", [1, 2, 5])
def test_subsampling_and_admission_equal_the_twin(sample, min_count):
    """The same words are kept: those with a row now, thinned by the counts so far."""
    model, twin = learn_both(corpus(4, 60), sample=sample, min_count=min_count)
    assert model.counters["kept"] < model.counters["words"]
    assert bool(twin.waiting) == (min_count > 1)


@pytest.mark.parametrize("ns_exponent", [0.0, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("noise_staleness", [1e-6, 0.05, 0.5, 1.0])
def test_the_noise_table_is_rebuilt_when_the_twin_rebuilds_it(ns_exponent, noise_staleness):
    """The table equals the twin's bit for bit, and both are built anew at the same records."""
    options = {"ns_exponent": ns_exponent, "noise_staleness": noise_staleness}
    model, _ = learn_both(corpus(5), **options)
    assert model.noise.rebuilds >= 1


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "per-row", "learning_rate": 0.05},
        {"schedule": "per-row", "min_learning_rate": 0.1},
        {"schedule": "linear", "total_tokens": 200},
        {"schedule": "linear", "total_tokens": 1000, "min_learning_rate": 0.03},
        {"schedule": "inverse-sqrt", "learning_rate": 0.1},
        {"schedule": "constant"},
        {"schedule": "constant", "learning_rate": 0.01, "min_learning_rate": 0.5},
    ],
    ids=str,
)
def test_every_schedule_equals_the_twin(options):
    """The rates of rows and windows are right under every schedule, with and without a floor."""
    learn_both(corpus(6), every=10, **options)


@pytest.mark.parametrize("min_count", [1, 2, 3])
def test_eviction_and_forgetting_equal_the_twin(min_count):
    """Rows are evicted, reset and reused as the twin does; waiting counts are halved as there."""
    records = corpus(7, 120, words=400)
    bounds = {"max_vocab_size": 36 // min_count, "max_candidates": 25}
    model, _ = learn_both(records, every=3, min_count=min_count, **bounds)
    assert model.counters["evicted"] > 0
    assert (model.counters["forgotten"] > 0) == (min_count > 1)


def test_a_word_evicted_and_admitted_within_a_record_equals_the_twin():
    """Long records with few rows evict words that occur earlier or later in the same record."""
    records = corpus(8, 12, words=60, longest=200)
    learn_both(records, min_count=1, max_vocab_size=12)
    learn_both(records, min_count=2, max_vocab_size=12, max_candidates=12)


def test_half_life_equals_the_twin():
    """Counts decay by the tokens seen, through many changes of the scale."""
    filler = [[b"f", b"g"] * 1500] * 20
    records = corpus(9, 40, words=100)
    mixed = [record for pair in zip(records, filler * 2, strict=True) for record in pair]
    options = {"half_life": 1000, "max_vocab_size": 40, "sample": 1e-4, "vector_size": 7}
    model, twin = learn_both(mixed, every=7, **options)
    assert model.counters["words"] / 1000 > 2 * 40, "the scale was reset twice"
    assert model.counters["evicted"] > 0
    assert twin.increment < 2.0**40


@pytest.mark.parametrize("length", [4095, 4096, 4097, 8192, 9000])
def test_records_longer_than_a_piece_equal_the_twin(length):
    """A long record is cut into pieces at the same words, each with random numbers of its own."""
    rng = np.random.default_rng(10)
    record = [b"w%d" % word for word in rng.zipf(1.5, length) % 50]
    options = {"vector_size": 1, "window": 2, "negative": 1, "sample": 1e-3}
    learn_both([record, record[:10]], **options)


def test_words_equal_the_twin_whatever_their_length():
    """Words of 1 to 256 bytes that differ only in their last byte are different words."""
    words = [
        b"x" * (length - 1) + end for length in (1, 7, 8, 9, 16, 17, 24, 25, 26, 255, 256)
        for end in (b"a", b"b")
    ]  # fmt: skip
    rng = np.random.default_rng(11)
    records = [[words[i] for i in rng.integers(0, len(words), 12)] for _ in range(40)]
    learn_both(records, every=10, max_vocab_size=20)


@pytest.mark.parametrize("refresh_contexts", [8, 100, 3000])
def test_contexts_of_rare_words_equal_the_twin(refresh_contexts):
    """The same contexts are kept, with and without room for all, through eviction and decay."""
    records = corpus(12, 100, words=120)
    options = {"refresh_contexts": refresh_contexts, "min_count": 2, "sample": 0.05}
    model, _ = learn_both(records, every=10, **options)
    assert 0 < len(model._state.contexts) <= -(-refresh_contexts // 8) * 8
    learn_both(records, every=10, **options, max_vocab_size=20, half_life=1000)


@pytest.mark.parametrize("replay_passes", [1, 2, 3])
def test_the_replay_equals_the_twin(replay_passes):
    """Each pass trains the same pieces after the same ones, while words are evicted."""
    records = corpus(13, 250, words=60, longest=160)
    options = {
        "replay_tokens": 6_000, "replay_passes": replay_passes, "replay_sample": 0.01,
        "vector_size": 3, "window": 1, "negative": 1, "max_vocab_size": 50, "sample": 0.001,
    }  # fmt: skip
    model, twin = learn_both(records, every=60, **options)
    assert model.counters["evicted"] > 0
    assert model.counters["replays"] > 100
    assert len(set(twin.passed)) == replay_passes, "each has come to a place of its own"


@pytest.mark.parametrize(
    ("negative", "schedule"),
    [
        (0, {}),
        (1, {"min_learning_rate": 0.05}),
        (5, {}),
        (5, {"schedule": "constant", "learning_rate": 0.05, "min_learning_rate": 0.01}),
        (8, {"schedule": "inverse-sqrt", "learning_rate": 0.05}),
    ],
)
def test_a_refreshed_snapshot_equals_the_twin(negative, schedule):
    """The copy catches up with the replay, then learns rare words' contexts, as the twin does."""
    records = corpus(14, 120, words=200, longest=160)
    options = {
        "replay_tokens": 6_000, "refresh_contexts": 5000, "negative": negative, "window": 3,
        "vector_size": 5, "min_count": 2, "sample": 0.001, "replay_sample": 0.001, **schedule,
    }  # fmt: skip
    model, twin = learn_both(records, every=1000, **options)
    before = {name: tensor.copy() for name, tensor in model.tensors().items()}
    vectors = model.snapshot(combine="input", refresh=True)
    for name, tensor in model.tensors().items():
        np.testing.assert_array_equal(tensor, before[name], err_msg="the model is as it was")
    late = copy.deepcopy(twin)
    late.catch_up()
    assert late.counters["replays"] > twin.counters["replays"]
    rare = 0
    for word, row in late.rows.items():
        expected = late.refreshed(word)
        rare += not np.array_equal(expected, late.inputs[row])
        scale = np.abs(late.inputs).max()
        np.testing.assert_allclose(vectors[word.decode()], expected, rtol=0, atol=1e-3 * scale)
    assert 10 < rare < len(late.rows)


options = st.fixed_dictionaries(
    {
        "vector_size": st.sampled_from([1, 7, 16, 17, 33]),
        "window": st.integers(1, 12),
        "negative": st.integers(0, 20),
        "min_count": st.integers(1, 5),
        "sample": st.sampled_from([0.0, 1e-3, 0.1]),
        "ns_exponent": st.sampled_from([0.0, 0.5, 0.75, 1.0]),
        "noise_staleness": st.sampled_from([1e-6, 0.05, 0.3]),
        "max_vocab_size": st.integers(10, 60),
        "max_candidates": st.integers(10, 60),
        "half_life": st.sampled_from([None, 1000.0, 1e6]),
        "schedule": st.sampled_from(["per-row", "linear", "inverse-sqrt", "constant"]),
        # At high rates few words with many negatives are chaotic: rounding errors grow.
        "learning_rate": st.sampled_from([0.003, 0.02]),
        "min_learning_rate": st.sampled_from([0.0, 0.01]),
        "total_tokens": st.just(200),
        "seed": st.sampled_from([0, 1, 2**63 - 1]),
        "refresh_contexts": st.sampled_from([0, 0, 30, 1000]),
        "replay_tokens": st.sampled_from([0, 0, 1, 100]),
        "replay_passes": st.integers(1, 3),
    }
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(options, st.integers(0, 2**31), st.integers(2, 300))
def test_any_options_and_any_records_equal_the_twin(options, seed, words):
    """Nothing that is allowed makes the compiled model differ from the twin."""
    learn_both(corpus(seed, 20, words, 30), every=6, **options)


@pytest.mark.parametrize("pooling", ["mean", "sif", "max"])
@pytest.mark.parametrize(
    "options", [{}, {"min_count": 2, "max_vocab_size": 30}, {"half_life": 1000}], ids=str
)
@pytest.mark.parametrize("vector_size", [1, 7, 33])
def test_texts_are_pooled_as_the_twin_pools_them(pooling, options, vector_size):
    """With words that are unknown, evicted and repeated, and texts of none, to the last bit."""
    model, twin = learn_both(corpus(15, 60, 80), every=99, vector_size=vector_size, **options)
    # The twin's vectors agree to float32's rounding only, and its counts to float64's.
    for name, mine in (("input_vectors", twin.inputs), ("output_vectors", twin.outputs)):
        vectors = model.tensors()[f"weights.{name}"]
        mine[: len(vectors)] = vectors[:, :vector_size]
    twin.count = dict(enumerate(model.tensors()["rows.count"].tolist()))
    twin.total = model.tensors()["vocabulary.total"].item()
    texts = corpus(16, 40, 120, 30)
    pooled = model.pool_many([b" ".join(text) for text in texts], pooling)
    expected = [naive.pool(twin, text, pooling) for text in texts]
    np.testing.assert_array_equal(pooled, expected)
    assert np.count_nonzero(pooled.any(axis=1)) > 20

    removed = np.arange(1.0, vector_size + 1)
    pooled = model.pool_many([b" ".join(text) for text in texts], pooling, removed=removed)
    expected = [naive.pool(twin, text, pooling, removed=removed) for text in texts]
    np.testing.assert_allclose(pooled, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 16, 50])
def test_the_component_is_followed_as_the_twin_follows_it(size):
    """Zeros do not count, at the start neither."""
    vectors = np.random.default_rng(17).normal(0.3, 1.0, (200, size))
    vectors[[0, 1, 50]] = 0.0
    component = Component(size)
    for vector in vectors:
        component.follow(vector)
    assert component.vectors == 197
    np.testing.assert_allclose(component.direction, naive.follow(vectors), rtol=1e-9)


# That there is a twin for everything.

TWINS = {
    "kernel.contexts.forget_context_rows": "test_contexts_of_rare_words_equal_the_twin",
    "kernel.learn.catch_up": "test_a_refreshed_snapshot_equals_the_twin",
    "kernel.learn.learn": "naive.NaiveWord2Vec",
    "kernel.learn.prepare": "test_workers_count_what_one_counts",
    "kernel.learn.train": "test_a_plan_trains_what_one_thread_trains",
    "kernel.log.tokenise_log": "naive.log",
    "kernel.lookup.index_rows": "test_eviction_and_forgetting_equal_the_twin",
    "kernel.lookup.move_candidates": "test_eviction_and_forgetting_equal_the_twin",
    "kernel.lookup.pack_words": "test_words_equal_the_twin_whatever_their_length",
    "kernel.noise.draw_rows": "naive.draw_rows",
    "kernel.noise.rebuild": "naive.alias_table",
    "kernel.pool.find_rows": "test_movement_is_what_plain_python_makes_of_two_snapshots",
    "kernel.pool.follow": "naive.follow",
    "kernel.pool.pool": "naive.pool",
    "kernel.refresh.gather": "test_a_snapshot_is_the_rows_of_the_words",
    "kernel.refresh.gather_more": "test_a_snapshot_of_sums_adds_half_of_the_output_vectors",
    "kernel.refresh.gather_sums": "test_a_snapshot_of_sums_adds_half_of_the_output_vectors",
    "kernel.refresh.list_words": "test_a_snapshot_is_the_rows_of_the_words",
    "kernel.refresh.refresh": "test_a_refreshed_snapshot_equals_the_twin",
    "kernel.refresh.reorder": "test_a_snapshot_has_the_words_by_falling_count",
    "kernel.replay.forget_replay_rows": "test_the_replay_equals_the_twin",
    "kernel.tokenise.hash_words": "naive.hash_word",
    "kernel.tokenise.tokenise": "naive.tokenise",
}
"""For each compiled function that Python calls, its twin, or the test that covers it."""


def compiled_functions(entry_points: bool) -> dict[str, Dispatcher]:
    """Return what numba compiles in the kernel, by module and name."""
    found = {}
    for info in pkgutil.iter_modules(stream_w2v.kernel.__path__):
        module = importlib.import_module(f"stream_w2v.kernel.{info.name}")
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__:
                callable_from_python = not value.targetoptions.get("no_cpython_wrapper", False)
                if callable_from_python or not entry_points:
                    found[f"kernel.{info.name}.{name}"] = value
    return found


def test_every_compiled_function_that_python_calls_has_a_twin():
    """A new entry point needs a twin, or a test named here; what is gone leaves the list."""
    assert sorted(compiled_functions(entry_points=True)) == sorted(TWINS)
    assert len(compiled_functions(entry_points=False)) > 2 * len(TWINS), "the search finds all"


def test_every_named_twin_exists():
    """The list of twins names functions of the twin module and tests of this directory."""
    tests = {
        node.name
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    for twin in TWINS.values():
        module, _, name = twin.rpartition(".")
        assert hasattr(naive, name) if module == "naive" else twin in tests, twin


def test_the_twins_import_nothing_from_the_package():
    """A twin that shares code shares mistakes."""
    tree = ast.parse(Path(naive.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    imported = [alias.name for node in imports for alias in node.names]
    assert imported == ["math", "re", "unicodedata", "numpy"]
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
