"""The rows on the target that say what a run has committed: schema `copypump`, made when it is needed.

A row goes in first, in the very transaction of what it stands for. So an attempt that the network cut off
makes the next one wait until its own end is known: then the row is there, and nothing is to be done, or it
is not, and nothing was.

    runs    a row a run: what it was asked to do, what it was found to be, how it stands
    chunks  a row a committed chunk, with its counts
    steps   a row a committed phase before or after the chunks, or step of one
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from copypump.errors import CopypumpError, RefusedError, Side
from copypump.postgres.label import end_labelled
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.values import Param

SCHEMA = "copypump"

# "copypump" in ASCII: under this lock two runs do not make the ledger at once.
MAKING = 0x636F707970756D70

_TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.runs (
    run         pg_catalog.text PRIMARY KEY,
    epoch       pg_catalog.int4 NOT NULL DEFAULT 1,
    status      pg_catalog.text NOT NULL,
    source      pg_catalog.text NOT NULL,
    target      pg_catalog.text NOT NULL,
    options     pg_catalog.jsonb NOT NULL,
    fingerprint pg_catalog.jsonb NOT NULL,
    split       pg_catalog.jsonb NOT NULL,
    snapshots   pg_catalog.jsonb NOT NULL DEFAULT '[]',
    notes       pg_catalog.jsonb NOT NULL DEFAULT '{{}}',
    error       pg_catalog.text,
    version     pg_catalog.text NOT NULL,
    started     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    changed     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now());
CREATE TABLE IF NOT EXISTS {schema}.chunks (
    run           pg_catalog.text NOT NULL REFERENCES {schema}.runs ON DELETE CASCADE,
    chunk         pg_catalog.int4 NOT NULL,
    snapshot      pg_catalog.int4 NOT NULL,
    rows_read     pg_catalog.int8,
    rows_written  pg_catalog.int8,
    bytes_read    pg_catalog.int8,
    bytes_written pg_catalog.int8,
    seconds       pg_catalog.float8,
    committed     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (run, chunk));
CREATE TABLE IF NOT EXISTS {schema}.steps (
    run       pg_catalog.text NOT NULL REFERENCES {schema}.runs ON DELETE CASCADE,
    step      pg_catalog.text NOT NULL,
    tally     pg_catalog.jsonb NOT NULL DEFAULT '{{}}',
    committed pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (run, step))"""

_RUNS = """
SELECT r.run, r.status, r.source, r.target, r.error, r.version,
       r.started::pg_catalog.text, r.changed::pg_catalog.text,
       pg_catalog.jsonb_array_length(r.split OPERATOR(pg_catalog.->) 'chunks'),
       c.done, c.rows_read, c.rows_written, c.bytes_written,
       EXISTS (SELECT FROM pg_catalog.pg_locks l
                WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted
                  AND l.database OPERATOR(pg_catalog.=)
                      (SELECT d.oid FROM pg_catalog.pg_database d
                        WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
                  AND l.objsubid OPERATOR(pg_catalog.=) 1::pg_catalog.int2
                  AND ((l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32)
                       OPERATOR(pg_catalog.|) l.objid::pg_catalog.int8)
                      OPERATOR(pg_catalog.=) pg_catalog.hashtextextended(r.run, 0))
  FROM {schema}.runs r,
       LATERAL (SELECT pg_catalog.count(*) AS done,
                       coalesce(pg_catalog.sum(k.rows_read), 0)::pg_catalog.int8 AS rows_read,
                       coalesce(pg_catalog.sum(k.rows_written), 0)::pg_catalog.int8 AS rows_written,
                       coalesce(pg_catalog.sum(k.bytes_written), 0)::pg_catalog.int8 AS bytes_written
                  FROM {schema}.chunks k WHERE k.run OPERATOR(pg_catalog.=) r.run) c
 {where}
 ORDER BY r.started, r.run"""


