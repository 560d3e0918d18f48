"""What of the zoo was pumped where: each case notes it with its outcome, which workers hand on; told at the end."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest

from tests.zoo.facts import ZooTable
from tests.zoo.tables import ZOO
from tests.zoo.ways import Zoo

NOTE = "pumped"

# Notes what a test is about to pump: the zoo, the table, the kind of transform.
Pumped = Callable[[Zoo, ZooTable, str], None]


class Case(NamedTuple):
    """One run; `versions` are those of the way's servers."""

    way: str
    versions: str
    table: str
    kind: str


def cases(report: pytest.TestReport) -> list[Case]:
    """What a test noted."""
    return [Case(*map(str, noted)) for name, noted in report.user_properties if name == NOTE]  # type: ignore[misc]


def held(report: pytest.TestReport) -> pytest.TestReport:
    """Fail a case that pumped nothing: an outcome that was never held against anything must not look like one."""
    over = report.skipped or (report.when == "call" and report.passed)
    if over and not cases(report):
        report.outcome, report.longrepr = "failed", "nothing was pumped"
    return report


def summary(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A line for each way, and one for the whole; none where nothing was pumped."""
    ran = sorted({case for report in reports if report.when == "call" for case in cases(report)})
    if not ran:
        return []
    lines = []
    for (way, versions), of_way in itertools.groupby(ran, lambda case: (case.way, case.versions)):
        tables, kinds = zip(*((case.table, case.kind) for case in of_way), strict=True)
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(kinds).items()))
        lines.append(f"{way} (PostgreSQL {versions}): {len(set(tables))} tables; {told}")
    pumped = {case.table for case in ran}
    missing = [str(table) for table in ZOO if table.name not in pumped]
    named = ": " + ", ".join(missing) if 0 < len(missing) <= 20 else ""
    return [*lines, f"{len(pumped)} of {len(ZOO)} tables were pumped; {len(missing)} were not{named}"]
