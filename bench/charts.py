"""The charts: PNG files drawn from files of results, in one hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from textwrap import shorten
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.results import figures, load, measured, place

INK, SOFT, FAINT = "#1f2933", "#6b7785", "#e4e8ec"
OURS, RAW, OTHERS = "#0f7b6c", "#2f3e4e", "#b9c3cd"
# Apart in lightness too, for eyes that see few colours.
SERIES = ("#0f7b6c", "#d1495b", "#edae49", "#30638e", "#7d5ba6", "#8d99a6")

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "white",
    "savefig.dpi": 130,
}


def draw(folder: Path) -> Iterator[Path]:
    """Draw what the results of a folder allow, beside them; yield each file."""
    with mpl.rc_context(STYLE):
        if (path := folder / "results.json").exists():
            results = load(path)
            for name, chart in (("throughput", throughput), ("memory", memory), ("cpu", cpu)):
                yield _save(chart(results), folder / f"{name}.png")
        if (path := folder / "scaling.json").exists():
            from bench.scaling_charts import scaling

            yield _save(scaling(load(path)), folder / "scaling.png")


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, metadata={"Software": None})
    return path


HEAD = 1.1


def sheet(
    height: float, *, top: float = HEAD, bottom: float = 0.1, wspace: float = 0.05, hspace: float = 0.05
) -> Figure:
    """A figure of `height` inches whose panels leave `top` and `bottom` inches for words."""
    rect = (0.01, bottom / height, 0.98, 1 - (top + bottom) / height)
    return Figure(
        figsize=(13, height), layout=ConstrainedLayoutEngine(rect=rect, wspace=wspace, hspace=hspace)
    )


def titled(figure: Figure, title: str, words: str, results: dict[str, Any]) -> None:
    """A headline, what is shown, where and when; they take `HEAD` inches, whatever the height."""
    height = figure.get_figheight()
    figure.text(0.02, 1 - 0.32 / height, title, fontsize=16, fontweight="bold", va="center")
    figure.text(0.02, 1 - 0.62 / height, words, fontsize=10, color=SOFT, va="center")
    figure.text(0.02, 1 - 0.85 / height, place(results), fontsize=9, color=SOFT, va="center")


def colour(way: dict[str, Any]) -> str:
    """Ours, the yardstick, or one of the others."""
    return OURS if way["ours"] else RAW if way["name"] == "raw" else OTHERS


# Throughput ------------------------------------------------------------------------------------------------


def throughput(results: dict[str, Any]) -> Figure:
    """A panel for each workload: MB/s by way, the fastest on top; what fails stands below with its reason."""
    matches = results["matches"]
    rows = -(-len(matches) // 2)
    most = max(len(match["ways"]) for match in matches)
    figure = sheet(rows * (0.24 * most + 0.9) + 1.3)
    for axes, match in zip(figure.subplots(rows, 2, squeeze=False).flat, matches, strict=False):
        _bars(axes, match)
    for axes in figure.axes[len(matches) :]:
        axes.set_visible(False)
    titled(
        figure,
        "How fast rows arrive",
        "MB of binary COPY a second, whole processes, start included. Filled: through the workload's transform."
        " Outlined: rows copied as they are. ~ from a part of the table.",
        results,
    )
    return figure


def _bars(axes: Axes, match: dict[str, Any]) -> None:
    found = sorted(measured(match), key=lambda pair: pair[1].megabytes_per_second)
    failed = [way for way in match["ways"] if way["failed"] or way["missing"]]
    lines = [(way, None) for way in reversed(failed)] + list(found)
    most = max(each.megabytes_per_second for _, each in found)
    for at, (way, each) in enumerate(lines):
        if each is None:
            axes.text(most * 0.01, at, _why(way), va="center", color=SOFT, fontsize=8.5, style="italic")
            continue
        shade = colour(way)
        axes.barh(
            at, each.megabytes_per_second, height=0.68, edgecolor=shade, linewidth=1.3,
            color=shade if way["transforms"] else "white",
        )  # fmt: skip
        digits = 0 if each.megabytes_per_second >= 10 else 1
        words = f"{'~' if each.share < 1 else ''}{each.megabytes_per_second:,.{digits}f}"
        lost = f"  {shorten(way['fault'], 48, placeholder=' ...')}" if way["fault"] else ""
        axes.text(
            each.megabytes_per_second + most * 0.012, at, words + lost, va="center", fontsize=8.5,
            color="#b42318" if lost else INK, fontweight="bold" if way["ours"] else "normal",
        )  # fmt: skip
    _name(axes, [way for way, _ in lines])
    axes.set_title(f"{match['name']}  {_short(match['title'])}", pad=6)
    axes.set_xlim(0, most * 1.17)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])


def _name(axes: Axes, ways: list[dict[str, Any]]) -> None:
    """Write their titles beside the lines from 0 up, ours in their colour."""
    axes.set_yticks(range(len(ways)), [way["title"] for way in ways], fontsize=9)
    for label, way in zip(axes.get_yticklabels(), ways, strict=True):
        label.set_fontweight("bold" if way["ours"] else "normal")
        label.set_color(OURS if way["ours"] else INK)


def _why(way: dict[str, Any]) -> str:
    """Why it has no figure."""
    return "missing here" if way["missing"] else "fails"


def _short(title: str) -> str:
    """A workload's title up to what is done to it."""
    return title.partition(";")[0].partition(":")[0]


# Memory ----------------------------------------------------------------------------------------------------


