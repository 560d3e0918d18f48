"""One exchange with a server: send a query, wait for its results, or give it up.

All waits of this package but the two native COPY loops are `wait()`: they poll the socket together with an
`Interrupt` and a deadline. psycopg's own waits know neither. Ctrl-C is raised out of `poll()` as usual, and
leaves the connection active; `quiesce()` brings it back.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from copypump.postgres import _copy
from copypump.postgres.interrupt import Interrupt

# Said to the target's server, and kept in its log: never anything of ours or of the user's data.
COPY_FAIL = b"the copy was given up by its client"

_COPY_STATES = (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_BOTH)

# Seconds after which a wait has libpq look at the socket itself: bytes that the TLS library took off the
# socket, and libpq did not have room for, are not seen by poll().
_SLICE = 0.2

# A backend that waits for its client sees CopyFail at once; one that is still busy after this long gets a
# cancel.
_COPY_FAIL_PATIENCE = 0.3


class Lost(Exception):  # noqa: N818 - told to the user as SourceError or TargetError by `translate`
    """The session ended without the server saying why; the text is libpq's own."""


def wait(
    pgconn: pq.abc.PGconn,
    *,
    writing: bool = False,
    interrupt: Interrupt | None = None,
    deadline: float | None = None,
) -> bool:
    """Wait until the socket is readable (or writable, when `writing`); return whether to read.

    That is also said without cause from time to time; a read of nothing does no harm. `deadline` is of
    time.monotonic(). Raises Aborted, TimeoutError, or Lost when there is no socket any more.
    """
    if pgconn.status != pq.ConnStatus.OK:
        raise Lost(said(pgconn))
    poller = select.poll()
    handle = pgconn.socket
    poller.register(handle, select.POLLIN | (select.POLLOUT if writing else 0))
    if interrupt is not None:
        interrupt.check()
        poller.register(interrupt.fd, select.POLLIN)
    left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
    events = dict(poller.poll(max(0.0, left) * 1000))
    if interrupt is not None:
        interrupt.check()
    if not events and deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError
    return not events or bool(events.get(handle, 0) & ~select.POLLOUT)


def said(pgconn: pq.abc.PGconn) -> str:
    """Return the last words of libpq on this connection."""
    return pgconn.get_error_message().strip() if pgconn.error_message else "the connection is closed"


def run(
    pgconn: pq.abc.PGconn,
    query: bytes,
    params: Sequence[bytes | None] | None = None,
    *,
    interrupt: Interrupt | None = None,
    deadline: float | None = None,
) -> list[pq.abc.PGresult]:
    """Run `query` ($1, $2 ... are `params`, in text form) and return its results.

    The last may be a COPY state. Raises psycopg.Error of the first result that is an error, Lost, Aborted,
    TimeoutError. After the last two, and after KeyboardInterrupt, the connection is active: see
    `quiesce()`.
    """

    def send() -> None:
        if params is None:
            pgconn.send_query(query)
        else:
            pgconn.send_query_params(query, params)

    return exchange(pgconn, send, interrupt=interrupt, deadline=deadline)


def exchange(
    pgconn: pq.abc.PGconn,
    send: Callable[[], None],
    *,
    interrupt: Interrupt | None = None,
    deadline: float | None = None,
) -> list[pq.abc.PGresult]:
    """Queue one message by `send()`, see it off, and return the results; raises as `run()` does."""
    if interrupt is not None:
        interrupt.check()
    try:
        send()
    except psycopg.Error as error:
        raise Lost(said(pgconn)) from error
    return results(pgconn, interrupt=interrupt, deadline=deadline)


def results(
    pgconn: pq.abc.PGconn, *, interrupt: Interrupt | None = None, deadline: float | None = None
) -> list[pq.abc.PGresult]:
    """Return the results of what has been sent; raises as `run()` does."""
    found: list[pq.abc.PGresult] = []
    failed: psycopg.Error | Lost | None = None
    try:
        while (result := next_result(pgconn, interrupt, deadline)) is not None:
            found.append(result)
            if result.status == pq.ExecStatus.FATAL_ERROR and failed is None:
                failed = error_of(pgconn, result)
            if result.status in _COPY_STATES or pgconn.status != pq.ConnStatus.OK:
                break
    except Lost as lost:
        failed = failed or lost  # after a FATAL error the server hangs up; the error tells more
    if failed is not None:
        raise failed
    return found


def next_result(
    pgconn: pq.abc.PGconn, interrupt: Interrupt | None, deadline: float | None
) -> pq.abc.PGresult | None:
    """Wait for one result; None at the end of each query."""
    try:
        while pgconn.flush():
            if wait(pgconn, writing=True, interrupt=interrupt, deadline=deadline):
                pgconn.consume_input()
        while pgconn.is_busy():
            wait(pgconn, interrupt=interrupt, deadline=deadline)
            pgconn.consume_input()
    except psycopg.Error:
        # The socket broke, but what the server said before may already be here.
        return last_words(pgconn)
    return pgconn.get_result()


def last_words(pgconn: pq.abc.PGconn) -> pq.abc.PGresult:
    """Return the error that the server sent before the socket broke; raise Lost when it sent none."""
    message = said(pgconn)
    with contextlib.suppress(psycopg.Error):
        for _ in range(8):  # results before it; libpq goes on for ever with a broken connection
            result = pgconn.get_result()
            if result is None:
                break
            if result.error_field(pq.DiagnosticField.SQLSTATE):
                return result
    raise Lost(message)


def broken(pgconn: pq.abc.PGconn) -> psycopg.Error | Lost:
    """Return why the socket broke: the server's last error if it sent one."""
    try:
        return error_of(pgconn, last_words(pgconn))
    except Lost as lost:
        return lost


