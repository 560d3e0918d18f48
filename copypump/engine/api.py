"""The public face for Python: pump and plan here, read and write beside it in `engine.streams`.

What these take, the command line takes too.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Unpack

from copypump.engine.options import Options, PumpOptions
from copypump.engine.pipeline.moving import OnProgress
from copypump.engine.planning.plan import Plan
from copypump.engine.report import Report
from copypump.engine.run import dry_run, run
from copypump.postgres.session import Where


def pump(
    src: Where,
    dst: Where,
    *,
    on_progress: OnProgress | None = None,
    progress_interval: float = 0.5,
    executor: Executor | None = None,
    **options: Unpack[PumpOptions],
) -> Report:
    """Move the rows of a table or a query into a table of another server, through a transform.

    Everything is there when this returns. When it raises, the target is as it was (but see
    `OutcomeUnknownError`); of a run with a ledger, chunks that are committed stay, and the error's `state`
    says how many.

    Args:
        src: the source: a DSN as libpq takes it; an open, idle psycopg connection, left as it was; or a
            psycopg_pool.ConnectionPool.
        dst: the target, likewise.
        on_progress: called here with a `Progress`, every `progress_interval` seconds, and at the end.
        progress_interval: see there.
        executor: who moves the chunks of a run with several, in place of threads of its own; with
            `workers="processes"` it may be of other processes, on this machine or on others, which reach both
            servers by the same DSNs. It stays open.
        **options: what to move and how: the attributes of `PumpOptions`, which says what each is.

    Raises:
        CopypumpError: see `copypump.errors`; its class says whose fault it is, its fields where.

    """
    return run(src, dst, Options.of(**options), on_progress, progress_interval, executor=executor)


def plan(src: Where, dst: Where, *, preview: int = 0, **options: Unpack[PumpOptions]) -> Plan:
    """Decide what `pump` would do with the same arguments, check it on both servers, and write nothing.

    With `preview`, so many of the source's rows are sent through the transform, and kept as the plan's
    `preview`: the values of rows, which nothing else shows.

    Raises:
        CopypumpError: as `pump` would before the first byte moves; with `preview`, what the transform raises.

    """
    return dry_run(src, dst, Options.of(**options), preview)
