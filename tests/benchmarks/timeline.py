"""A text in the order of time: which of its lines belong to which year, or another label."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

_PARTS = 100


@dataclass(frozen=True, slots=True)
class Timeline:
    """The labels of a text's lines.

    Attributes
    ----------
    labels
        One for each part of the text, in order.
    ends
        One more than the last line of each part.
    """

    labels: tuple[str, ...]
    ends: tuple[int, ...]

    @classmethod
    def read(cls, index: Path | None, lines: int) -> Timeline:
        """Read an index: label in the first column, first line (from 0) in the third, by tabs.

        Without one the text is in a hundred equal parts, labelled by percent. What lies beyond
        the text's last line is left out.
        """
        firsts: dict[str, int] = {}
        if index is None:
            for part in range(_PARTS):
                firsts[f"{part + 1} %"] = lines * part // _PARTS
        else:
            for row in index.read_text(encoding="utf-8").splitlines():
                label, _, first, *_ = row.split("\t")
                if int(first) < lines:
                    firsts.setdefault(label, int(first))
        ends = [*list(firsts.values())[1:], lines]
        return cls(tuple(firsts), tuple(ends))

    def quarters(self) -> list[int]:
        """Return the last part of each quarter of the parts."""
        parts = len(self.labels)
        return [max(parts * quarter // 4 - 1, 0) for quarter in range(1, 5)]

    def recent(self, part: int) -> tuple[int, int]:
        """Return the lines ``first..last - 1`` of the last eighth of all parts, up to this one."""
        before = part - max(len(self.labels) // 8, 1)
        return (self.ends[before] if before >= 0 else 0), self.ends[part]

    def label(self, line: int) -> str:
        """Return the label of a line."""
        return next(label for label, end in zip(self.labels, self.ends, strict=True) if line < end)


def shuffle(path: Path, out: Path, seed: int) -> int:
    """Write the lines of a text in random order, and return how many they are."""
    lines = path.read_bytes().splitlines(keepends=True)
    random.Random(seed).shuffle(lines)
    out.write_bytes(b"".join(lines))
    return len(lines)
