"""`analyze`: the target's statistics are taken anew once all rows are there."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from copypump.engine.loading import Execute, Landing, Loading, Phase
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.catalog import Table
from copypump.postgres.session import Session

MAINTAIN = 170000  # the server version that the privilege came with


def add_analyze(landing: Landing, loading: Loading) -> Loading:
    """End by an ANALYZE: before the COMMIT, or as a last phase where there is a ledger.

    Mode replace analyzes its new table anyway.

    Raises:
        RefusedError: the target is no table with rows of its own.
        TargetError: the role may not; the server itself would only warn, and leave the statistics out.

    """
    mode, destination = landing.options.load_mode, landing.destination
    if mode is not None and mode.new_table:
        return loading
    table = destination.table
    if table is not None:
        if table.kind not in "rp":
            raise RefusedError(
                "analyze goes with an ordinary or a partitioned table", side=Side.TARGET, table=str(table)
            )
        if not _may_analyze(landing.target, table):
            raise TargetError(
                "the role may not analyze the table",
                table=str(table),
                hint="leave --analyze out, or run as the table's owner",
            )
    step = Execute(sql.SQL("ANALYZE {}").format(destination.identifier))
    return replace(loading, finish=(*loading.finish, Phase("analyze", (step,))))


def _may_analyze(target: Session, table: Table) -> bool:
    query = """
SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role(d.datdba, 'USAGE')
  FROM pg_catalog.pg_class c, pg_catalog.pg_database d
 WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
   AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"""
    rows = target.execute(query, [table.oid])
    if rows and rows[0][0]:
        return True
    return target.server_version >= MAINTAIN and _is_maintainer(target, table)


def _is_maintainer(target: Session, table: Table) -> bool:
    """Whether the role was granted MAINTAIN on the table, on a server that has it."""
    query = "SELECT pg_catalog.has_table_privilege($1::pg_catalog.oid, 'MAINTAIN')"
    return bool(target.execute(query, [table.oid])[0][0])
