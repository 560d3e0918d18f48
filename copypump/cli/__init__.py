"""The command line: parse, call the engine, print, exit code; a command a file.

Nothing here imports pyarrow, psycopg or rich until a command runs, so that help answers at once. Every error
of every command passes through `Commands.invoke`: one clear block on stderr, and the exit code that
`errors.ExitCode` gives it.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click

from copypump.cli import config, demo, forget, output, plan, resume, run, runs, status, types
from copypump.cli.options import CONTEXT
from copypump.errors import ExitCode, Terminated


class Commands(click.Group):
    """A group that turns exceptions into messages and exit codes, and lists those codes in its help."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        try:
            with _terminable():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            ctx.exit(output.failed(error, ctx.ensure_object(output.Face)))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """In the order in which they were added: that in which one needs them."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Add the exit codes, from the one table of them."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), code.meaning) for code in ExitCode])
        super().format_epilog(ctx, formatter)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM travel as `Terminated`, the way Ctrl-C travels, so that both end a run in the same way."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from copypump import __version__

        output.result(f"copypump {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings=CONTEXT)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show it and exit."
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Rows from one PostgreSQL to another, as fast as a raw pipe, through a vectorized function of yours.

    \b
    copypump run --src DSN --dst DSN --table people --transform my_etl:clean
    copypump demo      shows it at work, on two servers of its own
    """  # noqa: D301 - click's own sign for lines that stay as they are
    ctx.ensure_object(output.Face)


for command in (
    run.run, plan.plan, resume.resume, status.status, runs.runs, forget.forget,
    config.config, types.types, demo.demo,
):  # fmt: skip
    main.add_command(command)
