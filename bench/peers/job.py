"""What every peer's process is told."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from bench.corners import CORNERS
from bench.workloads import WORKLOADS, Workload


@dataclass(frozen=True)
class Job:
    """Both servers as URIs; the workload; the tables to read and to fill, with their schema; what else was said."""

    src: str
    dst: str
    workload: Workload
    table: str
    into: str
    rest: tuple[str, ...] = ()

    @property
    def query(self) -> str:
        """All rows of the table that is read."""
        return f"SELECT * FROM {self.table}"

    @property
    def target(self) -> tuple[str, str]:
        """The filled table's schema and name."""
        schema, _, name = self.into.partition(".")
        return schema, name

    def words(self) -> list[str]:
        """The job as arguments of a process."""
        return [self.src, self.dst, self.workload.name, self.table, self.into, *self.rest]


def told() -> Job:
    """The job of this process."""
    src, dst, workload, table, into, *rest = sys.argv[1:]
    return Job(src, dst, (WORKLOADS | CORNERS)[workload], table, into, tuple(rest))
