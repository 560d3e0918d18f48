"""The chart of how costs grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.charts import OURS, RAW, SERIES, SOFT, sheet, titled
from bench.results import place

Value = Callable[[dict[str, Any]], float]

COLOURS = {"copypump": OURS, "psql | psql": RAW}
DEFAULT_BATCH = 2 << 20


def short(number: float) -> str:
    """1000000 as 1 M."""
    if number >= 1e6:
        return f"{number / 1e6:g} M"
    return f"{number / 1e3:g} k" if number >= 1e4 else f"{number:,g}"


def binary(number: float) -> str:
    """1048576 as 1 MB."""
    return f"{number / (1 << 20):g} MB" if number >= 1 << 20 else f"{number / 1024:g} kB"


def scaling(results: dict[str, Any]) -> Figure:
    """Two rows of four panels."""
    figure = sheet(7.6, top=0.9, bottom=0.55, wspace=0.07, hspace=0.1)
    first, second = figure.subplots(2, 4)
    points = results["points"]
    _lines(first[0], points, "rows", "Wall, s a million rows", _wall_a_million, "rows", short)
    _lines(first[1], points, "rows", "Client CPU, \u00b5s a row, net of start", _cpu_a_row, "rows", short)
    _lines(first[2], points, "rows", "Peak memory, MB", _memory, "rows", short)
    _over_time(first[3], points)
    _lines(
        second[0],
        points,
        "batches",
        "Client CPU, \u00b5s a row, by batch size",
        _cpu_a_row,
        "--batch-bytes",
        binary,
    )
    _lines(second[1], points, "batches", "Peak memory, MB, by batch size", _memory, "--batch-bytes", binary)
    _lines(
        second[2],
        points,
        "columns",
        "Client CPU, ns a value, by columns",
        _cpu_a_value,
        "columns of int",
        short,
    )
    _lines(second[3], points, "wire", "Wall, s, by the wire's round trip", _wall, "ms", short, scale="linear")
    for axes in second[:2]:
        axes.axvline(DEFAULT_BATCH, color=SERIES[2], linewidth=1.4, linestyle=(0, (4, 3)), zorder=0)
        axes.text(
            DEFAULT_BATCH * 1.15, axes.get_ylim()[1] * 0.97, "default", color=SOFT, fontsize=8, va="top"
        )
    titled(
        figure,
        "How costs grow",
        "A transform on every row; the target is an unlogged table. Flat is linear: ten times the rows, ten times the"
        " work, and no more memory.",
        place(results),
    )
    shown = {point["way"] for point in points}
    handles = [axes for name in COLOURS if name in shown for axes in [_handle(first[0], name)]]
    figure.legend(
        handles, [name for name in COLOURS if name in shown], ncols=2, frameon=False, fontsize=9.5,
        loc="lower left", bbox_to_anchor=(0.015, 0.24 / figure.get_figheight()),
    )  # fmt: skip
    return figure


def _handle(axes: Axes, name: str) -> Any:
    (line,) = axes.plot([], [], color=COLOURS[name], marker="o", markersize=5, linewidth=2)
    return line


def _wall(point: dict[str, Any]) -> float:
    return float(point["wall"])


def _wall_a_million(point: dict[str, Any]) -> float:
    return float(point["wall"] / point["rows"] * 1e6)


def _cpu_a_row(point: dict[str, Any]) -> float:
    return float((point["cpu"] - point["start_cpu"]) / point["rows"] * 1e6)


def _cpu_a_value(point: dict[str, Any]) -> float:
    return float((point["cpu"] - point["start_cpu"]) / point["rows"] / point["x"] * 1e9)


def _memory(point: dict[str, Any]) -> float:
    return float(point["memory"])


def _lines(
    axes: Axes,
    points: list[dict[str, Any]],
    sweep: str,
    title: str,
    value: Value,
    label: str,
    spell: Callable[[float], str],
    scale: str = "log",
) -> None:
    """One sweep, a line for each way."""
    mine = [point for point in points if point["sweep"] == sweep]
    for name, shade in COLOURS.items():
        line = [(point["x"], value(point)) for point in mine if point["way"] == name]
        if line:
            axes.plot(
                *zip(*line, strict=True), color=shade, marker="o", markersize=5, linewidth=2, clip_on=False
            )
    axes.set_title(title, fontsize=9.5)
    axes.set_xscale(scale)
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = sorted({point["x"] for point in mine})
    if len(ticks) > 6:
        ticks = ticks[::2]
    axes.set_xticks(ticks, [spell(tick) for tick in ticks], fontsize=8)
    axes.set_xlabel(label, fontsize=8.5)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
    axes.tick_params(axis="y", labelsize=8.5)
    axes.grid(axis="y")


def _over_time(axes: Axes, points: list[dict[str, Any]]) -> None:
    """Memory over time of the largest run of ours."""
    mine = [point for point in points if point["sweep"] == "rows" and point["way"] == "copypump"]
    if mine:
        largest = max(mine, key=lambda point: point["rows"])
        seconds, sizes = zip(*largest["samples"], strict=True)
        axes.plot(seconds, sizes, color=OURS, linewidth=1.8)
        axes.set_title(f"Memory, MB, while {short(largest['rows'])} rows move", fontsize=9.5)
    axes.set_xlabel("seconds", fontsize=8.5)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.tick_params(labelsize=8.5)
    axes.grid(axis="y")
