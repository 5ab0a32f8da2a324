"""Several training threads: nothing is lost, and what is counted is what one thread counts."""

import _thread
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_model import HARD, STREAM, state_of

from stream_w2v import Word2Vec
from stream_w2v.errors import BrokenModelError, DivergedError
from stream_w2v.kernel import learn as kernel
from stream_w2v.text import token_block, words_record
from stream_w2v.workers import Workers

WORDS = Counter(word for record in STREAM for word in record.split())


# The threads.


@pytest.mark.parametrize("count", [1, 2, 4])
def test_everything_that_is_put_is_done_once(count):
    """However many threads there are, and no more than a few things wait."""
    done, most, begun = [], 0, threading.Lock()

    def work(item: int) -> None:
        time.sleep(0.001)
        with begun:
            done.append(item)

    with Workers(work, count) as workers:
        for item in range(50):
            workers.put(item)
            most = max(most, item + 1 - len(done))
        workers.finish()
        assert sorted(done) == list(range(50))
    assert most <= 3 * count + 1


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_comes_up_where_things_are_put(count):
    """The first one ends the run, and nothing hangs."""

    def work(item: int) -> None:
        if item == 5:
            msg = "five"
            raise ValueError(msg)

    with pytest.raises(ValueError, match="five"), Workers(work, count) as workers:
        for item in range(10_000):
            workers.put(item)


def test_an_error_of_the_last_thing_comes_up_at_the_end():
    """Nobody has to ask for it."""

    def work(item: int) -> None:
        time.sleep(0.05)
        msg = "late"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="late"), Workers(work, 2) as workers:
        workers.put(1)


# The model.


def test_a_plan_trains_what_one_thread_trains():
    """One caller of a model for several threads gets the vectors of one for one thread.

    But for rounding: what a thread learns of the first rows is added to them as a difference. And
    a record of several pieces is counted before its first is trained.
    """
    alone, beside = Word2Vec(**HARD), Word2Vec(**HARD, workers=2)
    for record in [record for record in STREAM if len(record) < 4096][:200] * 2:
        alone.learn_one(record)
        beside.learn_one(record)
    expected, actual = alone.tensors(), beside.tensors()
    for name, tensor in expected.items():
        if name in ("weights.input_vectors", "weights.output_vectors"):
            scale = np.abs(tensor).max()
            np.testing.assert_allclose(actual[name], tensor, rtol=0, atol=1e-3 * scale)
        elif name == "counters.loss":
            assert actual[name] > 0
        elif name != "counters.loss_pairs":
            np.testing.assert_array_equal(actual[name], tensor, err_msg=name)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_count_what_one_counts(workers):
    """Every word of every record is counted once, in whatever order the threads come."""
    model = Word2Vec(**{**HARD, "min_count": 1, "max_vocab_size": 100_000}, workers=workers)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(model.learn_one, STREAM))
    vectors = model.snapshot()
    assert {word: int(vectors.get_vecattr(word, "count")) for word in vectors} == WORDS
    assert model.counters["words"] == WORDS.total()
    assert model.counters["records"] == len(STREAM)
    assert model.counters["windows"] > model.counters["kept"] * 0.9
    assert model.counters["loss_pairs"] > 0
    assert np.isfinite(vectors.vectors).all()


def test_a_plan_that_is_full_is_trained_before_going_on(monkeypatch):
    """Pieces that come again fill it sooner; it never holds more than it has room for."""
    planned: list[tuple[int, int]] = []
    train = kernel.train

    def watched(noise: object, weights: object, scratch: object, plan: object, *rest: object):
        planned.append((int(scratch.cursor[0]["planned_rows"]), len(plan.rows)))
        return train(noise, weights, scratch, plan, *rest)

    monkeypatch.setattr(kernel, "train", watched)
    model = Word2Vec(
        vector_size=1, window=1, negative=1, min_count=1, sample=0, workers=2,
        replay_tokens=20_000, replay_passes=9, replay_sample=0,
    )  # fmt: skip
    model.learn_batch([token_block([words_record(["a", "b", "c", "d"] * 1000)] * 60)])
    rows, room = max(planned)
    assert len(planned) > 2
    assert room / 2 < rows <= room
    assert model.counters["replays"] > 400


