"""Drift: what is found, what is not, and what does not matter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stream_w2v import KeyedVectors
from stream_w2v.drift import ALARM, LEAST_WORDS, Drift, DriftFile, measure_drift
from stream_w2v.errors import ConfigError, StorageError

WORDS = 600
SIZE = 20


def snapshots(seed: int = 1, *, counts: bool = True) -> tuple[KeyedVectors, KeyedVectors]:
    """Return two snapshots of words w0, w1, ... that moved as a model's do, and no word more.

    The first are the most frequent, and moved least.
    """
    draw = np.random.default_rng(seed)
    then = 100_000 // (np.arange(WORDS) + 2)
    since = draw.poisson(then / 2)
    before = draw.normal(size=(WORDS, SIZE))
    step = np.sqrt(since / then**1.5) * np.exp(0.2 * draw.normal(size=WORDS))
    after = before + step[:, None] * draw.normal(size=(WORDS, SIZE))
    names = [f"w{n}" for n in range(WORDS)]
    return (
        KeyedVectors(names, before, then if counts else None),
        KeyedVectors(names, after, then + since if counts else None),
    )


def changed(
    vectors: KeyedVectors, rows: dict[str, np.ndarray], counts: dict[str, int] | None = None
) -> KeyedVectors:
    """Return vectors of which some were replaced, and some counts."""
    array = vectors.vectors.copy()
    seen = None if vectors.counts is None else vectors.counts.copy()
    for word, row in rows.items():
        array[vectors.key_to_index[word]] = row
    for word, count in (counts or {}).items():
        assert seen is not None
        seen[vectors.key_to_index[word]] = count
    return KeyedVectors(vectors.index_to_key, array, seen)


def scores(drift: Drift) -> dict[str, float]:
    """Return the score of each word."""
    return dict(zip(drift.words, drift.scores.tolist(), strict=True))


@pytest.mark.parametrize("counts", [True, False])
def test_words_that_moved_as_usual_raise_no_alarm(counts: bool) -> None:
    """However differently frequent they are."""
    drift = measure_drift(*snapshots(counts=counts))
    assert len(drift.words) == WORDS
    assert drift.alarms == 0
    assert abs(np.median(drift.scores)) < 0.2
    assert drift.scores.tolist() == sorted(drift.scores, reverse=True)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("place", [1, 30, 300])
def test_a_word_whose_vector_was_replaced_is_found(counts: bool, place: int) -> None:
    """It comes first, with what it was near to, and what it is near to."""
    old, new = snapshots(counts=counts)
    word, other = f"w{place}", f"w{place + 1}"
    new = changed(new, {word: new[other], other: new[word]})
    first, second, *_ = measure_drift(old, new).most(3)
    assert {first.word, second.word} == {word, other}
    assert second.score > ALARM
    assert first.distance > 3 * first.expected
    assert first.kept < 0.5
    nearest = [near for near, _ in old.most_similar(first.word, topn=10)]
    assert set(first.lost) <= set(nearest)
    assert len(first.lost) == len(first.gained) == round(10 * (1 - first.kept))
    assert (first.then is None) == (not counts)


def test_a_word_that_was_only_seen_more_often_is_not() -> None:
    """It moved as far as one twice as rare that was seen so often, and further than usual here."""
    draw = np.random.default_rng(3)
    old, new = snapshots()
    # Ten times the occurrences, ten times the square of the step.
    since = 10 * (new.get_vecattr("w100", "count") - old.get_vecattr("w100", "count"))
    then = old.get_vecattr("w100", "count")
    step = np.sqrt(since / then**1.5) * draw.normal(size=SIZE)
    moved = {"w100": old["w100"] + step}
    explained = scores(measure_drift(old, changed(new, moved, {"w100": then + since})))["w100"]
    unexplained = scores(measure_drift(old, changed(new, moved)))["w100"]
    assert abs(explained) < 2
    assert unexplained > ALARM


def test_the_lengths_of_vectors_and_a_common_rotation_do_not_matter() -> None:
    """The scores depend on the angles between a word's two vectors alone."""
    old, new = snapshots()
    expected = scores(measure_drift(old, new))
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(SIZE, SIZE)))
    lengths = np.random.default_rng(3).uniform(0.5, 2, size=(WORDS, 1))
    turned = [
        KeyedVectors(one.index_to_key, factor * one.vectors @ turn, one.counts)
        for one, factor in ((old, 1.0), (new, lengths))
    ]
    found = scores(measure_drift(*turned))
    for word, score in expected.items():
        assert found[word] == pytest.approx(score, abs=1e-3)


def test_the_order_of_the_words_does_not_matter() -> None:
    """Where there are counts."""
    old, new = snapshots()
    order = np.random.default_rng(4).permutation(WORDS)
    assert new.counts is not None
    other = KeyedVectors([f"w{n}" for n in order], new.vectors[order], new.counts[order])
    assert scores(measure_drift(old, other)) == pytest.approx(scores(measure_drift(old, new)))


