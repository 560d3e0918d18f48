"""The one table of what can go wrong: how it is done, and with which codes a run may then end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.scene import Scene
from tests.proxy import Fault as Break
from tests.servers import sql

Process = subprocess.Popen[str]

DONE, SOURCE, TARGET, STOPPED = 0, 4, 5, 9


Hit = Callable[[], bool]
Act = Callable[[Scene, Process], Hit]


@dataclass(frozen=True)
class Fault:
    """`act` harms a run that is under way; `codes` are those that are documented for it.

    It gives what tells, once the process has ended, whether it hit: a run may be over before. A run that lives
    through it ends with 0. `leaves`: sessions may be left on the servers that nobody can reach.
    """

    name: str
    act: Act
    codes: frozenset[int]
    leaves: bool = False


FAULTS: dict[str, Fault] = {}


def fault(*codes: int, leaves: bool = False) -> Callable[[Act], Act]:
    def put(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, act, frozenset({DONE, *codes}), leaves)
        return act

    return put


def _signal(process: Process, number: int) -> Hit:
    alive = process.poll() is None
    process.send_signal(number)
    return lambda: alive and process.returncode != 0


@fault(-signal.SIGKILL)
def kill_copypump(_scene: Scene, process: Process) -> Hit:
    return _signal(process, signal.SIGKILL)


# A process that Ctrl-C ends at its very start or end has a signal's own way of saying 130.
INTERRUPTED = (130, -signal.SIGINT)


@fault(*INTERRUPTED)
def ctrl_c(_scene: Scene, process: Process) -> Hit:
    return _signal(process, signal.SIGINT)


@fault(143, -signal.SIGTERM)
def sigterm(_scene: Scene, process: Process) -> Hit:
    return _signal(process, signal.SIGTERM)


def _terminate(scene: Scene, process: Process, side: str, what: str) -> Hit:
    pids = scene.met(side, what, process)[:1]
    for pid in pids:
        sql(scene.servers[side].dsn(), "SELECT pg_terminate_backend(%s)", [pid])
    return lambda: bool(pids)


@fault(STOPPED)
def terminate_a_reader(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, process, "source", "workers")


@fault(STOPPED)
def terminate_a_writer(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, process, "target", "workers")


@fault(STOPPED)
def terminate_the_keeper(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, process, "source", "lasting")


@fault(STOPPED)
def terminate_the_guard(scene: Scene, process: Process) -> Hit:
    return _terminate(scene, process, "target", "lasting")


@fault(STOPPED)
def terminate_all_of_the_source(scene: Scene, _process: Process) -> Hit:
    pids = scene.backends("source", "lasting") + scene.backends("source", "workers")
    for pid in pids:
        sql(scene.servers["source"].dsn(), "SELECT pg_terminate_backend(%s)", [pid])
    return lambda: bool(pids)


def _kill_backend(scene: Scene, process: Process, side: str, what: str = "workers") -> Hit:
    """SIGKILL of one backend: the server restarts all of itself."""
    pids = scene.met(side, what, process)[:1]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
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
    alive = process.poll() is None
    scene.servers[side].halt()
    scene.servers[side].start_again()
    return lambda: alive


@fault(STOPPED)
def restart_the_source(scene: Scene, process: Process) -> Hit:
    return _restart(scene, process, "source")


@fault(STOPPED)
def restart_the_target(scene: Scene, process: Process) -> Hit:
    return _restart(scene, process, "target")


def _cut(scene: Scene, side: str, break_: Break) -> Hit:
    scene.proxies[side].fault = break_
    return lambda: break_.fired


@fault(STOPPED)
def cut_the_source(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "source", Break("down", "rst", more=40_000))


@fault(STOPPED)
def close_the_source(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "source", Break("down", "fin", more=30_000))


@fault(STOPPED)
def cut_the_target(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "target", Break("up", "rst", more=40_000))


@fault(STOPPED)
def cut_before_a_commit(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "target", Break("up", "rst", seeing=b"COMMIT"))


@fault(STOPPED)
def lose_the_answer_to_a_commit(scene: Scene, _process: Process) -> Hit:
    return _cut(scene, "target", Break("up", "lose answer", seeing=b"COMMIT"))


@fault(*INTERRUPTED, leaves=True)
def stall_the_source(scene: Scene, process: Process) -> Hit:
    return _stall(scene, process, "source", Break("down", "stall", more=20_000))


@fault(*INTERRUPTED, leaves=True)
def stall_the_target(scene: Scene, process: Process) -> Hit:
    return _stall(scene, process, "target", Break("up", "stall", more=20_000))


@fault(*INTERRUPTED, leaves=True)
def stall_a_commit(scene: Scene, process: Process) -> Hit:
    return _stall(scene, process, "target", Break("up", "stall", seeing=b"COMMIT"))


def _stall(scene: Scene, process: Process, side: str, break_: Break) -> Hit:
    """A network that is silently gone is noticed after a minute or more; Ctrl-C ends the waiting at once."""
    hit = _cut(scene, side, break_)
    deadline = time.monotonic() + 20
    while not break_.fired and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    return hit


@fault(STOPPED)
def stop_the_target_for_a_while(scene: Scene, process: Process) -> Hit:
    pids = scene.met("target", "workers", process)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return lambda: bool(pids)


@fault()
def start_it_twice(scene: Scene, process: Process) -> Hit:
    process.send_signal(signal.SIGSTOP)
    alive = process.poll() is None
    second = scene.resume()
    said, _ = second.communicate(timeout=60)
    process.send_signal(signal.SIGCONT)
    # Active, or done meanwhile: refused either way.
    assert second.returncode == 3, (second.returncode, said)
    return lambda: alive and "is active" in said
