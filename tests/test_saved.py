"""River's objects to JSON and back: they go on as before, and no file can do harm."""

import ast
import collections
import functools
import importlib
import json
import multiprocessing
import operator
import os
import pkgutil
import random
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import of_river
import pytest
import river
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from river import (
    compose,
    feature_extraction,
    linear_model,
    metrics,
    neighbors,
    optim,
    stats,
    time_series,
)
from test_estimators import learnt, messages, same_state

from stream_w2v.errors import ConfigError, FormatError, VersionError
from stream_w2v.estimators import SimilarTexts, Word2VecTransformer
from stream_w2v.estimators.names import by_name, find, name_of
from stream_w2v.estimators.saved import from_json, river_version, to_json

CLASSES = of_river.classes()

REFUSED = {
    "OutputCodeClassifier": "list_iterator is made by a function",
    "RandomTreesEmbedding": "it finds its leaves by address",
    "Counter": "it hashes text differently in every process",
    "Set": "it hashes text differently in every process",
}
"""Classes of river that cannot be saved, and why."""

DRAWING = {"ARFClassifier", "ExtremelyFastDecisionTreeClassifier", "SRPClassifier"}
"""These make random generators on the way, without a seed, and draw nothing that counts."""

IN_ANY_ORDER = {
    *("AdjustedMutualInfo", "MutualInfo", "NormalizedMutualInfo"),
    *("HoeffdingAdaptiveTreeClassifier", "KNNClassifier", "STREAMKMeans"),
}
"""These go through sets of text, in another order in every process, also without a pause."""


FIRST, THEN = range(16), range(16, 28)
"""Records that are learnt before, and after."""


def back(thing, known=()):
    """Return what comes of a thing on its way through JSON."""
    kept, models = to_json(thing, by_name(known))
    return from_json(
        json.loads(json.dumps(kept)), [model.copy() for model in models], by_name(known)
    )


def written(thing, known=()):
    """Return a thing as JSON."""
    return json.dumps(to_json(thing, by_name(known))[0])


def transformer_of(pipeline):
    """Return the transformer in a pipeline, or in the union that it begins with."""
    first = next(iter(pipeline.steps.values()))
    return first["Word2VecTransformer"] if isinstance(first, compose.TransformerUnion) else first


def same(one, other):
    """Whether two said the same."""
    # NaN is not equal to itself; the order of a dict may come from a set.
    return one == other or repr(one) == repr(other)


# All of river.


def taught(kind):
    """Yield objects of a class that have learnt something, each with its JSON."""
    for thing in of_river.made(kind):
        of_river.goes_on(thing, FIRST)
        try:
            yield thing, written(thing)
        except ConfigError as error:
            assert REFUSED[kind.__name__] in str(error)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_everything_in_river_goes_on_as_before_or_is_refused(kind):
    """What it says of the next records, and what it is after them, is equal."""
    name = kind.__name__
    found = list(taught(kind))
    assert (name in REFUSED) == (len(found) < len(list(of_river.made(kind))))
    for thing, kept in found:
        copied = from_json(json.loads(kept), [], {})
        assert written(copied) == kept
        said, theirs = (of_river.goes_on(one, THEN) for one in (thing, copied))
        assert name in IN_ANY_ORDER or same(said, theirs)
        assert name in IN_ANY_ORDER | DRAWING or written(copied) == written(thing)


def _before():
    """Return what is taught in one process, whether that changed it, and what it says then."""
    return [
        (kind.__name__, kept, fresh != kept, of_river.goes_on(thing, THEN))
        for kind in CLASSES.values()
        if kind.__name__ not in REFUSED
        for fresh, (thing, kept) in zip(
            map(written, of_river.made(kind)), taught(kind), strict=True
        )
    ]


def _after(kept):
    """Return what it says in another."""
    return [of_river.goes_on(from_json(json.loads(one), [], {}), THEN) for one in kept]


