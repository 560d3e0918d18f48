"""`copypump forget`: take a run out of the ledger."""

from __future__ import annotations

import click

from copypump.cli import options, output
from copypump.cli.configured import OnRun
from copypump.cli.run import KEYS
from copypump.engine.options import LEAVE, REBUILD


@click.command(cls=OnRun, short_help="Take a run out of the ledger.", file_keys=KEYS)
@options.target
@options.ledger
@click.option(
    "--indexes",
    "owed",  # not the option of a run, which a file may say
    type=click.Choice((REBUILD, LEAVE)),
    help="What becomes of indexes that the run has dropped (--indexes rebuild) and not made again: they are"
    " made now; or left out, and the statements that make them are printed. Without it, such a run is not"
    " forgotten.",
)
def forget(run: str, dst: str, ledger_schema: str, owed: str | None) -> None:
    """Take RUN out of the ledger on the target; the rows that it landed stay.

    Tables that are its own, such as those in which rows were staged, are dropped.
    """
    from copypump.engine.chunks import history  # not before: help must not wait for psycopg

    if left := history.forget(run, dst, ledger_schema, indexes=owed):
        output.result("\n".join(f"{statement};" for statement in ("BEGIN", *left, "COMMIT")))
    output.result(f"forgotten: {run}")
