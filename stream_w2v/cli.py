"""The command ``stream-w2v``: read the command line, call the library, say what came of it.

Exit codes: 0 done; 2 the command line is wrong; 1 the run failed; 130 and 143 aborted by a second
signal. Every error is one line on standard error.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer
from typer.main import get_command

from stream_w2v.checkpoint import (
    PIPELINE,
    Checkpoint,
    Checkpoints,
    checkpoint_files,
    load_checkpoint,
)
from stream_w2v.config import Config
from stream_w2v.connectors.kafka_options import is_topic
from stream_w2v.drift import ALARM, LEAST_WORDS, Drift, measure_drift
from stream_w2v.errors import ConfigError, SourceNotFoundError, StreamW2VError
from stream_w2v.evaluation import AnalogyResult, evaluate_analogies, evaluate_similarity
from stream_w2v.formats import ENDINGS, KIND, format_of
from stream_w2v.memory import memory_bound, memory_now
from stream_w2v.model import Word2Vec
from stream_w2v.options import option_name, with_model_options
from stream_w2v.output import check_output, printable, say, say_json
from stream_w2v.progress import short
from stream_w2v.run import Run, execute, open_reader, read_topic
from stream_w2v.snapshot import COMBINATIONS, DEFAULT_COMBINATION
from stream_w2v.storage import kind_of
from stream_w2v.stream import dead_letters
from stream_w2v.vectors import KeyedVectors

NAME = "stream-w2v"

LOG_FORMATS = ("text", "json")

_FORMATS = ", ".join(ENDINGS.values())
_ENDINGS = ", ".join(ENDINGS)

SOME_CONTEXTS = 500_000
"""Contexts that --refresh keeps unless told otherwise: 24 MB. Of 17 M tokens, 650,000 hold four
fifths of all contexts of the rare words."""

_DRIFT_NEIGHBOURS = 4
"""Of each kind on a line of drift: with all ten it would be too long to read."""

app = typer.Typer(
    name=NAME,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

VectorsArgument = Annotated[
    str,
    typer.Argument(
        metavar="VECTORS",
        help="A file of vectors, a saved model, checkpoints, or kafka://host:port/topic.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]
FormatOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"One of {_FORMATS}; else the ending decides."),
]

CombineOption = Annotated[
    str,
    typer.Option(
        metavar="|".join(COMBINATIONS),
        help="The input vectors, or the sum of them and half the output vectors.",
    ),
]
RefreshOption = Annotated[
    bool,
    typer.Option(
        "--refresh",
        help="Train what is written some more, on what was kept for that: the replay, and the "
        f"contexts of rare words (train keeps {SOME_CONTEXTS:,}, or --refresh-contexts).",
    ),
]


def _examples(*lines: str) -> str:
    # Two spaces at the end of a line break it in Markdown.
    return "**Examples**\n\n" + "  \n".join(f"`{line}`" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end]
    # A terminal or a locale that cannot show a word is no reason to fail.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    as_log = "--log-format=json" in arguments[:end] or any(
        pair == ("--log-format", "json") for pair in pairwise(arguments[:end])
    )
    log, handler = logging.getLogger("stream_w2v"), _Lines(as_json=as_log)
    log.addHandler(handler)
    hangup = signal.getsignal(signal.SIGHUP)
    if hangup == signal.SIG_DFL and not sys.stderr.isatty():
        # A service may be told to look again before it looks at all.
        signal.signal(signal.SIGHUP, lambda *_: None)
    level = log.level
    log.setLevel(logging.INFO if as_log else logging.WARNING)
    try:
        # It stands for the whole run, wherever in the line it comes.
        arguments[:end] = [word for word in arguments[:end] if word != "--debug"]
        code = get_command(app).main(arguments, prog_name=NAME, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if isinstance(error.__cause__, BrokenPipeError):
            # Whoever read what was written (`export ... /dev/stdout | head`) has seen enough.
            return 0
        message, code = _explain(error)
        with contextlib.suppress(OSError):
            if debug and not as_log:
                traceback.print_exc()
            where = {"traceback": traceback.format_exc()} if debug else None
            handler.say("error", message, where)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        signal.signal(signal.SIGHUP, hangup)
    return code if isinstance(code, int) else 0


class _Lines(logging.Handler):
    """Prints what the library says, one line each, on what standard error is then."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        facts = getattr(record, "facts", {})
        with contextlib.suppress(OSError):
            self.say(record.levelname.lower(), record.getMessage(), facts)

    def say(self, level: str, message: str, facts: Mapping[str, Any] | None = None) -> None:
        """Print one line, whatever a file's name or a library's message holds."""
        message = " ".join(message.split())
        if self._as_json:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = {"time": now, "level": level, "message": message, **(facts or {})}
            # JSON has no number for a loss that is not finite.
            known = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in line.items()
            }
            print(json.dumps(known), file=sys.stderr, flush=True)
        else:
            print(f"{NAME}: {level}: {message}", file=sys.stderr, flush=True)


