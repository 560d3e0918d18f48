"""Everything a run will do, decided and checked before the first byte moves; can be printed.

`make_plan` asks both servers, in read-only or rolled-back transactions, and writes nothing.
"""

from __future__ import annotations

import collections.abc
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from copypump.codec import types
from copypump.codec.column import Column
from copypump.codec.decoder import ROW_INDEX
from copypump.codec.policy import POLICIES, Policy
from copypump.codec.rewrite import Rewriter, Walked
from copypump.codec.spelling import is_opaque, parse_arrow_type
from copypump.engine.around import surround
from copypump.engine.loading import Landing, Loading, make_loading
from copypump.engine.modes import LoadMode
from copypump.engine.options import AUTO, REJECT, Options, is_text
from copypump.engine.pipeline.reshape import Decoding
from copypump.engine.pipeline.sink import cast_on_target, staged
from copypump.engine.pipeline.texts import refuse_changes
from copypump.engine.planning.destination import Destination, check_landing, find_landing, plan_destination
from copypump.engine.planning.differences import find_differences
from copypump.engine.planning.mapping import Hidden, Mapping, Value, make_mapping
from copypump.engine.planning.origin import Origin, is_raw, plan_origin
from copypump.engine.planning.refusals import Refusals
from copypump.engine.splits import Chunk, Split, choose_split, explained
from copypump.errors import RefusedError, Side
from copypump.postgres.extensions import extensions_of
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.sizes import is_standby
from copypump.postgres.surroundings import Index, Trigger
from copypump.transforms import Transform

if TYPE_CHECKING:
    from copypump.engine.planning.preview import Preview
    from copypump.engine.rejects.planned import Rejecting

INFINITE_INTERVALS = 170000  # the server version that they came with


class Servers(Struct, frozen=True):
    """The versions of both servers, as libpq counts them (150018 for 15.18)."""

    source: int
    target: int


class Around(Struct, frozen=True):
    """What only a printed plan tells: sizes in bytes, and what costs time when rows land."""

    source_bytes: int | None
    source_encoding: str
    target_encoding: str
    indexes: tuple[Index, ...]
    triggers: tuple[Trigger, ...]


