"""Similarity and analogy benchmarks, compared with gensim and scipy."""

import math
import warnings
from pathlib import Path

import gensim.models
import numpy as np
import pytest
from gensim.test.utils import datapath
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ConstantInputWarning, spearmanr

from stream_w2v import evaluation
from stream_w2v.errors import EmptyVocabularyError, FormatError, SourceNotFoundError
from stream_w2v.evaluation import (
    SectionResult,
    SimilarityResult,
    evaluate_analogies,
    evaluate_similarity,
)
from stream_w2v.vectors import KeyedVectors

ANALOGIES = datapath("questions-words.txt")
SIMILARITIES = [datapath("wordsim353.tsv"), datapath("simlex999.txt")]


@pytest.fixture(scope="module")
def wv() -> KeyedVectors:
    """Return vectors for most words of the benchmarks, which answer some questions right."""
    rng = np.random.default_rng(1)
    vectors: dict[str, np.ndarray] = {}
    for path in [ANALOGIES, *SIMILARITIES]:
        for line in Path(path).read_text(encoding="utf-8").lower().splitlines():
            first, second = line.split()[:2]
            if first == ":":
                step = rng.standard_normal(20)
            elif first != "#" and first not in vectors:
                vectors[first] = rng.standard_normal(20)
                vectors[second] = vectors[first] + step + rng.standard_normal(20)
    words = [word for word in vectors if rng.random() < 0.9]
    return KeyedVectors(words, [vectors[word] for word in words])


@pytest.fixture(scope="module")
def theirs(wv) -> gensim.models.KeyedVectors:
    """Return the same vectors in gensim's hands."""
    vectors = gensim.models.KeyedVectors(20)
    vectors.add_vectors(wv.index_to_key, wv.vectors)
    return vectors


@pytest.fixture
def write(tmp_path):
    """Return the function that makes a file of its argument."""

    def write(content: str) -> Path:
        path = tmp_path / "benchmark"
        path.write_text(content, encoding="utf-8")
        return path

    return write


PLANE = KeyedVectors(["a", "b", "c", "d"], [[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]])
# man, woman, king, queen on a square, and something that is near to king.
SQUARE = KeyedVectors(
    ["man", "woman", "king", "queen", "prince"],
    [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [1, -0.2, 1]],
)

# Similarity


@pytest.mark.parametrize("path", SIMILARITIES)
def test_similarity_is_gensims(wv, theirs, path):
    """The same rank correlation over the same pairs."""
    result = evaluate_similarity(wv, path)
    _, spearman, out = theirs.evaluate_word_pairs(path)
    assert result.spearman == pytest.approx(spearman[0], abs=1e-9)
    assert result.pairs > 10
    assert 100 * result.unknown / (result.pairs + result.unknown) == pytest.approx(out)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2))
def test_rank_correlation_is_scipys(pairs):
    """Equal values share the mean of their ranks; a side that is all the same gives nan."""
    x, y = np.array(pairs, float).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        expected = spearmanr(x, y).statistic
    assert evaluation._spearman(x, y) == pytest.approx(expected, nan_ok=True)


def test_a_perfect_order_scores_one(write):
    """Only the order of the scores counts."""
    path = write("a b 100\na c 3\na d -1e3\n")
    assert evaluate_similarity(PLANE, path) == SimilarityResult(pytest.approx(1), 3, 0)


@pytest.mark.parametrize(
    "content",
    [
        "a\tb\t9\na\tc\t5\na\td\t1\n",
        "a,b,9\na,c,5\na,d,1",
        "a b 9\na   c 5\n\n  a d 1\n",
        "# a comment\nWord 1\tWord 2\tHuman (mean)\na\tb\t9\t2\tx\na\tc\t5\na\td\t1\n",
        "\ufeffWord 1,Word 2,Human (mean)\r\na,b,9\r\na , c , 5\r\nA,D,1\r\n",
    ],
)
def test_the_usual_shapes_of_files_are_read(write, content):
    """Tabs, commas or spaces, comments, titles and further columns."""
    assert evaluate_similarity(PLANE, write(content)) == SimilarityResult(pytest.approx(1), 3, 0)


def test_pairs_with_unknown_words_are_counted(write):
    """They are left out, whichever of the two is unknown."""
    result = evaluate_similarity(PLANE, write("a b 9\na x 1\nx a 1\nx y 1\na c 8\n"))
    assert (result.pairs, result.unknown) == (2, 3)


def test_case_counts_if_asked_to(write):
    """By default it does not, and the first spelling is the one that is meant."""
    path = write("A b 9\na d 1\n")
    assert evaluate_similarity(PLANE, path).pairs == 2
    assert evaluate_similarity(PLANE, path, case_insensitive=False).pairs == 1