def in_a_process(seed, function, *arguments):
    """Run a function where text has other hashes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", str(seed))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            return process.submit(function, *arguments).result()


def test_everything_in_river_goes_on_in_another_process():
    """And nearly all of it has learnt something, or these tests would say little."""
    found = in_a_process(1, _before)
    after = in_a_process(2, _after, [kept for _, kept, *_ in found])
    for (name, _, _, said), theirs in zip(found, after, strict=True):
        assert name in IN_ANY_ORDER or same(said, theirs), name
    assert len(found) > 320
    assert sum(changed for _, _, changed, _ in found) > 280


def test_pipelines_with_word_vectors_go_on_bit_for_bit():
    """What they say, the classifier, and the vectors."""
    pipelines = [
        Word2VecTransformer(on="body", vector_size=6, min_count=1, remove_component=True)
        | neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=50)),
        (feature_extraction.TFIDF(on="body") + learnt(on="body", pooling="sif"))
        | linear_model.LogisticRegression(optim.Adam(0.1)),
    ]
    for pipeline in pipelines:
        thing = pipeline, metrics.Accuracy() + metrics.MacroF1(), {"records": 100}
        data = messages(200)
        for x, y in data[:100]:
            pipeline.learn_one(x, y)
        copied = back(thing)
        for model, metric, _ in (thing, copied):
            for x, y in data[100:]:
                metric.update(y, model.predict_one(x))
                model.learn_one(x, y)
        assert written(copied) == written(thing)
        assert str(copied[1]) == str(thing[1])
        same_state(*(transformer_of(one[0]) for one in (thing, copied)))


def test_similar_texts_are_found_as_before():
    """The window, and the distance, which is a function of ours."""
    texts = learnt() | SimilarTexts(n_neighbors=3)
    for number, (x, _) in enumerate(messages(30)):
        texts.learn_one(x["body"], number)
    found = texts.predict_one("win cash prize")
    assert len(found) == 3
    assert back(texts).predict_one("win cash prize") == found


# Plain things.

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**400), 10**400), st.floats(),
    st.text(st.characters()), st.binary(), st.complex_numbers(), st.just(range(2, 9, 3)),
    st.dates(), st.datetimes(), st.timedeltas(), st.just(len), st.just(float), st.just(str.lower),
    st.builds(re.compile, st.sampled_from(["a+", b"b", r"(?i)\w"])),
)  # fmt: skip
dtypes = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="?"), hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(endianness="?"), hnp.complex_number_dtypes(), hnp.unicode_string_dtypes(),
    hnp.byte_string_dtypes(), hnp.datetime64_dtypes(), hnp.timedelta64_dtypes(),
)  # fmt: skip
arrays = st.builds(
    lambda array, change: change(array),
    hnp.arrays(dtypes, hnp.array_shapes(min_side=0, max_side=4)),
    st.sampled_from([np.asarray, np.asfortranarray, np.transpose, np.flip]),
)
numbers = hnp.arrays(dtypes, 1).map(lambda array: array[0])
# Of what can be sorted, for only that is written in an order of its own.
sets = st.sets(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False)), max_size=4)
hashable = st.one_of(scalars, numbers)
keys = st.one_of(hashable, st.tuples(hashable, sets.map(frozenset)))
things = st.recursive(
    st.one_of(keys, sets, arrays, st.just(slice(1, None))),
    lambda parts: st.one_of(
        st.lists(parts, max_size=4),
        st.lists(st.floats(), min_size=10, max_size=20),
        st.lists(parts, max_size=3).map(tuple),
        st.dictionaries(keys, parts, max_size=3),
        st.builds(collections.deque, st.lists(parts, max_size=3), st.integers(3, 5)),
        st.builds(
            collections.defaultdict,
            st.sampled_from([None, int, list, functools.partial(round, 2.5)]),
            st.dictionaries(keys, parts, max_size=3),
        ),
        st.builds(collections.OrderedDict, st.lists(st.tuples(keys, parts), max_size=3)),
        st.builds(collections.Counter, st.text()),
    ),
    max_leaves=10,
)


def alike(one, other):
    """Whether two are equal down to types, bits and orders."""
    kind = type(one)
    if kind is not type(other):
        return False
    if isinstance(one, np.ndarray):
        # An array with gaps, or turned around, comes back without.
        return (
            (one.flags.f_contiguous == other.flags.f_contiguous or not other.flags.forc)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, np.generic):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        factories = [getattr(each, "default_factory", None) for each in (one, other)]
        return repr(factories[0]) == repr(factories[1]) and alike([*one.items()], [*other.items()])
    if isinstance(one, set | frozenset):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, list | tuple | collections.deque):
        limits = [getattr(each, "maxlen", None) for each in (one, other)]
        return (limits[0], len(one)) == (limits[1], len(other)) and all(map(alike, one, other))
    return repr(one) == repr(other)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(things)
def test_plain_things_come_back(thing):
    """Containers in containers, with any keys, numbers of any kind, text of any characters."""
    copied = back(thing)
    assert alike(copied, thing)
    assert written(copied) == written(thing)


def test_what_is_shared_stays_shared():
    """And what is only equal stays apart."""
    shared, array = [1, 2], np.arange(3)
    one, two, three, (inner, other) = back([shared, shared, [1, 2], ({"a": array}, [array])])
    assert one is two
    assert one == three
    assert one is not three
    assert inner["a"] is other[0]
    inner["a"][0] = 7
    assert other[0][0] == 7


def test_what_leads_back_to_itself_does_so_again():
    """Through lists, dicts, tuples, sets, deques and objects."""
    ring = [1]
    ring.append({"ring": ring, "tuple": (ring,)})
    copied = back(ring)
    assert copied[1]["ring"] is copied
    assert copied[1]["tuple"][0] is copied
    pair = ([], "end")
    pair[0].append(pair)
    copied = back(pair)
    assert copied[0][0] is copied
    mean = stats.Mean()
    mean.friends = {mean}, collections.deque([mean]), collections.defaultdict(list, {0: mean})
    copied = back(mean)
    assert {copied} == copied.friends[0]
    assert copied.friends[1][0] is copied.friends[2][0] is copied
    queue = collections.deque()
    queue.append(frozenset([1]))
    queue.append((queue, queue[0]))
    copied = back(queue)
    assert copied[1][0] is copied
    assert copied[1][1] is copied[0]


def test_nothing_is_nested_too_deeply():
    """A list of objects, each of which holds the next, is longer than Python's stack is deep."""
    chain = end = stats.Mean()
    for number in range(3_000):
        end.next = (stats.Mean(), [number])
        end = end.next[0]
    copied = back(chain)
    for number in range(3_000):
        copied, (found,) = copied.next
        assert found == number
    while hasattr(chain, "next"):
        # Or Python would take it apart by recursion.
        chain, _ = vars(chain).pop("next")


