"""The transforms of `copypump demo`: ordinary ones, to copy and change."""

from __future__ import annotations

from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

import copypump

# The most minutes of delay that still count as on time, a little late, late.
MINUTES = [pa.scalar(most, pa.int32()) for most in (0, 14, 59)]


@copypump.reads("age", "salary", rows="same")
def people(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Let a year pass: everyone is older, and the salary is what is left of it after tax."""
    older = pc.add(batch["age"], pa.scalar(1, pa.int32()))
    after_tax = pc.multiply(batch["salary"], 0.8)
    return pa.record_batch({"age": older, "salary_after_tax": after_tax})


@copypump.reads("carrier", "dep_delay", "distance", rows="same")
def flights(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Put the airline's name beside its code, the delay in words, the distance in kilometres.

    It reads 3 of the 19 columns, so that the other 16 are never decoded; and it keeps all rows in their
    order, so that it need not hand on the column that says which row is which.
    """
    known = airlines()
    airline = known["name"].take(pc.index_in(batch["carrier"], value_set=known["carrier"]))
    delay = batch["dep_delay"]
    words = pc.case_when(
        pc.make_struct(pc.is_null(delay), *(pc.less_equal(delay, most) for most in MINUTES)),
        "cancelled",
        "on time",
        "a little late",
        "late",
        "very late",
    )
    metres = pc.multiply(batch["distance"].cast(pa.int64()), 1_609_344)
    kilometres = pc.divide(pc.add(metres, 500_000), 1_000_000).cast(pa.int32())
    return pa.record_batch({"carrier": batch["carrier"], "airline": airline, "dep_delay": delay,
                            "punctuality": words, "distance_km": kilometres})  # fmt: skip


def departed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Keep only the flights that left."""
    return batch.filter(pc.is_valid(batch["dep_delay"]))


def metric(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Give the wind in km/h, and whether it blew hard; all the other columns stay as they are."""
    speed = pc.multiply(batch["wind_speed"], 1.609344)
    batch = batch.set_column(batch.schema.get_field_index("wind_speed"), "wind_kmh", speed)
    return batch.append_column("windy", pc.greater(speed, pa.scalar(40.0)))


@cache
def airlines() -> pa.RecordBatch:
    """Give codes and names of the airlines: a small table to look things up in, read once."""
    from copypump.cli.demo_data import read

    return read("airlines").combine_chunks().to_batches()[0]