class Plan(Struct, frozen=True):
    """One run, decided. `decoding` is None where whole rows go through, but for what `rewriter` does in them.

    `rewriter` is None where it would have nothing to do. `many`: chunks commit one by one, with a ledger, in
    which the run is called `run`; else all is one transaction. `one_database`: both sides are in it. `around`
    is known of a plan that is only made to be printed, `preview` where somebody wants to see rows.
    `rejecting` is None where bad rows abort.
    """

    options: Options
    origin: Origin
    destination: Destination
    transform: Transform | None
    input: pa.Schema
    output: pa.Schema
    decoding: Decoding | None
    rewriter: Rewriter | None
    mapping: Mapping
    loading: Loading
    split: Split
    many: bool
    run: str
    servers: Servers
    rejecting: Rejecting | None
    warnings: tuple[str, ...]
    one_database: bool
    around: Around | None = None
    preview: Preview | None = None

    @property
    def statements(self) -> tuple[str, ...]:
        """The very statements that the target will see, in order; those of its chunks once."""
        create = self.destination.create
        return (
            *((create.as_string(),) if create else ()),
            *self.loading.before,
            *self.landing_statements,
            *self.loading.after,
        )

    @property
    def landing_statements(self) -> tuple[str, ...]:
        """Those by which the rows of a chunk land."""
        return self.rejecting.statements if self.rejecting else self.loading.sink.statements

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain values, ready for JSON; `engine.planning.description` documents its keys."""
        from copypump.engine.planning.description import as_dict

        return as_dict(self)

    def describe(self) -> str:
        """The plan as lines of text."""
        from copypump.engine.planning.description import describe

        return describe(self)


def make_plan(
    source: Session,
    target: Session,
    options: Options,
    transform: Transform | None,
    decided: Split | None = None,
    notes: collections.abc.Mapping[str, Any] | None = None,
    *,
    check: Callable[[Origin], object] | None = None,
    one_database: bool = False,
) -> Plan:
    """Decide one run of `options` between two sessions that stand in a transaction each, of `one_database`.

    `decided` is how the source was cut when a run began that is now resumed, `notes` what it has noted since,
    and `check` raises where the source is no longer what it was.

    Raises:
        RefusedError: anything that cannot hold, before anything is written; with all `others` that can be
            told nevertheless.

    """
    with Refusals() as refusals:
        return _make_plan(
            source, target, options, transform, decided, notes or {}, refusals, check, one_database
        )


def _make_plan(
    source: Session,
    target: Session,
    options: Options,
    transform: Transform | None,
    decided: Split | None,
    notes: collections.abc.Mapping[str, Any],
    refusals: Refusals,
    check: Callable[[Origin], object] | None,
    one_database: bool,
) -> Plan:
    table = find_landing(target, options)
    likeness = None
    if options.create_like_source:
        from copypump.engine.around.like_source import plan_likeness  # most runs have no use for it

        likeness = plan_likeness(source, target, options, table, notes, begun=decided is not None)
    made = likeness.made if likeness else None
    origin = plan_origin(source, options, transform, table or made)
    if check is not None:
        check(origin)
    check_binary(origin)
    seen, unread = _seen(origin.columns, transform)
    if any(origin.columns[index].name == ROW_INDEX for index in seen):
        raise RefusedError(
            "a transform cannot read a column of this name, which copypump keeps",
            side=Side.SOURCE,
            table=origin.name,
            column=ROW_INDEX,
            hint="let it pass unread (--reads), or rename it: --query 'SELECT ... AS ... FROM ...'",
        )
    chosen, policies = reading_types(options, origin.columns, unread)
    by_rows = transform is not None and transform.reads is not None
    fields = [types.field(column, chosen.get(column.name)) for column in origin.columns]
    nullable = [column.name for column in origin.columns if policies.get(column.name) is Policy.NULL]
    input_schema = pa.schema(
        [fields[i].with_nullable(fields[i].nullable or fields[i].name in nullable) for i in seen]
    )
    if transform is None:
        output_schema = pa.schema([])
    else:
        probe = input_schema
        if by_rows:
            probe = probe.append(pa.field(ROW_INDEX, pa.int32(), nullable=False))
        output_schema = transform.probe(probe)
    output = [field for field in output_schema if field.name != ROW_INDEX]
    check_records(origin, unread, output)

    extensions = extensions_of(source, [column.type for column in origin.columns])
    stream = [replace(c, not_null=c.not_null and c.name not in nullable) for c in origin.columns]
    destination = plan_destination(target, options, table, stream, unread, output, extensions, made)
    names = [origin.columns[index].name for index in unread]
    cast = cast_on_target(destination, options.as_text, names, output)
    with refusals.collecting():
        refuse_changes(origin.texts, cast, destination.name)
    mapping = split = None
    with refusals.collecting():
        mapping = make_mapping(
            origin.columns,
            [field.type for field in fields],
            unread,
            output,
            staged(destination.columns, cast),
            destination.name,
        )
    with refusals.collecting():
        split = decided or plan_split(source, origin, options)
    many = decided is not None or options.run_id is not None or (split is not None and len(split.chunks) > 1)
    with refusals.collecting():
        if many:
            check_many(destination)
    if mapping is None or split is None:
        with refusals.collecting():
            check_landing(target, destination, mapping or Mapping(()), options, begun=decided is not None)
        raise refusals.error()
    run = (options.run_id or new_run_id()) if many else ""
    landing = Landing(
        target,
        destination,
        mapping,
        options,
        cast,
        raw=is_raw(source),
        many=many,
        run=run,
        notes=notes,
        likeness=likeness,
    )
    loading = surround(landing, make_loading(landing))
    rejecting = None
    if options.on_error == REJECT:
        from copypump.engine.rejects.planned import plan_rejecting

        rejecting = plan_rejecting(
            target, destination, mapping, loading, options, run or new_run_id(), many=many
        )
    hidden = {m.origin.index for m in mapping.mapped if isinstance(m.origin, Hidden)}
    if transform is not None and transform.checks:
        hidden |= set(_checked(transform, origin.columns, fields, unread, output))
    forward = transform is None and not hidden and mapping.is_forward(len(origin.columns))
    decoding = Decoding(origin.columns, seen, tuple(sorted(hidden)), chosen, policies, row_index=by_rows)
    rewriter = make_rewriter(origin.columns, seen, mapping, source.server_version, target.server_version)
    return Plan(
        options=options,
        origin=origin,
        destination=destination,
        transform=transform,
        input=input_schema,
        output=output_schema,
        decoding=None if forward else decoding,
        rewriter=rewriter,
        mapping=mapping,
        loading=loading,
        split=split,
        many=many,
        run=run,
        servers=Servers(source.server_version, target.server_version),
        rejecting=rejecting,
        warnings=(
            *split.warnings,
            *_reading_warnings(source, origin, split, options),
            *_warnings(origin, destination, options.load_mode),
            *loading.warnings,
            *find_differences(source, target, origin, mapping, destination.columns, extensions),
        ),
        one_database=one_database,
    )


def reading_types(
    options: Options, columns: Sequence[Column], unread: Sequence[int]
) -> tuple[dict[str, pa.DataType], dict[str, Policy]]:
    """How columns are decoded, by name, where it is not in their natural way; RefusedError as the two below.

    What only we decode (`unread`), because it lands in another type, shall lose nothing on the way.
    """
    chosen = chosen_types(options.types, columns)
    policies = chosen_policies(options.on_unrepresentable, columns)
    for column in (columns[i] for i in unread):
        if types.pg_type(column).kernel is types.Kernel.ARRAY:
            chosen.setdefault(column.name, types.nd_array(column))
        policies.setdefault(column.name, Policy.KEEP)
    return chosen, policies


def plan_split(source: Session, origin: Origin, options: Options) -> Split:
    """How the source is cut, as far as the mode lets it be.

    Raises:
        RefusedError: the user wants more than one chunk, and the mode does not.

    """
    mode = options.load_mode
    if mode is not None and mode.single:
        if (
            options.jobs not in (1, AUTO)
            or options.split not in (AUTO, "none")
            or options.split_by is not None
        ):
            raise RefusedError(
                f"mode {mode.name} goes with one job and no split: {mode.single}",
                hint="--mode replace loads a new table by many workers, and swaps it in at the end",
            )
        whole = Split.of("none", [Chunk(1, "all rows")], stable=True)
        return explained(whole, f"mode {mode.name}: {mode.single}")
    return choose_split(
        source,
        origin,
        options,
        jobs=options.job_count,
        startable_over=mode is None or mode.starts_over,
    )


def check_many(destination: Destination) -> None:
    """RefusedError where chunks cannot commit one by one into the target."""
    table = destination.shape
    if table is None or (table.persistence == "p" and table.kind != "f"):
        return
    why = {
        "u": "the target is unlogged: a crash of its server would empty it, and not the ledger",
        "t": "the target is temporary: workers have sessions of their own, which do not see it",
        "p": "the target is a foreign table: its server commits apart from the ledger",
    }[table.persistence]
    raise RefusedError(
        why,
        side=Side.TARGET,
        table=destination.name,
        hint="--jobs 1, without --run-id and --split, moves all rows in one transaction",
    )


def new_run_id() -> str:
    """Make a run's name up: when it began, and something that no other has."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def check_binary(origin: Origin) -> None:
    """RefusedError if a column's type, or a part of it, has no binary form at all (aclitem and the like)."""
    with Refusals() as refusals:
        for column in origin.columns:
            with refusals.collecting():
                if not column.type.has_binary:
                    raise RefusedError(
                        f"{column.declared} has no binary form",
                        side=Side.SOURCE,
                        table=origin.name,
                        column=column.name,
                        hint=f"read it as text: --type {show_name(column.name)}=text",
                    )


