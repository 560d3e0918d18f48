"""What the user asked for, checked as far as no server is needed. Imports only errors, so that help can read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from .modes import MODES, LoadMode

# A block of about this size stays in the second-level cache between its decode and its encode; a sweep over
# 256 kB .. 8 MB showed the least client CPU here (`python -m bench.pump --sweep`).
DEFAULT_BATCH_BYTES = 1 << 20
DEFAULT_BATCH_ROWS = 65_536
MAX_BATCH_BYTES = 1 << 30

TransformSpec = str | Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Options:
    """One run's options; the names are the command line's.

    Attributes:
        table: the source table, `[SCHEMA.]NAME` quoted as in SQL where it needs it; or else
        query: a SELECT.
        columns: with `table`, the columns to copy, in this order.
        where: with `table`, an SQL condition.
        into: the target table; the source table's name by default.
        transforms: functions on record batches, or `module:function` names of them, applied in order.
        pythonpath: directories in which those modules are also looked for.
        reads: the columns that the transforms read, over what they say themselves.
        mode: a name in `engine.modes.MODES`, or None: the target must be empty.
        create: make the target table from the output schema if it is missing.
        batch_rows: the most rows of one block.
        batch_bytes: about how many wire bytes make one block.
        types: the Arrow type to decode a column as, by column name, as text (`decimal128(18,4)`).
    """

    table: str | None = None
    query: str | None = None
    columns: tuple[str, ...] | None = None
    where: str | None = None
    into: str | None = None
    transforms: tuple[TransformSpec, ...] = ()
    pythonpath: tuple[str, ...] = ()
    reads: tuple[str, ...] | None = None
    mode: str | None = None
    create: bool = False
    batch_rows: int = DEFAULT_BATCH_ROWS
    batch_bytes: int = DEFAULT_BATCH_BYTES
    types: Mapping[str, str] = field(default_factory=dict)

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
        if not 1 <= self.batch_rows <= 1 << 24:
            raise UsageError("batch_rows must lie between 1 and 16,777,216")
        if not 1 <= self.batch_bytes <= MAX_BATCH_BYTES:
            raise UsageError(f"batch_bytes must lie between 1 and {MAX_BATCH_BYTES:,}")

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
