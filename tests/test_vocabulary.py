"""Words and rows against a dict: counting, admission, eviction, bounds."""

import naive
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_w2v import Config, Word2Vec, vocabulary
from stream_w2v.errors import FormatError
from stream_w2v.storage import write_tensors
from stream_w2v.text import token_block, words_record

SMALL = {"vector_size": 1, "window": 1, "negative": 0, "text": "whitespace"}


def learn_hashed(model: Word2Vec, records: list[list[bytes]], hash_word) -> None:
    """Learn records whose words have the hashes that a function gives them."""
    block = token_block([words_record(word.decode() for word in record) for record in records])
    words = [word for record in records for word in record]
    block.tokens.hashes[:] = [hash_word(word) for word in words]
    model.learn_batch([block])


def counts_of(model: Word2Vec) -> dict[bytes, float]:
    """Return how often each word that has a row occurred."""
    rows = model.vocabulary.rows()
    words = (word.encode() for word in model.vocabulary.words(rows))
    return dict(zip(words, model.vocabulary.counts[rows].tolist(), strict=True))


def check_against(model: Word2Vec, twin: naive.NaiveWord2Vec) -> None:
    """Check words, rows, counts and what waits, but for their order in the tables."""
    rows = model.vocabulary.rows()
    words = (word.encode() for word in model.vocabulary.words(rows))
    assert dict(zip(words, rows.tolist(), strict=True)) == twin.rows
    assert counts_of(model) == {word: twin.count[row] for word, row in twin.rows.items()}
    tensors = model.tensors()
    waiting = zip(tensors["candidates.hash"], tensors["candidates.count"], strict=True)
    assert {int(value): int(count) for value, count in waiting} == twin.waiting
    assert len(model.vocabulary) == len(twin.rows)
    assert model.vocabulary.candidates == len(twin.waiting)
    assert model.vocabulary.total == sum(twin.count.values())


HASHES = {
    "good": naive.hash_word,
    # All in one run of slots, of either table, at the end of it and around.
    "equal slot": lambda word: naive.hash_word(word) & 0xFFFF_FFFF_0000_0000 | 0x7FFF_FFFF,
    # Few different ones, that also share slots.
    "equal high half": lambda word: naive.hash_word(word) & 0xFF_FFFF,
    "neighbouring slots": lambda word: naive.hash_word(word) % 13 << 16 | len(word) % 3,
}
WORDS = [b"%d" % i for i in range(40)] + [
    b"x" * n + b"%d" % i for n in (8, 24, 200) for i in (1, 2)
]
RECORDS = st.lists(st.lists(st.sampled_from(WORDS), max_size=40), max_size=15)


@pytest.mark.parametrize("hashes", HASHES)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(RECORDS, st.integers(1, 4), st.integers(10, 30), st.integers(10, 30))
def test_the_vocabulary_equals_a_dict(hashes, records, min_count, rows, candidates):
    """Counts, rows, evictions and forgotten words are the dict's, also where all hashes collide."""
    options = {"min_count": min_count, "max_vocab_size": rows, "max_candidates": candidates}
    model = Word2Vec(**SMALL, **options)
    twin = naive.NaiveWord2Vec(
        vector_size=1, window=1, negative=0, hash_word=HASHES[hashes], **options
    )
    for record in records:
        learn_hashed(model, [record], HASHES[hashes])
        twin.learn(record)
        check_against(model, twin)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 40, 256])
def test_words_of_one_hash_are_told_apart_by_their_bytes(length):
    """Words of the same hash that differ in one byte, wherever it is, each have their own row."""
    words = []
    for place in range(length):
        word = bytearray(b"a" * length)
        word[place] = ord("b")
        words.append(bytes(word))
    model = Word2Vec(**SMALL, min_count=1)
    learn_hashed(model, [words, words[::2]], lambda word: 0xABCDEF)
    assert counts_of(model) == {word: 2 - i % 2 for i, word in enumerate(words)}


def test_a_word_that_begins_like_another_of_its_hash_is_another():
    """Words of the same hash whose bytes are a part of each other's are different words."""
    words = [b"a" * length for length in range(1, 257)] + [b"a\x00", b"a\x00\x00"]
    model = Word2Vec(**SMALL, min_count=1)
    learn_hashed(model, [words], lambda word: 7)
    assert counts_of(model) == dict.fromkeys(words, 1.0)


def test_the_bytes_behind_a_word_do_not_belong_to_it():
    """The same word is found whatever follows it in the text."""
    model = Word2Vec(**SMALL, min_count=1)
    model.learn_many([b"ab cd", b"ab", b"ab cdefghijk", b"xab ab\xff"])
    assert counts_of(model)[b"ab"] == 3


