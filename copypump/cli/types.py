"""`copypump types`: the table of types, as it is in the code."""

from __future__ import annotations

import json

import click

from copypump.cli import output

HEAD = ("PostgreSQL", "Arrow", "or by --type", "kept", "an error once it is read")


@click.command(short_help="Show each type's form in Arrow.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def types(as_json: bool) -> None:
    """Show how each PostgreSQL type looks in Arrow, what is kept, and what is refused.

    A column that no transform reads passes as its bytes, whatever its type. Any column can be read with
    --type COLUMN=opaque, as those bytes.
    """
    from copypump.codec.types import facts  # not before: help must not wait for pyarrow

    rows = facts()
    if as_json:
        output.result(json.dumps([row._asdict() for row in rows], indent=2))
        return
    output.result(output.table(HEAD, rows))