def test_an_array_keeps_its_order():
    """What is compiled changes it in place, or a copy of it that is then lost."""
    for order in "CF":
        array = np.array([[1.0, 2.0], [3.0, 4.0]], order=order)
        copied = back(array)
        assert copied.flags.f_contiguous == (order == "F")
        assert copied.flags.writeable
        np.testing.assert_array_equal(copied, array)


def test_generators_of_random_numbers_go_on():
    """Python's and numpy's, from the middle of a pair."""
    for draw in (random.Random(5), np.random.RandomState(5)):
        normal = "gauss" if isinstance(draw, random.Random) else "normal"
        getattr(draw, normal)(0, 1)
        copied = back(draw)
        for _ in range(9):
            assert getattr(copied, normal)(0, 1) == getattr(draw, normal)(0, 1)


# What is the caller's.


def shout(x):
    """Make all text of a dict capitals."""
    return {name: value.upper() for name, value in x.items()}


class Longest(stats.base.Univariate):
    """The longest text so far."""

    def __init__(self):
        self.longest = ""

    def update(self, x):
        """See one more."""
        self.longest = max(self.longest, x, key=len)

    def get(self):
        """Return it."""
        return self.longest


def test_functions_and_classes_of_the_caller_need_to_be_known():
    """To be saved, and to be read; methods come with their objects."""
    longest = Longest()
    thing = compose.FuncTransformer(shout) | feature_extraction.BagOfWords(on="a"), longest
    longest.update("long")
    known = {shout, Longest}
    for missing in known:
        with pytest.raises(ConfigError, match=f"{name_of(missing)} cannot be saved by its name"):
            to_json(thing, by_name(known - {missing}))
        kept, _ = to_json(thing, by_name(known))
        with pytest.raises(
            ConfigError, match=f"needs .{name_of(missing)}., which is not known here"
        ):
            from_json(kept, [], by_name(known - {missing}))
    pipeline, copied = back(thing, known)
    assert pipeline.transform_one({"a": "so so"}) == {"so": 2}
    copied.update("longer")
    assert copied.get() == "longer"
    assert back([longest.get, longest], known)[0]() == "long"


