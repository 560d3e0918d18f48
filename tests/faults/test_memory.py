"""A target that stands still: what copypump holds meanwhile is bounded by the size of its batches."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from copypump.engine.pipeline.pipeline import THREADS
from copypump.postgres.source import GROW_BYTES
from tests.faults.patience import Patience
from tests.faults.scene import Moment, Process, Scene
from tests.faults.schedule import Servers
from tests.faults.ways import Way

JOBS = 2
BATCH = 256 << 10

# 160 MB on the wire, of 2 MB on disk: as much as that would grow by what is not bounded.
VALUE, ROWS = 20_000, 8_000
WIDE = Way(
    ("--split", "key"),
    fill=f"INSERT INTO people SELECT i, repeat('x', {VALUE}), i % 90, 'n' FROM generate_series(1, {ROWS}) AS i",
    tuning=("--chunk-bytes", "320kB", "--batch-bytes", f"{BATCH >> 10}kB"),
    lands="SELECT id, md5(name), age + 1, region FROM people",
    found="SELECT id, md5(name), age, region FROM people",
)

# A worker has a block in each stage of its pipeline, and of each the wire bytes, the decoded batch, what the
# transform made of it, and the encoded piece, which libpq keeps until its socket takes it; of the source's
# session, libpq's input buffer, which may be moved once.
BLOCK = 5 * BATCH
BOUND = JOBS * (THREADS * BLOCK + 2 * GROW_BYTES)


def resident(process: Process) -> int:
    """The bytes of memory that a process has now."""
    status = (Path("/proc") / str(process.pid) / "status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10


def test_a_target_that_stands_still(servers: Servers) -> None:
    assert BOUND < VALUE * ROWS / 8
    with Scene(*servers, WIDE) as scene:
        scene.hold(Moment(step=10))
        process = scene.start()
        assert scene.wait_for(process)  # each worker has moved a chunk by then
        # One that commits between the two looks is in both.
        pids = {*scene.backends("target", "workers"), *scene.backends("target", "lasting")}
        assert len(pids) == JOBS + 1
        before = resident(process)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        scene.let_go()
        try:
            passed, most = stand_still(scene, process)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert passed < VALUE * ROWS / 2, "the target did not stand still"
        assert most - before < BOUND, (most, before)
        code, said = process.ended()
        assert code == 0, said
        scene.check()


def stand_still(scene: Scene, process: Process) -> tuple[int, int]:
    """Wait until nothing has come from the source for a while; how much had, and the most memory until then."""
    passed, most, patience, quiet = -1, 0, Patience(), Patience(2.0)
    while not quiet.over():
        assert process.alive
        assert not patience.over(), "it goes on and on"
        most = max(most, resident(process))
        now = scene.proxies["source"].passed["down"]
        if now != passed:
            passed, quiet = now, Patience(2.0)
        time.sleep(0.02)
    return passed, most
