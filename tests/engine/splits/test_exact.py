"""Whatever the table and the way to cut it: all chunks together are its rows, each once."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql as compose

from copypump.engine.options import Options
from copypump.engine.origin import begin_origin, plan_origin
from copypump.engine.splits import Chunk, Split, choose_split, chunk_copy
from copypump.errors import Side
from copypump.postgres.session import Session
from copypump.postgres.source import Source
from tests.engine.splits.tables import CASES, SMALL, Case
from tests.servers import Server, sql

HEADER = 19
SETTINGS = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY 1"


def rows(session: Session, copy: compose.Composable) -> Counter[bytes]:
    """The rows of a COPY as bytes, with how often each is there."""
    source = Source(session)
    source.start(copy)
    data = b"".join(bytes(part) for part in iter(lambda: source.read(1 << 20), None))
    found: Counter[bytes] = Counter()
    at = HEADER
    while (fields := struct.unpack_from("!h", data, at)[0]) >= 0:
        start, at = at, at + 2
        for _ in range(fields):
            (length,) = struct.unpack_from("!i", data, at)
            at += 4 + max(length, 0)
        found[data[start:at]] += 1
    assert at + 2 == len(data)
    return found


def ways(case: Case) -> Iterator[dict[str, Any]]:
    """The options of each split of a case."""
    for split in case.splits:
        yield {"split": split}
    for key in case.keys:
        yield {"split": "key", "split_by": key or None}
    for column in case.values:
        yield {"split": "values", "split_by": column}


def options_of(case: Case, way: dict[str, Any]) -> Options:
    return Options.of(**{"table": case.table or case.name, "chunk_bytes": SMALL} | case.options | way)


@pytest.fixture(scope="module", params=["pg15", "pg18"])
def made(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    """A database with every case's table."""
    server: Server = request.getfixturevalue(request.param)
    with server.fresh_database() as name:
        for case in CASES:
            if case.make and case.since <= server.version:
                sql(server.dsn(name), case.make)
        # Neither of these may reach a condition, nor change what it means.
        sql(server.dsn(name), f"ALTER DATABASE {name} SET DateStyle = 'German, DMY'")
        sql(server.dsn(name), f"ALTER DATABASE {name} SET extra_float_digits = -10")
        yield server, server.dsn(name)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_chunks_are_all_rows_once(made: tuple[Server, str], case: Case) -> None:
    server, dsn = made
    if server.version < case.since:
        return
    assert list(ways(case))
    with Session(dsn, Side.SOURCE) as session:
        for way in ways(case):
            options = options_of(case, way)
            session.begin_source()
            origin = plan_origin(session, options, None, None)
            session.rollback()
            begin_origin(session, origin, options, None, None)
            before = session.execute(SETTINGS)
            split = choose_split(session, origin, options, jobs=2, startable_over=True)
            assert session.execute(SETTINGS) == before
            everything = rows(session, origin.copy)
            chunks = [Chunk.of(json.loads(json.dumps(chunk.as_dict()))) for chunk in split.chunks]
            assert tuple(chunks) == split.chunks
            found: Counter[bytes] = Counter()
            for chunk in chunks:
                found += rows(session, chunk_copy(origin, options, chunk))
            assert found == everything, way
            check_form(split, everything, way)
            session.rollback()


def check_form(split: Split, everything: Counter[bytes], way: dict[str, Any]) -> None:
    """What holds for every split: numbers, order, labels, and that large tables are cut."""
    assert split.name == way["split"]
    assert sorted(chunk.number for chunk in split.chunks) == list(range(1, len(split.chunks) + 1))
    sizes = [chunk.bytes for chunk in split.chunks]
    assert sizes == sorted(sizes, reverse=True)
    assert len({chunk.label for chunk in split.chunks}) == len(split.chunks)
    if everything.total() > 2000:
        assert len(split.chunks) > 1
