"""A run and its chunks, as the ledger's rows have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Committed:
    """A chunk's row: what it moved, under which of the run's snapshots (counted from 1)."""

    chunk: int
    snapshot: int
    rows_read: int
    rows_written: int
    bytes_read: int
    bytes_written: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run stands, as `copypump runs` lists it.

    `status` is running, done, failed or stopped; a run that says that it is running while nobody holds it
    has died, and is stopped.
    """

    run: str
    status: str
    source: str
    target: str
    error: str | None
    version: str
    started: str
    changed: str
    chunks: int
    chunks_done: int
    rows_read: int
    rows_written: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class Record:
    """A run's own row, whole."""

    run: str
    epoch: int
    status: str
    options: dict[str, Any]
    fingerprint: dict[str, Any]
    split: dict[str, Any]
    snapshots: list[str]
    notes: dict[str, Any]