_KEY = "pg_catalog.hashtextextended($1::pg_catalog.text, 0)"

_TRY_GUARD = f"SELECT pg_catalog.pg_try_advisory_xact_lock({_KEY})"

_HOLDER = f"""
SELECT l.pid FROM pg_catalog.pg_locks l
 WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted
   AND l.objsubid OPERATOR(pg_catalog.=) 1::pg_catalog.int2
   AND ((l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32)
        OPERATOR(pg_catalog.|) l.objid::pg_catalog.int8) OPERATOR(pg_catalog.=) {_KEY}"""

# Seconds for a server to notice that a process of ours is gone.
_PATIENCE = 3.0


class Superseded(Exception):  # noqa: N818 - told to the user as a StoppedError by the run
    """Another process has taken the run up since."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A chunk's row: what it moved, under which of the run's snapshots (counted from 1)."""

    chunk: int
    snapshot: int
    rows_read: int
    rows_written: int
    bytes_read: int
    bytes_written: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run stands, as `copypump runs` lists it.

    `status` is running, done, failed or stopped; a run that says that it is running while nobody holds it
    has died, and is stopped.
    """

    run: str
    status: str
    source: str
    target: str
    error: str | None
    version: str
    started: str
    changed: str
    chunks: int
    chunks_done: int
    rows_read: int
    rows_written: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class Record:
    """A run's own row, whole."""

    run: str
    epoch: int
    status: str
    options: dict[str, Any]
    fingerprint: dict[str, Any]
    split: dict[str, Any]
    snapshots: list[str]
    notes: dict[str, Any]


