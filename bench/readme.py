"""The README's figures, from what the files of bench/results hold; `python -m bench readme` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import jobs, scaling_report
from bench.measure import ROOT
from bench.report import arrow, exactness, note, ours, remarks, started, summary
from bench.results import BARS, FOLDER, load, place

BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->"


def renewed(text: str) -> str:
    """The README with its figures as bench/results has them (FileNotFoundError: it has none)."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{_figures()}\n\n{END}{after}"


def _figures() -> str:
    results = load(FOLDER / "results.json")
    pictures = FOLDER.relative_to(ROOT)
    parts = [
        "Wall time over that of the raw pipe, two `psql` piped into each other (`python -m bench run --preset readme`):",
        summary(results),
        *remarks(results),
        note(results),
        f"![How fast rows arrive]({pictures}/throughput.png)",
        f"![What a GB costs the client]({pictures}/cpu.png)",
        f"![Memory while rows move]({pictures}/memory.png)",
        f"All figures are in [report.md]({pictures}/report.md).",
    ]
    bars = load(BARS / "results.json") if (BARS / "results.json").exists() else results
    parts += ["Copypump beside the raw pipe alone (`python -m bench run --preset bars`):", ours(bars)]
    if bars is not results:
        parts.append(note(bars))
    for name, part in OTHERS.items():
        if (path := FOLDER / name).exists():
            parts += part(load(path))
    return "\n\n".join(parts)


def _start(made: dict[str, Any]) -> list[str]:
    return [
        f"How soon it is at work, medians of {len(made['measures'][0]['seconds'])} whole processes, people as the table"
        " (`python -m bench start`):",
        started(made),
        f"{place(made)}.",
    ]


def _arrow(made: dict[str, Any]) -> list[str]:
    return [
        "Tables into Arrow and back, by `copypump.read` and `copypump.write` and by ADBC, in one process (`python -m bench arrow`):",
        arrow(made),
        f"{place(made)}.",
    ]


def _exact(made: dict[str, Any]) -> list[str]:
    return [
        "What arrives of values in the corners of their types: all of them exactly, others in their place without"
        " a word, or an error. Copypump with a transform reads every value into Arrow and writes it anew; what it"
        " cannot hold there it refuses, naming column and row, and without reading the column the value passes"
        " (`python -m bench exact`).",
        exactness(made),
    ]


def _jobs(made: dict[str, Any]) -> list[str]:
    return ["Many workers (`python -m bench jobs`):", "\n".join(jobs.tables(made)), f"{place(made)}."]


def _scaling(made: dict[str, Any]) -> list[str]:
    return [
        "How costs grow (`python -m bench scaling`):",
        f"![How costs grow]({FOLDER.relative_to(ROOT)}/scaling.png)",
        " ".join(scaling_report.sentences(made)),
        f"{place(made)}.",
    ]


# What is shown where its file is there.
OTHERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "start.json": _start,
    "arrow.json": _arrow,
    "exact.json": _exact,
    "jobs.json": _jobs,
    "scaling.json": _scaling,
}