def check_records(origin: Origin, unread: Sequence[int], output: Sequence[pa.Field[pa.DataType]]) -> None:
    """RefusedError if bytes of a pseudo-type (record and the like) are to land, which no table can have."""
    handed_on = {field.name for field in output if is_opaque(field.type)}
    for index, column in enumerate(origin.columns):
        if column.type.kind == "p" and (index in unread or column.name in handed_on):
            raise RefusedError(
                f"no table can have a column of the pseudo-type {column.declared}",
                side=Side.SOURCE,
                table=origin.name,
                column=column.name,
                hint="select a record's attributes one by one, or cast it to a type that both sides have:"
                " --query 'select ..., x::my_type as x from ...'",
            )


def make_rewriter(
    columns: Sequence[Column],
    seen: Sequence[int],
    mapping: Mapping,
    source_version: int,
    target_version: int,
) -> Rewriter | None:
    """What is to be done within the bytes of the source's stream; None where it is nothing.

    Infinite intervals came with PostgreSQL 17; an older server reads their bytes as a finite one. Wherever
    one stands in a value that is read or lands, it is an error then.
    """
    walked = {each.index: each for each in mapping.rewritten}
    finite = source_version >= INFINITE_INTERVALS > target_version
    if finite:
        going = set(seen) | {m.origin.index for m in mapping.mapped if not isinstance(m.origin, Value)}
        walked = {i: walked.get(i, Walked(i, columns[i], columns[i].type)) for i in sorted(going)}
    rewriter = Rewriter(list(walked.values()), finite=finite)
    return rewriter if rewriter.columns else None


