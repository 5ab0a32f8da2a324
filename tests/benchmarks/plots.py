"""The plots of the page, drawn from its raw figures: ``python -m tests.benchmarks.plots FIGURES``.

A plot is a function from the raw figures of a section to a figure, and a line in ``PLOTS``.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from tests.benchmarks.drift import NOTHING, STREAMS
from tests.benchmarks.quality import SCORES
from tests.benchmarks.soak import rates

STYLE = {
    # The same figures give the same bytes, and the text stays text.
    "svg.hashsalt": "stream-w2v",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e0e0e0",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    # White also where the page is dark.
    "figure.facecolor": "white",
}


def peers(raw: Mapping[str, Any]) -> Figure:
    """Draw speed against quality, one panel for each set of questions."""
    scored = {name: runs for name, runs in raw["runs"].items() if runs and SCORES[0] in runs[0]}
    libraries = dict.fromkeys(name.split(",")[0] for name in scored)
    colours = {library: f"C{number}" for number, library in enumerate(libraries)}
    markers = {library: cycle("os^D") for library in libraries}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(SCORES))
    for name, runs in scored.items():
        library = name.split(",")[0]
        marker = next(markers[library])
        speed = statistics.median(run["tokens_per_cpu"] for run in runs)
        for panel, key in zip(panels, SCORES, strict=True):
            value = statistics.median(run[key] for run in runs)
            panel.plot(speed, value, marker, color=colours[library], label=name)
    for panel, key in zip(panels, SCORES, strict=True):
        panel.set(title=key, xscale="log", xlabel="tokens per CPU second")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return figure


def threads(raw: Mapping[str, Any]) -> Figure:
    """Draw speed by the number of threads."""
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    panel = figure.subplots()
    for library, by_count in raw["runs"].items():
        points = [
            (int(count), raw["tokens"] / statistics.median(run["wall"] for run in runs))
            for count, runs in by_count.items()
        ]
        panel.plot(*zip(*points, strict=True), "o-", label=library)
    panel.set(xlabel="workers", ylabel="tokens per second")
    panel.set_xlim(0)
    panel.set_ylim(0, 1.1 * panel.dataLim.ymax)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    panel.legend(frameon=False)
    return figure


def roofline(raw: Mapping[str, Any]) -> Figure:
    """Draw the two limits of one core, and how far below them training is."""

    def best(key: str) -> float:
        return max(run[key] for runs in raw.values() for run in runs)

    peak, bandwidth = best("peak"), best("bandwidth")
    corner = peak / bandwidth
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    panel = figure.subplots()
    reach = (corner / 8, corner, 8 * corner)
    panel.plot(reach, [min(peak, bandwidth * x) for x in reach], color="black")
    for place, (name, runs) in enumerate(raw.items()):
        useful = statistics.median(run["useful"] for run in runs)
        touched = statistics.median(run["touched"] for run in runs)
        panel.plot(useful / touched, useful, "os"[place % 2], color=f"C{place}", label=name)
    panel.set(
        xscale="log",
        yscale="log",
        xlabel="operations per byte of rows touched",
        ylabel="operations per second",
        ylim=(peak / 20, 2 * peak),
    )
    panel.text(reach[-1], 1.1 * peak, f"{peak / 1e9:.0f} GFLOP/s", ha="right")
    panel.text(reach[0], 1.4 * bandwidth * reach[0], f"{bandwidth / 1e9:.0f} GB/s")
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    panel.legend(frameon=False, loc="lower right")
    return figure


def sizes(raw: Mapping[str, Any]) -> Figure:
    """Draw speed against the number of words."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for name, runs in raw.items():
        size = name.partition(", ")[2]
        speed = statistics.median(run["words"] / run["cpu"] for run in runs)
        lines.setdefault(size, []).append((runs[0]["rows"], speed))
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    panel = figure.subplots()
    for size, points in lines.items():
        panel.plot(*zip(*points, strict=True), "o-", label=size)
    panel.set(xscale="log", xlabel="words with a vector", ylabel="tokens per CPU second")
    panel.set_ylim(0, 1.1 * panel.dataLim.ymax)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    panel.legend(frameon=False)
    return figure