class Ledger:
    """The statements on the ledger of one target; every one is given the session that it runs in."""

    def __init__(self, schema: str = SCHEMA) -> None:
        self.schema = schema

    def _sql(self, text: str, **parts: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(schema=sql.Identifier(self.schema), **parts)

    # The run

    def exists(self, session: Session) -> bool:
        """Whether the tables are there."""
        found = session.execute(
            "SELECT pg_catalog.to_regclass($1::pg_catalog.text) IS NOT NULL",
            [show_name(self.schema, "steps")],
        )
        return bool(found[0][0])

    def make(self, session: Session) -> None:
        """Make what is missing, in the session's transaction, which is to commit soon.

        Raises:
            RefusedError: the role may not, and nobody made it.

        """
        if self.exists(session):
            return
        session.execute("SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int8)", [MAKING])
        try:
            for statement in _TABLES.split(";"):
                session.execute(self._sql(statement))
        except CopypumpError as error:
            if error.sqlstate != "42501":
                raise
            raise RefusedError(
                f"the role may not make the ledger, schema {show_name(self.schema)}",
                side=Side.TARGET,
                hint="GRANT CREATE ON DATABASE, or let another role run once; --ledger-schema names another",
            ) from None

    def guard(self, session: Session, run: str) -> None:
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
        params: list[Param] = [run, source, target, *map(json.dumps, (options, split)), version]
        rows = session.execute(self._sql(statement), params)
        if not rows:
            raise RefusedError(
                f"there is a run {run} already",
                side=Side.TARGET,
                hint=f"go on with it: copypump resume {run}; or forget it: copypump forget {run}",
            )
        return int(rows[0][0])

    def identify(self, session: Session, run: str, target: str, fingerprint: Mapping[str, Any]) -> None:
        """Say what the run must be when it is resumed, once the target is there."""
        session.execute(
            self._sql(
                "UPDATE {schema}.runs SET target = $2, fingerprint = $3 WHERE run OPERATOR(pg_catalog.=) $1"
            ),
            [run, target, json.dumps(fingerprint)],
        )

    def read(self, session: Session, run: str) -> Record:
        """Give the run's row (RefusedError where there is none)."""
        rows: list[tuple[Any, ...]] = []
        if self.exists(session):
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

    def add_snapshot(self, session: Session, run: str, snapshot: str) -> int:
        """Note the snapshot under which the next chunks are read; give its number, from 1."""
        [(number,)] = session.execute(
            self._sql(
                "UPDATE {schema}.runs SET snapshots = snapshots OPERATOR(pg_catalog.||)"
                " pg_catalog.to_jsonb($2::pg_catalog.text)"
                " WHERE run OPERATOR(pg_catalog.=) $1 RETURNING pg_catalog.jsonb_array_length(snapshots)"
            ),
            [run, snapshot],
        )
        return int(number)

    def note(self, session: Session, run: str, notes: Mapping[str, Any]) -> None:
        """Keep what a later step, or a resume, must know: it commits with the session's transaction."""
        session.execute(
            self._sql(
                "UPDATE {schema}.runs SET notes = notes OPERATOR(pg_catalog.||) $2::pg_catalog.jsonb"
                " WHERE run OPERATOR(pg_catalog.=) $1"
            ),
            [run, json.dumps(notes)],
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
            [run, status, error],
            deadline=deadline,
        )

    def runs(self, session: Session, run: str | None = None) -> list[RunState]:
        """All runs, or one, oldest first."""
        if not self.exists(session):
            return []
        where = sql.SQL("" if run is None else "WHERE r.run OPERATOR(pg_catalog.=) $1")
        found = session.execute(self._sql(_RUNS, where=where), None if run is None else [run])
        return [_state(row) for row in found]

    def incoming(self, run: str) -> sql.Identifier:
        """The table in which rows of a run that merges wait."""
        return sql.Identifier(self.schema, f"rows_of_{run}")

    def forget(self, session: Session, run: str) -> None:
        """Take the run out of the ledger, with its chunks and steps, and rows of it that wait."""
        session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.incoming(run)))
        session.execute(self._sql("DELETE FROM {schema}.runs WHERE run OPERATOR(pg_catalog.=) $1"), [run])

    # Its chunks

    def claim_chunk(self, session: Session, run: str, epoch: int, chunk: int, snapshot: int) -> bool:
        """Put the chunk's row in, first of all in its transaction; False where it has been committed before.

        Waits for any other attempt that has put it in and not ended yet. The transaction has failed, and
        wants a rollback, when this returns False.

        Raises:
            Superseded: the run has been taken up by another process.

        """
        statement = """INSERT INTO {schema}.chunks (run, chunk, snapshot)
            SELECT r.run, $3::pg_catalog.int4, $4::pg_catalog.int4 FROM {schema}.runs r
             WHERE r.run OPERATOR(pg_catalog.=) $1 AND r.epoch OPERATOR(pg_catalog.=) $2::pg_catalog.int4
            RETURNING chunk"""
        return self._claim(session, statement, [run, epoch, chunk, snapshot])

    def claim_step(self, session: Session, run: str, epoch: int, step: str) -> bool:
        """Likewise, for a phase or a step of one."""
        statement = """INSERT INTO {schema}.steps (run, step)
            SELECT r.run, $3::pg_catalog.text FROM {schema}.runs r
             WHERE r.run OPERATOR(pg_catalog.=) $1 AND r.epoch OPERATOR(pg_catalog.=) $2::pg_catalog.int4
            RETURNING step"""
        return self._claim(session, statement, [run, epoch, step])

    def _claim(self, session: Session, statement: str, params: list[Param]) -> bool:
        try:
            if session.execute(self._sql(statement), params):
                return True
        except CopypumpError as error:
            if error.sqlstate != "23505":
                raise
            return False
        raise Superseded

    def count(self, session: Session, run: str, done: Committed) -> None:
        """Fill in what the chunk moved, before its COMMIT."""
        session.execute(
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


def _state(row: Iterable[Any]) -> RunState:
    """From a row of `_RUNS`, whose last column says whether somebody holds the run."""
    run, status, *rest, held = row
    return RunState(run, "stopped" if status == "running" and not held else status, *rest)
