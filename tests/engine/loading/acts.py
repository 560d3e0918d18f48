"""A transform that does something, once, when it meets the row at which things go wrong.

Importable, so that a run with it can be resumed; the act is for a test to choose, or for the environment where
the run is another process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pyarrow as pa

FATAL = 58
KILL = "COPYPUMP_TEST_KILL"
NAME = f"{__name__}:transform"

pending: list[Callable[[], object]] = []

if os.environ.get(KILL):
    pending.append(lambda: os.kill(os.getpid(), signal.SIGKILL))


def transform(batch: pa.RecordBatch) -> pa.RecordBatch:
    if pending and FATAL in batch.column("id").to_pylist():
        pending.pop()()
    return batch