def _explain(error: Exception) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else NAME
        return f"{error.format_message().rstrip('.')} (see {command} --help)", error.exit_code
    if isinstance(error, StreamW2VError):
        return str(error), 2 if isinstance(error, ConfigError | SourceNotFoundError) else 1
    if isinstance(error, MemoryError):
        return f"out of memory: {error or 'lower max_vocab_size or max_candidates'}", 1
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'in the middle of the run'}", 1
    return f"this is a bug, {type(error).__name__}: {error} (--debug shows where)", 1


def _refuse(message: str) -> NoReturn:
    """Say that the command line is wrong."""
    raise ConfigError(message)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"{NAME} {version(NAME)}")
        raise typer.Exit


@app.callback()
def _global(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Word vectors from text that never stops arriving."""


# The commands that train

CheckpointEveryOption = Annotated[
    int | None,
    typer.Option(
        metavar="RECORDS",
        min=1,
        help="Write a checkpoint after so many records; looked at after each batch, some 128 KB.",
    ),
]
CheckpointSecondsOption = Annotated[
    float | None,
    typer.Option(
        metavar="S", min=0.1, help="Write a checkpoint after so many seconds (60 by default)."
    ),
]
FollowOption = Annotated[
    bool | None,
    typer.Option(
        "--follow/--no-follow",
        help="Wait for more at the end of the source, or stop there (by default: files stop).",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
LogFormatOption = Annotated[
    str,
    typer.Option(
        metavar="|".join(LOG_FORMATS),
        help="What is said on the way: lines for people, or JSON lines for programs.",
    ),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Serve metrics to Prometheus there; without a host, to this machine only.",
    ),
]


@app.command(
    epilog=_examples(
        "stream-w2v train corpus.txt.gz --vectors vectors.safetensors",
        "stream-w2v train 'logs/*.zst' --text whitespace --min-count 10 --vectors tokens.bin",
        "zcat corpus.txt.gz | stream-w2v train - --vectors vectors.txt --save model.safetensors",
        "stream-w2v train more.txt --load model.safetensors --save model.safetensors",
        "stream-w2v train corpus.txt --checkpoint state/ --vectors vectors.bin",
    )
)
@with_model_options
def train(
    *,
    source: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Files, globs, or - for stdin.")
    ],
    options: Mapping[str, Any],
    vectors: Annotated[
        str | None,
        typer.Option(
            metavar="OUT",
            help=f"Write the vectors: to a file in {_ENDINGS} (and .gz), or what has changed to a "
            "compacted topic, kafka://host:port/topic.",
        ),
    ] = None,
    format: FormatOption = None,
    vectors_every: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=1, help="Write the vectors this often, not only at the end."
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Save the whole model, to go on from.")
    ] = None,
    drift: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Append what has drifted since the last look, one JSON object a line.",
        ),
    ] = None,
    drift_every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="How often to look (3600 by default)."),
    ] = None,
    load: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Go on with a saved model, unless there is a checkpoint already.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep checkpoints of the model and its place in the source there, and go on from "
            "the newest.",
        ),
    ] = None,
    checkpoint_every: CheckpointEveryOption = None,
    checkpoint_seconds: CheckpointSecondsOption = None,
    checkpoint_keep: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How many checkpoints to keep (3 by default)."),
    ] = None,
    follow: FollowOption = None,
    field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Records are JSON objects, and this is the text: a.b"),
    ] = None,
    record_start: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="With --follow: a record begins with a line that matches, others go on with it.",
        ),
    ] = None,
    dead_letters: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Keep records there that cannot be read (JSON lines)."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="WHERE", help="Where to begin the first time: earliest or latest."),
    ] = None,
    combine: CombineOption = DEFAULT_COMBINATION,
    refresh: RefreshOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
    metrics: MetricsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on text, in one pass.

    One line is one record. What is compressed (gzip, zstd, bzip2, xz) is read as it is. Ctrl-C
    finishes what is in hand and writes what was asked for; one more, after a second, aborts.
    """
    as_log = _as_log(log_format)
    if vectors is None and save is None and drift is None and checkpoint is None:
        _refuse("nothing would be kept: give --vectors OUT, --save MODEL or --checkpoint DIR")
    only_with = {
        "--vectors": {
            "--format": format is not None,
            "--vectors-every": vectors_every is not None,
            "--combine": combine != DEFAULT_COMBINATION,
            "--refresh": refresh,
        },
        "--checkpoint": {
            "--checkpoint-every": checkpoint_every is not None,
            "--checkpoint-seconds": checkpoint_seconds is not None,
            "--checkpoint-keep": checkpoint_keep is not None,
        },
        "--drift": {"--drift-every": drift_every is not None},
    }
    for needed, value in (
        ("--vectors", vectors),
        ("--checkpoint", checkpoint),
        ("--drift", drift),
    ):
        for name, given in only_with[needed].items():
            if given and value is None:
                _refuse(f"{name} is about {needed}, which is not given")
    goes_on = checkpoint is not None and _has_checkpoint(checkpoint)
    run = Run(
        sources=source,
        follow=follow,
        vectors=vectors,
        format=format,
        vectors_every=vectors_every,
        combine=combine,
        refresh=refresh,
        save=None if save is None else str(save),
        drift=None if drift is None else str(drift),
        drift_every=drift_every,
        field=field,
        record_start=record_start,
        dead_letters=dead_letters,
        start=start,
        checkpoint_every=checkpoint_every,
        checkpoint_seconds=checkpoint_seconds,
        checkpoint_keep=checkpoint_keep or 3,
    )
    # What is wrong with the command line is said before anything is made.
    config = Config.from_options(options)
    if load is None and not goes_on:
        config = _new_config(options, refresh=refresh)
    with open_reader(run, checkpoint) as reader, _checkpoints(checkpoint, run) as checkpoints:
        begin = None if checkpoints is None else _newest(checkpoints, options.get("workers"))
        if begin is not None:
            _check_options(begin.model, options, begin.path)
        elif load is not None:
            begin = Checkpoint(_load_for_training(load, options))
        else:
            begin = Checkpoint(Word2Vec(config))
        execute(
            run,
            reader,
            begin,
            checkpoints,
            quiet=quiet,
            as_json=as_json,
            as_log=as_log,
            metrics=metrics,
        )


@app.command(epilog=_examples("stream-w2v resume state/ --vectors vectors.bin"))
def resume(
    *,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="What was given to train --checkpoint.")
    ],
    vectors: Annotated[
        str | None, typer.Option(metavar="OUT", help="Write the vectors there instead.")
    ] = None,
    format: FormatOption = None,
    broker: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the broker is now, if it has moved."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Training threads from now on.")
    ] = None,
    checkpoint_every: CheckpointEveryOption = None,
    checkpoint_seconds: CheckpointSecondsOption = None,
    follow: FollowOption = None,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
    metrics: MetricsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run from its newest checkpoint, as if it had never stopped.

    What the options change stays so when it is resumed again, but for --no-follow, which is for
    this time only.
    """
    as_log = _as_log(log_format)
    if format is not None and vectors is None:
        _refuse("--format is about --vectors, which is not given")
    if not directory.is_dir():
        _refuse(f"there is no directory {directory}")
    if not _has_checkpoint(directory):
        _refuse(f"{directory} holds no checkpoint: start with train SOURCE --checkpoint DIR")
    with Checkpoints(directory) as checkpoints:
        start = _newest(checkpoints, workers)
        assert start is not None
        _check_options(start.model, {}, start.path)
        changes = {} if vectors is None else {"vectors": vectors, "format": format}
        run = Run.from_dict(start.run, **changes)
        if broker is not None:
            run = _at_broker(run, broker)
        if checkpoint_every is not None or checkpoint_seconds is not None:
            run = replace(
                run, checkpoint_every=checkpoint_every, checkpoint_seconds=checkpoint_seconds
            )
        if follow:
            run = replace(run, follow=True)
        checkpoints.keep, checkpoints.run = run.checkpoint_keep, run.to_dict()
        until_end = follow is False and run.follow is True
        if follow is False:
            run = replace(run, follow=False)
        with open_reader(run, directory, until_end=until_end) as reader:
            execute(
                run,
                reader,
                start,
                checkpoints,
                quiet=quiet,
                as_json=as_json,
                as_log=as_log,
                metrics=metrics,
            )


def _as_log(log_format: str) -> bool:
    if log_format not in LOG_FORMATS:
        _refuse(f"--log-format must be one of {', '.join(LOG_FORMATS)}, not {log_format}")
    return log_format == "json"


def _has_checkpoint(directory: Path) -> bool:
    return directory.is_dir() and bool(checkpoint_files(directory))


def _checkpoints(
    directory: Path | None, run: Run
) -> contextlib.AbstractContextManager[Checkpoints | None]:
    if directory is None:
        return contextlib.nullcontext()
    return Checkpoints(directory, run.checkpoint_keep, run=run.to_dict())


def _newest(checkpoints: Checkpoints, workers: int | None) -> Checkpoint | None:
    # A model whose text was cut by a function needs one to be loaded; it is refused after that.
    return checkpoints.load(text=str.split, workers=workers)


def _at_broker(run: Run, broker: str) -> Run:
    """Return a run whose topics are at another broker."""
    if not re.fullmatch(r"[^/@?#\s]+", broker):
        _refuse("--broker is HOST:PORT, several with commas between them")

    def moved(name: str) -> str:
        return urlsplit(name)._replace(netloc=broker).geturl() if is_topic(name) else name

    if not any(map(is_topic, [*run.sources, run.vectors or ""])):
        _refuse("--broker is about Kafka, and this run reads and writes something else")
    return replace(
        run, sources=[*map(moved, run.sources)], vectors=run.vectors and moved(run.vectors)
    )


def _new_config(options: Mapping[str, Any], *, refresh: bool) -> Config:
    """Return the options of a new model."""
    if refresh:
        options = {"refresh_contexts": SOME_CONTEXTS, **options}
    config = Config.from_options(options)
    for name in ("replay_passes", "replay_sample"):
        if name in options and not config.replay_tokens:
            _refuse(f"{option_name(name)} is about --replay-tokens, which is 0")
    return config


def _load_for_training(path: Path, options: Mapping[str, Any]) -> Word2Vec:
    model = _load(path, options.get("workers"))
    if not isinstance(model, Word2Vec):
        _refuse(f"{path} holds vectors only, which cannot be trained on: name a saved model")
    _check_options(model, options, path)
    return model


def _check_options(model: Word2Vec, options: Mapping[str, Any], path: Path | None) -> None:
    """Refuse options that a saved model contradicts."""
    if callable(model.config.text):
        _refuse(f"{path} cuts text into words by a Python function: go on with it in Python")
    for name, value in options.items():
        has = getattr(model.config, name)
        if value != has:
            _refuse(
                f"{option_name(name)} {value} contradicts {path}, which has {name} {has}: "
                "leave the option out, or train a new model"
            )


# The commands that read


def _load(name: str | Path, workers: int | None = None) -> Word2Vec | KeyedVectors:
    """Read a saved model or vectors, told by the content; of a directory the newest checkpoint."""
    if is_topic(name):
        return read_topic(str(name))
    path = Path(name)
    if path.is_dir():
        return load_checkpoint(path, text=str.split, workers=workers).model
    if kind_of(path) in (None, KIND):
        return KeyedVectors.load(path)
    # A model whose text was cut by a function needs one, but here no text is cut.
    return Word2Vec.load(path, text=str.split, workers=workers)


def _load_vectors(
    path: str, combine: str = DEFAULT_COMBINATION, refresh: bool = False
) -> KeyedVectors:
    loaded = _load(path)
    if isinstance(loaded, Word2Vec):
        return loaded.snapshot(combine=combine, refresh=refresh)
    if refresh or combine != DEFAULT_COMBINATION:
        _refuse(f"{path} holds vectors only: --combine and --refresh need a saved model")
    return loaded


@app.command(
    epilog=_examples(
        "stream-w2v similar vectors.safetensors king -n 5",
        "stream-w2v similar vectors.txt king woman --minus man",
    )
)
def similar(
    vectors: VectorsArgument,
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="Words to be near to.")],
    minus: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="A word to be far from; repeatable.")
    ] = None,
    topn: Annotated[int, typer.Option("-n", "--topn", min=1, help="Words to print.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Print the words nearest to some words, with their cosine similarity."""
    found = _load_vectors(vectors).most_similar(words, minus or [], topn=topn)
    if as_json:
        say_json([{"word": word, "similarity": score} for word, score in found])
        return
    shown = [(printable(word), f"{score:.4f}") for word, score in found]
    width = max((len(word) for word, _ in shown), default=0) if sys.stdout.isatty() else 0
    say("\n".join(f"{word:<{width}}\t{score}" for word, score in shown))