def test_waiting_words_of_one_hash_are_counted_together():
    """Only the hash waits: documented, and harmless at 64 bits."""
    model = Word2Vec(**SMALL, min_count=3)
    learn_hashed(model, [[b"a", b"b", b"a"]], lambda word: 1)
    assert counts_of(model) == {b"a": 3}


@pytest.mark.parametrize("min_count", [1, 2, 5, 17])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_min_count_holds_over_the_whole_stream(min_count, size):
    """A word gets its row at its min_count-th occurrence, however the stream is cut."""
    rng = np.random.default_rng(1)
    records = [[f"w{word}" for word in rng.zipf(1.3, 10) % 500] for _ in range(300)]
    model = Word2Vec(**SMALL, min_count=min_count)
    for begin in range(0, len(records), size):
        model.learn_many(records[begin : begin + size])
    words, counts = np.unique(np.concatenate(records), return_counts=True)
    everything = dict(zip(words.tolist(), counts.tolist(), strict=True))
    frequent = {word.encode(): n for word, n in everything.items() if n >= min_count}
    assert counts_of(model) == frequent
    assert model.vocabulary.candidates == len(everything) - len(frequent)


def test_a_word_that_comes_often_enough_is_admitted_however_full_the_waiting_table_is():
    """Halving forgets the noise of unique words, and not what keeps coming."""
    model = Word2Vec(**SMALL, min_count=5, max_candidates=50)
    for i in range(300):
        model.learn_one(" ".join(f"u{i}_{j}" for j in range(9)) + " steady")
    assert counts_of(model).keys() == {b"steady"}
    assert model.counters["forgotten"] > 2000
    assert model.vocabulary.candidates <= 50


@pytest.mark.parametrize("rows", [10, 11, 37, 60])
@pytest.mark.parametrize("min_count", [1, 2])
def test_rows_and_candidates_never_exceed_their_bounds(rows, min_count):
    """After every record there are at most so many rows, and at most so many words wait."""
    options = {"min_count": min_count, "max_vocab_size": rows, "max_candidates": 20}
    model = Word2Vec(**SMALL, **options)
    rng = np.random.default_rng(2)
    for _ in range(200):
        model.learn_one([f"w{word}" for word in rng.integers(0, 150, 12)])
        assert len(model.vocabulary) <= model.vocabulary.rows_end <= rows
        assert model.vocabulary.candidates <= 20
    assert model.counters["evicted"] > 0


def test_eviction_takes_the_rarest_and_of_those_the_longest_unseen():
    """Nine tenths of the rows stay: the frequent words, then those that came last."""
    model = Word2Vec(**SMALL, min_count=1, max_vocab_size=20)
    model.learn_one([f"often{i}" for i in range(10)] * 2)
    model.learn_one([f"once{i}" for i in range(10)])
    model.learn_one("often3 often4")
    rows = dict(zip(model.vocabulary.words(model.vocabulary.rows()), range(20), strict=True))
    model.learn_one("new")
    # All ten came at the same time, so the lower rows go.
    kept = set(model.vocabulary.words(model.vocabulary.rows()))
    assert rows.keys() - kept == {"once0", "once1"}
    assert kept - rows.keys() == {"new"}
    model.learn_one("once2")
    model.learn_one("newer")  # fills the last row
    model.learn_one("newest")
    kept = set(model.vocabulary.words(model.vocabulary.rows()))
    assert rows.keys() - kept == {"once0", "once1", "once3", "once4"}
    assert len(kept) == 19
    assert model.counters["evicted"] == 4


def test_the_rows_of_evicted_words_are_reset_in_full():
    """Vectors of both matrices, window counters and counts: nothing of the old word is left."""
    model = Word2Vec(vector_size=5, window=2, negative=3, min_count=1, sample=0, max_vocab_size=10)
    words = [f"a{i}" for i in range(10)]
    for _ in range(5):
        model.learn_one(words)
    before = model.tensors()
    for name in ("input_vectors", "output_vectors", "input_windows", "output_windows"):
        assert (before[f"weights.{name}"][:10] != 0).reshape(10, -1).any(axis=1).all()
    # One word alone is trained in no window, so its row shows what a new one is.
    model.learn_one("new")
    tensors = model.tensors()
    row = int(model.vocabulary.rows()[model.vocabulary.words(model.vocabulary.rows()).index("new")])
    assert row == 0, "the freed row is used again"
    fresh = Word2Vec(vector_size=5, window=2, negative=3, min_count=1, sample=0, max_vocab_size=10)
    fresh.learn_one("new")
    for name in ("input_vectors", "output_vectors", "input_windows", "output_windows"):
        np.testing.assert_array_equal(
            tensors[f"weights.{name}"][row], fresh.tensors()[f"weights.{name}"][0]
        )
    assert tensors["rows.count"][row] == 1
    # The table knew the evicted word; the rows that stay are drawn, and no other.
    assert set(model.noise.draw(1000, seed=1).tolist()) <= set(range(1, 10))

    model = Word2Vec(vector_size=5, min_count=1, max_vocab_size=40)
    model.learn_many([[f"a{i}" for i in range(40)]] * 3)
    model.learn_one("new")
    gone = np.setdiff1d(np.arange(40), model.vocabulary.rows())
    assert len(gone) == 3
    tensors = model.tensors()
    for name, array in tensors.items():
        if name.startswith(("weights.", "rows.")) and name != "rows.free" and "start" not in name:
            assert not array[gone].any(), name
    assert sorted(tensors["rows.free"].tolist()) == gone.tolist()


