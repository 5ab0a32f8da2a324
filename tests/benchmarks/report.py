"""The page of figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """One table, what has to be said about it, and the figures it was made from."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """Write the section."""
        table = [self.columns, ["---"] * len(self.columns), *self.rows]
        lines = ["| " + " | ".join(row) + " |" for row in table]
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *lines, *([""] if notes else []), *notes])


def page(machine: Mapping[str, str], corpus: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """Write the whole page."""
    head = [
        "# stream-w2v and gensim, measured",
        "",
        f"{machine['date']}, {machine['processor']} ({machine['cores']}, {machine['memory']}), "
        f"{machine['system']}, Python {machine['python']}, stream-w2v {machine['stream-w2v']}, "
        f"gensim {machine['gensim']}, numba {machine['numba']}, numpy {machine['numpy']}, "
        f"scipy {machine['scipy']}.",
        "",
        f"Text: `{corpus['name']}`, {corpus['tokens']:,} tokens, {corpus['lines']:,} lines, "
        f"{corpus['types']:,} different words, {corpus['frequent_types']:,} of them at least "
        "5 times. Skip-gram with negative sampling, 100 dimensions unless stated, window 5, "
        "5 negatives, sample 1e-3, min_count 5, one pass.",
        "",
        "The two programs took turns, each measurement in a new process. Ratios are taken within "
        "each turn; quoted are the median and, in brackets, the smallest and the largest.",
    ]
    return "\n".join(head) + "\n\n" + "\n\n".join(part.markdown() for part in sections) + "\n"


def write(
    out: Path,
    machine: Mapping[str, str],
    corpus: Mapping[str, Any],
    sections: Sequence[Section],
) -> None:
    """Write the page, and the raw figures beside it as JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(machine, corpus, sections), encoding="utf-8")
    raw = {part.title: part.raw for part in sections}
    figures = {"machine": machine, "corpus": corpus, "sections": raw}
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
