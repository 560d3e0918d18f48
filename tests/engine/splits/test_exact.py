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
from copypump.engine.planning.origin import begin_origin, plan_origin
from copypump.engine.splits import Chunk, Split, choose_split, chunk_copy
from copypump.errors import RefusedError, Side
from copypump.postgres.session import Session
from copypump.postgres.source import Source
from tests.engine.splits.tables import CASES, ROWS, SMALL, Case
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
    for way in ways(case):
        split, everything = check_rows(dsn, options_of(case, way))
        check_form(split, everything, way)


def check_rows(dsn: str, options: Options) -> tuple[Split, Counter[bytes]]:
    """Hold all chunks, after a way through JSON, against the whole; return the split and all rows."""
    with Session(dsn, Side.SOURCE) as session:
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
        assert found == everything, options
    return split, everything


def check_form(split: Split, everything: Counter[bytes], way: dict[str, Any]) -> None:
    """What holds for every split: numbers, order, labels, and that large tables are cut."""
    assert split.name == way["split"]
    assert sorted(chunk.number for chunk in split.chunks) == list(range(1, len(split.chunks) + 1))
    sizes = [chunk.bytes for chunk in split.chunks]
    assert sizes == sorted(sizes, reverse=True)
    assert len({chunk.label for chunk in split.chunks}) == len(split.chunks)
    if everything.total() > 2000:
        assert len(split.chunks) > 1


HOSTILE = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.wrong(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION evil.wrong_tid(tid, tid) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION evil.sum(int) RETURNS int LANGUAGE sql AS 'SELECT 1/0';
CREATE FUNCTION evil.pg_column_size("any") RETURNS int LANGUAGE internal AS 'pg_column_size';
CREATE DOMAIN evil.int4 AS text; CREATE DOMAIN evil.tid AS text; CREATE DOMAIN evil.text AS int;
CREATE TABLE public.t (k int UNIQUE, v text); INSERT INTO public.t SELECT i, i % 5 FROM generate_series(1, 3000) AS i"""


def test_the_search_path_puts_nothing_in_its_place(pg15: Server) -> None:
    with pg15.fresh_database() as name:
        dsn = pg15.dsn(name)
        sql(dsn, HOSTILE)
        for operator in ("<", ">=", "=", "<>", "+", "*"):
            sql(
                dsn, f"CREATE OPERATOR evil.{operator} (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.wrong)"
            )
            sql(
                dsn,
                f"CREATE OPERATOR evil.{operator} (LEFTARG = tid, RIGHTARG = tid, FUNCTION = evil.wrong_tid)",
            )
        sql(dsn, f"ALTER DATABASE {name} SET search_path = evil, pg_catalog, public")
        assert sql(dsn, "SELECT 1 >= 2") == [(True,)]
        for way in ({"split": "ctid"}, {"split": "key"}, {"split": "values", "split_by": "v"}):
            split, _ = check_rows(dsn, Options.of(table="public.t", chunk_bytes=SMALL // 4, **way))
            assert len(split.chunks) > 2


@pytest.mark.parametrize(
    ("encoding", "refused"), [("LATIN1", None), ("SQL_ASCII", "does not say which encoding its text has")]
)
def test_texts_in_other_encodings(pg15: Server, encoding: str, refused: str | None) -> None:
    with pg15.fresh_database(f"ENCODING {encoding} LOCALE 'C'") as name:
        dsn = pg15.dsn(name)
        fill = "SELECT i, chr(i % 200 + 33) || E'\\\\' || i FROM generate_series(1, 3000) AS i"
        sql(dsn, f"CREATE TABLE t (k int, v text UNIQUE); INSERT INTO t {fill}")
        sql(dsn, "CREATE VIEW w AS SELECT k, left(v, 1) AS v FROM t")
        for given in ({"table": "t", "split": "key"}, {"table": "w", "split": "values", "split_by": "v"}):
            options = Options.of(chunk_bytes=SMALL, **given)
            if refused is None:
                split, _ = check_rows(dsn, options)
                assert any("\xe4" in (chunk.where or "") for chunk in split.chunks) or given["table"] == "t"
            else:
                with pytest.raises(RefusedError, match=refused if given["table"] == "w" else "no unique key"):
                    check_rows(dsn, options)


def test_a_partition_elsewhere_is_read_as_it_is(pg15: Server) -> None:
    with pg15.fresh_database() as name:
        dsn = pg15.dsn(name)
        sql(
            dsn,
            "CREATE TABLE t (k int, v text) PARTITION BY RANGE (k); CREATE TABLE t_near PARTITION OF t DEFAULT;"
            f"INSERT INTO t {ROWS.format('i')}; CREATE EXTENSION file_fdw;"
            "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;"
            "CREATE FOREIGN TABLE t_far PARTITION OF t FOR VALUES FROM (10000) TO (20000) SERVER files"
            " OPTIONS (program 'seq -f ''%g,far'' 10000 10100', format 'csv')",
        )
        for way in ({"split": "partitions"}, {"split": "key", "split_by": "k"}):
            split, everything = check_rows(dsn, Options.of(table="t", chunk_bytes=SMALL, **way))
            assert everything.total() == 3101
            assert len(split.chunks) > 2
