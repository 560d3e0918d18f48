"""A plan as it is shown: as plain values for JSON, which the command line prints, and as lines of text.

No password is in it, and no row's value but for the preview that the user asks for. The keys of `as_dict`, of
which none is taken away or changes its meaning as long as `version` stays the same:

    version       of this form: 1
    source        name, kind, server (version), encoding, bytes (on disk), lock (whether it can be locked)
    target        name, kind, server, encoding, created (by this run), indexes (name, definition, bytes,
                  constraint), triggers (name, definition, enabled)
    mode          name (null: the target must be empty), help
    transform     functions, checks, reads (null: all columns), rows_same, input and output (name, type)
    columns       of those that land: name, type, source, source_type, as_text; way (bytes, checked or
                  transform), oids_rewritten; the Arrow types read_as, returned_as and encoded_as;
                  cast_by_target
    left_out      column, side, type, why
    batches       rows, bytes
    split         name, why, choices (of each way to cut: name, chosen, why), stable, workers, bytes,
                  chunks (number, label, bytes)
    ledger        null, or schema and run (made_up: it will have another name)
    indexes       null where they are kept, or rebuilt (what is dropped, and made again), kept (name, why),
                  the bytes of rows that are there and that are coming (null: unknown), pays, rule
    rejects       null, or where bad rows go: table, run, file
    transactions  in the order in which they begin: name, side, times, ledger, statements; copies (what each
                  chunk gives to it), refused (what is done for each block of rows that the target refuses)
    sessions      side, count, begin (what all of its transactions begin with), settings (all of them)
    locks         side, table, mode, others (what they can do meanwhile), until
    resume        possible, why
    warnings      sentences
    preview       null, or the rows that were asked for: before, after (by column), rejected (by, reason, row)

Sizes are in bytes, types as SQL or as `--type` writes them. What only a dry run looks up is null in others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from msgspec.structs import asdict

from copypump.codec.decoder import ROW_INDEX
from copypump.codec.spelling import spelling
from copypump.engine.planning.locks import locks
from copypump.engine.planning.mapping import Hidden, Mapped, Value, Wire
from copypump.engine.planning.plan import Plan
from copypump.engine.planning.script import script
from copypump.errors import Side
from copypump.postgres.catalog import KINDS, Table
from copypump.postgres.names import show_name
from copypump.postgres.session import BEGIN_SOURCE, BEGIN_TARGET, opening

VERSION = 1


def as_dict(plan: Plan) -> dict[str, Any]:
    """Give the plan as plain values; see the module docstring."""
    around, transactions = plan.around, script(plan)
    return {
        "version": VERSION,
        "source": {
            "name": plan.origin.name,
            "kind": _kind(plan.origin.table, "query"),
            "server": _version(plan.servers.source),
            "encoding": around.source_encoding if around else None,
            "bytes": around.source_bytes if around else None,
            "lock": plan.origin.table is not None and plan.origin.table.can_lock,
        },
        "target": {
            "name": plan.destination.name,
            "kind": _kind(plan.destination.table, "table"),
            "server": _version(plan.servers.target),
            "encoding": around.target_encoding if around else None,
            "created": plan.destination.table is None,
            "indexes": [asdict(index) for index in around.indexes] if around else None,
            "triggers": [asdict(trigger) for trigger in around.triggers] if around else None,
        },
        "mode": {
            "name": plan.options.mode,
            "help": plan.options.load_mode.help if plan.options.load_mode else "load an empty table",
        },
        "transform": _transform(plan),
        "columns": [_column(plan, mapped) for mapped in plan.mapping.mapped],
        "left_out": list(_left_out(plan)),
        "indexes": _indexes(plan),
        "rejects": plan.rejecting.as_dict() if plan.rejecting else None,
        "batches": {"rows": plan.options.batch_rows, "bytes": plan.options.batch_bytes},
        "split": {
            "name": plan.split.name,
            "why": [choice.why for choice in plan.split.choices if choice.chosen] + list(plan.split.reasons),
            "choices": [asdict(choice) for choice in plan.split.choices],
            "stable": plan.split.stable,
            "workers": plan.options.job_count if plan.many else 1,
            "bytes": sum(chunk.bytes for chunk in plan.split.chunks)
            or (around.source_bytes if around else None),
            "chunks": [
                {"number": chunk.number, "label": chunk.label, "bytes": chunk.bytes or None}
                for chunk in plan.split.chunks
            ],
        },
        "ledger": {
            "schema": plan.options.ledger_schema,
            "run": plan.run,
            "made_up": plan.options.run_id is None,
        }
        if plan.many
        else None,
        "transactions": [
            asdict(each)
            | {
                "side": str(each.side),
                "statements": list(each.statements),
                "refused": list(each.refused),
            }
            for each in transactions
        ],
        "sessions": list(_sessions(plan)),
        "locks": [asdict(lock) | {"side": str(lock.side)} for lock in locks(plan, transactions)],
        "resume": _resume(plan),
        "warnings": list(plan.warnings),
        "preview": {name: list(rows) for name, rows in asdict(plan.preview).items()}
        if plan.preview
        else None,
    }


def _indexes(plan: Plan) -> dict[str, Any] | None:
    rebuilding = plan.loading.indexes
    if rebuilding is None:
        return None
    coming = plan.around.source_bytes if plan.around and plan.options.where is None else None
    return rebuilding.as_dict(coming)


def _kind(table: Table | None, otherwise: str) -> str:
    return otherwise if table is None else KINDS.get(table.kind, table.kind)


def _version(number: int) -> str:
    return f"{number // 10000}.{number % 10000}"


def _transform(plan: Plan) -> dict[str, Any] | None:
    transform = plan.transform
    if transform is None:
        return None
    return {
        "functions": list(transform.names),
        "checks": list(transform.checks),
        "reads": None if transform.reads is None else sorted(transform.reads),
        "rows_same": transform.rows_same,
        "input": _schema(plan.input),
        "output": _schema(plan.output),
    }


def _schema(schema: pa.Schema) -> list[dict[str, str]]:
    return [{"name": f.name, "type": spelling(f.type)} for f in schema if f.name != ROW_INDEX]


def _column(plan: Plan, mapped: Mapped) -> dict[str, Any]:
    """How one target column gets its values."""
    cast = {column.name: column for column in plan.loading.sink.cast}
    column = cast.get(mapped.column.name, mapped.column)
    names = [each.name for each in plan.origin.columns]
    read = returned = None
    match mapped.origin:
        case Wire(index):
            way, place = "bytes", index
        case Hidden(index, offered):
            way, place, read = "checked", index, spelling(offered)
        case Value(name, offered):
            way, returned = "transform", spelling(offered)
            at = plan.input.get_field_index(name)
            place = names.index(name) if at >= 0 else -1
            read = spelling(plan.input.field(at).type) if at >= 0 else None
    casts = column.name in cast
    encodes = mapped.type is not None and way != "bytes" and not casts
    return {
        "name": column.name,
        "type": column.declared,
        "way": way,
        "source": names[place] if place >= 0 else None,
        "source_type": plan.origin.declared(place) if place >= 0 else None,
        "as_text": place >= 0 and names[place] in plan.origin.texts,
        "oids_rewritten": way == "bytes" and place in {walked.index for walked in plan.mapping.rewritten},
        "read_as": read,
        "returned_as": returned,
        "encoded_as": spelling(mapped.type) if encodes and mapped.type is not None else None,
        "cast_by_target": casts,
    }


def _left_out(plan: Plan) -> Iterable[dict[str, Any]]:
    landed = {mapped.column.name for mapped in plan.mapping.mapped}
    for index, column in enumerate(plan.origin.columns):
        if (
            plan.input.get_field_index(column.name) >= 0
            and column.name not in landed
            and column.name not in plan.mapping.generated
        ):
            yield _out(column.name, Side.SOURCE, plan.origin.declared(index), "read and not returned")
    types = {column.name: column.declared for column in plan.destination.columns}
    for name in plan.mapping.generated:
        yield _out(name, Side.TARGET, types.get(name), "generated by the target, left out")
    for name in plan.mapping.defaulted:
        yield _out(name, Side.TARGET, types.get(name), "not sent, left to the target's default")


def _out(column: str, side: Side, type_: str | None, why: str) -> dict[str, Any]:
    return {"column": column, "side": str(side), "type": type_, "why": why}


def _sessions(plan: Plan) -> Iterable[dict[str, Any]]:
    """How many sessions there are, and what each sets in its transactions."""
    workers = min(plan.options.job_count, len(plan.split.chunks))
    for side in Side:
        settings = [
            statement
            for transaction in script(plan)
            if transaction.side is side
            for statement in transaction.statements
            if statement.startswith("SET LOCAL ")
        ]
        reads = side is Side.SOURCE
        begin = (
            opening(BEGIN_SOURCE, plan.servers.source, plan.options.lock_milliseconds)
            if reads
            else opening(BEGIN_TARGET, plan.servers.target, plan.options.lock_milliseconds)
        )
        yield {
            "side": str(side),
            "count": 1 + workers if plan.many else 1,
            "begin": list(begin),
            "settings": list(dict.fromkeys(settings)),
        }


def _resume(plan: Plan) -> dict[str, Any]:
    if not plan.many:
        why = "all is one transaction: a run that ends early leaves nothing, and is run again"
    elif plan.transform is not None and plan.transform.identity() is None:
        why = "the transform, or a check, is no function that can be imported again"
    elif plan.split.stable:
        why = "what is left is read under a new snapshot, with --new-snapshot once chunks are committed"
        return {"possible": True, "why": f"{_STEPS}; {why}"}
    elif plan.loading.restart is not None:
        why = (
            "its chunks mean nothing under a new snapshot, so that all of them are loaded again, from nothing"
        )
        return {"possible": True, "why": f"{why}; once all are committed, only what comes after is done"}
    else:
        why = (
            "its chunks mean nothing under a new snapshot, and what has landed cannot be told from other"
            " rows; but once all chunks are committed, the rest is done"
        )
    return {"possible": False, "why": why}


_STEPS = "what is committed is not done again"


# As text --------------------------------------------------------------------------------------------------


def describe(plan: Plan) -> str:
    """Write the plan as lines of text, without what only the printed one looks up."""
    shown = as_dict(plan)
    transform = shown["transform"] or {"functions": [], "checks": []}
    lines = [
        f"source    {shown['source']['name']}",
        f"target    {shown['target']['name']}"
        + (" (made by this run)" if shown["target"]["created"] else ""),
        f"mode      {shown['mode']['name'] or 'append, to an empty table only'}",
        f"transform {', '.join(transform['functions']) or 'none'}",
        *(f"check     {check}" for check in transform["checks"]),
        *(plan.rejecting.describe() if plan.rejecting else ()),
        *(f"indexes   {line}" for line in index_lines(shown)),
        f"batches   up to {shown['batches']['rows']:,} rows, about {shown['batches']['bytes']:,} bytes",
        *(f"split     {line}" for line in split_lines(shown)),
    ]
    for transaction in shown["transactions"]:
        lines.append(transaction_line(transaction))
        lines += [f"    {statement}" for statement in transaction["statements"]]
        lines += [f"    {statement}" for statement in more_statements(transaction)]
    lines += ["columns:", *(f"    {column_line(column)}" for column in shown["columns"])]
    lines += [f"    {left_line(left)}" for left in shown["left_out"]]
    lines += [f"warning: {warning}" for warning in shown["warnings"]]
    return "\n".join(lines)


def transaction_line(transaction: dict[str, Any]) -> str:
    """Write the heading of one of the `transactions`."""
    times = "" if transaction["times"] == "once" else f", {transaction['times']}"
    ledger = ", with its row in the ledger" if transaction["ledger"] else ""
    return f"{transaction['name']}, on the {transaction['side']}{times}{ledger}:"


def more_statements(transaction: dict[str, Any]) -> list[str]:
    """What one of the `transactions` does beside its `statements`."""
    copies = [transaction["copies"]] if transaction["copies"] else []
    refused = transaction["refused"]
    return [*copies, *(["-- for each block that is refused:"] if refused else []), *refused]


def index_lines(shown: dict[str, Any]) -> list[str]:
    """Write what becomes of the target's indexes; nothing where all are kept."""
    indexes = shown["indexes"]
    if indexes is None:
        return []
    rebuilt = ", ".join(map(show_name, indexes["rebuilt"]))
    lines = [f"dropped, and made again: {rebuilt or 'none'}"]
    lines += [f"kept: {show_name(kept['name'])}, as {kept['why']}" for kept in indexes["kept"]]
    if rebuilt and indexes["pays"] is not None:
        words = "expected to pay" if indexes["pays"] else "not expected to pay"
        lines.append(
            f"{words}, as {indexes['coming']:,} bytes come to {indexes['there']:,}: {indexes['rule']}"
        )
    return lines


