"""A schedule: faults at moments of a run, which is resumed until it is done; then the tables are compared."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.faults.faults import FAULTS, SOURCE, TARGET, Fault, Hit
from tests.faults.patience import PATIENCE
from tests.faults.scene import Moment, Process, Scene
from tests.faults.ways import CHUNKS, WAYS, Way
from tests.servers import SystemServer

Servers = tuple[SystemServer, SystemServer]


@dataclass(frozen=True)
class Schedule:
    """`faults` are names of FAULTS, each with its moment, counted from the one before."""

    way: str
    faults: tuple[tuple[str, Moment], ...]

    def __str__(self) -> str:
        return f"{self.way}: " + ", ".join(f"{name} at {moment}" for name, moment in self.faults)


@dataclass
class Told:
    """How each process ended, and how many of the faults hit."""

    text: str = ""
    hits: int = 0
    missed: int = 0

    def add(self, text: str) -> None:
        self.text += f" {text}" if self.text else text


def at_random(seed: int, ways: Iterable[str] = WAYS) -> Schedule:
    """One to three faults; later ones come sooner, as less is left to do."""
    choice = random.Random(seed)
    way = choice.choice(sorted(ways))
    fitting = sorted(name for name, fault in FAULTS.items() if fault.fits(WAYS[way]))
    names = choice.choices(fitting, k=choice.choice((1, 1, 2, 3)))
    return Schedule(way, tuple((name, _moment(choice, WAYS[way], done)) for done, name in enumerate(names)))


def _moment(choice: random.Random, way: Way, done: int) -> Moment:
    share = 1 / (1 + done) ** 2
    bytes_ = choice.randrange(10_000, int(600_000 * share))
    return choice.choice(
        (
            Moment(step=choice.randrange(1, int(way.steps * share) + 2)),
            Moment(step=choice.randrange(1, int(way.steps * share) + 2)),
            Moment(source_bytes=bytes_),
            Moment(target_bytes=bytes_),
        )
    )


def carry_out(schedule: Schedule, source: SystemServer, target: SystemServer) -> Told:
    """Do it.

    Raises:
        AssertionError: a table is not exact, a session or a process is left, a process hangs or ends with a
            code that is not documented for what happened to it.

    """
    faults = [(FAULTS[name], moment) for name, moment in schedule.faults]
    tight = any(fault.disk for fault, _ in faults)
    with Scene(source, target, WAYS[schedule.way], tight=tight) as scene:
        story = _Story(scene)
        for fault, moment in faults:
            story.suffer(fault, moment)
        story.end()
        scene.check()
    return story.told


class _Story:
    """One run, process after process, until it is done."""

    def __init__(self, scene: Scene) -> None:
        self.told = Told()
        self._scene = scene
        self._process: Process | None = None
        self._suffered: list[tuple[Fault, Hit]] = []

    def suffer(self, fault: Fault, moment: Moment) -> None:
        """Let the fault come at its moment, counted from now, in this process or the next."""
        scene = self._scene
        scene.hold(moment)
        while not scene.done():
            process = self._process = self._process or self._go_on()
            if scene.wait_for(process):
                self._suffered.append((fault, fault.act(scene, process)))
                if fault.ends:
                    self._ended()
                return
            self._ended()
        self._count(fault, hits=False)

    def end(self) -> None:
        """Let the run be done."""
        self._scene.let_go()
        if self._process is not None:
            self._ended()
        if not self._scene.done():
            self._process = self._go_on()
            self._ended()
        assert self._scene.done()

    def _go_on(self) -> Process:
        """Resume; or begin, where there is nothing yet in the ledger."""
        return self._scene.resume() if self._scene.committed() else self._scene.start()

    def _ended(self) -> None:
        """See how the process ends, after what it has suffered."""
        scene, process, suffered = self._scene, self._process, self._suffered
        assert process is not None
        self._process, self._suffered = None, []
        code, said = process.ended(min((fault.seconds for fault, _ in suffered), default=PATIENCE))
        for fault, hit in suffered:
            self._count(fault, hits=hit())
        self.told.add(f"-> {code}")
        if scene.disk is not None:
            scene.disk.relieve()
        for proxy in scene.proxies.values():
            proxy.fault = None
        scene.wait_for_servers()
        codes = {scene.way.done}.union(*(fault.codes for fault, _ in suffered))
        # There was no ledger yet to resume it by, or the run, or its resume, was still planning.
        if suffered and (not scene.committed() or "is as it was before" in said):
            codes |= {SOURCE, TARGET}
        assert code in codes, (
            f"after {', '.join(fault.name for fault, _ in suffered)} it ended with {code}: {said}"
        )
        assert code != scene.way.done or scene.done()
        if any(fault.leaves for fault, _ in suffered):
            scene.end_backends()
        scene.check_sessions()

    def _count(self, fault: Fault, *, hits: bool) -> None:
        self.told.hits += hits
        self.told.missed += not hits
        self.told.add(fault.name if hits else f"{fault.name} missed")


def steps_of(way: str, source: SystemServer, target: SystemServer) -> list[bytes]:
    """The steps of a run that nothing happens to."""
    with Scene(source, target, WAYS[way]) as scene:
        gate = scene.hold(Moment(step=1_000_000))
        code, said = scene.start().ended()
        assert code == scene.way.done, said
        scene.check()
        return gate.met


def every(way: str, source: SystemServer, target: SystemServer) -> Iterator[Schedule]:
    """Each fault at each step of a run, but for those that come at the next.

    Each round has every step once, and every fault at least once.
    """
    steps = len(steps_of(way, source, target))
    assert steps > 3 * CHUNKS
    names = [name for name, fault in sorted(FAULTS.items()) if fault.fits(WAYS[way]) and not fault.next]
    assert steps >= len(names)
    for turn in range(len(names)):
        for step in range(steps):
            yield Schedule(way, ((names[(step + turn) % len(names)], Moment(step=step + 1)),))