def test_half_life_halves_the_weight_of_an_occurrence():
    """An occurrence counts half after so many tokens, a quarter after twice as many."""
    model = Word2Vec(**SMALL, min_count=1, half_life=1000)
    model.learn_one("old")
    for _ in range(10):
        model.learn_one(["filler"] * 100)
    model.learn_one("new")
    counts = counts_of(model)
    # An occurrence ages by the records after its own.
    np.testing.assert_allclose(counts[b"old"], 2 ** -(1002 / 1000), rtol=1e-12)
    np.testing.assert_allclose(counts[b"new"], 2 ** -(1 / 1000), rtol=1e-12)
    np.testing.assert_allclose(model.vocabulary.total, sum(counts.values()), rtol=1e-12)


def test_with_a_half_life_a_word_of_the_past_is_evicted_before_one_of_today():
    """The count decides, and with a half life the old count has become small."""
    words = [f"old{i}" for i in range(10)]
    for half_life, survivors in ((None, words), (1000, [])):
        model = Word2Vec(**SMALL, min_count=1, max_vocab_size=20, half_life=half_life)
        model.learn_many([words] * 20)
        model.learn_one(["filler"] * 4000 * 3)
        for i in range(100):
            model.learn_one([f"today{i}"] * 5)
        kept = model.vocabulary.words(model.vocabulary.rows())
        assert [word for word in words if word in kept] == survivors


@pytest.mark.parametrize("half_life", [None, 1000])
def test_memory_does_not_grow_once_the_vocabulary_is_full(half_life):
    """After N and 10 N different words the arrays take the same bytes."""
    model = Word2Vec(
        vector_size=8, min_count=1, max_vocab_size=200, max_candidates=100, half_life=half_life
    )

    def used() -> int:
        arrays = [*model.vocabulary.arrays, *model.noise.arrays, *model._state.weights]
        return sum(array.nbytes for array in arrays)

    def learn(first: int, last: int) -> None:
        model.learn_many(
            " ".join(f"w{word:08}" for word in range(at, at + 10)) for at in range(first, last, 10)
        )

    learn(0, 2000)
    before = used()
    learn(2000, 20_000)
    assert used() == before
    assert model.counters["evicted"] > 19_000
    assert model.vocabulary.rows_end == 200


def test_memory_does_not_grow_once_the_waiting_table_is_full():
    """A stream of words that never come back takes bounded memory."""
    model = Word2Vec(**SMALL, min_count=2, max_candidates=1000)
    sizes = []
    for times in (1, 10):
        model.learn_many(
            " ".join(f"{times}w{word}" for word in range(at, at + 100))
            for at in range(0, times * 3000, 100)
        )
        sizes.append(sum(array.nbytes for array in model.vocabulary.arrays))
    assert sizes[0] == sizes[1]
    assert len(model.vocabulary) == 0
    assert model.counters["forgotten"] > 30_000


@pytest.mark.parametrize("min_count", [1, 3])
def test_growing_keeps_every_word(monkeypatch, min_count):
    """The hash table, the words and those that wait move to larger arrays as often as needed."""
    monkeypatch.setattr(vocabulary, "_FIRST_SLOTS", 4)
    monkeypatch.setattr(vocabulary, "_FIRST_BYTES", 2)
    model = Word2Vec(**SMALL, min_count=min_count)
    words = [b"w%d" % i + b"x" * (i % 90) for i in range(3000)]
    for _ in range(min_count):
        for begin in range(0, 3000, 100):
            model.learn_one(b" ".join(words[begin : begin + 100]))
    assert counts_of(model) == dict.fromkeys(words, min_count)
    assert model.vocabulary.rows().tolist() == list(range(3000))
    assert len(model.vocabulary.arrays.table) == 8192
    assert model.vocabulary.candidates == 0


