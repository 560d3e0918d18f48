"""A schedule: faults at steps of a run, which is resumed until it is done; then the tables are compared."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from typing import NamedTuple

from tests.faults.faults import FAULTS, SOURCE, TARGET, Fault
from tests.faults.scene import CHUNKS, WAYS, Scene, ended
from tests.servers import SystemServer


@dataclass(frozen=True)
class Schedule:
    """`faults` are names of FAULTS, each with the step (committed chunks and phases) at which it comes."""

    way: str
    faults: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return f"{self.way}: " + ", ".join(f"{name} at {step}" for name, step in self.faults)


class Told(NamedTuple):
    """How each process ended, and how many of the faults came too late to do anything."""

    text: str
    missed: int


def at_random(seed: int) -> Schedule:
    """One to three faults, each in a process of its own."""
    choice = random.Random(seed)
    names = choice.choices(sorted(FAULTS), k=choice.choice((1, 1, 2, 3)))
    steps = sorted(choice.randrange(CHUNKS + 1) for _ in names)
    return Schedule(choice.choice(sorted(WAYS)), tuple(zip(names, steps, strict=True)))


def carry_out(schedule: Schedule, source: SystemServer, target: SystemServer) -> Told:
    """Do it; how each process ended, for people.

    Raises:
        AssertionError: a table is not exact, a session is left, a process hangs or ends with a code that is
            not documented for what happened to it.

    """
    told, missed = [], 0
    with Scene(source, target, schedule.way) as scene:
        process, code, said = scene.start(), None, ""
        for name, step in schedule.faults:
            fault = FAULTS[name]
            hit = fault.act(scene, process) if scene.wait_for(process, step) else _never
            code, said = ended(process)
            hits = hit()
            missed += not hits
            told.append(f"{name} -> {code}" + ("" if hits else " (missed)"))
            scene.wait_for_servers()
            # Before its first row is in the ledger, nothing can be resumed, and nothing is there.
            codes = fault.codes if scene.committed() else fault.codes | {SOURCE, TARGET}
            assert code in codes, f"{name} ended with {code}: {said}"
            for proxy in scene.proxies.values():
                proxy.fault = None
            if code == 0:
                break
            process = go_on(scene, fault)
        if code != 0:
            code, said = ended(process)
            told.append(f"resumed -> {code}")
            assert code == 0, f"what was resumed ended with {code}: {said}"
        scene.check()
    return Told(", ".join(told), missed)


def _never() -> bool:
    return False


def go_on(scene: Scene, fault: Fault) -> subprocess.Popen[str]:
    """Resume; or begin again, where the run was ended before the ledger had its first row."""
    scene.wait_for_servers()
    if fault.leaves:
        scene.end_backends()
    if not scene.committed():
        return scene.start()
    return scene.resume()