@app.command(
    epilog=_examples(
        "stream-w2v drift monday.safetensors friday.safetensors",
        "stream-w2v drift monday.safetensors state/ -n 100 --json",
    )
)
def drift(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="The older snapshot: what similar takes.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A newer one of the same model.")],
    topn: Annotated[int, typer.Option("-n", "--topn", min=1, help="Words to print.")] = 20,
    min_count: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Compare words that came so often before OLD, and again since (5 by default).",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the words that moved further than their counts explain.

    One line a word: its score, how far it moved and what is usual for such counts (cosine
    distances), how often it was seen then and now, and near which words it was but is no longer,
    and the other way round. Where nothing has changed, at most one word in 2,000 scores above 4.
    """
    found = measure_drift(_load_vectors(old), _load_vectors(new), min_count)
    if not found.common:
        _refuse(f"{old} and {new} have no word in common")
    if not found.words:
        _refuse(
            f"fewer than {LEAST_WORDS} of the {found.common} words that {old} and {new} have in "
            "common came often enough before and since, so there is no telling what is usual: "
            "compare later snapshots, or lower --min-count"
        )
    if as_json:
        say_json(found.to_dict(topn))
        return
    lines = list(_drift_lines(found, topn))
    if sys.stdout.isatty():
        titles = ("word", "score", "distance", "usual", "then", "now", "away from", "towards")
        lines = [titles, *lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines = [["  ".join(map(str.ljust, line, widths)).rstrip()] for line in lines]
        lines.append([_drift_summary(found)])
    say("\n".join("\t".join(line) for line in lines))


def _drift_lines(found: Drift, topn: int) -> Iterator[Sequence[str]]:
    for word in found.most(topn):
        yield (
            printable(word.word),
            f"{word.score:.1f}",
            f"{word.distance:.3f}",
            f"{word.expected:.3f}",
            "" if word.then is None else str(word.then),
            "" if word.now is None else str(word.now),
            *(
                ", ".join(map(printable, others[:_DRIFT_NEIGHBOURS]))
                for others in (word.lost, word.gained)
            ),
        )


def _drift_summary(found: Drift) -> str:
    return (
        f"{found.alarms:,} of {len(found.words):,} words score above {ALARM}; "
        f"{len(found.appeared):,} words are new, {len(found.vanished):,} have gone"
    )


@app.command(
    epilog=_examples(
        "stream-w2v evaluate vectors.bin --similarity wordsim353.tsv",
        "stream-w2v evaluate vectors.bin --analogies questions-words.txt --json",
    )
)
def evaluate(
    vectors: VectorsArgument,
    similarity: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Lines of two words and a score.")
    ] = None,
    analogies: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Lines of four words; ': name' sections.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score vectors on word similarity and on analogies."""
    if similarity is None and analogies is None:
        _refuse("nothing to evaluate: give --similarity FILE or --analogies FILE")
    wv = _load_vectors(vectors)
    result: dict[str, Any] = {}
    lines = []
    if similarity is not None:
        pairs = evaluate_similarity(wv, similarity)
        result["similarity"] = asdict(pairs) | {"spearman": _number(pairs.spearman)}
        score = "unknown" if math.isnan(pairs.spearman) else f"{pairs.spearman:.3f}"
        total = pairs.pairs + pairs.unknown
        lines.append(f"similarity {score} (Spearman, {pairs.pairs} of {total} pairs)")
    if analogies is not None:
        answers = evaluate_analogies(wv, analogies)
        result["analogies"] = _answers(answers)
        score = "unknown" if not answers.total else f"{100 * answers.accuracy:.1f} %"
        total = answers.total + answers.unknown
        lines.append(
            f"analogies {score} "
            f"({answers.correct} right of {answers.total} asked, {total} in the file)"
        )
    if as_json:
        say_json(result)
    else:
        say("\n".join(lines))


