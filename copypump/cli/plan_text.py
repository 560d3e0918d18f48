"""A plan for people, by rich: made of the very values that `copypump plan --json` prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from copypump.cli.output import PLAIN_WIDTH, megabytes
from copypump.engine.planning.description import (
    column_line,
    index_lines,
    left_line,
    more_statements,
    split_lines,
    transaction_line,
)
from copypump.errors import printable

MOST_CHUNKS = 12  # a longer list tells nothing more; --json has it whole
LONGEST_VALUE = 40

Shown = dict[str, Any]


def planned(shown: Shown) -> str:
    """Write a plan (the values of `Plan.as_dict`) for the terminal that stdout is, or for a file."""
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    with console.capture() as captured:
        _Writer(console).write(shown)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().split("\n"))


class _Writer:
    """Prints section by section; nothing of the user's or a server's is read as markup."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, shown: Shown) -> None:
        self._facts(shown)
        self._section("Columns", map(column_line, shown["columns"]), map(left_line, shown["left_out"]))
        self._around(shown["target"])
        self._chunks(shown["split"])
        begins = {each["side"]: each["begin"] for each in shown["sessions"]}
        for side, begin in begins.items():
            self._section(f"Every transaction on the {side} begins with", begin)
        for transaction in shown["transactions"]:
            name, rest = transaction["name"], transaction_line(transaction).removeprefix(transaction["name"])
            heading = Text(_word(name).capitalize(), style="bold")
            statements = transaction["statements"][len(begins[transaction["side"]]) :]
            self._lines(heading.append(rest, style="not bold"), (*statements, *more_statements(transaction)))
        self._section(
            "Locks, in the order in which they are taken",
            (
                f"{lock['table']} on the {lock['side']}: {lock['mode']}, until {lock['until']};"
                f" others can {lock['others']}"
                for lock in shown["locks"]
            ),
        )
        self._preview(shown["preview"])
        for warning in shown["warnings"]:
            self._console.print(Text(f"warning: {printable(warning)}", style="yellow"))

    def _facts(self, shown: Shown) -> None:
        """What fits beside a word."""
        mode, transform, ledger = shown["mode"], shown["transform"] or {}, shown["ledger"]
        batches = shown["batches"]
        reads = transform.get("reads")
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        facts = {
            "source": _end(shown["source"]),
            "target": _end(shown["target"]) + (", made by this run" if shown["target"]["created"] else ""),
            "mode": f"{mode['name'] or 'none'}: {mode['help']}",
            "transform": ", ".join(transform.get("functions", ())) or "none",
            "reads": "" if reads is None else ", ".join(reads),
            "takes": _fields(transform.get("input", ())),
            "gives": _fields(transform.get("output", ())),
            "checks": "\n".join(transform.get("checks", ())),
            "rejects": _rejects(shown["rejects"]),
            "indexes": "\n".join(index_lines(shown)),
            "batches": f"up to {batches['rows']:,} rows, about {megabytes(batches['bytes'])}",
            "split": "\n".join(split_lines(shown)),
            "ledger": ""
            if ledger is None
            else f"schema {ledger['schema']}, run {ledger['run']}"
            + (" (a run makes its own name up)" if ledger["made_up"] else ""),
            "resume": f"{'yes' if shown['resume']['possible'] else 'no'}: {shown['resume']['why']}",
            "sessions": ", ".join(f"{each['count']} on the {each['side']}" for each in shown["sessions"]),
        }
        for name, fact in facts.items():
            if fact:
                table.add_row(name, Text(printable(fact)))
        self._console.print(table)

    def _around(self, target: Shown) -> None:
        self._section(
            "Indexes of the target",
            (
                f"{index['definition']}, {megabytes(index['bytes'])}"
                + (f", of the constraint {index['constraint']}" if index["constraint"] else "")
                for index in target["indexes"] or ()
            ),
        )
        self._section(
            "Triggers of the target",
            (
                each["definition"] + ("" if each["enabled"] else " (does not fire)")
                for each in target["triggers"] or ()
            ),
        )

    def _chunks(self, split: Shown) -> None:
        chunks = split["chunks"]
        if len(chunks) < 2:
            return
        lines = [
            f"{chunk['number']}: {chunk['label']}"
            + (f", {megabytes(chunk['bytes'])}" if chunk["bytes"] else "")
            for chunk in chunks[:MOST_CHUNKS]
        ]
        more = [f"and {len(chunks) - MOST_CHUNKS:,} more"] if len(chunks) > MOST_CHUNKS else []
        self._section("Chunks", lines, more)

    def _preview(self, preview: Shown | None) -> None:
        if preview is None:
            return
        for title, rows in (
            ("Rows of the source", preview["before"]),
            ("As they would land", preview["after"]),
        ):
            self._table(title, rows)
        self._table(
            "Rejected",
            [
                {
                    "by": each["by"],
                    "reason": each["reason"],
                    "row": json.dumps(each["row"], ensure_ascii=False),
                }
                for each in preview["rejected"]
            ],
        )

    def _table(self, title: str, rows: Sequence[Shown]) -> None:
        if not rows:
            self._section(title, ["none"] if title != "Rejected" else [])
            return
        table = Table(title=title, title_justify="left", title_style="bold")
        for name in rows[0]:
            table.add_column(Text(_word(name)), overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row.values()))
        self._console.print(table)

    def _section(self, title: str, *groups: Iterable[str]) -> None:
        lines = [line for group in groups for line in group]
        if lines:
            self._lines(Text(title, style="bold"), lines)

    def _lines(self, heading: Text, lines: Iterable[str]) -> None:
        """Lines of their own length: a statement that is broken anew cannot be copied."""
        self._console.print(heading, soft_wrap=True)
        for line in lines:
            for part in printable(line).split("\n"):
                self._console.print(Text(f"    {part}"), soft_wrap=True)


def _fields(fields: Iterable[Shown]) -> str:
    """The schema of what a transform takes or gives."""
    return ", ".join(f"{field['name']} {field['type']}" for field in fields)


def _rejects(rejects: Shown | None) -> str:
    """Where bad rows go, and what that does to the others."""
    if rejects is None:
        return ""
    return (
        f"to {rejects['table']} on the target, as run {rejects['run']}"
        + (f"; at the end to the file {rejects['file']}" if rejects["file"] else "")
        + "; rows land by blocks, each under a savepoint, and none are frozen"
    )


def _end(end: Shown) -> str:
    size = end.get("bytes")
    encoding = "" if end["encoding"] in (None, "UTF8") else f", {end['encoding']}"
    return f"{end['name']}, {end['kind']} of PostgreSQL {end['server']}{encoding}" + (
        f", {megabytes(size)} on disk" if size is not None else ""
    )


def _cell(value: Any) -> Text:
    """One value of a row: its end left out, where it is long."""
    if value is None:
        return Text("NULL", style="dim")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Text(_word(text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."))


def _word(text: str) -> str:
    """A text on one line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
