"""Word vectors to ask and to keep, compared with gensim where both have a name."""

import copy
import pickle
import warnings

import gensim.models
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_w2v.errors import (
    ConfigError,
    EmptyVocabularyError,
    StorageError,
    StreamW2VError,
    UnknownWordError,
)
from stream_w2v.vectors import KeyedVectors, VectorsFile

N, D = 200, 16
WORDS = [f"word{row}" for row in range(N)]
VECTORS = np.random.default_rng(1).standard_normal((N, D)).astype(np.float32)
VECTORS *= np.linspace(0.1, 5, N, dtype=np.float32)[:, None]
COUNTS = np.arange(N, 0, -1)


@pytest.fixture
def wv() -> KeyedVectors:
    """Return vectors of many lengths."""
    return KeyedVectors(WORDS, VECTORS, COUNTS)


@pytest.fixture
def empty() -> KeyedVectors:
    """Return the vectors of a model that has learnt nothing."""
    return KeyedVectors([], np.empty((0, D)), [])


@pytest.fixture(scope="module")
def theirs() -> gensim.models.KeyedVectors:
    """Return the same vectors in gensim's hands."""
    vectors = gensim.models.KeyedVectors(D)
    vectors.add_vectors(WORDS, VECTORS)
    return vectors


def nearly(answer):
    """Compare an answer to within what float32 sums differ by."""
    return [(word, pytest.approx(score, abs=1e-5)) for word, score in answer]


# The words and their vectors


def test_it_is_a_collection_of_words(wv):
    """Length, membership, iteration and the two index attributes agree."""
    assert len(wv) == N
    assert "word3" in wv
    assert "no" not in wv
    assert None not in wv
    assert list(wv) == wv.index_to_key == WORDS
    assert wv.key_to_index["word3"] == 3
    assert wv.vector_size == D
    assert repr(wv) == "<KeyedVectors of 200 words, 16 numbers each>"


def test_a_word_gives_its_vector_and_several_give_an_array(wv):
    """Indexing takes a word or a list of words."""
    np.testing.assert_array_equal(wv["word3"], VECTORS[3])
    np.testing.assert_array_equal(wv[["word3", "word1"]], VECTORS[[3, 1]])
    np.testing.assert_array_equal(wv.get_vector("word3"), VECTORS[3])
    assert np.linalg.norm(wv.get_vector("word3", norm=True)) == pytest.approx(1)


def test_counts_are_an_attribute_of_words(wv):
    """The count of a word comes under gensim's name for it."""
    assert wv.get_vecattr("word0", "count") == N
    assert wv.counts.dtype == np.int64
    assert KeyedVectors(["a"], [[1]], [1.5]).get_vecattr("a", "count") == 1.5
    with pytest.raises(ConfigError, match="have no attribute 'sense'"):
        wv.get_vecattr("word0", "sense")
    with pytest.raises(ConfigError, match="have no attribute 'count'"):
        KeyedVectors(["a"], [[1]]).get_vecattr("a", "count")


