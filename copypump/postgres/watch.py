"""A deadlock that no server sees: two sessions of ours in one database, one of which waits for the other.

The source's backend waits for a lock that the target's transaction holds, say because the query calls a
function that reads the target, which TRUNCATE has locked. The target's backend waits for our rows, and we
wait for the source: a circle, of which the server knows one part only, so that it would wait for ever. No
catalog tells beforehand what a function will read; so a session of its own asks who waits for whom.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType

import psycopg

from copypump.errors import CopypumpError, Side
from copypump.postgres import exchange
from copypump.postgres.connect import connect
from copypump.postgres.exchange import Lost
from copypump.postgres.interrupt import Aborted, Interrupt

log = logging.getLogger("copypump.watch")

# Seconds between two questions; a run that is over before the first has no session for them.
INTERVAL = 1.0

# Whether $1 waits for $2, perhaps behind others that do, and for which relation (where it is one, and where
# it is no parallel worker that waits).
_WAITS = b"""
WITH RECURSIVE chain(pid) AS (
    SELECT $1::pg_catalog.int4
    UNION
    SELECT blocker FROM chain, LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(chain.pid)) AS blocker)
SELECT coalesce((SELECT l.relation::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_locks l
                  WHERE l.pid OPERATOR(pg_catalog.=) $1::pg_catalog.int4 AND NOT l.granted LIMIT 1),
                'a lock')
  FROM chain WHERE chain.pid OPERATOR(pg_catalog.=) $2::pg_catalog.int4"""


class DeadlockWatch:
    """While entered, asks whether one of two backends waits for the other, and then sets the interrupt.

    `found` then says who waits, and for what. One transaction of each must last as long as the other is
    needed: then such a wait never ends by itself.
    """

    def __init__(self, dsn: str, pids: dict[Side, int], interrupt: Interrupt) -> None:
        self.found: str | None = None
        self._dsn = dsn
        self._pids = pids
        self._interrupt = interrupt
        self._stop = Interrupt()
        self._thread = threading.Thread(target=self._watch, name="copypump watch", daemon=True)

    def __enter__(self) -> DeadlockWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()  # every wait of it is ended by the switch
        self._stop.close()

    def _watch(self) -> None:
        if self._stop.wait(INTERVAL):
            return
        try:
            connection = connect(self._dsn, Side.TARGET, interrupt=self._stop)
        except Aborted:
            return
        except CopypumpError as error:
            log.warning("nobody watches whether source and target wait for each other: %s", error)
            return
        try:
            while self.found is None and not self._stop.is_set():
                self.found = self._who_waits(connection.pgconn)
                self._stop.wait(INTERVAL if self.found is None else 0)
        except Aborted:
            pass
        except (psycopg.Error, Lost) as error:
            log.warning("nobody watches whether source and target wait for each other: %s", error)
        finally:
            connection.close()
        if self.found is not None:
            self._interrupt.set()

    def _who_waits(self, pgconn: psycopg.pq.abc.PGconn) -> str | None:
        for side, other in ((Side.SOURCE, Side.TARGET), (Side.TARGET, Side.SOURCE)):
            pids = [str(self._pids[one]).encode() for one in (side, other)]
            result = exchange.run(pgconn, _WAITS, pids, interrupt=self._stop)[-1]
            if result.ntuples:
                what = (result.get_value(0, 0) or b"").decode()
                return f"the {side} waits for {what}, which the {other} has locked"
        return None