def soak(raw: Mapping[str, Any]) -> Figure:
    """Draw what a long stream costs: flat, flat, logarithmic."""
    looks = raw["looks"]
    tokens = [look["tokens"] for look in looks]
    evictions = raw["max_vocab_size"] // 10
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    speed, memory, noise = figure.subplots(1, 3)
    speed.plot(tokens, rates(looks, "cpu"))
    speed.set(title="tokens per CPU second")
    speed.yaxis.set_major_formatter(EngFormatter(sep=""))
    memory.plot(tokens, [look["resident"] / 2**20 for look in looks])
    memory.set(title="resident memory, MiB")
    noise.plot(tokens, [look["rebuilds"] for look in looks], label="all")
    asked = [look["rebuilds"] - look["evicted"] // evictions for look in looks]
    noise.plot(tokens, asked, "--", label="less one an eviction")
    noise.set(title="noise tables built", xscale="log")
    noise.legend(frameon=False)
    for panel in (speed, memory, noise):
        panel.set_ylim(0, 1.1 * max(panel.dataLim.ymax, 1))
        panel.set_xlabel("tokens so far")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def _smooth(values: list[float]) -> list[float]:
    """Return running means; towards the ends of fewer values."""
    reach = 3
    return [
        statistics.fmean(values[max(place - reach, 0) : place + reach + 1])
        for place in range(len(values))
    ]


def drift(raw: Mapping[str, Any]) -> Figure:
    """Draw how much less, or more, settings lose than one that forgets nothing."""
    measures = ("calibrated", "contexts")
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    panels = figure.subplots(len(measures), len(STREAMS), sharey=True)
    for panel, stream in zip(panels.T, STREAMS, strict=True):
        found = raw[stream]
        tokens, plotted = found["tokens"], found["plotted"]
        for one, measure in zip(panel, measures, strict=True):
            base = plotted[NOTHING][measure]
            for name, losses in plotted.items():
                pairs = zip(losses[measure], base, strict=True)
                one.plot(tokens, _smooth([loss - other for loss, other in pairs]), label=name)
            one.xaxis.set_major_formatter(EngFormatter(sep=""))
            title = {"calibrated": "calibrated loss", "contexts": "loss among contexts"}[measure]
            one.set_title(f"{stream}: {title}, less that of the first")
        panel[-1].set_xlabel("tokens so far")
    for one in panels[:, 0]:
        # Time stands where the tokens are: years have more and fewer of them.
        marks = range(0, len(raw["drifting"]["tokens"]), 10)
        one.set_xticks([raw["drifting"]["tokens"][mark] for mark in marks])
        one.set_xticklabels([raw["drifting"]["labels"][mark] for mark in marks])
    panels[-1, 0].set_xlabel("time")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    return figure


PLOTS = {
    "threads": threads,
    "roofline": roofline,
    "sizes": sizes,
    "peers": peers,
    "soak": soak,
    "drift": drift,
}
"""The section that each plot is of."""


def draw(path: Path) -> dict[str, str]:
    """Draw all plots that there are figures for, beside these; return their names by section."""
    sections = json.loads(path.read_text(encoding="utf-8"))["sections"]
    drawn = {}
    with matplotlib.rc_context(STYLE):
        for name in PLOTS.keys() & sections.keys():
            out = path.with_name(f"{path.stem}-{name}.svg")
            figure = PLOTS[name](sections[name]["raw"])
            figure.savefig(out, metadata={"Date": None, "Creator": None})
            drawn[name] = out.name
    return drawn


if __name__ == "__main__":
    print(json.dumps(draw(Path(sys.argv[1]))))