def test_nothing_can_be_written_to(wv):
    """The arrays, and the rows that are handed out, refuse to change."""
    for array in (wv.vectors, wv.counts, wv["word3"], wv.get_normed_vectors()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_array_that_was_given_stays_as_it_was():
    """The caller's array is neither copied nor made read-only."""
    given = VECTORS.copy()
    wv = KeyedVectors(WORDS, given)
    assert np.shares_memory(wv.vectors, given)
    assert given.flags.writeable


def test_it_can_be_copied_and_pickled(wv):
    """Snapshots travel between processes."""
    for other in (copy.deepcopy(wv), pickle.loads(pickle.dumps(wv))):
        assert other.most_similar("word3") == wv.most_similar("word3")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((["a"], [[1, 2], [3, 4]]), "1 words need an array of 1 vectors, not one of shape"),
        ((["a"], [1, 2]), "1 words need an array of 1 vectors"),
        ((["a", "b"], [[1], [2]], [1]), "2 words need 2 counts"),
        ((["a", "b", "a"], [[1], [2], [3]]), "every word must come once, but 'a' comes again"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(arguments, said):
    """The error says what does not fit."""
    with pytest.raises(ConfigError, match=said):
        KeyedVectors(*arguments)


# Unknown words


def test_an_unknown_word_is_named_and_close_ones_are_suggested(wv):
    """The error is a KeyError, and a sentence."""
    with pytest.raises(UnknownWordError) as caught:
        wv["werd77"]
    assert str(caught.value).startswith("there is no vector for 'werd77'; close to it are 'word77'")
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownWordError) as caught:
        wv.similarity("word1", "ж")
    assert str(caught.value) == (
        "there is no vector for 'ж': it was too rare, or is written in another way"
    )


def test_suggestions_cost_nothing_until_they_are_read(wv, monkeypatch):
    """Code that tries one word after the other does not pay for them."""
    monkeypatch.setattr("difflib.get_close_matches", None)
    with pytest.raises(UnknownWordError):
        wv["unheard"]


def test_the_error_can_be_pickled(wv):
    """It crosses process boundaries as its sentence, without the vocabulary."""
    with pytest.raises(UnknownWordError) as caught:
        wv["werd77"]
    assert len(pickle.dumps(caught.value)) < 500
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "ask",
    [
        lambda wv: wv["a"],
        lambda wv: wv.similarity("a", "b"),
        lambda wv: wv.most_similar("a"),
        lambda wv: wv.doesnt_match(["a", "b"]),
        lambda wv: wv.save("never.txt"),
    ],
)
def test_empty_vectors_say_that_they_are_empty(empty, ask):
    """There is nothing to ask or to write; that is not the word's fault."""
    assert len(empty) == 0
    assert "a" not in empty
    assert empty.similar_by_vector(np.ones(D)) == []
    with pytest.raises(EmptyVocabularyError):
        ask(empty)


# Similarity


def test_similarity_is_gensims(wv, theirs):
    """The cosine of the angle, to within rounding."""
    for a, b in [("word1", "word2"), ("word5", "word150"), ("word7", "word7")]:
        assert wv.similarity(a, b) == pytest.approx(theirs.similarity(a, b), abs=1e-6)


@pytest.mark.parametrize(
    "question",
    [
        {"positive": "word1"},
        {"positive": ["word1", "word2"], "negative": ["word3"]},
        {"positive": ["word1"], "negative": "word9", "topn": 3},
        {"negative": ["word1", "word2"]},
        {"positive": VECTORS[4]},
        {"positive": [VECTORS[4], "word7"], "negative": [VECTORS[9]]},
        {"positive": "word1", "topn": N},
        {"positive": "word1", "topn": 1000},
        {"positive": ["word1", "word150"], "restrict_vocab": 20},
        {"positive": "word1", "topn": 0},
    ],
)
def test_most_similar_is_gensims(wv, theirs, question):
    """The same words in the same order with the same scores."""
    assert wv.most_similar(**question) == nearly(theirs.most_similar(**question))


def test_most_similar_does_not_return_what_was_asked(wv):
    """However many words are asked for, those in the question are left out."""
    answer = wv.most_similar(["word1", "word2", "word1"], ["word3"], topn=N)
    assert len(answer) == N - 3
    assert not {"word1", "word2", "word3"} & {word for word, _ in answer}
    assert [score for _, score in answer] == sorted((s for _, s in answer), reverse=True)


def test_equal_scores_come_in_the_order_of_the_vocabulary():
    """The answer does not depend on how the partial sort went."""
    wv = KeyedVectors(list("abcdef"), [[1, 0]] * 6)
    assert [word for word, _ in wv.most_similar("c", topn=3)] == ["a", "b", "d"]


def test_similar_by_vector_is_gensims(wv, theirs):
    """A vector of a word has that word nearest to it."""
    answer = wv.similar_by_vector(VECTORS[4], topn=5, restrict_vocab=100)
    assert answer == nearly(theirs.similar_by_vector(VECTORS[4], topn=5, restrict_vocab=100))
    assert answer[0] == ("word4", pytest.approx(1))
    assert wv.similar_by_vector(VECTORS[4].tolist(), topn=5, restrict_vocab=100) == answer


def test_doesnt_match_is_gensims(wv, theirs):
    """The word that is farthest from the mean of all."""
    for words in (WORDS[:5], WORDS[50:53], WORDS[7:8]):
        assert wv.doesnt_match(words) == theirs.doesnt_match(words)


