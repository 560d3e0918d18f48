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


@dataclass(frozen=True)
class Fault:
    """`act` harms a run that is under way; `codes` are those that are documented for it.

    A run that was all but over may end well, whatever happens: 0 is always right.
    """

    name: str
    act: Callable[[Scene, Process], None]
    codes: frozenset[int]


FAULTS: dict[str, Fault] = {}


def fault(*codes: int) -> Callable[[Callable[[Scene, Process], None]], Callable[[Scene, Process], None]]:
    def put(act: Callable[[Scene, Process], None]) -> Callable[[Scene, Process], None]:
        name = act.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, act, frozenset({DONE, *codes}))
        return act

    return put


@fault(-signal.SIGKILL)
def kill_copypump(_scene: Scene, process: Process) -> None:
    process.send_signal(signal.SIGKILL)


# A process that Ctrl-C ends at its very start or end has a signal's own way of saying 130.
INTERRUPTED = (130, -signal.SIGINT)


@fault(*INTERRUPTED)
def ctrl_c(_scene: Scene, process: Process) -> None:
    process.send_signal(signal.SIGINT)


@fault(143, -signal.SIGTERM)
def sigterm(_scene: Scene, process: Process) -> None:
    process.send_signal(signal.SIGTERM)


def _terminate(scene: Scene, side: str, what: str) -> None:
    for pid in scene.backends(side, what)[:1]:
        sql(scene.servers[side].dsn(), "SELECT pg_terminate_backend(%s)", [pid])


@fault(STOPPED)
def terminate_a_reader(scene: Scene, _process: Process) -> None:
    _terminate(scene, "source", "workers")


@fault(STOPPED)
def terminate_a_writer(scene: Scene, _process: Process) -> None:
    _terminate(scene, "target", "workers")


@fault(STOPPED)
def terminate_the_keeper(scene: Scene, _process: Process) -> None:
    _terminate(scene, "source", "lasting")


@fault(STOPPED)
def terminate_the_guard(scene: Scene, _process: Process) -> None:
    _terminate(scene, "target", "lasting")


@fault(STOPPED)
def terminate_all_of_the_source(scene: Scene, _process: Process) -> None:
    for pid in scene.backends("source", "lasting") + scene.backends("source", "workers"):
        sql(scene.servers["source"].dsn(), "SELECT pg_terminate_backend(%s)", [pid])


def _kill_backend(scene: Scene, side: str) -> None:
    """SIGKILL of one backend: the server restarts all of itself."""
    for pid in scene.backends(side, "workers")[:1]:
        os.kill(pid, signal.SIGKILL)


@fault(STOPPED)
def kill_a_reader(scene: Scene, _process: Process) -> None:
    _kill_backend(scene, "source")


@fault(STOPPED)
def kill_a_writer(scene: Scene, _process: Process) -> None:
    _kill_backend(scene, "target")


@fault(STOPPED)
def restart_the_source(scene: Scene, _process: Process) -> None:
    scene.servers["source"].halt()
    scene.servers["source"].start_again()


@fault(STOPPED)
def restart_the_target(scene: Scene, _process: Process) -> None:
    scene.servers["target"].halt()
    scene.servers["target"].start_again()


def _cut(scene: Scene, side: str, break_: Break) -> None:
    scene.proxies[side].fault = break_


@fault(STOPPED)
def cut_the_source(scene: Scene, _process: Process) -> None:
    _cut(scene, "source", Break("down", "rst", at=60_000))


@fault(STOPPED)
def close_the_source(scene: Scene, _process: Process) -> None:
    _cut(scene, "source", Break("down", "fin", at=30_000))


@fault(STOPPED)
def cut_the_target(scene: Scene, _process: Process) -> None:
    _cut(scene, "target", Break("up", "rst", at=60_000))


@fault(STOPPED)
def cut_before_a_commit(scene: Scene, _process: Process) -> None:
    _cut(scene, "target", Break("up", "rst", seeing=b"COMMIT"))


@fault(STOPPED)
def lose_the_answer_to_a_commit(scene: Scene, _process: Process) -> None:
    _cut(scene, "target", Break("up", "lose answer", seeing=b"COMMIT"))


@fault(*INTERRUPTED)
def stall_the_source(scene: Scene, process: Process) -> None:
    _stall(scene, process, "source", Break("down", "stall", at=20_000))


@fault(*INTERRUPTED)
def stall_the_target(scene: Scene, process: Process) -> None:
    _stall(scene, process, "target", Break("up", "stall", at=20_000))


@fault(*INTERRUPTED)
def stall_a_commit(scene: Scene, process: Process) -> None:
    _stall(scene, process, "target", Break("up", "stall", seeing=b"COMMIT"))


def _stall(scene: Scene, process: Process, side: str, break_: Break) -> None:
    """A network that is silently gone is noticed after a minute or more; Ctrl-C ends the waiting at once."""
    _cut(scene, side, break_)
    deadline = time.monotonic() + 3
    while not break_.fired and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)


@fault(STOPPED)
def stop_the_target_for_a_while(scene: Scene, _process: Process) -> None:
    pids = scene.backends("target", "workers")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@fault()
def start_it_twice(scene: Scene, _process: Process) -> None:
    second = scene.resume()
    said, _ = second.communicate(timeout=60)
    # Active, or done meanwhile: refused either way.
    assert second.returncode == 3, (second.returncode, said)