def split_lines(shown: dict[str, Any]) -> list[str]:
    """Write how the source is cut, and why so and not otherwise, in a line for each way or alike ones."""
    split = shown["split"]
    count, workers = len(split["chunks"]), split["workers"]
    what = (
        f"{split['name']}: {count:,} chunk{'s' if count != 1 else ''},"
        f" {workers} worker{'s' if workers != 1 else ''}"
    )
    others: dict[str, list[str]] = {}
    for choice in split["choices"]:
        if not choice["chosen"]:
            others.setdefault(choice["why"], []).append(choice["name"])
    return [
        "; ".join([what, *split["why"]]),
        *(f"{', '.join(names)}: {why}" for why, names in others.items()),
    ]


def column_line(column: dict[str, Any]) -> str:
    """Write one of the `columns`: its type, what it is read as, where it lands, and through which cast."""
    text = " as text" if column["as_text"] else ""
    source = f"{column['source']} {column['source_type']}{text}"
    match column["way"]:
        case "bytes":
            way = f"{source}, {'bytes, oids rewritten' if column['oids_rewritten'] else 'bytes as they are'}"
        case "checked":
            way = f"{source}, checked as {column['read_as']}"
        case _ if column["source"] is None:
            way = f"{column['name']}, made by the transform as {column['returned_as']}"
        case _:
            way = f"{source}, read as {column['read_as']}"
            if column["returned_as"] != column["read_as"]:
                way += f", returned as {column['returned_as']}"
    way += f" -> {column['name']} {column['type']}"
    if column["cast_by_target"]:
        return f"{way}, cast by the target"
    return f"{way}, from {column['encoded_as']}" if column["encoded_as"] else way


def left_line(left: dict[str, Any]) -> str:
    """Write one of the columns that are `left_out`."""
    if left["side"] == Side.SOURCE:
        return f"{left['column']} {left['type']}, {left['why']}"
    return f"{left['column']}: {left['why']}"