def test_questions_that_make_no_sense_are_refused(wv):
    """Nothing asked, and a vector of another length."""
    with pytest.raises(ConfigError, match="name at least one word"):
        wv.most_similar()
    with pytest.raises(ConfigError, match="name the words"):
        wv.doesnt_match([])
    with pytest.raises(ConfigError, match="a vector must be 16 finite numbers"):
        wv.similar_by_vector(np.ones(D + 1))
    with pytest.raises(ConfigError, match="a vector must be 16 finite numbers"):
        wv.similar_by_vector(np.full(D, np.nan))


def test_a_zero_vector_is_similar_to_nothing():
    """No nan comes of it, whichever side it is on."""
    wv = KeyedVectors(["zero", "a", "b"], [[0, 0], [1, 0], [1, 1]])
    assert wv.similarity("zero", "a") == 0
    assert wv.most_similar("zero") == [("a", 0.0), ("b", 0.0)]
    assert wv.most_similar("a") == [("b", pytest.approx(0.5**0.5)), ("zero", 0.0)]
    assert wv.most_similar(["a"], ["a"])[0][1] == 0


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(hnp.arrays(np.float32, (4, 3), elements=FLOATS))
@example(np.full((4, 3), 3.4028235e38, np.float32))
@example(np.full((4, 3), 1e-45, np.float32))
def test_no_finite_vectors_give_nan(vectors):
    """Very long, very short and zero vectors have similarities like any other."""
    wv = KeyedVectors("abcd", vectors)
    for _, score in wv.most_similar("a", "b"):
        assert abs(score) <= 1.01
    lengths = np.linalg.norm(wv.get_normed_vectors().astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, vectors.any(axis=1), rtol=1e-5)


# Files; test_formats.py has the rest


@pytest.mark.parametrize("ending", [".txt", ".bin", ".safetensors", ".tsv", ".txt.gz"])
def test_save_and_load_are_inverse(tmp_path, wv, ending):
    """The ending picks the format, and loading finds it out."""
    wv.save(tmp_path / f"v{ending}")
    again = KeyedVectors.load(tmp_path / f"v{ending}")
    assert again.index_to_key == WORDS
    np.testing.assert_array_equal(again.vectors, VECTORS)


@pytest.mark.parametrize("binary", [False, True])
def test_word2vec_format_goes_to_gensim_and_back(tmp_path, wv, binary):
    """Whatever the name of the file is; the counts go beside it."""
    path, vocab = tmp_path / "vectors.model", tmp_path / "counts"
    wv.save_word2vec_format(path, fvocab=vocab, binary=binary)
    theirs = gensim.models.KeyedVectors.load_word2vec_format(path, fvocab=str(vocab), binary=binary)
    assert theirs.index_to_key == WORDS
    assert theirs.get_vecattr("word0", "count") == N
    np.testing.assert_array_equal(theirs.vectors, VECTORS)
    theirs.save_word2vec_format(str(path), binary=binary)
    for how in (None, binary):
        again = KeyedVectors.load_word2vec_format(path, binary=how)
        assert again.index_to_key == WORDS
        np.testing.assert_array_equal(again.vectors, VECTORS)


def test_vectors_file_holds_the_latest_snapshot(tmp_path, wv, empty):
    """Each snapshot replaces the last; one without words does not."""
    path = tmp_path / "latest"
    sink = VectorsFile(path, "word2vec")
    sink.write(empty)
    assert not path.exists()
    sink.write(wv)
    sink.write(KeyedVectors(["a"], [[1, 2]]))
    assert path.read_text() == "1 2\na 1 2\n"
    sink.write(empty)
    assert path.read_text() == "1 2\na 1 2\n"


def test_vectors_file_refuses_an_unknown_ending_at_once(tmp_path):
    """Not after the training."""
    with pytest.raises(ConfigError, match="cannot tell the format"):
        VectorsFile(tmp_path / "vectors.model")


def test_every_error_of_a_file_is_the_librarys_own(tmp_path, wv):
    """No warning and no bare OSError reaches the caller."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StorageError):
            wv.save(tmp_path / "no" / "v.txt")
        for call in (KeyedVectors.load, KeyedVectors.load_word2vec_format):
            with pytest.raises(StreamW2VError):
                call(tmp_path / "no")
            with pytest.raises(StreamW2VError):
                call(tmp_path)
