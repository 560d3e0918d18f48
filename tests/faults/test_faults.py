"""Each step of a run once, with the kinds of faults in turn; ends that are long; and random schedules.

`python -m tests.faults` does more of these.
"""

from __future__ import annotations

import pytest

from tests.faults.faults import FAULTS
from tests.faults.scene import Moment
from tests.faults.schedule import Schedule, Servers, at_random, carry_out, steps_of
from tests.faults.ways import CHUNKS, WAYS

# The steps of a run of the way LIKE: prepare has two, the snapshot one, each chunk three, and the end one.
LIKE = "empty-key"
STEPS = 2 + 1 + 3 * 10 + 1

# The ways whose steps are no fewer; rows that go in by INSERTs have no COPY, and a region has few values.
LONG = sorted(set(WAYS) - {"insert-key", "append-values"})

# What the random ones have found.
FOUND = {
    "a resume that is stopped while it begins can be resumed, and says so": Schedule(
        "empty-key", (("kill-copypump", Moment(12)), ("terminate-a-writer", Moment(1)))
    ),
    "the table of rejects outlives a crash, wherever the run does": Schedule(
        "reject-key", (("restart-the-target", Moment(5)),)
    ),
    "worker processes end when their parent is killed": Schedule(
        "processes-ctid", (("kill-copypump", Moment(target_bytes=150_000)),)
    ),
    "Ctrl-C ends worker processes whose server is silent": Schedule(
        "processes-reject", (("stall-here", Moment(target_bytes=150_000)),)
    ),
}

# After the chunks, what was dropped is made again, or a new table is made ready: a step or two of each.
ENDS = [
    Schedule("rebuild-ctid", (("restart-the-target", Moment(53)),)),
    Schedule("rebuild-key", (("kill-copypump", Moment(45)),)),
    Schedule("rebuild-upsert", (("lose-the-answer-here", Moment(39)),)),
    Schedule("replace-reject", (("kill-a-writer", Moment(57)),)),
]

SEEDS = range(2000, 2020)


def in_turn() -> list[Schedule]:
    """Every step and every kind of fault, the ways in turn."""
    schedules = []
    for number in range(max(STEPS, len(FAULTS))):
        fault = sorted(FAULTS.values(), key=lambda fault: fault.name)[number % len(FAULTS)]
        ways = [way for way in LONG if fault.fits(WAYS[way])]
        schedules.append(Schedule(ways[number % len(ways)], ((fault.name, Moment(number % STEPS + 1)),)))
    return schedules


def test_the_steps_of_a_run(servers: Servers) -> None:
    steps = steps_of(LIKE, *servers)
    assert len(steps) == STEPS >= 3 * CHUNKS
    kinds = {kind: sum(step.startswith(kind) for step in steps) for kind in (b"INSERT", b"COPY", b"COMMIT")}
    assert kinds == {b"INSERT": 11, b"COPY": 10, b"COMMIT": 13}


@pytest.mark.parametrize("schedule", [*in_turn(), *ENDS], ids=str)
def test_each_step_and_each_fault(servers: Servers, schedule: Schedule) -> None:
    told = carry_out(schedule, *servers)
    assert told.hits == 1, told.text


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_schedule(servers: Servers, seed: int) -> None:
    assert carry_out(at_random(seed), *servers).text


@pytest.mark.parametrize("schedule", FOUND.values(), ids=FOUND.keys())
def test_what_was_found(servers: Servers, schedule: Schedule) -> None:
    told = carry_out(schedule, *servers)
    assert not told.missed, told.text
