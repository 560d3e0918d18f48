"""The transform of the fault suite: slow enough that every step of a run can be met."""

import time

import pyarrow as pa
import pyarrow.compute as pc

from copypump.engine.chunks import jobs

# Shorter than a user's: six of them still outlast the restart of a server.
jobs._FIRST_PAUSE = 0.2


def older(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_rows:
        time.sleep(0.01)
    return batch.set_column(batch.schema.get_field_index("age"), "age", pc.add(batch.column("age"), 1))
