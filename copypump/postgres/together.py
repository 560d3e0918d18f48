"""Several statements in one round trip: sent at once, and done by the server one after the other.

It begins none after one that failed, and answers in their order: so what was sent together holds as if each
had been waited for. libpq calls this pipeline mode. COPY cannot be among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import psycopg
from psycopg import pq

from copypump.postgres import exchange
from copypump.postgres.exchange import Lost
from copypump.postgres.interrupt import Interrupt

# Queues one message on a connection.
Message = Callable[[pq.abc.PGconn], None]


def together(
    pgconn: pq.abc.PGconn,
    messages: Sequence[Message],
    found: list[pq.abc.PGresult],
    *,
    interrupt: Interrupt | None = None,
    deadline: float | None = None,
) -> None:
    """Send all messages, each of one statement, and put a result for each into `found`.

    Raises as `exchange.run` does; `found` then holds the results of those before the one that failed.
    """
    if pq.version() < 140000:  # this libpq has no pipeline mode
        for send in messages:
            answer = exchange.exchange(pgconn, partial(send, pgconn), interrupt=interrupt, deadline=deadline)
            found.append(answer[-1])
        return
    if interrupt is not None:
        interrupt.check()
    try:
        _queue(pgconn, messages)
    except psycopg.Error as error:
        raise Lost(exchange.said(pgconn)) from error
    failed: psycopg.Error | Lost | None = None
    try:
        for result in _answers(pgconn, interrupt, deadline):
            if result.status == pq.ExecStatus.FATAL_ERROR:
                failed = failed or exchange.error_of(pgconn, result)
            elif failed is None:
                found.append(result)
    except Lost as lost:
        failed = failed or lost  # after a FATAL error the server hangs up; the error tells more
    if failed is not None:
        raise failed


def _answers(
    pgconn: pq.abc.PGconn, interrupt: Interrupt | None, deadline: float | None
) -> Iterator[pq.abc.PGresult]:
    """Give the results of all that was queued, and leave pipeline mode behind the last."""
    while pgconn.status == pq.ConnStatus.OK:
        result = exchange.next_result(pgconn, interrupt, deadline)
        if result is None:  # after each statement
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            exchange.leave_pipeline(pgconn)
            return
        yield result
    raise Lost(exchange.said(pgconn))


def _queue(pgconn: pq.abc.PGconn, messages: Sequence[Message]) -> None:
    """Queue them all; a connection on which that is interrupted is closed: its answers would have no end."""
    try:
        pgconn.enter_pipeline_mode()
        for send in messages:
            send(pgconn)
        pgconn.pipeline_sync()
    except BaseException:
        pgconn.finish()
        raise