@settings(max_examples=50, deadline=None)
@example([["a", "b"], ["a"]], 1)
@given(st.lists(st.lists(st.sampled_from("abcdefghijklmno"), max_size=9), max_size=9),
       st.integers(1, 3))  # fmt: skip
def test_restored_is_what_was_saved(records, min_count):
    """The state as arrays makes an equal vocabulary."""
    model = Word2Vec(**SMALL, min_count=min_count, max_vocab_size=10, max_candidates=10)
    model.learn_many(records)
    other = vocabulary.Vocabulary(model.config)
    other.restore(model.vocabulary.tensors())
    assert len(other) == len(model.vocabulary)
    assert other.rows().tolist() == model.vocabulary.rows().tolist()
    assert other.words(other.rows()) == model.vocabulary.words(model.vocabulary.rows())
    assert other.counts.tolist() == model.vocabulary.counts.tolist()
    for name, array in model.vocabulary.tensors().items():
        np.testing.assert_array_equal(other.tensors()[name], array, err_msg=name)


SAVED = Config(**SMALL, min_count=1, max_vocab_size=10, replay_tokens=20, refresh_contexts=16)


def saved():
    model = Word2Vec(SAVED)
    model.learn_many(f"w{i} w{i + 1}" for i in range(30))
    model.learn_many(["waits"])
    return {name: array.copy() for name, array in model.tensors().items()}


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("rows.word_start", 0, -1),
        ("rows.word_start", 0, 10**9),
        ("rows.word_start", 0, 2**63 - 1),
        ("rows.word_length", 0, 257),
        ("rows.word_length", 0, 0),
        ("vocabulary.words_end", 0, 10**6),
        ("vocabulary.rows", 0, 3),
        ("vocabulary.rows_end", 0, 11),
        ("vocabulary.candidates", 0, 5),
        ("vocabulary.increment", 0, 0.0),
        ("vocabulary.total", 0, np.nan),
        ("rows.count", 0, np.nan),
        ("rows.count", 0, -1.0),
        ("noise.size", 0, 11),
        ("noise.size", 0, -1),
        ("noise.table", 0, 11),
        ("replay.tokens", 0, 20),
        ("replay.tokens", 0, -3),
        ("replay.tokens", -1, 0),
        ("replay.places", 0, 10**6),
        ("replay.places", 1, -1),
        ("contexts.slots", 0, -1),
        ("contexts.slots", 0, 16),
        ("contexts.keys", 0, 0),
        ("contexts.rows", 0, 10),
        ("contexts.rows", 0, -2),
        ("contexts.turns", 0, 8),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(tmp_path, name, place, value):
    """Compiled code trusts the arrays, so a file made by hand may not slip in other ones."""
    tensors = saved()
    tensors[name][place] = value
    metadata = {"config": SAVED.to_dict()}
    write_tensors(tmp_path / "model", "stream-w2v-model", 2, tensors, metadata)
    with pytest.raises(FormatError, match="does not hold together"):
        Word2Vec.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("contexts.turns", np.int8),
        ("contexts.turns", np.float32),
        ("contexts.slots", np.float64),
        ("contexts.slots", np.bool_),
        ("replay.places", np.uint64),
        ("rows.count", np.float32),
    ],
)
def test_a_state_of_other_kinds_is_refused(tmp_path, name, kind):
    """A number that fits in one kind may be another one in the next."""
    tensors = saved()
    tensors[name] = tensors[name].astype(kind)
    write_tensors(tmp_path / "model", "stream-w2v-model", 2, tensors, {"config": SAVED.to_dict()})
    with pytest.raises(FormatError, match="of another kind"):
        Word2Vec.load(tmp_path / "model")


def test_a_replay_that_lags_too_far_is_refused(tmp_path):
    """Catching up at once would take more room than there is."""
    tensors = saved()
    ends = np.flatnonzero(tensors["replay.tokens"] & 1) + 1
    tensors["replay.places"][1] = tensors["replay.places"][-1] + ends[0]
    write_tensors(tmp_path / "model", "stream-w2v-model", 2, tensors, {"config": SAVED.to_dict()})
    with pytest.raises(FormatError, match="replay contradicts itself"):
        Word2Vec.load(tmp_path / "model")


@pytest.mark.parametrize("name", ["rows.count", "weights.input_vectors", "noise.table"])
def test_a_state_that_lacks_rows_is_refused(tmp_path, name):
    """Arrays of different lengths make no model."""
    tensors = saved()
    tensors[name] = tensors[name][:-1]
    metadata = {"config": SAVED.to_dict()}
    write_tensors(tmp_path / "model", "stream-w2v-model", 2, tensors, metadata)
    with pytest.raises(FormatError, match="does not hold together"):
        Word2Vec.load(tmp_path / "model")
