"""What happened: counts, bytes, times per stage, warnings; what a run returns and prints."""

from __future__ import annotations

import logging
import time
from typing import Any

from msgspec import Struct, field, to_builtins
from msgspec.structs import asdict

log = logging.getLogger("copypump.report")


class Stage(Struct):
    """Seconds that one stage of the pipeline worked (`busy`) and stood still (`waiting`)."""

    busy: float = 0.0
    waiting: float = 0.0


# The stages in the order in which a row passes them.
STAGES = ("read", "decode", "transform", "encode", "write")


class Counters(Struct):
    """What the pipeline counts while it runs; written by its threads (each field by one), read by anyone."""

    rows_read: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    stages: dict[str, Stage] = field(default_factory=lambda: {name: Stage() for name in STAGES})
    # Seconds in which a server's socket gave or took nothing: parts of the read and write stages' waiting.
    source_wait: float = 0.0
    target_wait: float = 0.0

    def occupied(self) -> dict[str, float]:
        """Seconds for which each part of the way was occupied.

        A server is occupied while our side waits for its socket; a stage of ours while it works. Waiting for
        a neighbour's queue occupies nobody.
        """
        stages = self.stages
        return {
            "source": stages["read"].busy + self.source_wait,
            "decode": stages["decode"].busy,
            "transform": stages["transform"].busy,
            "encode": stages["encode"].busy,
            "target": stages["write"].busy + self.target_wait,
        }

    def add(self, other: Counters) -> None:
        """Count in what another part of the run has counted."""
        self.rows_read += other.rows_read
        self.rows_written += other.rows_written
        self.bytes_read += other.bytes_read
        self.bytes_written += other.bytes_written
        self.source_wait += other.source_wait
        self.target_wait += other.target_wait
        for name, stage in other.stages.items():
            self.stages[name].busy += stage.busy
            self.stages[name].waiting += stage.waiting

    @property
    def bottleneck(self) -> str:
        """The part of the way that was occupied longest: source, decode, transform, encode or target."""
        occupied = self.occupied()
        return max(occupied, key=lambda name: occupied[name])


class Tally(Struct):
    """What became of the rows that were sent, where that is more than landing in the target.

    Each counts rows: of modes that merge, those `inserted`, `updated`, `unchanged` and `unmatched`;
    `duplicates` of a key that gave way to another row; and those of the inserted that are `keyless`, with
    NULL in their key; in any mode those `rejected`. `warnings` are what a step has to say to the user.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    unmatched: int = 0
    duplicates: int = 0
    keyless: int = 0
    rejected: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The counts of rows, by name."""
        return {name: count for name, count in asdict(self).items() if name != "warnings"}

    def add(self, other: Tally) -> None:
        """Count in what another phase has counted; its warnings are not taken over."""
        for name, count in other.counts.items():
            setattr(self, name, getattr(self, name) + count)


class Progress(Struct, frozen=True):
    """A moment of a run, handed to `on_progress`: totals since the start, and what holds the rows up now.

    `chunks` is 0 in a run of one transaction; `phase` names what goes on after the last chunk. `snapshot_age`
    counts seconds; it is 0 where chunks share no snapshot. `run` is the name in the ledger that was made up.
    """

    rows_read: int
    rows_written: int
    bytes_read: int
    bytes_written: int
    seconds: float
    bottleneck: str
    chunks: int = 0
    chunks_done: int = 0
    workers: int = 0
    retries: int = 0
    snapshot_age: float = 0.0
    phase: str = ""
    run: str = ""


class Watch:
    """Turns counters into progress: totals, and the bottleneck since the last look."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._before: dict[str, float] = {}

    def progress(self, counters: Counters, **more: Any) -> Progress:
        """How it stands now; `more` are further fields of a Progress."""
        now = counters.occupied()
        lately = {name: seconds - self._before.get(name, 0.0) for name, seconds in now.items()}
        self._before = now
        return Progress(
            rows_read=counters.rows_read,
            rows_written=counters.rows_written,
            bytes_read=counters.bytes_read,
            bytes_written=counters.bytes_written,
            seconds=time.perf_counter() - self._start,
            bottleneck=max(lately, key=lambda name: lately[name]),
            **more,
        )


class Report(Struct):
    """What a run did. `status` is "done", or "failed" beside an `error`; seconds are wall time.

    `run` is the name in the ledger, where there is one: counts are then of all of its chunks that are
    committed, also by earlier processes, but `seconds`, `stages` and `retries` of this one. `snapshots` are
    those under which chunks were read, in order. `rejects` names the table, and the run in it, that
    rejected rows went to; None where none could.
    """

    status: str
    source: str
    target: str
    rows_read: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    stages: dict[str, Stage] = field(default_factory=dict)
    bottleneck: str = ""
    tally: Tally = field(default_factory=Tally)
    run: str | None = None
    jobs: int = 1
    split: str = "none"
    chunks: int = 1
    chunks_done: int = 0
    retries: int = 0
    snapshots: list[str] = field(default_factory=list)
    rejects: str | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None

    def warn(self, text: str) -> None:
        """Keep a warning, and log it: the report of a run that is interrupted is seen by nobody."""
        log.warning("%s", text)
        self.warnings.append(text)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        values: dict[str, Any] = to_builtins(self)
        return values | {"tally": self.tally.counts}

    def count(self, tally: Tally) -> None:
        """Count in what a phase has counted, and take over what it has to say."""
        for warning in tally.warnings:
            self.warn(warning)
        self.tally.add(tally)
