"""What the user asked for, checked as far as no server is needed.

Imports only errors and tables (of modes, policies, splits and limits), so that help can read it.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack, get_type_hints

from msgspec import Struct, ValidationError, convert, field

from copypump.codec.policy import POLICIES
from copypump.engine.modes import MODES, LoadMode
from copypump.engine.rejects.limit import MaxRejects
from copypump.engine.splits.chunk import SPLITS
from copypump.errors import UsageError

# Smaller ones pay Python's price per batch, with cold caches; larger ones take memory. Client CPU over all
# 6,001,215 rows of TPC-H lineitem through a transform of two columns, in turn: 4.4 s at 1 MB, 3.5 at 2 MB,
# 3.1 at 4 MB, 3.2 at 8 MB. `python -m bench scaling --sweep batches` measures it anew, and says which takes
# the least.
DEFAULT_BATCH_BYTES = 4 << 20
DEFAULT_BATCH_ROWS = 65_536
MAX_BATCH_BYTES = 1 << 30

# A chunk's transaction, ledger row and own queries cost some 50 ms, 1 to 2% of the seconds in which a worker
# moves so much (`python -m bench jobs`).
DEFAULT_CHUNK_BYTES = 256 << 20
DEFAULT_RETRIES = 5
DEFAULT_LEDGER = "copypump"
AUTO = "auto"
ABORT, REJECT = ON_ERROR = ("abort", "reject")
KEEP, REBUILD = INDEXES = ("keep", "rebuild")
LEAVE = "leave"  # out, as forget may what a run has not made again
# What the server takes for maintenance_work_mem, in bytes (src/backend/utils/misc/guc_tables.c).
MIN_MAINTENANCE = 1 << 20
MAX_MAINTENANCE = (1 << 31) - 1 << 10
AUTO_JOBS = 4  # the most that "auto" chooses: the servers have others to serve
MAX_JOBS = 256
WORKERS = ("threads", "processes")
SPLIT_BY = ("key", "values")  # the splits by a column
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,53}")

# What becomes of the target's triggers while rows land; the first is the default.
TRIGGERS = ("keep", "disable-user", "replica")

# What becomes of a row whose key is there; the first is the default.
CONFLICTS = ("update", "nothing")
SYNCHRONOUS = ("on", "off")  # what chunks may commit with
SEQUENCES = ("advance", "keep")
# As PostgreSQL writes them, but never without a unit.
_DURATION = re.compile(r"(\d+)\s*(ms|s|min|h)")
_MILLISECONDS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
MAX_MILLISECONDS = (1 << 31) - 1  # of a setting
_DEDUPE = re.compile(r"(first|last):(.+)", re.DOTALL)

TransformSpec = str | Callable[..., Any]


class PumpOptions(TypedDict, total=False):
    """The keyword arguments of `copypump.pump` that say what to move and how.

    Attributes:
        table: the source table, `[SCHEMA.]NAME` quoted as in SQL where it needs it; or else
        query: a SELECT.
        columns: with `table`, the columns to copy.
        where: with `table`, an SQL condition.
        into: the target table; the source table's name by default.
        transform: a function on record batches, the `"module:function"` name of one, or several, applied in
            order.
        pythonpath: directories in which such modules are also looked for.
        reads: the columns that the transforms read, over what they say themselves; all others pass as bytes,
            exact and undecoded.
        check: what must hold of every row that lands, or several such: an SQL condition on its columns, as
            `age >= 0`; or a function (or the `"module:function"` name of one) from a batch to one boolean a
            row, true for a good one.
        mode: a name in `engine.modes.MODES`; without it the target must be empty.
        key: with a mode that merges, the columns by which rows are the same; with `create`, those of the
            primary key of the table that is made.
        on_conflict: with mode upsert, what becomes of a row whose key is there: "update" or "nothing".
        dedupe: with a mode that merges, which of the source's rows of one key lands: "first:COLUMN" or
            "last:COLUMN", by that column's order. Without it, a key that two rows have is an error.
        create: make the target table from the output schema if it is missing, and its schema if that is.
        create_like_source: make the target table by the source table's own definition, as pg_dump tells it,
            with its indexes, constraints and triggers once all rows are there.
        triggers: what becomes of the target's triggers while rows land: "keep"; "disable-user" them, in the
            transaction of the rows; or "replica": the run's sessions do as a replica's (
            session_replication_role), which switches foreign keys off, too; these are checked at the end.
        sequences: what becomes of the sequences of the target's columns that rows land in: "advance" those of
            serial and identity columns behind the highest value that is there, or "keep" them.
        analyze: take the target's statistics anew (ANALYZE) once all rows are there.
        lock_timeout: how long a transaction waits for any one lock, as "500ms", "5s" or "2min"; without it,
            as long as it takes.
        synchronous_commit: whether chunks wait at their COMMIT until it is on the target's disk: "on" or
            "off"; without it, as the target is set. Whatever builds on them waits.
        indexes: "keep" the target's, or "rebuild" them: drop what the load does not need, with unique
            constraints and foreign keys, and make it again once all rows are there.
        maintenance_work_mem: bytes of memory for making one index, of those that a run makes.
        batch_rows: the most rows of one batch.
        batch_bytes: about how many wire bytes make one batch.
        types: the Arrow type to decode a column as, by column name, as `decimal128(18,4)` is written; or
            `text`: the source casts the whole column to text, and where it does not land in a column that
            takes text, the target casts it back.
        on_unrepresentable: what becomes of values without a place in Arrow, in columns that are read: a name
            of `codec.policy.Policy` for all columns, or one by column name ("" for all others).
        jobs: how many workers move chunks at once; "auto" for as many as suit the machine.
        split: a name in `engine.splits.SPLITS`, or "auto": how the source is cut into chunks.
        split_by: the column by whose values it is cut.
        chunk_bytes: about how many bytes of the source's disk make one chunk, at most.
        snapshot: whether all chunks are read under one snapshot.
        run_id: the run's name in the ledger; one is made up where a ledger is needed. A run with a name has
            a ledger, however small it is.
        retries: how many times a chunk is tried again.
        ledger_schema: the schema of the ledger on the target.
        workers: "threads", or "processes" for transforms that hold the GIL; these must be importable.
        on_error: what becomes of rows that the target, a transform, a check or a cast refuses: "abort" the
            run, or "reject" them, and land the others.
        rejects: where rejected rows go: a table on the target, `[SCHEMA.]NAME`, or a `.parquet` or `.jsonl`
            file; by default the table `rejects` beside the ledger.
        max_rejects: how many rows may be rejected before the run stops: a number, or a share as "0.5%".

    """

    table: str | None
    query: str | None
    columns: Sequence[str] | None
    where: str | None
    into: str | None
    transform: TransformSpec | Sequence[TransformSpec] | None
    pythonpath: Sequence[str]
    reads: Sequence[str] | None
    check: TransformSpec | Sequence[TransformSpec] | None
    mode: str | None
    key: Sequence[str] | None
    on_conflict: str
    dedupe: str | None
    create: bool
    create_like_source: bool
    triggers: str
    sequences: str
    analyze: bool
    lock_timeout: str | None
    synchronous_commit: str | None
    indexes: str
    maintenance_work_mem: int | None
    batch_rows: int
    batch_bytes: int
    types: Mapping[str, str]
    on_unrepresentable: str | Mapping[str, str]
    jobs: int | str
    split: str
    split_by: str | None
    chunk_bytes: int
    snapshot: bool
    run_id: str | None
    retries: int
    ledger_schema: str
    workers: str
    on_error: str
    rejects: str | None
    max_rejects: int | str | None


def milliseconds(duration: str) -> int:
    """Read a duration (UsageError: it is none, or longer than a server's setting can be)."""
    match = _DURATION.fullmatch(duration.strip())
    found = int(match[1]) * _MILLISECONDS[match[2]] if match else 0
    if not 1 <= found <= MAX_MILLISECONDS:
        raise UsageError(f"write a duration such as 500ms, 5s or 2min, not {duration!r}")
    return found


class Dedupe(NamedTuple):
    """The "first" or "last" row by the order of a column."""

    which: str
    column: str


def is_text(wish: str) -> bool:
    """Whether one of `types` wants the source's own text of a column; no Arrow type is called so."""
    return wish.strip().lower() == "text"


def _several(name: str, given: TransformSpec | Sequence[TransformSpec] | None) -> tuple[TransformSpec, ...]:
    """None, one or several, as several (UsageError: it is none of these)."""
    if given is None:
        return ()
    if isinstance(given, str) or callable(given):
        return (given,)
    if not isinstance(given, Iterable):
        raise UsageError(f"{name} is a function, its name, or several of these, not {given!r}")
    return tuple(given)


@functools.cache
def _kinds() -> dict[str, Any]:
    """The type of each option by name, resolved when the first is checked."""
    return get_type_hints(Options)


def _check_kind(name: str, value: object) -> None:
    """Raise UsageError where a value is not of its option's type, and Python would take it for another."""
    try:
        convert(value, _kinds()[name])
    except ValidationError as error:
        raise UsageError(f"{name}: {str(error).replace('Expected', 'expected', 1)}") from None


class Options(Struct, frozen=True):
    """One run's options, as in `PumpOptions`; the transforms as a tuple, and every default in its place."""

    table: str | None = None
    query: str | None = None
    columns: tuple[str, ...] | None = None
    where: str | None = None
    into: str | None = None
    transforms: tuple[TransformSpec, ...] = ()
    pythonpath: tuple[str, ...] = ()
    reads: tuple[str, ...] | None = None
    checks: tuple[TransformSpec, ...] = ()
    mode: str | None = None
    key: tuple[str, ...] | None = None
    on_conflict: str = "update"
    dedupe: str | None = None
    create: bool = False
    create_like_source: bool = False
    triggers: str = TRIGGERS[0]
    sequences: str = SEQUENCES[0]
    analyze: bool = False
    lock_timeout: str | None = None
    synchronous_commit: str | None = None
    indexes: str = KEEP
    maintenance_work_mem: int | None = None
    batch_rows: int = DEFAULT_BATCH_ROWS
    batch_bytes: int = DEFAULT_BATCH_BYTES
    types: Mapping[str, str] = field(default_factory=dict)
    on_unrepresentable: Mapping[str, str] = field(default_factory=dict)
    jobs: int | str = 1
    split: str = AUTO
    split_by: str | None = None
    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    snapshot: bool = True
    run_id: str | None = None
    retries: int = DEFAULT_RETRIES
    ledger_schema: str = DEFAULT_LEDGER
    workers: str = "threads"
    on_error: str = ABORT
    rejects: str | None = None
    max_rejects: int | str | None = None

    @classmethod
    def of(cls, **options: Unpack[PumpOptions]) -> Options:
        """Options from the keyword arguments of `copypump.pump` (UsageError for what contradicts itself)."""
        given: dict[str, Any] = {**options}
        transforms, checks = (_several(name, given.pop(name, None)) for name in ("transform", "check"))
        for name in ("columns", "reads", "key", "pythonpath"):
            if isinstance(given.get(name), str):  # whose letters Python would take for several
                raise UsageError(f"{name} is a list of names, not {given[name]!r}")
            if isinstance(given.get(name), Iterable):
                given[name] = tuple(given[name])
        if isinstance(given.get("on_unrepresentable"), str):
            given["on_unrepresentable"] = {"": given["on_unrepresentable"]}
        if isinstance(given.get("pythonpath"), tuple):
            given["pythonpath"] = tuple(str(path) for path in given["pythonpath"])
        if unknown := sorted(set(given) - {*cls.__struct_fields__} | set(given) & {"transforms", "checks"}):
            raise UsageError(f"unknown option: {', '.join(unknown)}")
        for name, value in given.items():
            _check_kind(name, value)
        return cls(transforms=transforms, checks=checks, **given)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself (UsageError)."""
        if (self.table is None) == (self.query is None):
            raise UsageError("give a table or a query, one of the two")
        if self.query is not None and (self.columns is not None or self.where is not None):
            raise UsageError("columns and where go with a table; a query says both itself")
        if self.columns is not None and not self.columns:
            raise UsageError("columns names no column")
        if self.reads is not None and not self.transforms:
            raise UsageError("reads goes with a transform")
        if self.mode is not None and self.mode not in MODES:
            raise UsageError(f"there is no mode {self.mode!r}", hint=f"modes: {', '.join(MODES)}")
        self._check_key()
        for policy in self.on_unrepresentable.values():
            if policy not in POLICIES:
                raise UsageError(f"on_unrepresentable is one of {', '.join(POLICIES)}, not {policy!r}")
        if not 1 <= self.batch_rows <= 1 << 24:
            raise UsageError("batch_rows must lie between 1 and 16,777,216")
        if not 1 <= self.batch_bytes <= MAX_BATCH_BYTES:
            raise UsageError(f"batch_bytes must lie between 1 and {MAX_BATCH_BYTES:,}")

        self._check_indexes()
        self._check_create()
        self._check_chunks()
        self._check_rejects()
        self._check_around()

    def _check_indexes(self) -> None:
        if self.indexes not in INDEXES:
            raise UsageError(f"indexes is one of {', '.join(INDEXES)}, not {self.indexes!r}")
        memory = self.maintenance_work_mem
        if memory is None:
            return
        makes = (self.load_mode and self.load_mode.new_table) or self.create_like_source
        if self.indexes != REBUILD and not makes:
            raise UsageError(
                "maintenance_work_mem goes with indexes='rebuild', mode replace, or create_like_source"
            )
        if not MIN_MAINTENANCE <= memory <= MAX_MAINTENANCE:
            raise UsageError(
                f"maintenance_work_mem must lie between {MIN_MAINTENANCE:,} and {MAX_MAINTENANCE:,} bytes"
            )

    def _check_create(self) -> None:
        if not self.create_like_source:
            return
        if self.create:
            raise UsageError("create and create_like_source are two ways to make the table: give one")
        if self.query is not None:
            raise UsageError("create_like_source goes with a table: a query has no definition of its own")
        if self.on_error == REJECT:
            raise UsageError(
                "create_like_source makes keys and constraints after the rows, when none can be rejected any"
                " more: it goes with on_error='abort'"
            )

    def _check_rejects(self) -> None:
        if self.on_error not in ON_ERROR:
            raise UsageError(f"on_error is one of {', '.join(ON_ERROR)}, not {self.on_error!r}")
        if self.on_error == ABORT and (self.rejects is not None or self.max_rejects is not None):
            raise UsageError("rejects and max_rejects go with on_error='reject'")
        MaxRejects.of(self.max_rejects)

    def _check_around(self) -> None:
        for name, words in (("triggers", TRIGGERS), ("sequences", SEQUENCES)):
            if getattr(self, name) not in words:
                raise UsageError(f"{name} is one of {', '.join(words)}, not {getattr(self, name)!r}")
        if self.synchronous_commit not in (None, *SYNCHRONOUS):
            raise UsageError(f"synchronous_commit is on or off, not {self.synchronous_commit!r}")
        self.lock_milliseconds  # noqa: B018 - UsageError now, if it is no duration
        if self.triggers == "replica" and self.on_error == REJECT:
            raise UsageError(
                "triggers replica does not go with on_error reject: what a foreign key refuses would land"
            )

    def _check_key(self) -> None:
        mode = self.load_mode
        if mode is None or not mode.keyed:
            keyed = " and ".join(each.name for each in MODES.values() if each.keyed)
            if self.dedupe is not None:
                raise UsageError(f"dedupe goes with the modes {keyed}")
            if self.key is not None and not self.create:
                raise UsageError(f"key goes with the modes {keyed}, and with create")
        elif not self.key:
            raise UsageError(f"mode {mode.name} needs key: the columns by which rows are the same")
        if self.key is not None and len(set(self.key)) < len(self.key):
            raise UsageError("key names a column twice")
        if self.on_conflict not in CONFLICTS:
            raise UsageError(f"on_conflict is one of {', '.join(CONFLICTS)}, not {self.on_conflict!r}")
        if self.on_conflict != CONFLICTS[0] and self.mode != "upsert":
            raise UsageError("on_conflict goes with mode upsert")
        if self.dedupe is not None and not _DEDUPE.fullmatch(self.dedupe):
            raise UsageError("dedupe is first:COLUMN or last:COLUMN")

    def _check_chunks(self) -> None:
        if self.jobs != AUTO and not (isinstance(self.jobs, int) and 1 <= self.jobs <= MAX_JOBS):
            raise UsageError(f"jobs is {AUTO!r}, or lies between 1 and {MAX_JOBS}")
        if self.split != AUTO and self.split not in SPLITS:
            raise UsageError(f"there is no split {self.split!r}", hint=f"splits: {AUTO}, {', '.join(SPLITS)}")
        if self.split_by is not None and self.split not in (AUTO, *SPLIT_BY):
            raise UsageError(f"split_by goes with the splits {' and '.join(SPLIT_BY)}, not with {self.split}")
        if self.split_by is None and self.split == "values":
            raise UsageError("the split values needs split_by: the column whose values make the chunks")
        if self.chunk_bytes < 1:
            raise UsageError("chunk_bytes must be positive")
        if self.workers not in WORKERS:
            raise UsageError(f"workers is one of {', '.join(WORKERS)}, not {self.workers!r}")
        if self.retries < 0:
            raise UsageError("retries must not be negative")
        if self.run_id is not None and not _RUN_ID.fullmatch(self.run_id):
            raise UsageError(
                "a run's name is made of up to 54 letters, digits, and any of . _ : -, and begins with"
                " a letter or a digit"
            )

    @property
    def job_count(self) -> int:
        """How many workers there may be: `jobs`, or as many as suit the machine."""
        return min(AUTO_JOBS, os.cpu_count() or 1) if isinstance(self.jobs, str) else self.jobs

    @property
    def makes_table(self) -> bool:
        """Whether the target table may be missing."""
        return self.create or self.create_like_source

    @property
    def lock_milliseconds(self) -> int:
        """How long a lock is waited for, 0 for ever (UsageError: that is no duration)."""
        return 0 if self.lock_timeout is None else milliseconds(self.lock_timeout)

    @property
    def memory(self) -> tuple[str, ...]:
        """What gives a transaction the memory for making indexes; nothing where that is the server's own."""
        size = self.maintenance_work_mem
        return () if size is None else (f"SET LOCAL maintenance_work_mem = '{size >> 10}kB'",)

    @property
    def as_text(self) -> frozenset[str]:
        """The columns that the source shall cast to text."""
        return frozenset(name for name, type_ in self.types.items() if is_text(type_))

    @property
    def dedupe_by(self) -> Dedupe | None:
        """Which of the rows of one key lands; None where there may be no more than one."""
        found = None if self.dedupe is None else _DEDUPE.fullmatch(self.dedupe)
        return Dedupe(found[1], found[2]) if found else None

    @property
    def load_mode(self) -> LoadMode | None:
        """The chosen entry of the table of modes; None where the target must be empty."""
        return None if self.mode is None else MODES[self.mode]

    @property
    def target_name(self) -> str:
        """The target table's name as the user wrote it (UsageError where a query names none)."""
        name = self.into if self.into is not None else self.table
        if name is None:
            raise UsageError("a query needs into: the name of the target table")
        return name
