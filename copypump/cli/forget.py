"""`copypump forget`: take a run out of the ledger."""

from __future__ import annotations

import click

from copypump.cli import options, output


@click.command(short_help="Take a run out of the ledger.")
@click.argument("run", metavar="RUN")
@options.target
@options.ledger
def forget(run: str, dst: str, ledger_schema: str) -> None:
    """Take RUN out of the ledger on the target; the rows that it landed stay.

    Tables that are its own, such as those in which rows were staged, are dropped.
    """
    from copypump.engine import history  # not before: help must not wait for psycopg

    history.forget(run, dst, ledger_schema)
    output.result(f"forgotten: {run}")
