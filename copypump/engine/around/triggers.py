"""`triggers`: users' triggers do not fire while rows land, and are afterwards as they were.

`disable-user` is ALTER TABLE ... DISABLE TRIGGER USER, and back, within the transaction in which rows land in
the target: nobody else ever meets a table without its triggers. `replica` stands in a module of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.engine.loading import Landing, Loading, Phase, Step
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import KINDS, Table
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.translate import denied
from copypump.postgres.triggers import STATES, TriggerState, trigger_states

# Before a trigger can be enabled again: a check that is deferred to the COMMIT would stand against it.
_AT_ONCE = "SET CONSTRAINTS ALL IMMEDIATE"


def add_triggers(landing: Landing, loading: Loading) -> Loading:
    """Switch triggers off around the load, in the way that the option says.

    Raises:
        RefusedError: the target has none that could be switched; or it would be without them between
            transactions.
        TargetError: the role may not.

    """
    table, mode = landing.destination.table, landing.options.load_mode
    if table is None:  # made by the run
        return loading
    if mode is not None and mode.new_table:
        why = f"mode {mode.name} loads a table that has no triggers yet, and checks foreign keys at the end"
        return replace(loading, warnings=(*loading.warnings, f"triggers do not fire anyway: {why}"))
    if table.kind not in "rp":
        raise RefusedError(
            f"triggers of a {KINDS[table.kind]} cannot be switched off", side=Side.TARGET, table=str(table)
        )
    if landing.options.triggers == "replica":
        from copypump.engine.around.replica import add_replica

        return add_replica(landing, loading, table)
    return _disable(landing, loading, table)


def within(
    landing: Landing, loading: Loading, before: Sequence[Step], after: Phase, *, locks: bool
) -> Loading:
    """Put steps around the landing of rows, in one transaction with it.

    That is the whole run, or where rows wait for the end of many chunks, the phase that brings them in.
    `locks`: the steps before lock the target themselves.
    """
    if not landing.many:
        finish = (*loading.finish, *([after] if after.steps else []))
        prepare = (*before, *loading.prepare)
        return replace(loading, prepare=prepare, finish=finish, locks=locks or loading.locks)
    first, *others = loading.finish
    merging = replace(first, steps=(*before, *first.steps, *after.steps))
    return replace(loading, finish=(merging, *others))


def lands_at_once(landing: Landing) -> bool:
    """Whether all rows come into the target in one transaction."""
    mode = landing.options.load_mode
    return not landing.many or (mode is not None and mode.keyed)


def _disable(landing: Landing, loading: Loading, table: Table) -> Loading:
    states = trigger_states(landing.target, table)
    if not states:
        return loading
    if not lands_at_once(landing):
        raise RefusedError(
            "triggers disable-user goes with one transaction: between the commits of many chunks, what others"
            " write would not fire them either",
            side=Side.TARGET,
            table=str(table),
            hint="--triggers replica switches them off for the run's own sessions alone; or leave --jobs,"
            " --split and --run-id out",
        )
    for each in states:
        if not each.owned:
            raise denied(
                f"the role may not disable the triggers of {show_name(each.schema, each.table)}, which it"
                " does not own",
                str(table),
            )
    disable = Disable(table, _lock(landing, table), states)
    return within(landing, loading, (disable,), Phase("triggers", (Enable(states),)), locks=True)


def _lock(landing: Landing, table: Table) -> sql.Composable:
    """What the statements that follow need, at once: two runs that wanted more later would deadlock."""
    mode = landing.options.load_mode
    strength = (
        "ACCESS EXCLUSIVE" if mode is not None and "TRUNCATE" in mode.privileges else "SHARE ROW EXCLUSIVE"
    )
    return lock(table, strength)


def lock(table: Table, strength: str) -> sql.Composable:
    """LOCK TABLE; of a partitioned table with all of its partitions, of others without what inherits."""
    only = sql.SQL("" if table.kind == "p" else "ONLY ")
    return sql.SQL("LOCK TABLE {}{} IN {} MODE").format(only, table.qualified, sql.SQL(strength))


class Disable(Struct, frozen=True):
    """The step that disables all triggers, if they still are what the plan saw."""

    table: Table
    lock: sql.Composable
    states: tuple[TriggerState, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        disable = sql.SQL("ALTER TABLE ONLY {} DISABLE TRIGGER USER")
        tables = dict.fromkeys(disable.format(each.relation).as_string() for each in self.states)
        return (self.lock.as_string(), *tables)

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        lock, *disable = self.statements
        target.execute(lock)
        if trigger_states(target, self.table) != self.states:
            raise RefusedError(
                "triggers of the target changed after the plan was made",
                side=Side.TARGET,
                table=str(self.table),
                hint="run again",
            )
        for statement in disable:
            target.execute(statement)


class Enable(Struct, frozen=True):
    """The step that gives each trigger the state that it had."""

    states: tuple[TriggerState, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        # Servers before 15 hand what is said of a partitioned table's trigger on to its clones, ONLY or not:
        # of partitions, the disabled ones are said, too.
        enable = sql.SQL("ALTER TABLE ONLY {} {} TRIGGER {}")
        return (
            _AT_ONCE,
            *(
                enable.format(
                    each.relation, sql.SQL(STATES[each.state]), sql.Identifier(each.name)
                ).as_string()
                for each in self.states
                if each.below or each.state != "D"
            ),
        )

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        for statement in self.statements:
            target.execute(statement)
