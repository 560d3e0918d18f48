"""Whose a run is: a lock on the target, for as long as a transaction lasts, says so."""

from __future__ import annotations

import time

from copypump.errors import RefusedError, Side
from copypump.postgres.label import end_labelled
from copypump.postgres.session import Session

# The lock's key, by the run's name.
_KEY = "pg_catalog.hashtextextended({run}, 0)"

# Of a row of pg_locks, as l: it says that somebody in this database holds the run. There a key of eight bytes
# stands in two halves.
HELD = f"""
       l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted
   AND l.database OPERATOR(pg_catalog.=)
       (SELECT d.oid FROM pg_catalog.pg_database d
         WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
   AND l.objsubid OPERATOR(pg_catalog.=) 1::pg_catalog.int2
   AND ((l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32)
        OPERATOR(pg_catalog.|) l.objid::pg_catalog.int8) OPERATOR(pg_catalog.=) {_KEY}"""

_NAMED = "$1::pg_catalog.text"
_TRY_GUARD = f"SELECT pg_catalog.pg_try_advisory_xact_lock({_KEY.format(run=_NAMED)})"
_HOLDER = f"SELECT l.pid FROM pg_catalog.pg_locks l WHERE {HELD.format(run=_NAMED)}"

# Seconds for a server to notice that a process of ours is gone.
_PATIENCE = 3.0


def hold_run(session: Session, run: str) -> None:
    """Hold the run as ours until the session's transaction ends.

    What earlier processes left behind on the server is ended (see `postgres.label`).

    Raises:
        RefusedError: another process holds it.

    """
    deadline = time.monotonic() + _PATIENCE
    while not session.execute(_TRY_GUARD, [run])[0][0]:
        if time.monotonic() < deadline:  # a process that was killed is gone as soon as its server notices
            time.sleep(0.1)
            continue
        found = session.execute(_HOLDER, [run])
        pid = f", server process {found[0][0]}" if found else ""
        raise RefusedError(
            f"the run {run} is active: another process holds it{pid}",
            side=Side.TARGET,
            hint=f"wait for it, or end it; copypump status {run} says how far it is",
        )
    end_labelled(session, run)