def _answers(answers: AnalogyResult) -> dict[str, Any]:
    sections = [
        asdict(section) | {"accuracy": _number(section.accuracy)} for section in answers.sections
    ]
    return asdict(answers) | {"accuracy": _number(answers.accuracy), "sections": sections}


def _number(value: float) -> float | None:
    """Return what JSON can say: it has no nan."""
    return None if math.isnan(value) else value


@app.command(
    epilog=_examples(
        "stream-w2v export model.safetensors vectors.txt.gz",
        "stream-w2v export vectors.safetensors /dev/stdout --format vocab",
    )
)
def export(
    file: VectorsArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help=f"Where to; a name in {_ENDINGS} (and .gz).")
    ],
    format: FormatOption = None,
    combine: CombineOption = DEFAULT_COMBINATION,
    refresh: RefreshOption = False,
) -> None:
    """Write vectors in another format."""
    form = format_of(out, format)
    check_output(out)
    _load_vectors(file, combine, refresh).save(out, form)


@app.command(
    epilog=_examples("stream-w2v info model.safetensors", "stream-w2v info vectors.txt --json")
)
def info(
    file: VectorsArgument,
    as_json: JsonOption = False,
) -> None:
    """Say what a file holds, and how much memory a model takes."""
    loaded = _load(file)
    facts: dict[str, Any]
    if isinstance(loaded, Word2Vec):
        facts = {
            "kind": "checkpoint" if "positions" in loaded.metadata else "model",
            "words": len(loaded.vocabulary),
            "vector_size": loaded.config.vector_size,
            "waiting_words": loaded.vocabulary.candidates,
            "memory": {"now": memory_now(loaded), "bound": memory_bound(loaded.config)},
            "counters": loaded.counters,
            "config": loaded.config.to_dict(),
            **loaded.metadata,
        }
        if isinstance(facts.get("run"), Mapping) and PIPELINE in facts["run"]:
            facts["run"] = {PIPELINE: "of river"}
        if unread := dead_letters(loaded.metadata.get("positions", {})):
            facts["unreadable_records"] = dict(unread)
    else:
        facts = {
            "kind": "vectors",
            "words": len(loaded),
            "vector_size": loaded.vector_size,
            "counts": loaded.counts is not None,
        }
    if as_json:
        say_json(facts)
        return
    if "memory" in facts:
        facts["memory"] = {when: f"{short(size)}B" for when, size in facts["memory"].items()}
    say("\n".join(_lines(facts)))


def _lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name:<{20 - len(indent)}} {value}"
