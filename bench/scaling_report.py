"""How costs grow, in words and in tables, from a file of the sweeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.report import table
from bench.results import place
from copypump.engine.options import DEFAULT_BATCH_BYTES

Points = list[dict[str, Any]]
Spell = Callable[[float], str]


def short(number: float) -> str:
    """1000000 as 1 M."""
    if number >= 1e6:
        return f"{number / 1e6:g} M"
    return f"{number / 1e3:g} k" if number >= 1e4 else f"{number:,g}"


def binary(number: float) -> str:
    """1048576 as 1 MB."""
    return f"{number / (1 << 20):g} MB" if number >= 1 << 20 else f"{number / 1024:g} kB"


def cpu_a_row(point: dict[str, Any]) -> float:
    """Microseconds of client CPU, net of start-up."""
    return float((point["cpu"] - point["start_cpu"]) / point["rows"] * 1e6)


def cpu_a_value(point: dict[str, Any]) -> float:
    """Nanoseconds of client CPU, net of start-up, in the sweep of columns."""
    return cpu_a_row(point) / float(point["x"]) * 1e3


# What each sweep is called, what its x is, and how that is written.
SWEEPS: dict[str, tuple[str, str, Spell]] = {
    "rows": ("Rows", "rows", lambda number: f"{number:,.0f}"),
    "batches": ("Batch size", "--batch-bytes", binary),
    "columns": ("Columns", "columns of int", short),
    "wire": ("Wire", "round trip, ms", short),
}


def everything(made: dict[str, Any]) -> str:
    """The whole report."""
    parts = ["# How costs grow", f"{place(made)}."]
    parts.append("\n".join(f"- {sentence}" for sentence in sentences(made)))
    for name, (title, label, spell) in SWEEPS.items():
        if points := [point for point in made["points"] if point["sweep"] == name]:
            runs = min(point["runs"] for point in points)
            parts += [
                f"## {title}",
                _table(points, label, spell),
                f"Medians of {runs} runs each." if runs > 1 else "One run each.",
            ]
    return "\n\n".join(parts) + "\n"


def _table(points: Points, label: str, spell: Spell) -> str:
    rows = [
        [
            spell(point["x"]), point["way"], f"{point['rows']:,}", f"{point['wall']:.2f}",
            f"{point['wall'] / point['rows'] * 1e6:.2f}", f"{cpu_a_row(point):.3f}", f"{point['memory']:,.0f}",
        ]
        for point in points
    ]  # fmt: skip
    head = (
        label,
        "way",
        "rows",
        "wall s",
        "s a million rows",
        "client CPU \u00b5s a row, net of start",
        "peak MB",
    )
    return table(head, rows)


def sentences(made: dict[str, Any]) -> list[str]:
    """What each sweep shows of copypump, as far as it was made."""
    found = []
    for name, say in (("rows", _of_rows), ("batches", _of_batches), ("columns", _of_columns)):
        points = [each for each in made["points"] if each["sweep"] == name and each["way"] == "copypump"]
        if points:
            found.append(say(sorted(points, key=lambda point: float(point["x"]))))
    if wire := [each for each in made["points"] if each["sweep"] == "wire"]:
        found.append(_of_wire(wire))
    return found


def _of_rows(points: Points) -> str:
    # Of few rows the start's own spread can be more than their CPU.
    least, most = next((point for point in points if cpu_a_row(point) > 0), points[0]), points[-1]
    return (
        f"From {least['rows']:,} to {most['rows']:,} rows, client CPU net of start-up goes from"
        f" {cpu_a_row(least):.2f} to {cpu_a_row(most):.2f} \u00b5s a row, and peak memory from"
        f" {least['memory']:,.0f} to {most['memory']:,.0f} MB."
    )


def _of_batches(points: Points) -> str:
    best = min(points, key=cpu_a_row)
    if cpu_a_row(best) <= 0:
        return "The sweep of batch sizes had too few rows to tell them apart: starts differ by more."
    text = (
        f"Of the batch sizes from {binary(points[0]['x'])} to {binary(points[-1]['x'])}, {binary(best['x'])} takes the"
        f" least client CPU, {cpu_a_row(best):.2f} \u00b5s a row of lineitem, and {best['memory']:,.0f} MB of memory at most"
    )
    default = next((point for point in points if point["x"] == DEFAULT_BATCH_BYTES), None)
    if default is best:
        return f"{text}: it is the default."
    if default is None:
        return f"{text}."
    return (
        f"{text}; the default, {binary(DEFAULT_BATCH_BYTES)}, takes {cpu_a_row(default) / cpu_a_row(best):.2f} times"
        f" that, and {default['memory']:,.0f} MB."
    )


def _of_columns(points: Points) -> str:
    least, most = points[0], points[-1]
    return (
        f"From {short(least['x'])} to {short(most['x'])} columns, a value takes {cpu_a_value(least):.0f} and"
        f" {cpu_a_value(most):.0f} ns of client CPU."
    )


def _of_wire(points: Points) -> str:
    said = []
    for way in dict.fromkeys(point["way"] for point in points):
        mine = sorted((each for each in points if each["way"] == way), key=lambda each: float(each["x"]))
        said.append(f"{way} from {mine[0]['wall']:.2f} to {mine[-1]['wall']:.2f} s")
        longest = mine[-1]["x"]
    return f"With {longest:g} ms of round trip to both servers the wall time goes, for {' and '.join(said)}."
