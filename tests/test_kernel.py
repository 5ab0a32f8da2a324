"""The step of one window, and what becomes a window: against the objective and its statistics."""

import math

import naive
import numpy as np
import pytest
from numba import njit

from stream_w2v import Word2Vec
from stream_w2v.kernel import simd
from stream_w2v.kernel.memory import aligned_zeros, stride_of
from stream_w2v.kernel.window import BLOCK, train_block, used_bytes

WIDE = 6


# One block of outputs, through the compiled step.


@njit
def _train_four(inputs, rates, m, ys, targets, weights, output_rates, errors, part, row, half):
    outputs = (ys[0], ys[1], ys[2], ys[3])
    train_block(
        inputs, rates, m, outputs, outputs, targets, weights, output_rates, errors, part, row, half
    )


@njit
def _train_six(inputs, rates, m, ys, targets, weights, output_rates, errors, part, row, half):
    outputs = (ys[0], ys[1], ys[2], ys[3], ys[4], ys[5])
    train_block(
        inputs, rates, m, outputs, outputs, targets, weights, output_rates, errors, part, row, half
    )


def aligned(values: np.ndarray, width: int) -> np.ndarray:
    """Return an aligned float32 copy whose last axis is filled up with zeros."""
    result = aligned_zeros(*values.shape[:-1], width)
    result[..., : values.shape[-1]] = values
    return result