def test_functions_of_other_packages_can_be_known():
    """Also what is no function to Python, but is called and has a name."""
    metric = time_series.HorizonAggMetric(metrics.MAE(), agg_func=np.mean)
    with pytest.raises(ConfigError, match="mean cannot be saved by its name"):
        to_json(metric, {})
    assert back(metric, [np.mean]).agg_func is np.mean


def test_a_lambda_is_refused_because_others_have_its_name():
    """In a pipeline, and as known; so is what has no name, and two functions of one."""

    def named(function):
        function.__qualname__ = "same"
        return function

    with pytest.raises(ConfigError, match="cannot be saved by a name: make it a function with def"):
        to_json(compose.FuncTransformer(lambda x: x), {})
    for nameless in (lambda x: x, functools.partial(shout), shout):
        if nameless is not shout:
            with pytest.raises(ConfigError, match="make it a function with def, or a class"):
                by_name([nameless])
    with pytest.raises(ConfigError, match=r"two functions are called test_saved\.same"):
        by_name([named(lambda x: x), named(lambda x: -x)])


@pytest.mark.parametrize(
    ("thing", "match"),
    [
        (open("/dev/null"), "TextIOWrapper cannot be saved: cannot pickle"),  # noqa: PTH123, SIM115
        ((one for one in "ab"), "generator cannot be saved: cannot pickle"),
        (iter([1]), "list_iterator is made by a function"),
        (sys, "module cannot be saved"),
        (np.log, "ufunc cannot be saved: cannot pickle"),
        (np.array([{}]), "ndarray is made by a function"),
        (np.array([(1, 2)], "i4,i4"), "ndarray is made by a function"),
        (np.arange(3).tofile, "the method tofile of ndarray cannot be saved"),
        ([].append, "the method append of list cannot be saved"),
        (os.system, r"posix\.system cannot be saved by its name: add it to known"),
        (Path("a"), r"pathlib\.PosixPath cannot be saved by its name"),
        (ValueError("a"), r"builtins\.ValueError cannot be saved by its name"),
        (operator.attrgetter("a"), r"operator\.attrgetter cannot be saved by its name"),
        (type, r"builtins\.type cannot be saved by its name"),
        (np.random.RandomState(np.random.PCG64(1)), "RandomState is made by a function"),
        (np.random.default_rng(1), "Generator is made by a function"),
        (river, "module cannot be saved"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_is_neither_rivers_nor_plain_is_refused(thing, match):
    """When it is saved, not when it is needed."""
    with pytest.raises(ConfigError, match=match):
        to_json([thing], {})


# Files that somebody made up.


def crafted(*nodes, root=(0,), **others):
    """Return nodes as a file would hold them."""
    return {"river": river_version(), "root": list(root), "nodes": list(nodes), **others}


FOREIGN = [
    "os.system", "posix.system", "subprocess.Popen", "builtins.eval", "builtins.exec",
    "builtins.getattr", "builtins.open", "builtins.type", "builtins.object", "pickle.loads",
    "importlib.import_module", "operator.attrgetter", "operator.methodcaller", "functools.reduce",
    "numpy.load", "numpy.fromfile", "numpy.ndarray", "numpy.memmap", "pathlib.Path",
    "river.linear_model.os", "river.stats.base.typing.os", "river.utils.math.math.sqrt",
    "river.datasets.phishing.Phishing", "river.datasets.base.RemoteDataset",
    "river.bandit.datasets.news.NewsArticles", "river.drift.datasets.apple.Apple",
    "river.stream.iter_csv.iter_csv", "river.stream.cache.Cache", "river.checks.check_estimator",
    "river.evaluate.tracks.Track", "river.compat.sklearn_to_river.SKL2RiverClassifier",
    "river.linear_model.log_reg.LogisticRegression.__init__.__globals__", "", ".",
    "river", "river.", "river..", "river.stats", "river.stats.mean", "river.stats.mean.",
    "river.stats.mean.Mean\n", "river.stats.mean\0.Mean", "test_saved.shout",
    "stream_w2v.model.Word2Vec", "stream_w2v.checkpoint.Checkpoints", "stream_w2v.metrics.Metrics",
    "stream_w2v.trainer.Trainer", "stream_w2v.connectors.kafka.KafkaSource",
    "stream_w2v.estimators.checkpoints.PipelineCheckpoints",
    "stream_w2v.estimators.saved.from_json",
]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("role", ["name", "new", "call"])
def test_no_other_name_is_looked_up(name, role):
    """Whatever it is to be: not even its module is imported."""
    before = set(sys.modules)
    node = {role: name, "with": []}
    with pytest.raises(ConfigError, match=r"the saved pipeline needs .*, which is not known here"):
        from_json(crafted(node), [], {})
    assert {one for one in set(sys.modules) - before if not one.startswith("river.stats")} == set()


MEAN = {"call": "river.stats.mean.Mean", "with": []}
NUMBERS = {"array": [1], "dtype": "<f8", "order": "C", "data": "AAAAAAAAAAA="}
TABLE = {"random": 624, "gauss": [0, 0.0], "data": "AAAA" * 832}
MADE_UP = {
    "a function to call": ([{"call": "builtins.len", "with": [[1]]}, {"list": []}], "is no class"),
    "a function of river": ([{"new": "river.utils.math.sigmoid", "with": [1.0]}], "is no class"),
    "a class of classes": ([{"call": "river.base.estimator.EstimatorMeta", "with": []}], "is no"),
    "nothing to call it with": ([{"call": "river.stats.mean.Mean"}], "KeyError: 'with'"),
    "too much": ([{"call": "river.stats.mean.Mean", "with": [1, 2]}], "TypeError"),
    "a buffer too long": ([{"call": "builtins.bytearray", "with": [1 << 60]}], "MemoryError"),
    "a number too long": ([{"call": "builtins.float", "with": [[1]]}, {"int": "f" * 999}], "Overf"),
    "no state": ([{**MEAN, "state": 5}], "TypeError"),
    "a state that is nowhere": ([{**MEAN, "state": [9]}], "IndexError"),
    "items where none go": ([{**MEAN, "items": [1]}], "AttributeError"),
    "pairs where none go": ([{**MEAN, "pairs": [[1], [2]]}], "TypeError"),
    "half a pair": ([{**MEAN, "pairs": [[1], []]}], "ValueError"),
    "a tuple in itself": ([{"tuple": [[0]]}], "node 0 is a part of itself"),
    "an object for itself": ([{"call": "functools.partial", "with": [[0]]}], "0 is a part of its"),
    "a ring of two": ([{"frozenset": [[1]]}, {"tuple": [[0]]}], "node 0 is a part of itself"),
    "a list in a set": ([{"set": [[1]]}, {"list": []}], "unhashable"),
    "a dict as a key": ([{"dict": [[[1]], [1]]}, {"dict": [[], []]}], "unhashable"),
    "a dict of numbers": ([{"dict": [5, 6]}], "TypeError"),
    "three in a pair": ([{"dict": [[1], [2], [3]]}], "ValueError"),
    "floats cut short": ([{"list": {"floats": "AAAAAAAA8D"}}], "Error"),
    "floats that are none": ([{"list": {"ints": "AAAAAAAA8D8="}}], "KeyError"),
    "a list of nothing": ([{"list": 5}], "TypeError"),
    "a number that is none": ([{"int": "seven"}], "ValueError"),
    "bytes that are none": ([{"bytes": 7}], "TypeError"),
    "bytes cut short": ([{"bytes": "a"}], "base64"),
    "no pattern": ([{"pattern": "(", "flags": 0}], "unterminated"),
    "no flags": ([{"pattern": "a", "flags": "x"}], "TypeError"),
    "an array cut short": ([{**NUMBERS, "data": ""}], "buffer"),
    "an array of less than nothing": ([{**NUMBERS, "array": [-2, -2]}], "Error"),
    "an array without end": ([{**NUMBERS, "array": [1 << 70]}], "Error"),
    "an array of addresses": ([{**NUMBERS, "dtype": "O"}], "object is no dtype of bytes"),
    "an address": ([{**NUMBERS, "dtype": "O", "scalar": []}], "object is no dtype of bytes"),
    "an array of anything": ([{**NUMBERS, "dtype": "V8"}], "is no dtype of bytes"),
    "an array of nothing": ([{**NUMBERS, "dtype": "?!"}], "TypeError"),
    "an array in no order": ([{**NUMBERS, "order": "X"}], "order"),
    "vectors that are not there": (
        [{"learnt": 0, "component": {"direction": [0.0], "vectors": 0}}], "IndexError",
    ),
    "no generator": ([{"random": 5}], "KeyError"),
    "a generator before its table": ([{**TABLE, "random": -1}], "is not in its table"),
    "a generator too far": ([{**TABLE, "random": 625}], "is not in its table"),
    "a generator without a table": ([{**TABLE, "data": ""}], "is not in its table"),
    "a generator of Python's behind its table": (
        [{"call": "random.Random", "with": [], "state": [1]}, {"tuple": [3, [2], None]},
         {"tuple": [0] * 624 + [9999]}], "invalid state",
    ),
    "a method that writes files": ([{"method": "tofile", "of": [1]}, NUMBERS], "tofile is no meth"),
    "a method of a container": ([{"method": "append", "of": [1]}, {"list": []}], "is no method"),
    "a method of Python's": ([{"method": "__reduce__", "of": [1]}, MEAN], "is no method"),
    "a method of a function": (
        [{"method": "__get__", "of": [1]}, {"name": "river.utils.math.sigmoid"}], "is no method",
    ),
    "what is no method": ([{"method": "n", "of": [1]}, MEAN], "n is no method"),
    "a way to the model": (
        [{"method": "model", "of": [1]},
         {"call": "stream_w2v.estimators.transformer.Word2VecTransformer", "with": []}], "is no m",
    ),
    "what makes compiled code panic": (
        [{"new": "river._river_rust.drift.AdaptiveWindowing", "with": [], "state": [1]},
         {"bytes": "/////////////////////w=="}], "panic|Panic|Error",
    ),
    "an empty node": ([{}], "KeyError"),
    "no node": ([5], "TypeError"),
    "no nodes": ([], "IndexError"),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "match"), MADE_UP.values(), ids=MADE_UP)
def test_what_does_not_hold_together_is_refused(nodes, match):
    """In one line, whatever is wrong with it, and whoever finds it out."""
    with pytest.raises(FormatError, match=match) as caught:
        from_json(crafted(*nodes), [], {})
    assert str(caught.value).startswith("the saved pipeline does not hold together (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "kept",
    [
        crafted(MEAN, root=[0, 0]), crafted(MEAN, root=[[0]]), crafted(MEAN, root=["0"]),
        crafted(MEAN, root=[9]), {"river": river_version(), "nodes": []}, {}, [], None, "river", 7,
        {"river": river_version(), "root": [0], "nodes": None},
        {"river": river_version(), "root": [0], "nodes": 5},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_saved_pipeline_is_refused(kept):
    """Whatever it is."""
    with pytest.raises(FormatError, match="the saved pipeline does not hold together"):
        from_json(kept, [], {})


def test_another_rivers_is_refused():
    """What is inside its classes may have changed."""
    kept, _ = to_json(stats.Mean(), {})
    for version in ("0.1", None, [], "0.26.1"):
        with pytest.raises(
            VersionError, match=r"was saved with river .*, and this is \d+\.\d+: inst"
        ):
            from_json({**kept, "river": version}, [], {})


def test_nesting_without_end_takes_no_stack():
    """Lists in lists, tuples in tuples."""
    for kind in ("list", "tuple"):
        nodes = [{kind: [[number + 1]]} for number in range(5_000)]
        assert len(from_json(crafted(*nodes, {"list": []}), [], {})) == 1


FORBIDDEN = {
    "os", "io.open", "subprocess", "socket", "ssl", "http", "urllib", "requests", "pickle",
    "shelve", "shutil", "tempfile", "pathlib", "ctypes", "marshal", "runpy", "multiprocessing",
}  # fmt: skip


def test_no_module_of_river_that_is_looked_into_touches_files_or_the_network():
    """Nor does it run what it is given as text."""
    looked_into = 0
    for module in pkgutil.walk_packages(river.__path__, "river."):
        if {"envs", "stream"} & set(module.name.split(".")):
            # They need other packages.
            assert find(f"{module.name}.anything", {}) is None
            continue
        there = importlib.import_module(module.name)
        if not any(find(f"{module.name}.{name}", {}) for name in vars(there)):
            continue
        looked_into += 1
        if there.__file__.endswith(".py"):
            tree = ast.parse(Path(there.__file__).read_text(encoding="utf-8"))
            imported = {
                name.name.partition(".")[0] if isinstance(node, ast.Import) else node.module
                for node in ast.walk(tree)
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in node.names
            }
            called = {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert not imported & FORBIDDEN, module.name
            assert not called & {"open", "exec", "eval", "compile", "__import__"}, module.name
    assert looked_into > 200


WATCHED = re.compile(r"open|exec|compile|(os|subprocess|socket|shutil|tempfile|ctypes|urllib)\.")
PYTHON = (sys.prefix, sys.base_prefix)
_seen = None


def _audit(event, given):
    if _seen is not None and WATCHED.match(event):
        where = given[1] if event == "compile" else getattr(given[0], "co_filename", given[0])
        # A module may be imported when it is first needed.
        if not str(where).startswith(PYTHON):
            _seen.append((event, where))


@functools.cache
def _saved_pipeline():
    sys.addaudithook(_audit)
    model = (
        feature_extraction.TFIDF(on="body") + learnt(on="body", remove_component=True)
    ) | neighbors.KNNClassifier(engine=neighbors.SWINN(graph_k=3, warm_up=9, seed=1))
    for x, y in messages(20):
        model.learn_one(x, y)
    kept, models = to_json((model, metrics.MacroF1(), np.random.RandomState(1)), {})
    return json.dumps(kept), models


json_values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5000), st.floats(), st.text(max_size=5),
    st.integers(-1, 300).map(lambda place: [place]), st.lists(st.integers(0, 9), max_size=3),
    st.sampled_from(FOREIGN), st.sampled_from(list(CLASSES)), st.just({}), st.just("tofile"),
    st.sampled_from(["builtins.list", "functools.partial", "collections.deque", "numpy.ones"]),
)  # fmt: skip


def _containers(value):
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _containers(part)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_file_that_was_changed_anywhere_is_read_or_refused(data):
    """Never another error, and nothing is opened, run or connected to."""
    global _seen
    text, models = _saved_pipeline()
    kept = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        nodes = kept["nodes"]
        places = list(_containers(nodes[data.draw(st.integers(0, len(nodes) - 1))]))
        if places:
            place = data.draw(st.sampled_from(places))
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if names:
                name = data.draw(st.sampled_from(names))
                if data.draw(st.booleans()):
                    place[name] = data.draw(json_values)
                else:
                    del place[name]
    _seen = []
    try:
        from_json(kept, models, {})
    except (FormatError, ConfigError) as error:
        assert "\n" not in str(error)
    finally:
        seen, _seen = _seen, None
    assert seen == []
