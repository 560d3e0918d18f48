"""`copypump plan`: what a run with the same options would do, for people or as JSON."""

from __future__ import annotations

import json
from typing import Any

import click

from copypump.cli import logs, output
from copypump.cli.configured import Configured
from copypump.cli.run import KEYS, check, collecting_later
from copypump.engine.options import PumpOptions

# What a plan is made of, and how it is told; the other options of a run say how it goes once rows move.
_PLANNED = {"src", "dst", *PumpOptions.__annotations__, "preview", "log_level", "log_format", "debug"}


@click.command(
    cls=Configured,
    short_help="Show what a run would do, and move nothing.",
    file_keys=KEYS,
    params=[
        *(option for option in KEYS.values() if option.name in _PLANNED),
        click.Option(["--json", "as_json"], is_flag=True, help="Print it as JSON."),
    ],
)
def plan(
    src: str, dst: str, *, as_json: bool, preview: int, log_level: str, log_format: str, **job: Any
) -> None:
    """Check everything that `copypump run` would check, print the plan, and move nothing.

    It takes what `copypump run` takes. The plan is all that a run does: every statement on both servers, the
    way of every column, locks, chunks, and what can be resumed. It shows no values, but for --preview.
    """
    check(job, dry_run=True, report=None)
    logs.start(log_level, log_format)
    with collecting_later():
        from copypump.engine import api  # not before: help must not wait for pyarrow and psycopg

    shown = api.plan(src, dst, **job, preview=preview).as_dict()
    if as_json:
        output.result(json.dumps(shown, indent=2))
        return
    from copypump.cli.plan_text import planned

    output.result(planned(shown))
