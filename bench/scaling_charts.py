"""The chart of how costs grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.charts import OURS, RAW, SERIES, SOFT, sheet, titled
from bench.scaling_report import binary, cpu_a_row, cpu_a_value, short
from copypump.engine.options import DEFAULT_BATCH_BYTES

Value = Callable[[dict[str, Any]], float]

# Colour and width of each way's line; ours is drawn last, over the other.
LOOKS = {"psql | psql": (RAW, 1.6), "copypump": (OURS, 2.6)}


def scaling(results: dict[str, Any]) -> Figure:
    """Two rows of four panels."""
    figure = sheet(7.8, bottom=0.42, wspace=0.07, hspace=0.1)
    first, second = figure.subplots(2, 4)
    points = results["points"]
    _lines(first[0], points, "rows", "Wall, s a million rows", _wall_a_million, "rows", short)
    _lines(first[1], points, "rows", "Client CPU, \u00b5s a row, net of start", cpu_a_row, "rows", short)
    _lines(first[2], points, "rows", "Peak memory, MB", _memory, "rows", short)
    _over_time(first[3], points)
    _lines(
        second[0],
        points,
        "batches",
        "Client CPU, \u00b5s a row, by batch size",
        cpu_a_row,
        "--batch-bytes",
        binary,
    )
    _lines(second[1], points, "batches", "Peak memory, MB, by batch size", _memory, "--batch-bytes", binary)
    _lines(
        second[2],
        points,
        "columns",
        "Client CPU, ns a value, by columns",
        cpu_a_value,
        "columns of int",
        short,
    )
    _lines(second[3], points, "wire", "Wall, s, by the wire's round trip", _wall, "ms", short, scale="linear")
    for axes in second[:2]:
        axes.axvline(DEFAULT_BATCH_BYTES, color=SERIES[2], linewidth=1.4, linestyle=(0, (4, 3)), zorder=0)
        axes.text(
            DEFAULT_BATCH_BYTES * 1.15, axes.get_ylim()[1] * 0.97, f"default, {binary(DEFAULT_BATCH_BYTES)}",
            color=SOFT, fontsize=8, va="top",
        )  # fmt: skip
    titled(
        figure,
        "How costs grow",
        "A transform on every row; the target is an unlogged table. Flat is linear: ten times the rows, ten times the"
        " work, and no more memory.",
        results,
    )
    shown = {point["way"] for point in points}
    lines = {
        name: Line2D([], [], color=shade, linewidth=width, marker="o", markersize=5)
        for name, (shade, width) in LOOKS.items()
        if name in shown
    }
    figure.legend(
        list(lines.values()), list(lines), ncols=2, frameon=False, fontsize=9.5, loc="lower left",
        bbox_to_anchor=(0.015, 0.05 / figure.get_figheight()),
    )  # fmt: skip
    return figure


def _wall(point: dict[str, Any]) -> float:
    return float(point["wall"])


def _wall_a_million(point: dict[str, Any]) -> float:
    return float(point["wall"] / point["rows"] * 1e6)


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
    for name, (shade, width) in LOOKS.items():
        # CPU net of start-up may come out below zero where rows cost less than starts differ.
        line = [(point["x"], max(0.0, value(point))) for point in mine if point["way"] == name]
        if line:
            axes.plot(
                *zip(*line, strict=True),
                color=shade,
                linewidth=width,
                marker="o",
                markersize=5,
                clip_on=False,
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
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
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
