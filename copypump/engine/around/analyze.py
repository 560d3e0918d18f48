"""`analyze`: the target's statistics are taken anew once all rows are there."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.engine.loading import Landing, Loading, Phase
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.catalog import Table
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.translate import denied

MAINTAIN = 170000  # the server version that the privilege came with


def add_analyze(landing: Landing, loading: Loading) -> Loading:
    """End by an ANALYZE: before the COMMIT, or as a phase of its own where there is a ledger.

    Mode replace analyzes its new table anyway. Partitions that the role may not analyze are a warning.

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
        forbidden = _forbidden(landing.target, table)
        if any(not below for _, below in forbidden):
            raise denied(
                "the role may not analyze the table",
                str(table),
                hint="leave --analyze out, or run as the table's owner",
            )
        left_out = [name for name, below in forbidden if below]
        if left_out:
            warnings = (f"the role may not analyze the partitions {', '.join(left_out)}: they are left out",)
            loading = replace(loading, warnings=(*loading.warnings, *warnings))
    step = Analyze(sql.SQL("ANALYZE {}").format(destination.identifier))
    return replace(loading, finish=(*loading.finish, Phase("analyze", (step,))))


class Analyze(Struct, frozen=True):
    """The step that takes the statistics; where that fails, the rows land all the same."""

    statement: sql.Composable

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return (self.statement.as_string(),)

    def run(self, target: Session, tally: Tally) -> None:
        """See `Step`. What the server says against it is a warning."""
        target.execute("SAVEPOINT copypump_analyze")
        try:
            target.execute(self.statement)
        except TargetError as error:
            if error.lost:
                raise
            target.execute("ROLLBACK TO SAVEPOINT copypump_analyze")
            tally.warnings.append(
                f"the statistics are not taken: {error.message} (SQLSTATE {error.sqlstate})"
            )
        target.execute("RELEASE SAVEPOINT copypump_analyze")


def _forbidden(target: Session, table: Table) -> list[tuple[str, bool]]:
    """Names of what the role may not analyze, and whether that is a partition and not the table itself."""
    may = "pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role(d.datdba, 'USAGE')"
    if target.server_version >= MAINTAIN:
        may += " OR pg_catalog.has_table_privilege(c.oid, 'MAINTAIN')"
    query = f"""
SELECT n.nspname, c.relname, p.level OPERATOR(pg_catalog.>) 0
  FROM (SELECT $1::pg_catalog.oid, 0
        UNION SELECT tree.relid, tree.level
                FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) tree)
           AS p(relid, level)
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.relid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  JOIN pg_catalog.pg_database d ON d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
 WHERE NOT ({may})
 ORDER BY p.level, n.nspname, c.relname"""
    rows = target.execute(query, [table.oid])
    return [(show_name(str(schema), str(name)), bool(below)) for schema, name, below in rows]
