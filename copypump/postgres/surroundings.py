"""What stands around a target table and costs time when rows land: its indexes and triggers."""

from __future__ import annotations

from msgspec import Struct

from copypump.postgres.session import Session


class Index(Struct, frozen=True):
    """An index as the server writes it, its size in bytes, and the constraint that it serves, if any."""

    name: str
    definition: str
    constraint: str | None
    bytes: int


class Trigger(Struct, frozen=True):
    """A user's trigger as the server writes it; `enabled` is False where it does not fire for us."""

    name: str
    definition: str
    enabled: bool


_INDEXES = """
SELECT c.relname, pg_catalog.pg_get_indexdef(i.indexrelid),
       (SELECT k.conname FROM pg_catalog.pg_constraint k
         WHERE k.conindid OPERATOR(pg_catalog.=) i.indexrelid
           AND k.conrelid OPERATOR(pg_catalog.=) i.indrelid
           AND k.contype OPERATOR(pg_catalog.=) ANY (ARRAY['p', 'u', 'x']::pg_catalog."char"[]) LIMIT 1),
       coalesce(pg_catalog.pg_relation_size(i.indexrelid), 0)
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
 WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
 ORDER BY c.relname"""

_TRIGGERS = """
SELECT t.tgname, pg_catalog.pg_get_triggerdef(t.oid),
       t.tgenabled::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[])
  FROM pg_catalog.pg_trigger t
 WHERE t.tgrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND NOT t.tgisinternal
 ORDER BY t.tgname"""


def indexes_of(session: Session, oid: int) -> tuple[Index, ...]:
    """List a table's indexes; of a partitioned one, those that its partitions' follow."""
    return tuple(Index(*row) for row in session.execute(_INDEXES, [oid]))


def triggers_of(session: Session, oid: int, firing: str = "OA") -> tuple[Trigger, ...]:
    """List a table's triggers, those of constraints left out; `firing` are the states in which they fire.

    See `postgres.triggers`; by default those in which they do so in a session of ours.
    """
    return tuple(Trigger(*row) for row in session.execute(_TRIGGERS, [oid, f"{{{','.join(firing)}}}"]))
