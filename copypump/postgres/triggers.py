"""The triggers of users' own on a table and on its partitions, and whether they fire."""

from __future__ import annotations

from msgspec import Struct
from psycopg import sql

from copypump.postgres.catalog import Table
from copypump.postgres.session import Session

# pg_trigger.tgenabled, as ALTER TABLE sets it: O fires but under session_replication_role = replica, R only
# there, A always, D never.
STATES = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS", "D": "DISABLE"}


class TriggerState(Struct, frozen=True):
    """One trigger: its table (the target, or with `below` a partition of it), and a key of STATES.

    `owned`: the role may alter the table.
    """

    schema: str
    table: str
    name: str
    state: str
    below: bool
    owned: bool

    @property
    def relation(self) -> sql.Identifier:
        """Its table's name for psycopg.sql."""
        return sql.Identifier(self.schema, self.table)


# Clones of a partitioned table's triggers stand on its partitions, where they may have states of their own.
_STATES = """
SELECT n.nspname, c.relname, t.tgname, t.tgenabled::pg_catalog.text, p.level OPERATOR(pg_catalog.>) 0,
       pg_catalog.pg_has_role(c.relowner, 'USAGE')
  FROM (SELECT $1::pg_catalog.oid, 0
        UNION SELECT tree.relid, tree.level
                FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) tree)
           AS p(relid, level)
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.relid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  JOIN pg_catalog.pg_trigger t ON t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal
 ORDER BY p.level, n.nspname, c.relname, t.tgname"""


def trigger_states(session: Session, table: Table) -> tuple[TriggerState, ...]:
    """All triggers of users' on the table and its partitions, a table before its partitions."""
    return tuple(TriggerState(*row) for row in session.execute(_STATES, [table.oid]))
