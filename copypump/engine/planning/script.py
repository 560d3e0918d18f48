"""What a plan will have its servers do: every transaction, with its statements in order.

What only looks something up is left out (SELECTs of catalogs, advisory locks), and what a run with a ledger
writes there. A run does nothing else: a test compares this with what servers have logged.
"""

from __future__ import annotations

from msgspec import Struct
from psycopg import sql

from copypump.engine.planning.origin import joining_origin, locking
from copypump.engine.planning.plan import Plan
from copypump.engine.splits import Chunk, chunk_copy
from copypump.errors import Side
from copypump.postgres.label import labelling
from copypump.postgres.session import BEGIN_SOURCE, BEGIN_TARGET, Statement, opening

# What stands in a chunk's statements where each chunk has its own words; those of a condition may be values.
ITS_CONDITION = "..."
ITS_PARTITION = "<its partition>"
THE_SNAPSHOT = "'<the snapshot of the first>'"

ONCE, EACH_WORKER, EACH_CHUNK = "once", "each worker", "each chunk"


class Transaction(Struct, frozen=True):
    """One transaction: its name, side and statements, and how many there are of it.

    `times` is one of ONCE, EACH_WORKER and EACH_CHUNK. `ledger`: rows of the ledger are written in it, the
    first before anything else. `copies`: the COPY that each chunk gives to the transaction, which lasts as
    long as its session. `refused`: what is done where rows are rejected, for each block of them that the
    target refuses.
    """

    name: str
    side: Side
    statements: tuple[str, ...]
    times: str = ONCE
    ledger: bool = False
    copies: str | None = None
    refused: tuple[str, ...] = ()


def script(plan: Plan) -> tuple[Transaction, ...]:
    """List the transactions of a run that nothing disturbs, in the order in which they begin."""
    tried = plan.loading.tried
    trial = Transaction("try the definition", Side.TARGET, (*_writing(plan), *tried, "ROLLBACK"))
    return (*((trial,) if tried else ()), *(_many(plan) if plan.many else _whole(plan)))


def _whole(plan: Plan) -> tuple[Transaction, ...]:
    making, refused = _rejects(plan)
    make = Transaction("make the rejects", Side.TARGET, (*_writing(plan), *making, "COMMIT"))
    return (
        *((make,) if making else ()),
        Transaction("read", Side.SOURCE, (*_reading(plan), _text(plan.origin.copy), "ROLLBACK")),
        Transaction("load", Side.TARGET, (*_writing(plan), *plan.statements, "COMMIT"), refused=refused),
    )


def _rejects(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What makes the table of rejects, and what is done with a block that is refused."""
    return (plan.rejecting.making, plan.rejecting.refused) if plan.rejecting else ((), ())


def _many(plan: Plan) -> tuple[Transaction, ...]:
    loading, create = plan.loading, plan.destination.create
    _making, refused = _rejects(plan)
    begin = (*_writing(plan), _text(labelling(plan.run)))
    shared = plan.options.snapshot
    joining = joining_origin(plan.origin, plan.options, plan.servers.source)
    readers = (
        *opening(BEGIN_SOURCE, plan.servers.source, plan.options.lock_milliseconds),
        *([f"SET TRANSACTION SNAPSHOT {THE_SNAPSHOT}"] if shared else []),
        _text(labelling(plan.run)),
        *(_text(each) for each in joining if not isinstance(each, Statement)),
    )
    made = (create,) if create else ()
    transactions = [
        Transaction("hold the run", Side.TARGET, (*_writing(plan), "ROLLBACK")),
        Transaction("take the snapshot", Side.SOURCE, (*_reading(plan), "ROLLBACK")),
        Transaction(
            "prepare", Side.TARGET, (*begin, *map(_text, made), *loading.before, "COMMIT"), ledger=True
        ),
        Transaction("note the snapshot", Side.TARGET, (*begin, "COMMIT"), ledger=True),
        *_counting(plan, begin),
        Transaction("read", Side.SOURCE, readers, EACH_WORKER, copies=_chunk_copy(plan)),
        Transaction(
            "load",
            Side.TARGET,
            (*begin, *plan.landing_statements, "COMMIT"),
            EACH_CHUNK,
            ledger=True,
            refused=refused,
        ),
    ]
    if plan.rejecting:
        transactions.append(Transaction("count all rejects", Side.TARGET, (*begin, "ROLLBACK")))
    for phase in loading.finish:
        steps = phase.steps if phase.apart else (phase,)
        for number, step in enumerate(steps, 1):
            name = f"{phase.name} {number}" if phase.apart else phase.name
            transactions.append(
                Transaction(name, Side.TARGET, (*begin, *step.statements, "COMMIT"), ledger=True)
            )
    transactions.append(Transaction("note the end", Side.TARGET, (*begin, "COMMIT"), ledger=True))
    return tuple(transactions)


def _counting(plan: Plan, begin: tuple[str, ...]) -> tuple[Transaction, ...]:
    """What counts the rejects that are there, once their table is made."""
    if plan.rejecting is None:
        return ()
    count = Transaction("count the rejects", Side.TARGET, (*begin, "ROLLBACK"))
    making = plan.rejecting.making
    if not making:
        return (count,)
    make = Transaction("make the rejects", Side.TARGET, (*_writing(plan), *making, "COMMIT"))
    return count, make, Transaction("count none", Side.TARGET, (*_writing(plan), "ROLLBACK"))


def _reading(plan: Plan) -> tuple[str, ...]:
    return (
        *opening(BEGIN_SOURCE, plan.servers.source, plan.options.lock_milliseconds),
        *map(_text, locking(plan.origin, plan.options, plan.servers.source)),
        *plan.origin.settings,
    )


def _writing(plan: Plan) -> tuple[str, ...]:
    return opening(BEGIN_TARGET, plan.servers.target, plan.options.lock_milliseconds)


def _chunk_copy(plan: Plan) -> str:
    """The COPY of any chunk, without what only it has."""
    chunks = plan.split.chunks
    return _text(
        chunk_copy(
            plan.origin,
            plan.options,
            Chunk(
                0,
                "any",
                ITS_PARTITION if any(chunk.relation for chunk in chunks) else None,
                ITS_CONDITION if any(chunk.where for chunk in chunks) else None,
            ),
        )
    )


def _text(statement: sql.Composable | str) -> str:
    return statement if isinstance(statement, str) else statement.as_string()
