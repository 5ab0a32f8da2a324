"""The cache of compiled code may fail in any way, and only costs time."""

import os
import subprocess
import sys

import pytest

LEARN = """
import stream_w2v
model = stream_w2v.Word2Vec(vector_size=4, min_count=1)
model.learn_one("a b c")
print(sorted(model.snapshot().index_to_key))
"""


def learn(cache) -> str:
    """Learn three words in a new process that keeps its compiled code in a folder."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", LEARN],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stderr == ""
    return run.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a folder with compiled code."""
    folder = tmp_path_factory.mktemp("cache")
    assert learn(folder) == "['a', 'b', 'c']\n"
    return folder


def test_damaged_code_is_compiled_anew(cache):
    """What a power cut leaves, empty and truncated files, is written over."""
    data = sorted(cache.rglob("*.nbc"))
    index = sorted(cache.rglob("*.nbi"))
    assert len(data) >= 2
    data[0].write_bytes(b"")
    data[1].write_bytes(data[1].read_bytes()[:1000])
    index[-1].write_bytes(b"")
    assert learn(cache) == "['a', 'b', 'c']\n"
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb*")}
    assert learn(cache) == "['a', 'b', 'c']\n"
    assert before == {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb*")}


def test_code_that_cannot_be_kept_runs(monkeypatch, tmp_path):
    """A full disk under the cache does not stop what was just compiled."""
    from stream_w2v.kernel import compile as compiling

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiling.FunctionCache, "save_overload", full)
    cache = object.__new__(compiling._Cache)
    assert cache.save_overload(None, None) is None


def test_functions_of_others_compile_beside_ours():
    """Importing the library does not disturb numba: here, a function without a module."""
    from numba import njit

    import stream_w2v  # noqa: F401

    namespace = {}
    exec("def double(x): return 2 * x", namespace)
    assert njit(namespace["double"])(21) == 42


def test_types_are_looked_at_once():
    """What follows is taken to have the same; here, another array and another number."""
    import numpy as np

    from stream_w2v.kernel import tokenise
    from stream_w2v.kernel.compile import SameTypes

    hash_words = SameTypes(tokenise.hash_words)
    for text, ends in ((b"a", [1]), (b"abc", [1, 3]), (b"", [])):
        expected, hashes = np.zeros((2, len(ends)), dtype=np.uint64)
        arguments = np.frombuffer(bytearray(text), np.uint8), np.array(ends, dtype=np.int64)
        tokenise.hash_words(*arguments, expected)
        hash_words(*arguments, hashes)
        assert hashes.tolist() == expected.tolist()
