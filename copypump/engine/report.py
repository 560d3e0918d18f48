"""What happened: counts, bytes, times per stage, warnings; what a run returns and prints."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

log = logging.getLogger("copypump.report")


@dataclass(slots=True)
class Stage:
    """Seconds that one stage of the pipeline worked (`busy`) and stood still (`waiting`)."""

    busy: float = 0.0
    waiting: float = 0.0


# The stages in the order in which a row passes them.
STAGES = ("read", "decode", "transform", "encode", "write")


@dataclass(slots=True)
class Counters:
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

    @property
    def bottleneck(self) -> str:
        """The part of the way that was occupied longest: source, decode, transform, encode or target."""
        occupied = self.occupied()
        return max(occupied, key=lambda name: occupied[name])


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run, handed to `on_progress`: totals since the start, and what holds the rows up now."""

    rows_read: int
    rows_written: int
    bytes_read: int
    bytes_written: int
    seconds: float
    bottleneck: str


@dataclass(slots=True)
class Report:
    """What a run did. `status` is "done", or "failed" beside an `error`; seconds are wall time."""

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
    warnings: list[str] = field(default_factory=list)
    error: str | None = None

    def warn(self, text: str) -> None:
        """Keep a warning, and log it: the report of a run that is interrupted is seen by nobody."""
        log.warning("%s", text)
        self.warnings.append(text)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        return asdict(self)
