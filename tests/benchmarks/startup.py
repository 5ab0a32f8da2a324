"""How long it takes until something happens."""

from __future__ import annotations

import tempfile

from tests.benchmarks.child import Run, work
from tests.benchmarks.report import Section
from tests.benchmarks.setting import Setting
from tests.benchmarks.turns import say, spread, take_turns


def _first_without_cache(setting: Setting) -> Run:
    with tempfile.TemporaryDirectory(dir=setting.folder) as cache:
        return work("our_side", "first", {"NUMBA_CACHE_DIR": cache})


def measure(setting: Setting) -> Section:
    """Time imports, and the first record of a new process."""
    work("our_side", "first")
    loads = take_turns(
        "import",
        lambda: work("our_side", "load"),
        lambda: work("gensim_side", "load"),
        setting.pairs,
    )
    ours, theirs = ([one.answer["seconds"] for one in side] for side in zip(*loads, strict=True))
    say("first record: cached, then from nothing")
    cached = [work("our_side", "first").answer for _ in range(setting.pairs)]
    fresh = [_first_without_cache(setting).answer for _ in range(1 if setting.quick else 3)]
    rows = [
        ["`import`", spread(ours, unit=" s"), spread(theirs, unit=" s")],
        *(
            [title, spread([one[key] for one in answers], unit=" s"), ""]
            for title, answers, key in (
                ("first `learn_one`, compiled code cached", cached, "first"),
                ("from before the import to after it", cached, "until_learnt"),
                ("first `learn_one`, nothing cached", fresh, "first"),
                ("from before the import to after it", fresh, "until_learnt"),
            )
        ),
    ]
    return Section(
        title="Start-up",
        columns=("", "stream-w2v", "gensim"),
        rows=rows,
        notes=(
            "`from stream_w2v import Word2Vec` and `from gensim.models import Word2Vec`, files in "
            "the system's cache. Compiling happens once in the life of an installation.",
        ),
        raw={"import": {"stream-w2v": ours, "gensim": theirs}, "cached": cached, "fresh": fresh},
    )
