"""The statements on a ledger: of a run's own row, of its chunks and of its steps.

Those that go together with others are given, and not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from psycopg import sql

from copypump.engine.chunks.ledger.listing import list_runs
from copypump.engine.chunks.ledger.rows import Committed, Record, RunState
from copypump.engine.chunks.ledger.tables import exist, in_schema, make
from copypump.errors import CopypumpError, RefusedError, Side
from copypump.postgres.names import show_name
from copypump.postgres.session import Session, Statement
from copypump.postgres.values import Param

# unique_violation: what the row of a claim meets where it is there already.
CLAIMED = "23505"


class Superseded(Exception):  # noqa: N818 - told to the user as a StoppedError by the run
    """Another process has taken the run up since."""


class Ledger:
    """The statements on the ledger of one target; every one is given the session that it runs in."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def _sql(self, text: str) -> sql.Composed:
        return in_schema(self.schema, text)

    def make(self, session: Session) -> None:
        """Make what is missing of the tables; see `tables.make`."""
        make(session, self.schema)

    # The run

    def start(
        self,
        session: Session,
        run: str,
        *,
        source: str,
        target: str,
        options: Mapping[str, Any],
        split: Mapping[str, Any],
        version: str,
    ) -> int:
        """Put the run's row in; give its epoch.

        Raises:
            RefusedError: there is a run of this name.

        """
        statement = """INSERT INTO {schema}.runs
            (run, status, source, target, options, fingerprint, split, version)
            VALUES ($1, 'running', $2, $3, $4, '{{}}', $5, $6) ON CONFLICT DO NOTHING RETURNING epoch"""
        names = (_storable(session, name) for name in (source, target))
        params: list[Param] = [run, *names, *map(json.dumps, (options, split)), version]
        rows = session.execute(self._sql(statement), params)
        if not rows:
            done = self.read(session, run).status == "done"
            on = "" if done else f"go on with it: copypump resume {run}; or "
            raise RefusedError(
                f"there is a run {run} already" + (", which is done" if done else ""),
                side=Side.TARGET,
                hint=f"{on}forget it: copypump forget {run}",
            )
        return int(rows[0][0])

    def identify(self, session: Session, run: str, target: str, fingerprint: Mapping[str, Any]) -> None:
        """Say what the run must be when it is resumed, once the target is there."""
        session.execute(
            self._sql(
                "UPDATE {schema}.runs SET target = $2, fingerprint = $3 WHERE run OPERATOR(pg_catalog.=) $1"
            ),
            [run, _storable(session, target), json.dumps(fingerprint)],
        )

    def read(self, session: Session, run: str) -> Record:
        """Give the run's row (RefusedError where there is none)."""
        rows: list[tuple[Any, ...]] = []
        if exist(session, self.schema):
            rows = session.execute(
                self._sql(
                    "SELECT run, epoch, status, options, fingerprint, split, snapshots, notes"
                    " FROM {schema}.runs"
                    " WHERE run OPERATOR(pg_catalog.=) $1"
                ),
                [run],
            )
        if not rows:
            raise RefusedError(
                f"there is no run {run} in the ledger, schema {show_name(self.schema)}",
                side=Side.TARGET,
                hint="copypump runs lists those that are there; --ledger-schema names another schema",
            )
        name, epoch, status, *documents = rows[0]
        return Record(name, epoch, status, *map(json.loads, documents))

    def take_up(self, session: Session, run: str) -> int:
        """Say that the run goes on, here; give its new epoch."""
        [(epoch,)] = session.execute(
            self._sql(
                "UPDATE {schema}.runs SET epoch = epoch OPERATOR(pg_catalog.+) 1, status = 'running',"
                " error = NULL, changed = pg_catalog.now()"
                " WHERE run OPERATOR(pg_catalog.=) $1 RETURNING epoch"
            ),
            [run],
        )
        return int(epoch)

    def adding_snapshot(self, run: str, snapshot: str) -> Statement:
        """Note the snapshot under which the next chunks are read; its row gives its number, from 1."""
        return Statement(
            self._sql(
                "UPDATE {schema}.runs SET snapshots = snapshots OPERATOR(pg_catalog.||)"
                " pg_catalog.to_jsonb($2::pg_catalog.text)"
                " WHERE run OPERATOR(pg_catalog.=) $1 RETURNING pg_catalog.jsonb_array_length(snapshots)"
            ),
            [run, snapshot],
        )

    def note(self, session: Session, run: str, notes: Mapping[str, Any]) -> None:
        """Keep what a later step, or a resume, must know: it commits with the session's transaction."""
        [(before,)] = session.execute(
            self._sql("SELECT notes FROM {schema}.runs WHERE run OPERATOR(pg_catalog.=) $1 FOR UPDATE"), [run]
        )
        session.execute(
            self._sql("UPDATE {schema}.runs SET notes = $2 WHERE run OPERATOR(pg_catalog.=) $1"),
            [run, json.dumps(json.loads(before) | dict(notes))],
        )

    def end(
        self,
        session: Session,
        run: str,
        status: str,
        error: str | None = None,
        *,
        deadline: float | None = None,
    ) -> None:
        """Say how the run ended: done, failed or stopped; TimeoutError after `deadline` (monotonic)."""
        session.execute(
            self._sql(
                "UPDATE {schema}.runs SET status = $2, error = $3, changed = pg_catalog.clock_timestamp()"
                " WHERE run OPERATOR(pg_catalog.=) $1"
            ),
            [run, status, error and _storable(session, error)],
            deadline=deadline,
        )

    def runs(self, session: Session, run: str | None = None) -> list[RunState]:
        """All runs, or one, oldest first; none where there is no ledger."""
        return list_runs(session, self.schema, run)

    def incoming(self, run: str) -> sql.Identifier:
        """The table in which rows of a run that merges wait."""
        return sql.Identifier(self.schema, f"rows_of_{run}")

    def forget(self, session: Session, run: str) -> None:
        """Take the run out of the ledger, with its chunks and steps, and rows of it that wait."""
        session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.incoming(run)))
        session.execute(self._sql("DELETE FROM {schema}.runs WHERE run OPERATOR(pg_catalog.=) $1"), [run])

    # Its chunks

    def claiming_chunk(self, run: str, epoch: int, chunk: int, snapshot: int) -> Statement:
        """Put the chunk's row in, first of all in its transaction.

        It waits for any other attempt that has put it in and not ended yet. It fails with `CLAIMED` where the
        chunk has been committed before, and gives no row where the run has been taken up by another process.
        """
        statement = """INSERT INTO {schema}.chunks (run, chunk, snapshot)
            SELECT r.run, $3::pg_catalog.int4, $4::pg_catalog.int4 FROM {schema}.runs r
             WHERE r.run OPERATOR(pg_catalog.=) $1 AND r.epoch OPERATOR(pg_catalog.=) $2::pg_catalog.int4
            RETURNING chunk"""
        return Statement(self._sql(statement), [run, epoch, chunk, snapshot])

    def claim_step(self, session: Session, run: str, epoch: int, step: str) -> bool:
        """Likewise, for a phase or a step of one; False where it has been committed before.

        The transaction has failed then, and wants a rollback.

        Raises:
            Superseded: the run has been taken up by another process.

        """
        statement = """INSERT INTO {schema}.steps (run, step)
            SELECT r.run, $3::pg_catalog.text FROM {schema}.runs r
             WHERE r.run OPERATOR(pg_catalog.=) $1 AND r.epoch OPERATOR(pg_catalog.=) $2::pg_catalog.int4
            RETURNING step"""
        try:
            if session.execute(self._sql(statement), [run, epoch, step]):
                return True
        except CopypumpError as error:
            if error.sqlstate != CLAIMED:
                raise
            return False
        raise Superseded

    def counting(self, run: str, done: Committed) -> Statement:
        """Fill in what the chunk moved, before its COMMIT."""
        return Statement(
            self._sql(
                "UPDATE {schema}.chunks SET rows_read = $3, rows_written = $4, bytes_read = $5,"
                " bytes_written = $6, seconds = $7::pg_catalog.float8,"
                " committed = pg_catalog.clock_timestamp()"
                " WHERE run OPERATOR(pg_catalog.=) $1 AND chunk OPERATOR(pg_catalog.=) $2::pg_catalog.int4"
            ),
            [
                run, done.chunk, done.rows_read, done.rows_written, done.bytes_read, done.bytes_written,
                str(done.seconds),
            ],
        )  # fmt: skip

    def count_step(self, session: Session, run: str, step: str, tally: Mapping[str, Any]) -> None:
        """Fill in what the phase did, before its COMMIT."""
        session.execute(
            self._sql(
                "UPDATE {schema}.steps SET tally = $3"
                " WHERE run OPERATOR(pg_catalog.=) $1 AND step OPERATOR(pg_catalog.=) $2"
            ),
            [run, step, json.dumps(tally)],
        )

    def chunks(self, session: Session, run: str) -> dict[int, Committed]:
        """The committed chunks of a run, by number."""
        found = session.execute(
            self._sql(
                "SELECT chunk, snapshot, rows_read, rows_written, bytes_read, bytes_written, seconds"
                " FROM {schema}.chunks WHERE run OPERATOR(pg_catalog.=) $1"
            ),
            [run],
        )
        return {row[0]: Committed(*row) for row in found}

    def steps(self, session: Session, run: str) -> dict[str, dict[str, Any]]:
        """The committed steps of a run, each with its tally."""
        found = session.execute(
            self._sql("SELECT step, tally FROM {schema}.steps WHERE run OPERATOR(pg_catalog.=) $1"), [run]
        )
        return {step: json.loads(tally) for step, tally in found}

    def start_over(self, session: Session, run: str) -> None:
        """Take the run's chunks out, in the transaction that takes away what they landed."""
        session.execute(self._sql("DELETE FROM {schema}.chunks WHERE run OPERATOR(pg_catalog.=) $1"), [run])


def _storable(session: Session, text: str) -> str:
    """Text that is only to be read by people, with escapes for what the database's encoding may lack."""
    match session.server_encoding:
        case "UTF8" | "SQL_ASCII":
            return text
        case encoding:
            codec = "latin-1" if encoding == "LATIN1" else "ascii"
            return text.encode(codec, "backslashreplace").decode(codec)