def test_workers_evict_while_others_train(monkeypatch):
    """Rows are reused only when nobody trains them: no vector is huge, no word there twice."""
    model = Word2Vec(**HARD, workers=4)
    evict, training = model.vocabulary.evict, []

    def watched() -> np.ndarray:
        training.append(model._learner._training)
        return evict()

    monkeypatch.setattr(model.vocabulary, "evict", watched)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(model.learn_one, STREAM * 3))
    assert set(training) == {0}
    assert model.counters["evicted"] > 1000
    assert model.counters["records"] == 3 * len(STREAM)
    vectors = model.snapshot(refresh=True)
    assert len(set(vectors.index_to_key)) == len(vectors) <= HARD["max_vocab_size"]
    assert np.isfinite(vectors.vectors).all()


def test_more_callers_than_workers_wait_for_their_turn():
    """A model for two threads may be called from many."""
    model = Word2Vec(**HARD, workers=2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(model.learn_one, STREAM))
    assert model.counters["records"] == len(STREAM)


def test_snapshots_and_saves_are_whole_while_threads_learn(tmp_path):
    """Both wait until nobody trains, and threads that learn do not starve them."""
    model = Word2Vec(**HARD, workers=3)
    learners = [threading.Thread(target=model.learn_many, args=(STREAM,)) for _ in range(2)]
    for learner in learners:
        learner.start()
    seen = 0
    while any(learner.is_alive() for learner in learners):
        vectors = model.snapshot(refresh=seen % 5 == 0)
        assert len(set(vectors.index_to_key)) == len(vectors) <= HARD["max_vocab_size"]
        model.save(tmp_path / "model")
        assert len(Word2Vec.load(tmp_path / "model").vocabulary) <= HARD["max_vocab_size"]
        seen += 1
    for learner in learners:
        learner.join()
    assert seen > 1
    assert model.counters["records"] == 2 * len(STREAM)
    model.save(tmp_path / "model")
    assert state_of(Word2Vec.load(tmp_path / "model")) == state_of(model)


def test_a_saved_model_goes_on_with_another_number_of_workers(tmp_path):
    """How many threads train is no part of what was learnt."""
    alone, many = Word2Vec(**HARD), Word2Vec(**HARD, workers=3)
    for model in (alone, many):
        model.learn_many(STREAM[:50])
        model.save(tmp_path / "model")
        loaded = Word2Vec.load(tmp_path / "model", workers=4 - model.config.workers)
        assert loaded.config.workers == 4 - model.config.workers
        assert state_of(loaded) == state_of(model)
        loaded.learn_many(STREAM[50:60])
        assert loaded.records == 60
    one = Word2Vec.load(tmp_path / "model", workers=1)
    one.learn_many(STREAM[50:])
    two = Word2Vec.load(tmp_path / "model", workers=1)
    for record in STREAM[50:]:
        two.learn_one(record)
    assert state_of(one) == state_of(two)


def test_learn_many_uses_the_workers():
    """One call trains in several threads."""
    names: set[str] = set()

    def tokenizer(text: str) -> list[str]:
        names.add(threading.current_thread().name)
        return text.split()

    model = Word2Vec(vector_size=4, min_count=1, workers=2, text=tokenizer)
    model.learn_many("a b c d " * 1000 for _ in range(1000))
    assert model.counters["records"] == 1000
    assert len(names) == 2
    assert threading.current_thread().name not in names


def test_diverging_in_a_worker_is_an_error():
    """It is raised to whoever called."""
    model = Word2Vec(
        vector_size=4, min_count=1, sample=0, schedule="constant", learning_rate=10, workers=2
    )
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        model.learn_many(["a b c d e f g h " * 100] * 3000)


def test_a_thread_that_is_broken_off_leaves_a_model_that_is_refused(monkeypatch):
    """What was counted and not trained is no state to go on from; nobody waits for it either."""
    model = Word2Vec(vector_size=4, min_count=1, workers=2)

    def fail(*_: object) -> None:
        msg = "unplugged"
        raise OSError(msg)

    monkeypatch.setattr("stream_w2v.kernel.learn.train", fail)
    with pytest.raises(OSError, match="unplugged"):
        model.learn_one("a b c")
    for call in (model.snapshot, lambda: model.learn_one("a b c")):
        with pytest.raises(BrokenModelError):
            call()


