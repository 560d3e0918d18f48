"""A run and its chunks, as the ledger's rows have them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Committed(Struct, frozen=True):
    """A chunk's row: what it moved, under which of the run's snapshots (counted from 1)."""

    chunk: int
    snapshot: int
    rows_read: int
    rows_written: int
    bytes_read: int
    bytes_written: int
    seconds: float


class RunState(Struct, frozen=True):
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


class Record(Struct, frozen=True):
    """A run's own row, whole."""

    run: str
    epoch: int
    status: str
    options: dict[str, Any]
    fingerprint: dict[str, Any]
    split: dict[str, Any]
    snapshots: list[str]
    notes: dict[str, Any]
