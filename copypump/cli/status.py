"""`copypump status`: how one run stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from copypump.cli import options, output
from copypump.cli.configured import OnRun
from copypump.cli.run import KEYS
from copypump.errors import printable

if TYPE_CHECKING:
    from copypump.engine.chunks.history import RunStatus


@click.command(cls=OnRun, short_help="Show how one run stands.", file_keys=KEYS)
@options.target
@options.ledger
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(run: str, dst: str, ledger_schema: str, as_json: bool) -> None:
    """Show how RUN stands: what is committed, under which snapshots, and why it stopped."""
    from copypump.engine.chunks import history  # not before: help must not wait for psycopg

    found = history.status(run, dst, ledger_schema)
    if as_json:
        values = to_builtins(found)
        output.result(json.dumps(values.pop("state") | values, indent=2))
        return
    output.result(printable("\n".join(_lines(found))))


def _lines(found: RunStatus) -> list[str]:
    state = found.state
    lines = [
        f"run       {state.run}: {state.status}",
        f"source    {state.source}",
        f"target    {state.target}",
        f"split     {found.split}, {state.chunks_done:,} of {state.chunks:,} chunks committed",
        f"rows      {state.rows_read:,} read, {state.rows_written:,} written"
        f" ({output.megabytes(state.bytes_written)})",
        f"snapshots {', '.join(name or 'none' for name in found.snapshots)}",
        f"steps     {', '.join(found.steps) or 'none'}",
        f"started   {state.started}",
        f"changed   {state.changed}",
    ]
    if state.error:
        lines.append(f"error     {state.error}")
    if state.status in ("failed", "stopped"):
        lines.append(f"go on     copypump resume {state.run} --src DSN --dst DSN")
    return lines
