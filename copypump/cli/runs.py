"""`copypump runs`: the runs in a target's ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from copypump.cli import options, output
from copypump.cli.configured import OnLedger
from copypump.cli.run import KEYS

if TYPE_CHECKING:
    from copypump.engine.chunks.ledger import RunState

HEAD = ("run", "status", "source", "target", "chunks", "rows written", "started", "changed")


@click.command(cls=OnLedger, short_help="List the runs in a target's ledger.", file_keys=KEYS)
@options.target
@options.ledger
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def runs(dst: str, ledger_schema: str, as_json: bool) -> None:
    """List the runs in the ledger on the target, oldest first."""
    from copypump.engine.chunks import history  # not before: help must not wait for psycopg

    found = history.runs(dst, ledger_schema)
    if as_json:
        output.result(json.dumps([asdict(state) for state in found], indent=2))
        return
    if not found:
        output.result("no runs")
        return
    output.result(output.table(HEAD, [_row(state) for state in found]))


def _row(state: RunState) -> tuple[str, ...]:
    return (
        state.run,
        state.status,
        state.source,
        state.target,
        f"{state.chunks_done:,}/{state.chunks:,}",
        f"{state.rows_written:,}",
        state.started[:19],
        state.changed[:19],
    )