def test_vectors_that_stayed_have_no_distance_and_no_score() -> None:
    """Counts rose all the same; a single word that did move is all that there is to see."""
    old, later = snapshots()
    still = KeyedVectors(old.index_to_key, old.vectors, later.counts)
    drift = measure_drift(old, still)
    assert drift.distances.max() == 0.0
    assert abs(drift.scores).max() < 1e-6
    moved = measure_drift(old, changed(still, {"w9": -old["w9"]}))
    assert (moved.words[0], moved.alarms) == ("w9", 1)
    assert moved.distances[0] == pytest.approx(2.0, abs=1e-6)


def test_a_snapshot_compared_with_itself_compares_no_word() -> None:
    """Nothing was seen since."""
    old, _ = snapshots()
    drift = measure_drift(old, old)
    assert (drift.common, len(drift.words), drift.alarms, drift.most()) == (WORDS, 0, 0, [])


def test_words_that_are_only_in_one_are_named() -> None:
    """In the order of their file; they are neighbours, too."""
    old, new = snapshots()
    assert old.counts is not None
    assert new.counts is not None
    new = KeyedVectors([*new.index_to_key[:-2], "n1", "n2"], new.vectors, new.counts)
    drift = measure_drift(old, new)
    assert drift.appeared == ["n1", "n2"]
    assert drift.vanished == [f"w{WORDS - 2}", f"w{WORDS - 1}"]
    assert drift.common == WORDS - 2
    assert drift.to_dict(1)["appeared"] == {"words": 2, "first": ["n1"]}
    like = changed(new, {"n1": new["w5"]}, {"n1": 1000})
    word = next(one for one in measure_drift(old, like).most(WORDS) if one.word == "w5")
    assert word.gained[0] == "n1"


def test_only_words_seen_often_enough_before_and_since_are_compared() -> None:
    """By default five times; as often as asked for otherwise."""
    old, new = snapshots()
    rare = changed(old, {}, {"w7": 4, "w8": 5})
    same = {"w9": int(old.get_vecattr("w9", "count")) + 4}
    later = changed(new, {}, {"w7": 100, "w8": 100, **same})
    compared = set(measure_drift(rare, later).words)
    assert not {"w7", "w9"} & compared
    assert "w8" in compared
    often = measure_drift(old, new, min_count=300).words
    assert 0 < len(often) < WORDS / 2
    assert all(old.get_vecattr(word, "count") >= 300 for word in often)


def test_counts_that_were_forgotten_are_allowed_for() -> None:
    """A count may be lower than it was, and its word be seen again."""
    old, new = snapshots()
    assert old.counts is not None
    assert new.counts is not None
    remembered = np.rint(new.counts - 0.75 * old.counts)
    # These did not come again, as is told by what became of their counts.
    remembered[-10:] = np.rint(old.counts[-10:] * 0.25)
    drift = measure_drift(old, KeyedVectors(new.index_to_key, new.vectors, remembered))
    assert len(drift.words) == pytest.approx(WORDS - 10, abs=5)
    assert drift.alarms == 0


def test_too_few_words_say_nothing() -> None:
    """The rest of the answer is there."""
    old, new = snapshots()

    def first(vectors: KeyedVectors, count: int) -> KeyedVectors:
        assert vectors.counts is not None
        names = vectors.index_to_key[:count]
        return KeyedVectors(names, vectors.vectors[:count], vectors.counts[:count])

    few = LEAST_WORDS - 1
    assert len(measure_drift(first(old, few), first(new, few)).words) == 0
    drift = measure_drift(first(old, few + 1), first(new, few + 1))
    assert len(drift.words) == LEAST_WORDS
    assert np.isfinite(drift.scores).all()
    nothing = measure_drift(KeyedVectors([], np.zeros((0, SIZE)), []), new)
    assert (nothing.common, len(nothing.appeared)) == (0, WORDS)


def test_what_cannot_be_compared_is_refused() -> None:
    """Vectors of another length, and a least count where there are no counts."""
    old, new = snapshots()
    with pytest.raises(ConfigError, match="vectors of 20 and of 3 numbers cannot be compared"):
        measure_drift(old, KeyedVectors(["a"], [[1, 2, 3]]))
    with pytest.raises(ConfigError, match="min_count needs counts"):
        measure_drift(snapshots(counts=False)[0], new, min_count=5)


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_gets_a_line_for_each_snapshot_but_the_first(tmp_path: Path) -> None:
    """It goes on where it was; a snapshot without words is passed over."""
    path = tmp_path / "drift.jsonl"
    path.write_text('{"from": "before"}\n')
    old, new = snapshots()
    sink = DriftFile(path, topn=3)
    sink.write(KeyedVectors([], np.zeros((0, SIZE))))
    sink.write(old)
    assert len(lines_of(path)) == 1
    sink.write(new)
    sink.write(new)
    sink.close()
    _, line, still = lines_of(path)
    expected = json.loads(json.dumps(measure_drift(old, new).to_dict(3)))
    assert {name: line[name] for name in expected} == expected
    assert line["since"] <= line["time"] == still["since"]  # type: ignore[operator]
    assert still["compared"] == 0


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """One that names it."""
    old, new = snapshots()
    sink = DriftFile(tmp_path)
    sink.write(old)
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}: Is a directory"):
        sink.write(new)