@pytest.mark.usefixtures("interrupts_reach_us")
def test_ctrl_c_takes_effect_between_records_with_workers_too():
    """Wherever it strikes, the model is whole: counted, trained, and able to go on."""
    model = Word2Vec(vector_size=8, min_count=1, workers=2)
    # So that all is loaded, which takes longer than from one interrupt to the next.
    model.learn_one("the quick brown fox")
    interrupted = 0
    stop = threading.Event()

    def interrupt() -> None:
        while not stop.wait(0.003):
            _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    begin = time.monotonic()
    while interrupted < 30 and time.monotonic() - begin < 20:
        try:
            model.learn_one("the quick brown fox")
        except KeyboardInterrupt:
            interrupted += 1
    while thread.is_alive():
        try:
            stop.set()
            thread.join()
        except KeyboardInterrupt:
            continue
    assert interrupted >= 30
    records = model.records
    vectors = model.snapshot()
    assert vectors.get_vecattr("fox", "count") == records
    model.learn_one("the quick brown fox")
    assert model.records == records + 1


def test_a_signal_handler_may_look_at_the_model():
    """It runs in the main thread, which does not train itself, so nothing waits for itself."""
    model = Word2Vec(vector_size=8, min_count=1, workers=2)
    looks: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: looks.append(len(model.snapshot())))
    try:
        for i in range(300):
            if i % 10 == 5:
                threading.Timer(0.0005, signal.raise_signal, [signal.SIGUSR1]).start()
            model.learn_one("the quick brown fox " * 50)
    finally:
        time.sleep(0.05)
        signal.signal(signal.SIGUSR1, before)
    assert len(looks) > 1
    assert set(looks) <= {0, 4}


def test_a_save_never_holds_a_record_counted_in_part(small):
    """However often room must be made, every count is of whole records."""
    model = Word2Vec(vector_size=4, min_count=1, sample=0, max_vocab_size=100_000, workers=3)
    records = [" ".join(f"w{(i * 31 + k) % 5000}" for k in range(40)) for i in range(3000)]
    learners = [
        threading.Thread(target=lambda part=part: [model.learn_one(x) for x in records[part::2]])
        for part in range(2)
    ]
    for learner in learners:
        learner.start()
    looks = 0
    while any(learner.is_alive() for learner in learners):
        with model._learner.whole():
            tensors = model.tensors()
            assert tensors["rows.count"].sum() == tensors["counters.words"][0]
        looks += 1
    for learner in learners:
        learner.join()
    assert looks > 1


# What they learn.


def prequential_loss(workers: int, text: list[str]) -> float:
    """Return the mean loss of a text, each record before it was learnt."""
    model = Word2Vec(vector_size=32, workers=workers)
    model.learn_many(text)
    return model.counters["loss"] / model.counters["loss_pairs"]


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_many_threads_learn_about_as_well_as_one(workers, paragraphs):
    """They take their steps from the same rows, and the sum of eight throws these out of reach."""
    alone = prequential_loss(1, paragraphs)
    assert prequential_loss(workers, paragraphs) < 1.1 * alone


def test_frequent_rows_go_on_learning_when_their_windows_are_full():
    """A float32 cannot count beyond 2^24 one by one, and the vectors do not care."""
    model = Word2Vec(vector_size=8, min_count=1, sample=0.0, workers=2, schedule="constant")
    model.learn_many(STREAM)
    weights = model._state.weights
    rows = len(model.vocabulary)
    weights.input_windows[:rows] = 2.0**29
    weights.output_windows[:rows] = 2.0**24
    before = weights.input_vectors[:rows].copy(), weights.output_vectors[:rows].copy()
    model.learn_many(STREAM)
    for now, then in zip((weights.input_vectors, weights.output_vectors), before, strict=True):
        assert (now[:rows] != then).any(axis=1).mean() > 0.9