def test_too_few_known_pairs_have_no_correlation(write):
    """There is no number to give, and that is no error of the file."""
    for content, pairs in {"a b 9\nx y 2\n": 1, "x y 2\n": 0, "a b 1\na c 1\n": 2}.items():
        result = evaluate_similarity(PLANE, write(content))
        assert math.isnan(result.spearman)
        assert result.pairs == pairs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no pair: expected lines of two words and a score"),
        ("# nothing\n", "holds no pair"),
        ("Word 1\tWord 2\tHuman\n", "holds no pair"),
        ("a b 1\n\na c\n", "line 3: expected two words and a score"),
        ("a b 1\na c much\n", "line 2: expected two words and a score"),
        (": capitals\nAthens Greece Oslo Norway\n", "line 2: expected two words and a score"),
    ],
)
def test_a_file_without_pairs_is_refused(write, content, said):
    """The error says what was expected, and where."""
    with pytest.raises(FormatError, match=said):
        evaluate_similarity(PLANE, write(content))


# Analogies


def answers(result):
    """Return what gensim reports, too: name, right and wrong answers of each section."""
    return [(s.name, s.correct, s.total - s.correct) for s in result.sections]


@pytest.mark.parametrize("restrict", [None, 300])
def test_analogies_are_gensims(wv, theirs, restrict, write):
    """The same sections with the same numbers of right and wrong answers."""
    lines = Path(ANALOGIES).read_text(encoding="utf-8").splitlines()
    path = write("\n".join(line for row, line in enumerate(lines) if ":" in line or row % 7 == 0))
    result = evaluate_analogies(wv, path, restrict)
    accuracy, sections = theirs.evaluate_word_analogies(path, restrict_vocab=restrict)
    expected = [(s["section"], len(s["correct"]), len(s["incorrect"])) for s in sections[:-1]]
    assert answers(result) == expected
    assert result.accuracy == accuracy
    assert 0.2 < accuracy < 0.8
    assert result.correct == sum(correct for _, correct, _ in expected)
    questions = [line for line in path.read_text().splitlines() if ":" not in line]
    assert result.total + result.unknown == len(questions)


def test_blocks_do_not_change_the_answers(wv, monkeypatch):
    """The bound on memory cuts the questions anywhere."""
    whole = evaluate_analogies(wv, ANALOGIES)
    monkeypatch.setattr(evaluation, "_SCORES", 100 * len(wv))
    assert evaluate_analogies(wv, ANALOGIES) == whole


def test_an_analogy_is_answered_by_the_fourth_corner(write):
    """Sections count for themselves and together; unknown words leave a question out."""
    path = write(
        "man woman king queen\n: royal\nman king woman queen\nman woman king prince\n"
        ": other\nman woman king duchess\nx man woman king\n: none\n"
    )
    result = evaluate_analogies(SQUARE, path)
    assert result.sections == (
        SectionResult("", 1, 1, 0),
        SectionResult("royal", 1, 2, 0),
        SectionResult("other", 0, 0, 2),
        SectionResult("none", 0, 0, 0),
    )
    assert (result.correct, result.total, result.unknown) == (2, 3, 2)
    assert result.accuracy == 2 / 3
    assert result.sections[1].accuracy == 0.5
    assert math.isnan(result.sections[2].accuracy)


def test_restricted_words_neither_ask_nor_answer(write):
    """Only the first words are known, as questions and as answers."""
    result = evaluate_analogies(SQUARE, write("man woman king queen\n"), restrict_vocab=3)
    assert (result.total, result.unknown) == (0, 1)
    assert math.isnan(result.accuracy)


def test_other_spellings_of_the_question_are_no_answers(write):
    """Of words that differ in case the question's are left out; any other may be the answer."""
    vectors = [*SQUARE.vectors, SQUARE.vectors[3] * 2, [1, 0.9, 1]]
    words = ["man", "woman", "king", "Queen", "prince", "KING", "queen"]
    wv = KeyedVectors(words, vectors)
    path = write("Man Woman King QUEEN\n")
    assert evaluate_analogies(wv, path).accuracy == 1
    assert evaluate_analogies(wv, path, case_insensitive=False).unknown == 1
    path = write("man woman king queen\n")
    assert evaluate_analogies(wv, path, case_insensitive=False).accuracy == 0


def test_a_vocabulary_of_nothing_but_the_question_has_no_answer(write):
    """The search ends when every word has been ruled out."""
    wv = KeyedVectors(["a", "A", "b"], [[1, 0], [1, 0], [0, 1]])
    assert evaluate_analogies(wv, write("a b a b\n")).accuracy == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no question: expected lines of four words"),
        (": capitals\n", "holds no question"),
        (": capitals\nAthens Greece Oslo\n", "line 2: expected four words, or ': ' and a name"),
        ("love\tsex\t6.77\n", "line 1: expected four words"),
    ],
)
def test_a_file_without_questions_is_refused(write, content, said):
    """The error says what was expected, and where."""
    with pytest.raises(FormatError, match=said):
        evaluate_analogies(PLANE, write(content))


@pytest.mark.parametrize("evaluate", [evaluate_similarity, evaluate_analogies])
def test_empty_vectors_and_missing_files_are_named(evaluate, tmp_path):
    """There is nothing to evaluate, or nothing to evaluate with."""
    with pytest.raises(SourceNotFoundError):
        evaluate(PLANE, tmp_path / "no")
    with pytest.raises(EmptyVocabularyError, match="there is no vector to evaluate"):
        evaluate(KeyedVectors([], np.empty((0, 3))), ANALOGIES)
