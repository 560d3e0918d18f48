"""COMMIT: wait for its answer, and where that is lost, find out what it was.

Nothing but the answer itself, or another session's word, says that a COMMIT held.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg

from copypump.errors import OutcomeUnknownError, SourceError, TargetError
from copypump.postgres import exchange
from copypump.postgres.exchange import Lost
from copypump.postgres.outcome import PATIENCE, STATISTICS_SINCE, Outcome, Transaction, resolve
from copypump.postgres.session import Query, Session, Statement
from copypump.postgres.translate import translate

# Seconds, after Ctrl-C in a COMMIT, for its answer to come; and then for another session to find it out.
_INTERRUPTED_PATIENCE = 4.5

# Lets a transaction survive a crash of its server once it has committed. With synchronous_commit off, it
# might not; once one commit is flushed, all before it are.
DURABLE = (
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
    " WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'"
)

# Answers to COMMIT after which it may still have held: shutdown, transaction resolution unknown, completion
# unknown.
_UNKNOWN_STATES = frozenset({"57P01", "57P02", "08007", "40003"})


def commit(
    session: Session, patience: float | None = None, *, first: Sequence[Query | Statement] = ()
) -> None:
    """Commit, and return only when it is certain that it held.

    What is to be done `first` goes in one round trip with a question of ours. An answer that is lost is asked
    for again, for `patience` seconds (PATIENCE by default).

    Raises TargetError (SourceError) when the server says, then or later, that it did not hold, and
    OutcomeUnknownError when that cannot be found out. The session's `committed` tells the same. Ctrl-C while
    the server works on it is raised after its answer.
    """
    session.committed = None
    patience = PATIENCE if patience is None else patience
    transaction = _transaction(session, first)
    try:
        _commit(session)
    except Lost as lost:
        interrupted = lost.__cause__ if isinstance(lost.__cause__, KeyboardInterrupt) else None
        try:
            _settle(session, transaction, lost, patience if interrupted is None else _INTERRUPTED_PATIENCE)
        except (SourceError, TargetError):
            if interrupted is None:
                raise
        if interrupted is not None:
            raise interrupted from None
    except psycopg.Error as error:
        if error.sqlstate in _UNKNOWN_STATES:
            _settle(session, transaction, error, patience)
        else:
            session.committed = False
            raise translate(error, session.side) from None


def _transaction(session: Session, first: Sequence[Query | Statement]) -> Transaction | None:
    """Who we are, should the answer to COMMIT be lost; None when nothing has been written."""
    version = session.server_version
    current = "pg_current_xact_id_if_assigned" if version >= 130000 else "txid_current_if_assigned"
    who = f"SELECT pg_catalog.{current}(), pg_catalog.pg_backend_pid(), {STATISTICS_SINCE}"
    [*_, [(xid, pid, since)]] = session.together([*first, who])
    return None if xid is None else Transaction(int(xid), pid, since, version)


def _commit(session: Session) -> None:
    """Send COMMIT and wait for the answer, which nothing but a deadline after Ctrl-C cuts short."""
    pgconn = session.pgconn
    try:
        tag = exchange.run(pgconn, b"COMMIT")[-1].command_status
    except KeyboardInterrupt as interrupted:
        try:
            answers = exchange.results(pgconn, deadline=time.monotonic() + _INTERRUPTED_PATIENCE)
        except (TimeoutError, KeyboardInterrupt):
            raise Lost("the server did not answer COMMIT in time after an interrupt") from interrupted
        if not answers:  # taken before the interrupt was raised, or never sent: ask
            raise Lost("COMMIT was interrupted") from interrupted
        session.committed = answers[-1].command_status == b"COMMIT"
        raise
    session.committed = tag == b"COMMIT"
    if not session.committed:
        raise psycopg.errors.InFailedSqlTransaction("the transaction had failed before COMMIT")


def _settle(
    session: Session, transaction: Transaction | None, lost: Lost | psycopg.Error, patience: float
) -> None:
    """Find out within `patience` seconds what became of a COMMIT without an answer."""
    where, side = session.dsn, session.side
    session.hang_up()
    try:
        outcome = Outcome.ABORTED if transaction is None else resolve(where, side, transaction, patience)
    except KeyboardInterrupt:  # the second; what it interrupts is the asking, not the answer
        outcome = Outcome.UNKNOWN
    if outcome is Outcome.COMMITTED:
        session.committed = True
        return
    reason = "its answer to COMMIT was lost"
    if outcome is Outcome.ABORTED:
        session.committed = False
        error = translate(lost, side)
        error.state = f"{reason}; asked again, the server says that the transaction was rolled back"
        raise error from None
    assert transaction is not None
    hint = f"ask the server, in the same database: {transaction.query}"
    if outcome is Outcome.DOUBTFUL:
        hint = "the server crashed and may have given this id to another transaction: look for the rows"
    raise OutcomeUnknownError(
        f"{reason}, and it could not be found out whether transaction {transaction.xid} held",
        side=side,
        state="either all of this transaction is there, or nothing of it",
        hint=hint,
    ) from None