def memory(results: dict[str, Any]) -> Figure:
    """Resident memory over time, a panel for each workload, of the ways that move a whole table."""
    matches = results["matches"]
    rows = -(-len(matches) // 3)
    figure = sheet(rows * 3.0 + 1.5, bottom=0.42, hspace=0.08)
    names = ["copypump", "raw", "pgcopydb", "adbc", "polars", "connectorx"]
    shades = dict(zip(names, (OURS, RAW, SERIES[4], SERIES[3], SERIES[2], SERIES[1]), strict=True))
    seen: dict[str, Any] = {}
    for axes, match in zip(figure.subplots(rows, 3, squeeze=False).flat, matches, strict=False):
        ways = {way["name"]: way for way in match["ways"] if way["samples"]}
        for name in reversed([name for name in names if name in ways]):
            way = ways[name]
            seconds, sizes = zip(*way["samples"], strict=True)
            (seen[way["title"]],) = axes.plot(
                seconds, sizes, color=shades[name], linewidth=2.6 if way["ours"] else 1.6
            )
        axes.set_title(f"{match['name']}  {_short(match['title'])}", pad=6, fontsize=9.5)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.set_xlabel("seconds", fontsize=8.5)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f} MB"))
        axes.tick_params(labelsize=8.5)
    for axes in figure.axes[len(matches) :]:
        axes.set_visible(False)
    titled(
        figure,
        "Memory while rows move",
        "Resident memory of all of a way's processes, from start to end. Whole results held in memory grow with the"
        " table; a stream does not.",
        results,
    )
    legend: dict[str, Any] = {}
    for name in names:
        for way in (way for match in matches for way in match["ways"] if way["name"] == name):
            if way["title"] in seen:
                legend[way["title"]] = seen[way["title"]]
            else:
                legend[f"{way['title']}: {_why(way)}"] = Line2D([], [], linestyle="none")
    figure.legend(
        list(legend.values()), list(legend), ncols=len(legend), frameon=False, fontsize=9.5,
        loc="lower left", bbox_to_anchor=(0.015, 0.05 / figure.get_figheight()),
    )  # fmt: skip
    return figure


# CPU -------------------------------------------------------------------------------------------------------


def cpu(results: dict[str, Any]) -> Figure:
    """Seconds of client CPU a GB, net of start-up: a line for each way, a dot for each workload."""
    matches = results["matches"]
    dots: dict[str, dict[str, float]] = {}
    ways: dict[str, dict[str, Any]] = {}
    for match in matches:
        for way in match["ways"]:
            if way["name"] == "floor":  # that one has no client
                continue
            ways[way["name"]] = way
            mine = dots.setdefault(way["name"], {})
            if each := figures(match, way):
                mine[match["name"]] = max(each.cpu_per_gigabyte, 0.05)
    order = sorted(dots, key=lambda name: -median(dots[name].values()) if dots[name] else -math.inf)
    figure = sheet(0.36 * len(order) + 2.3, top=HEAD + 0.35)
    axes = figure.subplots()
    axes.set_xscale("log")
    low = min(min(values.values()) for values in dots.values() if values) / 1.2
    high = max(max(values.values()) for values in dots.values() if values) * 1.2
    axes.set_xlim(low, high)
    shades = {match["name"]: shade for shade, match in zip(SERIES, matches, strict=False)}
    for at, name in enumerate(order):
        _dots(axes, at, ways[name], dots[name], shades)
    _name(axes, [ways[name] for name in order])
    axes.xaxis.set_minor_locator(NullLocator())
    steps = (step * 10.0**power for power in range(-2, 5) for step in (1, 2, 5))
    ticks = [tick for tick in steps if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:,g} s" for tick in ticks])
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    for match in matches:
        axes.scatter(
            [], [], s=58, color=shades[match["name"]], label=f"{match['name']} {_short(match['title'])}"
        )
    figure.legend(
        frameon=False, loc="upper left", bbox_to_anchor=(0.01, 1 - HEAD / figure.get_figheight()),
        ncols=len(matches), fontsize=9, handletextpad=0.1, columnspacing=1.4,
    )  # fmt: skip
    titled(
        figure,
        "What a GB costs the client",
        "Seconds of CPU for each GB of binary COPY, net of start-up; a dot for each workload, less is better"
        " (logarithmic).",
        results,
    )
    return figure


def _dots(axes: Axes, at: int, way: dict[str, Any], values: dict[str, float], shades: dict[str, str]) -> None:
    """One way's line, or why it has none."""
    low, high = axes.get_xlim()
    if way["ours"]:
        axes.axhspan(at - 0.45, at + 0.45, color=OURS, alpha=0.08, linewidth=0, zorder=0)
    if not values:
        axes.text(low * 1.02, at, _why(way), va="center", color=SOFT, fontsize=9, style="italic")
        return
    axes.plot([min(values.values()), max(values.values())], [at, at], color=FAINT, linewidth=5, zorder=1)
    for workload, aside in _apart(values, math.log(high / low) / 90):
        axes.scatter(
            values[workload],
            at + aside,
            s=58,
            color=shades[workload],
            edgecolor="white",
            linewidth=0.9,
            zorder=3,
        )


def _apart(values: dict[str, float], width: float) -> Iterator[tuple[str, float]]:
    """Each dot's name, and how far off the line it stands so as to hide no other; `width` is of the logarithm."""
    lanes = dict.fromkeys((0.0, 0.27, -0.27), -math.inf)
    for name in sorted(values, key=values.__getitem__):
        at = math.log(values[name])
        free = [lane for lane, last in lanes.items() if at - last > width]
        lane = free[0] if free else min(lanes, key=lanes.__getitem__)
        lanes[lane] = at
        yield name, lane
