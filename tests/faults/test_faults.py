"""Every kind of fault once, and random schedules of them; `python -m tests.faults` does more of these."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.faults import FAULTS
from tests.faults.scene import WAYS, two_servers
from tests.faults.schedule import Schedule, at_random, carry_out
from tests.servers import SystemServer

Servers = tuple[SystemServer, SystemServer]

# One run for each fault, the ways and steps in turn.
EACH = [
    Schedule(sorted(WAYS)[number % len(WAYS)], ((name, 1 + number % 3),))
    for number, name in enumerate(sorted(FAULTS))
]
SEEDS = range(2000, 2020)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with two_servers() as both:
        yield both


@pytest.mark.parametrize("schedule", EACH, ids=str)
def test_each_fault(servers: Servers, schedule: Schedule) -> None:
    told = carry_out(schedule, *servers)
    assert not told.missed, told.text


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_schedule(servers: Servers, seed: int) -> None:
    assert carry_out(at_random(seed), *servers).text