class Window:
    """Random inputs and outputs of a window, and the compiled step over them.

    The first output is the centre. ``rows`` says which input each context word is, for words
    that occur twice.
    """

    def __init__(self, inputs: int, outputs: int, size: int, seed: int = 1, scale: float = 1.0):
        rng = np.random.default_rng(seed)
        self.size = size
        self.stride = stride_of(size)
        self.rows = list(range(inputs))
        # A row beyond the last, which nothing may change.
        self.x = aligned(rng.normal(0, scale, (inputs + 1, size)), self.stride)
        self.y = aligned(rng.normal(0, scale, (outputs, size)), self.stride)
        self.targets = np.eye(1, outputs)[0]
        self.weights = np.ones(outputs)
        self.input_rates = np.ones(inputs)
        self.output_rates = np.ones(outputs)
        self.nothing = aligned_zeros(self.stride)

    @property
    def inputs(self) -> np.ndarray:
        """The input vectors, without what fills them up."""
        return self.x[:-1, : self.size]

    @property
    def outputs(self) -> np.ndarray:
        """The output vectors, without what fills them up."""
        return self.y[:, : self.size]

    def train(self) -> None:
        """Train all outputs, in blocks of at most six."""
        for begin in range(0, len(self.y), WIDE):
            self._train_block(slice(begin, begin + WIDE))

    def _train_block(self, block: slice) -> None:
        y = self.y[block]
        places = 4 if len(y) <= 4 else 6
        stride = 4 * self.stride
        ys = [self.y.ctypes.data + stride * (block.start + j) for j in range(len(y))]
        ys += [self.nothing.ctypes.data] * (places - len(y))
        inputs = np.array(
            [self.x.ctypes.data + stride * row for row in [*self.rows, -1 % len(self.x)]]
        )
        lanes = [
            aligned(values[block], BLOCK)
            for values in (self.targets, self.weights, self.output_rates)
        ]
        rates = np.append(self.input_rates, 99).astype(np.float32)
        # Guards on both sides: an odd number of inputs writes one row more, and no further.
        errors = np.full((5, len(self.rows) + 1, BLOCK), 7, dtype=np.float32)
        part = errors[0].nbytes
        train = _train_four if places == 4 else _train_six
        train(
            inputs.ctypes.data, rates.ctypes.data, len(self.rows), np.array(ys),
            *(values.ctypes.data for values in lanes), errors[1].ctypes.data, part,
            *used_bytes.py_func(self.size),
        )  # fmt: skip
        assert (errors[[0, 4]] == 7).all()

    def objective(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return Goldberg & Levy's equation 4, of float64 vectors."""
        return naive.objective(x[self.rows], y, self.targets, self.weights)


def numeric_gradient(function, values: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the gradient of a function of an array, by central differences."""
    gradient = np.empty_like(values)
    for place in np.ndindex(values.shape):
        moved = values.copy()
        moved[place] += step
        above = function(moved)
        moved[place] -= 2 * step
        gradient[place] = (above - function(moved)) / (2 * step)
    return gradient


@pytest.mark.parametrize("outputs", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("inputs", [1, 2, 3, 10])
@pytest.mark.parametrize("size", [1, 7, 16, 33])
def test_the_step_is_the_gradient_of_the_objective(inputs, outputs, size):
    """At rate 1 both matrices move by minus the gradient, as finite differences find it."""
    window = Window(inputs, outputs, size, scale=0.5)
    window.weights[1::2] = 2.0  # noise words that were drawn twice
    x, y = np.float64(window.inputs), np.float64(window.outputs)
    window.train()
    by_x = numeric_gradient(lambda moved: window.objective(moved, y), x)
    by_y = numeric_gradient(lambda moved: window.objective(x, moved), y)
    np.testing.assert_allclose(window.inputs - x, -by_x, rtol=0, atol=2e-5)
    np.testing.assert_allclose(window.outputs - y, -by_y, rtol=0, atol=2e-5)


@pytest.mark.parametrize("outputs", [7, 10, 11, 12, 13, 21])
def test_several_blocks_follow_the_gradient_at_a_small_rate(outputs):
    """Blocks are trained one after the other, which is the same to first order in the rate."""
    rate = 1e-3
    window = Window(3, outputs, 20, scale=0.5)
    window.input_rates[:] = window.output_rates[:] = rate
    x, y = np.float64(window.inputs), np.float64(window.outputs)
    window.train()
    by_x = numeric_gradient(lambda moved: window.objective(moved, y), x)
    by_y = numeric_gradient(lambda moved: window.objective(x, moved), y)
    np.testing.assert_allclose((window.inputs - x) / rate, -by_x, rtol=0, atol=2e-2)
    np.testing.assert_allclose((window.outputs - y) / rate, -by_y, rtol=0, atol=2e-2)


@pytest.mark.parametrize("outputs", [1, 3, 4, 5, 6, 7, 12, 17])
@pytest.mark.parametrize("inputs", [1, 2, 5, 24])
def test_every_row_moves_at_its_own_rate_as_the_twin_says(inputs, outputs):
    """Rates differ from row to row, and between the two sides."""
    window = Window(inputs, outputs, 35, seed=2)
    rng = np.random.default_rng(3)
    window.input_rates[:] = rng.random(inputs)
    window.output_rates[:] = rng.random(outputs)
    window.weights[1:] = rng.integers(0, 3, outputs - 1)
    x, y = window.inputs.copy(), window.outputs.copy()
    naive.train_window(
        x, window.rows, window.input_rates, y, list(range(outputs)), window.targets,
        window.weights, window.output_rates,
    )  # fmt: skip
    window.train()
    np.testing.assert_allclose(window.inputs, x, rtol=0, atol=1e-4)
    np.testing.assert_allclose(window.outputs, y, rtol=0, atol=1e-4)


def test_a_context_word_that_occurs_twice_is_updated_twice():
    """Its row gets both steps, at both rates, and the outputs see the first one."""
    window = Window(3, 5, 20)
    window.rows = [0, 1, 0, 2, 1]
    window.input_rates = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    x, y = window.inputs.copy(), window.outputs.copy()
    naive.train_window(
        x, window.rows, window.input_rates, y, list(range(5)), window.targets, window.weights,
        window.output_rates,
    )  # fmt: skip
    window.train()
    np.testing.assert_allclose(window.inputs, x, rtol=0, atol=1e-5)
    np.testing.assert_allclose(window.outputs, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5])
def test_nothing_beyond_the_window_is_touched(inputs):
    """Not the row after an odd last input, the row of zeros, or what fills rows up."""
    window = Window(inputs, 3, 7)
    guard = window.x[-1].copy()
    window.train()
    assert (window.x[-1] == guard).all()
    assert not window.nothing.any()
    assert not window.x[:, 7:].any()
    assert not window.y[:, 7:].any()


def test_an_output_of_weight_zero_does_nothing():
    """It neither moves nor is moved."""
    window, other = Window(4, 6, 20), Window(4, 6, 20)
    window.weights[3] = other.weights[3] = 0
    before = window.outputs[3].copy()
    other.outputs[3] = 55.0
    window.train()
    other.train()
    np.testing.assert_array_equal(window.outputs[3], before)
    np.testing.assert_array_equal(window.inputs, other.inputs)


@pytest.mark.parametrize("outputs", [1, 4, 6, 11])
def test_with_the_context_side_frozen_the_loss_falls_at_every_step(outputs):
    """Without a moving context side the problem is convex: small steps never go up."""
    window = Window(5, outputs, 20, scale=0.5)
    window.output_rates[:] = 0.0
    window.input_rates[:] = 0.02
    frozen = window.outputs.copy()
    losses = []
    for _ in range(300):
        losses.append(window.objective(np.float64(window.inputs), np.float64(frozen)))
        window.train()
    np.testing.assert_array_equal(window.outputs, frozen)
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.5 * losses[0]


# The vector operations.


@njit
def _map_sigmoid(values, results):
    for k in range(0, len(values), 16):
        at = simd.load(values.ctypes.data + 4 * k)
        simd.store(results.ctypes.data + 4 * k, simd.sigmoid(at))


@njit
def _map_exponential(values, results):
    for k in range(0, len(values), 16):
        at = simd.load(values.ctypes.data + 4 * k)
        simd.store(results.ctypes.data + 4 * k, simd.exponential(at))


@njit
def _sum_eight(rows, stride, result):
    ys = (rows, rows + stride, rows + 2 * stride, rows + 3 * stride)
    zs = (rows + 4 * stride, rows + 5 * stride, rows + 6 * stride, rows + 7 * stride)
    values = (*simd.load_each(ys, 0), *simd.load_each(zs, 0))
    simd.store_unaligned(result, simd.sum_lanes(values))


@njit
def _sum_twelve(rows, stride, result):
    ys = (rows, rows + stride, rows + 2 * stride, rows + 3 * stride)
    zs = (rows + 4 * stride, rows + 5 * stride, rows + 6 * stride, rows + 7 * stride)
    us = (rows + 8 * stride, rows + 9 * stride, rows + 10 * stride, rows + 11 * stride)
    values = (*simd.load_each(ys, 0), *simd.load_each(zs, 0), *simd.load_each(us, 0))
    simd.store_unaligned(result, simd.sum_lanes(values))


def mapped(function, values: np.ndarray) -> np.ndarray:
    """Return a vector function of any number of values."""
    padded = aligned(values.astype(np.float32), -(-len(values) // 16) * 16)
    result = np.empty_like(padded)
    result = aligned(result, len(padded))
    function(padded, result)
    return result[: len(values)]


def test_the_sigmoid_is_exact_to_float32_and_flat_beyond_ten():
    """Within -10..10 it is that of float64 to a few 1e-6 of its value; beyond it is constant."""
    values = np.linspace(-10, 10, 100_001, dtype=np.float32)
    expected = 1 / (1 + np.exp(-np.float64(values)))
    np.testing.assert_allclose(mapped(_map_sigmoid, values), expected, rtol=5e-6)
    beyond = mapped(_map_sigmoid, np.array([10, 11, 1e30, np.inf]))
    assert len(set(beyond.tolist())) == 1
    beyond = mapped(_map_sigmoid, np.array([-10, -11, -1e30, -np.inf]))
    assert len(set(beyond.tolist())) == 1
    assert 4e-5 < beyond[0] < 5e-5


def test_the_sigmoid_of_nan_is_nan():
    """Diverging must be seen, so no limit may hide it."""
    assert np.isnan(mapped(_map_sigmoid, np.array([np.nan]))).all()


def test_the_exponential_is_exact_to_its_stated_error():
    """In -80..80, to 4e-6 of its value."""
    values = np.linspace(-80, 80, 200_001, dtype=np.float32)
    expected = np.exp(np.float64(values))
    np.testing.assert_allclose(mapped(_map_exponential, values), expected, rtol=4e-6)
    assert mapped(_map_exponential, np.zeros(1))[0] == 1


@pytest.mark.parametrize(("function", "count"), [(_sum_eight, 8), (_sum_twelve, 12)])
@pytest.mark.parametrize("offset", [0, 1, 8])
def test_sum_lanes_puts_every_sum_into_its_lane(function, count, offset):
    """Lane j holds the sum of vector j, lane 8 + j that of N + j; whole numbers are exact."""
    rng = np.random.default_rng(4)
    values = aligned(rng.integers(-1000, 1000, (count, 16)).astype(np.float32), 16)
    result = np.full(48, 7, dtype=np.float32)
    # The result may start at any float.
    function(values.ctypes.data, values.strides[0], result.ctypes.data + 4 * offset)
    sums = values.sum(axis=1).tolist()
    half = count // 2
    assert result[offset : offset + half].tolist() == sums[:half]
    assert result[offset + 8 : offset + 8 + half].tolist() == sums[half:]
    assert (np.delete(result, range(offset, offset + 16)) == 7).all()


# What becomes a window.


def initial_vectors(words: list[bytes], size: int, seed: int) -> np.ndarray:
    """Return the vectors that new words start with."""
    vectors = []
    for word in words:
        random = naive.Generator(seed ^ naive.INITIAL_VECTORS, naive.hash_word(word))
        vectors.append([(random.unit() - 0.5) / size for _ in range(size)])
    return np.float32(vectors)


@pytest.mark.parametrize("window", [1, 2, 5, 12])
def test_the_window_of_each_centre_is_uniform_and_symmetric(window):
    """Each centre's context is all words up to a distance, which is uniform on 1..window.

    In a record of new words every output vector is trained once, from 0, so it is the sum of its
    context's input vectors but for a factor, and tells which they were.
    """
    words = [b"w%d" % i for i in range(4000)]
    model = Word2Vec(
        vector_size=8, window=window, negative=0, min_count=1, sample=0, schedule="constant",
        learning_rate=0.5, text="whitespace",
    )  # fmt: skip
    model.learn_one(b" ".join(words))
    inputs = initial_vectors(words, 8, seed=1)
    sums = model.tensors()["weights.output_vectors"][:, :8] / (0.5 * 0.5)
    before = np.vstack([np.zeros((1, 8)), np.cumsum(np.float64(inputs), axis=0)])
    place = np.arange(len(words))
    errors = []
    for radius in range(1, window + 1):
        low, high = np.maximum(place - radius, 0), np.minimum(place + radius + 1, len(words))
        # More than twelve inputs share the rate.
        share = np.minimum(1.0, 12 / (high - low - 1))[:, None]
        errors.append(np.abs((before[high] - before[low] - inputs) * share - sums).max(axis=1))
    assert np.min(errors, axis=0).max() < 1e-4
    radii = 1 + np.argmin(errors, axis=0)[window:-window]
    observed = np.bincount(radii, minlength=window + 1)[1:]
    expected = len(radii) / window
    # 3.7 sigma above the mean of a chi-square, which is nearly normal or 0 here.
    degrees = window - 1
    assert ((observed - expected) ** 2 / expected).sum() <= degrees + 3.7 * math.sqrt(2 * degrees)


def test_the_first_vector_of_a_word_is_that_of_its_seed_and_bytes():
    """Uniform in +-1/2 over the vector size, whatever its row; the output vector is zero."""
    model = Word2Vec(vector_size=8, min_count=1, seed=5)
    model.learn_many(["b", "a"])
    tensors = model.tensors()
    np.testing.assert_array_equal(
        tensors["weights.input_vectors"][:, :8], initial_vectors([b"b", b"a"], 8, seed=5)
    )
    assert not tensors["weights.output_vectors"].any()


def trained_pairs(records: list[str], **options) -> tuple[dict[str, float], Word2Vec]:
    """Return in how many contexts each word was, at a window of one."""
    model = Word2Vec(vector_size=1, window=1, negative=0, **options)
    model.learn_many(records)
    rows = model.vocabulary.rows()
    windows = model.tensors()["weights.input_windows"][rows].tolist()
    return dict(zip(model.vocabulary.words(rows), windows, strict=True)), model


def test_rare_words_are_removed_before_contexts_are_made():
    """Words without a row leave no gap: their neighbours become neighbours."""
    windows, model = trained_pairs(["a a b b", "a x y z b"], min_count=2, sample=0)
    # Four words in the first record, and a next to b in the second.
    assert windows == {"a": 3 + 1, "b": 3 + 1}
    assert model.counters["windows"] == 4 + 2


def test_frequent_words_are_thinned_before_contexts_are_made():
    """Words that subsampling drops leave no gap either."""
    history = ["f " * 4000] * 250
    windows, model = trained_pairs([*history, "a f f f f f f b"], min_count=1, sample=1e-6)
    assert (windows["a"], windows["b"]) == (1, 1)
    thinned = model.counters["words"] - model.counters["kept"]
    # A word with nearly all of a million occurrences is kept one time in a thousand.
    assert 0.9985 < thinned / model.counters["words"] < 0.9995


def test_a_sample_of_zero_keeps_every_word():
    """Without subsampling all words that have a row are trained."""
    _, model = trained_pairs(["f f f f a"] * 100, min_count=1, sample=0)
    assert model.counters["kept"] == model.counters["words"] == 500


def test_a_record_of_one_word_trains_nothing():
    """No context, no window: the vectors stay, the count goes up."""
    model = Word2Vec(vector_size=4, min_count=1, sample=0)
    model.learn_one("a b c")
    before = model.tensors()
    before = {name: array.copy() for name, array in before.items()}
    model.learn_one("a")
    after = model.tensors()
    for name in before:
        if name.startswith("weights."):
            np.testing.assert_array_equal(before[name], after[name])
    assert after["rows.count"].tolist() == [2, 1, 1]
    assert model.counters["windows"] == 3


# What negatives are for.


def cosines(negative: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines between words of the same topic, and between those of different ones."""
    model = Word2Vec(
        vector_size=16, window=2, negative=negative, min_count=1, sample=0, schedule="constant",
        learning_rate=0.05,
    )  # fmt: skip
    rng = np.random.default_rng(6)
    for topic in rng.integers(0, 3, 3000):
        words = 10 * topic + rng.integers(0, 10, 10)
        words[::3] = rng.integers(0, 30, 4)  # a third has no topic
        model.learn_one([f"w{word}" for word in words])
    wv = model.snapshot()
    vectors = np.float64([wv[f"w{word}"] for word in range(30)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = vectors @ vectors.T
    topics = np.arange(30) // 10
    same = topics[:, None] == topics
    return found[same], found[~same]


def test_without_negatives_all_vectors_collapse_to_one_direction():
    """Nothing pushes apart, so every vector ends up parallel to every other."""
    same, different = cosines(negative=0)
    assert same.min() > 0.99
    assert different.min() > 0.99


def test_with_negatives_the_vectors_do_not_collapse():
    """Words of different topics are not alike, those of one topic are."""
    same, different = cosines(negative=5)
    assert different.min() < 0
    assert same.mean() > different.mean() + 0.4


# That the twins themselves are right, by published values.


def test_the_twin_of_the_generator_gives_the_published_numbers():
    """The first outputs of splitmix64 from state 0."""
    states = [naive.GOLDEN * n & naive.MASK for n in (1, 2, 3)]
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [naive.mix(state) for state in states] == published


def test_the_twin_of_the_hash_gives_the_published_numbers():
    """FNV-1a, 64 bits, of "", "a" and "foobar", each scrambled."""
    published = {b"": 0xCBF29CE484222325, b"a": 0xAF63DC4C8601EC8C, b"foobar": 0x85944171F73967E8}
    for word, value in published.items():
        assert naive.hash_word(word) == naive.mix(value)