def end_copy(
    pgconn: pq.abc.PGconn,
    fail: bytes | None = None,
    *,
    interrupt: Interrupt | None = None,
    deadline: float | None = None,
) -> list[pq.abc.PGresult]:
    """Send CopyDone, or CopyFail with the text `fail`, and return the results; raises as `run()` does."""
    try:
        while pgconn.put_copy_end(fail) == 0:
            wait(pgconn, writing=True, interrupt=interrupt, deadline=deadline)
            pgconn.flush()
    except psycopg.Error:
        raise broken(pgconn) from None
    return results(pgconn, interrupt=interrupt, deadline=deadline)


@contextlib.contextmanager
def line(pgconn: pq.abc.PGconn) -> Iterator[socket.socket]:
    """Lend the connection's socket; its descriptor stays libpq's."""
    with socket.socket(fileno=pgconn.socket) as socket_:
        try:
            yield socket_
        finally:
            socket_.detach()


def peek(pgconn: pq.abc.PGconn) -> bytes | None:
    """Look at the next byte in the socket: b"" at its end or when broken, None when it is empty."""
    with line(pgconn) as socket_:
        try:
            return socket_.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""


def error_of(pgconn: pq.abc.PGconn, result: pq.abc.PGresult) -> psycopg.Error | Lost:
    """Return the exception for an error result; one that libpq made itself means a lost session."""
    if not result.error_field(pq.DiagnosticField.SQLSTATE) and pgconn.status != pq.ConnStatus.OK:
        return Lost(result.get_error_message().strip())
    return error_from_result(result, encoding(pgconn))


def encoding(pgconn: pq.abc.PGconn) -> str:
    """Return the Python name of the session's client_encoding at this moment.

    SQL_ASCII is none; our own statements are UTF-8 then.
    """
    name = psycopg.ConnectionInfo(pgconn).encoding
    return "utf-8" if name == "ascii" else name


def address(pgconn: pq.abc.PGconn) -> int:
    """Return the address of libpq's own structure; 0 when the connection is closed."""
    # Missing from psycopg's protocol class, but there in all of its implementations.
    return int(getattr(pgconn, "pgconn_ptr") or 0)  # noqa: B009 - mypy would want the attribute


class Cancel:
    """A cancel request on its way, on a thread of its own.

    libpq's call blocks, and the network may be half-open. No later query may be sent before `done()`, since
    the request would hit that one.
    """

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        self._request = _copy.CancelRequest(address(pgconn))
        self._thread = threading.Thread(target=self._request.send, name="copypump cancel", daemon=True)
        self._thread.start()

    def done(self, deadline: float) -> bool:
        """Whether the request has been carried out, or has failed, before `deadline`."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()


def quiesce(pgconn: pq.abc.PGconn, deadline: float) -> bool:
    """End whatever this session is doing: a query, a COPY; return whether it is quiet now.

    Its transaction, if any, stays open, failed or not. Errors of what is ended are dropped. False means
    that only `hang_up()` is left.
    """
    if pgconn.status != pq.ConnStatus.OK:
        return False
    if pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return leave_pipeline(pgconn)
    try:
        cancel = _end_query(pgconn, deadline)
    except (psycopg.Error, TimeoutError, Lost):
        return False
    if cancel is not None and not cancel.done(deadline):
        return False
    return pgconn.status == pq.ConnStatus.OK


def leave_pipeline(pgconn: pq.abc.PGconn) -> bool:
    """Be in no pipeline mode, once all answers are there (see `postgres.together`); whether that is so."""
    if pgconn.pipeline_status != pq.PipelineStatus.OFF:
        try:
            pgconn.exit_pipeline_mode()
        except psycopg.Error:
            return False
    return True


def _end_query(pgconn: pq.abc.PGconn, deadline: float) -> Cancel | None:  # noqa: C901 - one small state machine
    """Bring the running query to its last result; return the cancel request that was sent, if any."""
    cancel: Cancel | None = None
    patience: float | None = None  # until when a COPY IN may take CopyFail before it is cancelled
    failed = False  # CopyFail is queued
    while True:
        unsent = pgconn.flush()
        if not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                if pgconn.pipeline_status == pq.PipelineStatus.OFF:
                    return cancel
                continue  # the next of those that were sent together
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                leave_pipeline(pgconn)
                return cancel
            if result.status == pq.ExecStatus.COPY_IN and not failed:
                failed = pgconn.put_copy_end(COPY_FAIL) == 1
                patience = time.monotonic() + _COPY_FAIL_PATIENCE
                continue
            if result.status == pq.ExecStatus.COPY_OUT:
                while (size := pgconn.get_copy_data(1)[0]) > 0:
                    pass
                if size < 0:
                    continue
            elif result.status != pq.ExecStatus.COPY_IN:
                continue
        now = time.monotonic()
        if now >= deadline:
            raise TimeoutError
        if cancel is None and (patience is None or now >= patience):
            cancel = Cancel(pgconn)
        step = deadline if cancel is not None else min(deadline, patience or deadline)
        with contextlib.suppress(TimeoutError):
            if wait(pgconn, writing=bool(unsent), deadline=step):
                pgconn.consume_input()


def shut(connection: psycopg.Connection[Any]) -> None:
    """End the socket in both directions, which also wakes a thread that waits for it or copies over it."""
    if not connection.closed:
        with contextlib.suppress(OSError, psycopg.Error), line(connection.pgconn) as socket_:
            socket_.shutdown(socket.SHUT_RDWR)


def hang_up(connection: psycopg.Connection[Any]) -> None:
    """Close the session without another word from the server: the last resort, which always works."""
    shut(connection)
    connection.close()
