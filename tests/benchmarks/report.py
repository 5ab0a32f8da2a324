"""The page of figures, with the raw figures and the plots beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.child import run
from tests.benchmarks.turns import say

PAGE, FIGURES = "benchmark.md", "benchmark.json"


@dataclass(frozen=True, slots=True)
class Section:
    """One table, what has to be said about it, and the figures it was made from."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


def _section(section: Mapping[str, Any], plot: str | None) -> str:
    """Write one section."""
    table = [section["columns"], ["---"] * len(section["columns"]), *section["rows"]]
    parts = [
        f"## {section['title']}",
        "\n".join("| " + " | ".join(row) + " |" for row in table),
        f"![{section['title']}]({plot})" if plot else "",
        "\n".join(f"- {note}" for note in section["notes"]),
    ]
    return "\n\n".join(filter(None, parts))


def _page(figures: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """Write the whole page."""
    machine, corpus, sections = (figures[key] for key in ("machine", "corpus", "sections"))
    runs: dict[tuple[str, str], list[str]] = {}
    for part in sections.values():
        runs.setdefault((part["date"], part["command"]), []).append(part["title"])
    parts = [
        "# stream-w2v and gensim, measured",
        f"{machine['processor']} ({machine['cores']}, {machine['memory']}), "
        f"{machine['system']}, Python {machine['python']}, stream-w2v {machine['stream-w2v']}, "
        f"gensim {machine['gensim']}, numba {machine['numba']}, numpy {machine['numpy']}, "
        f"scipy {machine['scipy']}.",
        f"Text: `{corpus['name']}`, {corpus['tokens']:,} tokens, {corpus['lines']:,} lines, "
        f"{corpus['types']:,} different words, {corpus['frequent_types']:,} of them at least "
        "5 times. Skip-gram with negative sampling, 100 dimensions unless stated, window 5, "
        "5 negatives, sample 1e-3, min_count 5, one pass.",
        "The two programs took turns, each measurement in a new process. Ratios are taken within "
        "each turn; quoted are the median and, in brackets, the smallest and the largest.",
        "\n".join(
            f"- {date}, `{command}`: {', '.join(titles)}"
            for (date, command), titles in runs.items()
        ),
        *(_section(part, plots.get(name)) for name, part in sections.items()),
    ]
    return "\n\n".join(parts) + "\n"


class Report:
    """A page that is written anew after each section, so that what is measured is never lost.

    Sections that are there already stay until they are measured again, if they come from the
    same machine and the same text.

    Parameters
    ----------
    folder
        Where the page, the figures and the plots go.
    machine, corpus
        What was measured on, and with.
    order
        The names of all sections, as they follow each other on the page.
    """

    def __init__(
        self,
        folder: Path,
        machine: Mapping[str, str],
        corpus: Mapping[str, Any],
        order: Iterable[str],
    ) -> None:
        self.page = folder / PAGE
        self._path = folder / FIGURES
        self._figures: dict[str, Any] = {"machine": machine, "corpus": corpus, "sections": {}}
        self._order = tuple(order)
        if self._path.exists():
            before = json.loads(self._path.read_text(encoding="utf-8"))
            if all(before[key] == self._figures[key] for key in ("machine", "corpus")):
                self._figures = before
            else:
                say(f"{self.page} is of another machine or text: it begins anew")
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, section: Section, date: str, command: str) -> None:
        """Write everything with one more section."""
        sections = self._figures["sections"]
        sections[name] = {"date": date, "command": command, **asdict(section)}
        self._figures["sections"] = {
            name: sections[name] for name in self._order if name in sections
        }
        text = json.dumps(self._figures, indent=1, ensure_ascii=False)
        self._path.write_text(text + "\n", encoding="utf-8")
        plots = run([sys.executable, "-m", f"{__package__}.plots", self._path.resolve()]).answer
        self.page.write_text(_page(self._figures, plots), encoding="utf-8")
