"""asyncpg: a cursor's records, transformed as tuples, into copy_records_to_table (binary COPY)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from bench.peers.job import Job, told
from bench.peers.rows import TRANSFORMS


async def read(source: Any, job: Job) -> AsyncIterator[tuple[Any, ...]]:
    """The transformed rows."""
    transform = TRANSFORMS[job.workload.function]
    async with source.transaction():
        async for record in source.cursor(job.query, prefetch=10_000):
            yield transform(tuple(record))


async def copy(job: Job) -> None:
    """Read, transform and write."""
    source, target = await asyncpg.connect(job.src), await asyncpg.connect(job.dst)
    schema, name = job.target
    async with target.transaction():
        await target.copy_records_to_table(name, schema_name=schema, records=read(source, job))
    await source.close()
    await target.close()


if __name__ == "__main__":
    asyncio.run(copy(told()))
