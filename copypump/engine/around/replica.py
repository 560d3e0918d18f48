"""`triggers replica`: the run's sessions do as a replica's: few triggers fire, and no foreign key is checked.

session_replication_role switches foreign keys off as well, and the server does not look again. So each is
looked at here before a run succeeds: in the transaction of the rows where there is one, else in a phase of
its own behind the chunks. Who deletes rows that are referred to is held off meanwhile, as he is by the
server where it checks a key itself: what he does not see yet, he would delete the reference of.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.engine.around.triggers import lands_at_once, lock, within
from copypump.engine.loading import Execute, Landing, Loading, Phase, Step
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.catalog import Table
from copypump.postgres.names import show_name
from copypump.postgres.references import ForeignKey, Relation, deferrable_keys, foreign_keys
from copypump.postgres.session import Session
from copypump.postgres.translate import DENIED, denied
from copypump.postgres.triggers import trigger_states

REPLICA = "SET LOCAL session_replication_role = replica"
_ROLE = "session_replication_role"
_FOREIGN_KEY_VIOLATION = "23503"


def add_replica(landing: Landing, loading: Loading, table: Table) -> Loading:
    """Let rows land as a replica's do, and check what the server then does not.

    Raises:
        RefusedError: something would not be checked that cannot be checked afterwards.
        TargetError: the role may not set it, or not look at what is to be checked.

    """
    target = landing.target
    _try_to_set(target, table)
    _refuse(landing, table)
    keys = tuple(key for key in foreign_keys(target, table) if _is_touched(key, landing))
    for key in keys:
        _check(key, table)
    setting = Execute(sql.SQL(REPLICA))
    before: list[Step] = [setting]
    if lands_at_once(landing) and any(key.itself for key in keys):
        before.append(Execute(lock(table, "SHARE ROW EXCLUSIVE")))
    others = {str(key.referenced): key.referenced for key in keys if key.outgoing and not key.itself}
    if not lands_at_once(landing) and any(key.itself for key in keys):
        others[str(table)] = next(key.referenced for key in keys if key.itself)
    phase = Phase("foreign keys", (*_locks(others.values()), *(Orphans(key, str(table)) for key in keys)))
    loading = replace(loading, warnings=(*loading.warnings, *_warnings(landing, table, keys)))
    if lands_at_once(landing):
        return within(landing, loading, before, phase, locks=len(before) > 1)
    return replace(
        loading,
        sink=replace(loading.sink, settings=(REPLICA, *loading.sink.settings)),
        prepare=(setting, *loading.prepare) if loading.prepare else (),
        restart=None if loading.restart is None else (setting, *loading.restart),
        finish=(*loading.finish, phase) if phase.steps else loading.finish,
    )


def _try_to_set(target: Session, table: Table) -> None:
    """Set it, as the server alone can tell who may, and set it back."""
    [(before,)] = target.execute("SELECT pg_catalog.current_setting($1)", [_ROLE])
    change = "SELECT pg_catalog.set_config($1, $2, true)"
    try:
        target.execute(change, [_ROLE, "replica"])
    except TargetError as error:
        if error.sqlstate != DENIED:
            raise
        error.message, error.table = f"the role may not set {_ROLE}", str(table)
        error.hint = (
            f"a superuser may; PostgreSQL 15 or later lets others: GRANT SET ON PARAMETER {_ROLE} TO the role"
        )
        raise
    target.execute(change, [_ROLE, str(before)])


def _refuse(landing: Landing, table: Table) -> None:
    def refused(what: str, hint: str) -> RefusedError:
        return RefusedError(f"triggers replica: {what}", side=Side.TARGET, table=str(table), hint=hint)

    if names := deferrable_keys(landing.target, table):
        raise refused(
            f"the deferrable {', '.join(map(show_name, names))} would not be checked",
            "--triggers disable-user leaves constraints alone",
        )
    mode = landing.options.load_mode
    if table.has_rules and mode is not None and not mode.copies:
        raise refused("rules of the table would not fire", "drop the rules, or leave --triggers out")


def _is_touched(key: ForeignKey, landing: Landing) -> bool:
    """Whether the load can break it: by a new row, or by taking away a value that is referred to."""
    if key.outgoing:
        return True
    mode, options = landing.options.load_mode, landing.options
    if mode is None or not mode.keyed or options.on_conflict != "update":
        return False
    updated = {mapped.column.name for mapped in landing.mapping.mapped} - set(options.key or ())
    return not updated.isdisjoint(pair.referenced for pair in key.pairs)


def _check(key: ForeignKey, table: Table) -> None:
    """Whether it can be checked afterwards."""
    hint, fault = "--triggers disable-user leaves foreign keys alone", ""
    if key.period:
        fault = "is over periods, for which there is no rule"
    elif not key.validated:
        fault = "is NOT VALID: rows that break it may be there already"
        hint = f"ALTER TABLE {key.table} VALIDATE CONSTRAINT {show_name(key.name)}; or {hint}"
    if fault:
        raise RefusedError(
            f"triggers replica: the foreign key {show_name(key.name)} could not be checked after the load: it"
            f" {fault}",
            side=Side.TARGET,
            table=str(table),
            hint=hint,
        )
    lacking = [f"SELECT on {each}" for each in (key.table, key.referenced) if not each.can_select]
    lacking += [f"BYPASSRLS, for {each}" for each in (key.table, key.referenced) if each.secured]
    if key.outgoing and not key.referenced.can_lock:
        lacking.append(f"UPDATE or DELETE on {key.referenced}, to hold writers off")
    if lacking:
        raise denied(
            f"to check the foreign key {show_name(key.name)} after the load, the role lacks"
            f" {'; '.join(lacking)}",
            str(table),
        )


def _locks(tables: Iterable[Relation]) -> list[Step]:
    """Hold writers off the tables that are referred to, in the order of their names."""
    return [
        Execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(each.whole))
        for each in sorted(tables, key=lambda each: (each.schema, each.name))
    ]


def _warnings(landing: Landing, table: Table, keys: tuple[ForeignKey, ...]) -> list[str]:
    warnings = []
    if keys:
        names = ", ".join(f"{show_name(key.name)} of {key.table}" for key in keys)
        when = (
            "before the COMMIT"
            if lands_at_once(landing)
            else "behind the last chunk, when rows that break it are committed already"
        )
        warnings.append(f"foreign keys are switched off while rows land, and checked {when}: {names}")
    firing = [each for each in trigger_states(landing.target, table) if each.state in "RA"]
    if firing:
        names = ", ".join(
            f"{show_name(each.name)} of {show_name(each.schema, each.table)}" for each in firing
        )
        warnings.append(f"triggers that are enabled for replicas, or always, fire: {names}")
    return warnings


class Orphans(Struct, frozen=True):
    """The step that ends the run where rows refer to none; `target` is for messages."""

    key: ForeignKey
    target: str

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return (self.key.orphans.as_string(),)

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        [(count,)] = target.execute(self.key.orphans)
        if count:
            key = self.key
            raise TargetError(
                f"{count:,} rows of {key.table} refer to rows that {key.referenced} does not have"
                f" (foreign key {show_name(key.name)})",
                side=Side.TARGET,
                table=self.target,
                sqlstate=_FOREIGN_KEY_VIOLATION,
                hint=f"load {key.referenced} first, or take these rows out; --triggers disable-user lets the"
                " server check foreign keys row by row",
            )