def chosen_types(
    wishes: collections.abc.Mapping[str, str], columns: Sequence[Column]
) -> dict[str, pa.DataType]:
    """The Arrow types of the user's `--type` wishes; RefusedError for a column that is not there.

    A column that is read as text is a text column: it has no wish left.
    """
    names = {column.name for column in columns}
    for name in wishes:
        if name not in names:
            raise RefusedError("--type names a column that the source does not have", column=name)
    return {name: parse_arrow_type(wish) for name, wish in wishes.items() if not is_text(wish)}


def chosen_policies(
    wishes: collections.abc.Mapping[str, str], columns: Sequence[Column]
) -> dict[str, Policy]:
    """What becomes of unrepresentable values, by column; RefusedError for a column that is not there."""
    names = {column.name for column in columns}
    for name in wishes:
        if name and name not in names:
            raise RefusedError(
                "--on-unrepresentable names a column that the source does not have", column=name
            )
    general = dict.fromkeys(names, POLICIES[wishes[""]]) if "" in wishes else {}
    return general | {name: POLICIES[wish] for name, wish in wishes.items() if name}


def _seen(columns: Sequence[Column], transform: Transform | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices of the columns that the transform sees, and of those that it does not."""
    everything = tuple(range(len(columns)))
    if transform is None:
        return (), everything
    needs = transform.needs([column.name for column in columns])
    if needs is None:
        return everything, ()
    return (
        tuple(i for i in everything if columns[i].name in needs),
        tuple(i for i in everything if columns[i].name not in needs),
    )


def _checked(
    transform: Transform,
    columns: Sequence[Column],
    fields: Sequence[pa.Field[pa.DataType]],
    unread: Sequence[int],
    output: Sequence[pa.Field[pa.DataType]],
) -> list[int]:
    """Indices of the unread columns that the checks read, once these were tried (RefusedError)."""
    made = [field.name for field in output]
    needs = transform.checks.needs(made, [columns[i].name for i in unread])
    read = [i for i in unread if columns[i].name in needs]
    transform.checks.probe(pa.schema([*output, *(fields[i] for i in read)]))
    return read


def _reading_warnings(source: Session, origin: Origin, split: Split, options: Options) -> tuple[str, ...]:
    warnings = []
    if is_standby(source):
        warnings.append(
            "the source is a standby: what it replays may cancel long reads (max_standby_streaming_delay)"
        )
    if len(split.chunks) > 1 and (origin.table is None or origin.table.kind in "vf"):
        # Not even one snapshot holds these still: it is of rows that are stored, and of this server.
        warnings.append(
            f"each chunk reads {origin.table or 'the query'} anew: rows that come out otherwise each time (by"
            " random(), LIMIT, row_number() without an order, or of another server) are lost or doubled"
        )
    if len(split.chunks) > 1 and not options.snapshot:
        warnings.append(
            "each chunk is read under a snapshot of its own: rows that move from one to another meanwhile are"
            " lost or doubled"
        )
    return tuple(warnings)


def _warnings(origin: Origin, destination: Destination, mode: LoadMode | None) -> tuple[str, ...]:
    warnings = []
    table = origin.table
    if table is None:
        warnings.append("a query cannot be locked: concurrent DDL or TRUNCATE of its tables may be seen")
    else:
        if not table.can_lock:
            warnings.append(f"{table} cannot be locked: concurrent DDL or TRUNCATE may be seen")
        if table.kind == "r" and table.has_children:
            warnings.append(
                f"{table} has inheritance children, whose rows are left out; to copy them too, give --query"
            )
    landing = destination.table
    if landing is not None and landing.has_rules and (mode is None or mode.copies):
        warnings.append(f"{landing} has rules, which COPY does not fire")
    if landing is not None and landing.kind == "r" and landing.has_children:
        warnings.append(
            f"{landing} has inheritance children, whose rows stay as they are: rows land in itself"
        )
    return tuple(warnings)
