"""The one table of what can go wrong: how it is done, and with which codes a run may then end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.patience import PATIENCE, PROMPT, wait_until
from tests.faults.scene import Process, Scene
from tests.faults.ways import Way
from tests.proxy import Action
from tests.proxy import Fault as Break
from tests.servers import is_lost, session, sql

# The exit codes that are documented (see errors.ExitCode).
REFUSED, SOURCE, TARGET, UNKNOWN, STOPPED = 3, 4, 5, 8, 9

# A process that Ctrl-C ends at its very start or end has a signal's own way of saying 130.
INTERRUPTED = (130, -signal.SIGINT)

Hit = Callable[[], bool]
Act = Callable[[Scene, Process], Hit]


@dataclass(frozen=True)
class Fault:
    """`act` harms a run that is under way, held at a moment, and lets it go; `codes` are documented for that.

    It gives what tells, once the process has ended, whether it hit: a run may be over before. A run that lives
    through it ends as any other. `seconds` are those in which the process has to end, which it does at once
    where the fault `ends` it. `leaves`: sessions may be left
    on the servers that nobody can reach. `processes`: it is of runs with worker processes. `disk`: it is of a
    target on a small disk. `next`: it comes at the next place on the target's way, not at the very moment.
    """

    name: str
    act: Act
    codes: frozenset[int]
    seconds: float = PATIENCE
    ends: bool = False
    leaves: bool = False
    processes: bool = False
    disk: bool = False
    next: bool = False

    def fits(self, way: Way) -> bool:
        """Whether it can happen to a run that goes this way."""
        return way.processes or not self.processes


FAULTS: dict[str, Fault] = {}


def fault(*codes: int, seconds: float = PATIENCE, **more: bool) -> Callable[[Act], Act]:
    def put(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, act, frozenset(codes), seconds, **more)
        return act

    return put


# The process ------------------------------------------------------------------------------------------------


def _signal(scene: Scene, process: Process, number: int) -> Hit:
    alive = process.alive
    process.signal(number)
    scene.let_go()
    return lambda: alive and process.code != scene.way.done


@fault(-signal.SIGKILL, ends=True)
def kill_copypump(scene: Scene, process: Process) -> Hit:
    return _signal(scene, process, signal.SIGKILL)


@fault(*INTERRUPTED, seconds=PROMPT, ends=True)
def ctrl_c(scene: Scene, process: Process) -> Hit:
    return _signal(scene, process, signal.SIGINT)


@fault(*INTERRUPTED, seconds=PROMPT, ends=True)
def ctrl_c_twice(scene: Scene, process: Process) -> Hit:
    process.signal(signal.SIGINT)
    time.sleep(0.1)
    return _signal(scene, process, signal.SIGINT)


@fault(143, -signal.SIGTERM, seconds=PROMPT, ends=True)
def sigterm(scene: Scene, process: Process) -> Hit:
    return _signal(scene, process, signal.SIGTERM)


@fault(STOPPED, processes=True)
def kill_a_worker_process(scene: Scene, process: Process) -> Hit:
    while not (pids := process.workers()) and process.alive:
        scene.let_go()
        time.sleep(0.002)
    for pid in pids[:1]:
        os.kill(pid, signal.SIGKILL)
    scene.let_go()
    return lambda: bool(pids)


# The servers ------------------------------------------------------------------------------------------------


def _terminate(scene: Scene, side: str, pids: list[int]) -> Hit:
    for pid in pids:
        sql(scene.servers[side].dsn(), "SELECT pg_terminate_backend(%s)", [pid])
    scene.let_go()
    return lambda: bool(pids)


@fault(STOPPED)
def terminate_a_reader(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, "source", scene.met("source", "workers", process)[:1])


@fault(STOPPED)
def terminate_a_writer(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, "target", scene.met("target", "workers", process)[:1])


@fault(STOPPED)
def terminate_the_keeper(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, "source", scene.met("source", "lasting", process)[:1])


@fault(STOPPED)
def terminate_the_guard(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, "target", scene.met("target", "lasting", process)[:1])


@fault(STOPPED)
def terminate_all_of_the_source(scene: Scene, _process: Process) -> Hit:
    return _terminate(
        scene, "source", scene.backends("source", "lasting") + scene.backends("source", "workers")
    )


@fault(STOPPED)
def terminate_all_of_the_target(scene: Scene, _process: Process) -> Hit:
    return _terminate(
        scene, "target", scene.backends("target", "lasting") + scene.backends("target", "workers")
    )


def _kill_backend(scene: Scene, process: Process, side: str, what: str = "workers") -> Hit:
    """SIGKILL of one backend: the server restarts all of itself, a moment after."""
    pids = scene.met(side, what, process)[:1]
    with session(scene.servers[side].dsn()) as witness:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        scene.let_go()
        if pids:
            wait_until(lambda: is_lost(witness), "the server does not notice", pause=0.002)
    return lambda: bool(pids)


@fault(STOPPED)
def kill_a_reader(scene: Scene, process: Process) -> Hit:
    return _kill_backend(scene, process, "source")


@fault(STOPPED)
def kill_a_writer(scene: Scene, process: Process) -> Hit:
    return _kill_backend(scene, process, "target")


@fault(STOPPED)
def kill_the_keeper(scene: Scene, process: Process) -> Hit:
    return _kill_backend(scene, process, "source", "lasting")


@fault(STOPPED)
def kill_the_guard(scene: Scene, process: Process) -> Hit:
    return _kill_backend(scene, process, "target", "lasting")


def _restart(scene: Scene, process: Process, side: str) -> Hit:
    alive = process.alive
    scene.servers[side].halt()
    scene.let_go()
    scene.servers[side].start_again()
    return lambda: alive


@fault(STOPPED)
def restart_the_source(scene: Scene, process: Process) -> Hit:
    return _restart(scene, process, "source")


@fault(STOPPED)
def restart_the_target(scene: Scene, process: Process) -> Hit:
    return _restart(scene, process, "target")


@fault(STOPPED)
def stop_the_target_for_a_while(scene: Scene, process: Process) -> Hit:
    pids = scene.met("target", "workers", process)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    scene.let_go()
    time.sleep(0.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return lambda: bool(pids)


@fault(STOPPED, disk=True, ends=True)
def fill_the_disk(scene: Scene, process: Process) -> Hit:
    assert scene.disk is not None
    alive = process.alive
    scene.disk.fill()
    scene.let_go()
    return lambda: alive and process.code != scene.way.done


# The network ------------------------------------------------------------------------------------------------


def _here(scene: Scene, action: Action) -> Hit:
    """Break the connection that is held."""
    gate = scene.gate
    assert gate is not None
    gate.let_go(action)
    return lambda: gate.then == action


@fault(STOPPED)
def cut_here(scene: Scene, _process: Process) -> Hit:
    return _here(scene, "rst")


@fault(STOPPED)
def close_here(scene: Scene, _process: Process) -> Hit:
    return _here(scene, "fin")


@fault(STOPPED)
def lose_the_answer_here(scene: Scene, _process: Process) -> Hit:
    """Rows have no answer to lose."""
    return _here(scene, "lose answer" if scene.gate is not None and scene.gate.seeing is not None else "rst")


@fault(*INTERRUPTED, UNKNOWN, seconds=PROMPT, ends=True, leaves=True)
def stall_here(scene: Scene, process: Process) -> Hit:
    """A network that is silently gone is noticed after a minute or more; Ctrl-C ends the waiting at once."""
    hit = _here(scene, "stall")
    time.sleep(0.3)
    process.signal(signal.SIGINT)
    return hit


def _cut(scene: Scene, side: str, break_: Break) -> Hit:
    """Break the connection of that side which comes to the place next."""
    scene.proxies[side].fault = break_
    scene.let_go()
    return lambda: break_.fired


@fault(STOPPED)
def cut_the_source(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "source", Break("down", "rst", more=4_000))


@fault(STOPPED)
def close_the_source(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "source", Break("down", "fin", more=3_000))


@fault(STOPPED, next=True)
def cut_the_target(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "target", Break("up", "rst", more=4_000))


@fault(STOPPED, next=True)
def cut_before_a_commit(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "target", Break("up", "rst", seeing=b"COMMIT"))


@fault(STOPPED, next=True)
def lose_the_answer_to_a_commit(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "target", Break("up", "lose answer", seeing=b"COMMIT"))


def _stall(scene: Scene, process: Process, side: str, break_: Break) -> Hit:
    hit = _cut(scene, side, break_)
    wait_until(lambda: break_.fired or not process.alive, "the run does not get on")
    if process.alive:
        process.signal(signal.SIGINT)
    return hit


@fault(*INTERRUPTED, seconds=PROMPT, ends=True, leaves=True)
def stall_the_source(scene: Scene, process: Process) -> Hit:
    return _stall(scene, process, "source", Break("down", "stall", more=2_000))


@fault(*INTERRUPTED, seconds=PROMPT, ends=True, leaves=True, next=True)
def stall_the_target(scene: Scene, process: Process) -> Hit:
    return _stall(scene, process, "target", Break("up", "stall", more=2_000))


@fault(*INTERRUPTED, UNKNOWN, seconds=PROMPT, ends=True, leaves=True, next=True)
def stall_a_commit(scene: Scene, process: Process) -> Hit:
    return _stall(scene, process, "target", Break("up", "stall", seeing=b"COMMIT"))


# Two at once ------------------------------------------------------------------------------------------------


def _second(scene: Scene, process: Process, second: Process) -> Hit:
    """Only one of them does it: the first, unless that had not begun, and is refused then."""
    alive = process.alive
    code, said = second.ended()
    process.signal(signal.SIGCONT)
    assert code in (scene.way.done, REFUSED), (code, said)
    won = code != REFUSED
    assert not won or alive

    def hit() -> bool:
        assert (process.code == REFUSED) == won, (process.code, said)
        return alive

    return hit


@fault(REFUSED)
def resume_it_twice(scene: Scene, process: Process) -> Hit:
    process.signal(signal.SIGSTOP)
    hit = _second(scene, process, scene.resume())
    scene.let_go()
    return hit


@fault(REFUSED)
def run_it_twice(scene: Scene, process: Process) -> Hit:
    process.signal(signal.SIGSTOP)
    hit = _second(scene, process, scene.start())
    scene.let_go()
    return hit
