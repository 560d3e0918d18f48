"""Which split is taken for what, what the plan says of it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import copypump
from copypump.engine.options import Options
from copypump.engine.planning.origin import plan_origin
from copypump.engine.splits import SPLITS, Split, choose_split, chunk_copy, ctid
from copypump.engine.splits import request as asking
from copypump.engine.splits.choose import WAYS
from copypump.engine.splits.ctid import ENDS
from copypump.engine.splits.values import MOST_VALUES
from copypump.errors import RefusedError, Side, UsageError
from copypump.postgres.session import Session
from tests.engine.splits.tables import SMALL
from tests.servers import Server, SystemServer, role, sql

FILL = "SELECT i, md5(i::text), repeat('x', 50) || i % 9 FROM generate_series(1, 3000) AS i"
MAKE = f"""
CREATE TABLE keyed (k int PRIMARY KEY, t text COLLATE "C", v text); INSERT INTO keyed {FILL};
CREATE TABLE keyless (k int, t text, v text); INSERT INTO keyless {FILL};
CREATE TABLE icu (k int, t text COLLATE "en-x-icu" UNIQUE, v text); INSERT INTO icu {FILL};
CREATE TABLE partial (k int, t text, v text); INSERT INTO partial {FILL};
CREATE UNIQUE INDEX ON partial (k) WHERE k > 0; CREATE UNIQUE INDEX ON partial (abs(k));
CREATE UNIQUE INDEX ON partial (k, t);
CREATE TABLE small (k int PRIMARY KEY);
CREATE TABLE shapes (p point, c circle, j jsonb, v text); INSERT INTO shapes SELECT NULL, NULL, '1', v FROM keyed;
CREATE UNLOGGED TABLE parted (k int, t text, v text) PARTITION BY RANGE (k);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (1) TO (1500);
CREATE TABLE parted_b PARTITION OF parted DEFAULT; INSERT INTO parted {FILL};
CREATE TABLE lopsided (k int PRIMARY KEY, t text, v text) PARTITION BY RANGE (k);
CREATE TABLE lopsided_a PARTITION OF lopsided FOR VALUES FROM (1) TO (10);
CREATE TABLE lopsided_b PARTITION OF lopsided DEFAULT; INSERT INTO lopsided {FILL};
CREATE TABLE hollow (k int) PARTITION BY RANGE (k);
CREATE VIEW seen AS TABLE keyed;
CREATE MATERIALIZED VIEW kept AS TABLE keyed;
CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;"""


@pytest.fixture(scope="module")
def sources(pg15: Server) -> Iterator[str]:
    with pg15.fresh_database() as name:
        dsn = pg15.dsn(name)
        sql(dsn, MAKE)
        sql(
            dsn,
            "CREATE FOREIGN TABLE outside (k int, t text, v text) SERVER files"
            " OPTIONS (program 'seq -f ''%g,t,v'' 1 100', format 'csv')",
        )
        yield dsn


def choose(
    dsn: str, *, jobs: int = 2, wanted: str | None = None, startable_over: bool = True, **given: Any
) -> Split:
    """The split for `jobs` workers, of whom the user wants as many, or `wanted`."""
    options = Options.of(**{"chunk_bytes": SMALL, "jobs": wanted or jobs} | given)
    with Session(dsn, Side.SOURCE) as session:
        session.begin_source()
        origin = plan_origin(session, options, None, None)
        return choose_split(session, origin, options, jobs=jobs, startable_over=startable_over)


def told(split: Split) -> list[str]:
    """All that the plan says of it."""
    return [*split.reasons, *(choice.why for choice in split.choices)]


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        ({"table": "keyed"}, "ctid", "it needs no index"),
        ({"table": "keyed", "jobs": 1}, "none", "one worker"),
        ({"table": "keyed", "split": "none"}, "none", "asked for"),
        ({"table": "keyed", "startable_over": False}, "key", "this load cannot start over"),
        ({"table": "keyed", "snapshot": False}, "key", "exact only under one snapshot"),
        ({"table": "keyed", "jobs": 1, "split": "key"}, "key", "asked for"),
        ({"table": "keyed", "split_by": "v"}, "key", "v has no unique index"),
        ({"table": "keyed", "split_by": "t"}, "key", "no index begins with t"),
        ({"table": "keyless", "startable_over": False}, "none", "no unique index on one column"),
        ({"table": "icu", "startable_over": False}, "none", "no unique key is a number"),
        ({"table": "partial", "startable_over": False}, "none", "no unique index on one column"),
        ({"table": "icu", "split_by": "v", "split": "values"}, "values", "found the 9 values"),
        ({"table": "small"}, "none", "not worth a second chunk"),
        ({"table": "keyed", "chunk_bytes": 1 << 30}, "none", "not worth a second chunk"),
        ({"table": "parted"}, "partitions", "read by its own name"),
        (
            {"table": "parted", "startable_over": False},
            "partitions",
            "2 large partitions are not cut by ctid",
        ),
        ({"table": "lopsided"}, "partitions", "read by its own name"),
        ({"table": "lopsided", "startable_over": False}, "key", "its ranges mean the same rows"),
        ({"table": "hollow"}, "none", "not worth a second chunk"),
        ({"table": "seen"}, "none", "a view is cut only where --split-by"),
        ({"table": "seen", "split_by": "k"}, "key", "the rows were made once"),
        ({"table": "kept"}, "ctid", "it needs no index"),
        ({"table": "outside"}, "none", "a foreign table is cut only where"),
        ({"table": "outside", "split_by": "k"}, "key", "the rows were made once"),
        ({"query": "TABLE keyed"}, "none", "a query is cut only where"),
        ({"query": "TABLE keyed", "split_by": "k"}, "key", "each of up to 4 chunks makes them again"),
    ],
)
def test_the_split_and_its_reason(sources: str, given: dict[str, Any], name: str, reason: str) -> None:
    split = choose(sources, **given)
    assert split.name == name
    assert any(reason in each for each in told(split)), told(split)
    assert (len(split.chunks) > 1) == (name != "none")
    cut_by_ctid = any("ctid" in (chunk.where or "") for chunk in split.chunks)
    assert split.stable != cut_by_ctid
    assert (ENDS in split.reasons) == cut_by_ctid
    assert SPLITS[name].stable or not split.stable
    assert {choice.name for choice in split.choices} == SPLITS.keys()
    assert [choice.name for choice in split.choices if choice.chosen] == [name]


@pytest.mark.parametrize(
    ("given", "whys"),
    [
        (
            {"table": "keyed"},
            {
                "ctid": "it needs no index, reads each block once, and the load can start over",
                "partitions": "does not fit: public.keyed has no partitions",
                "key": "not needed, as ctid fits",
                "values": "only where it is asked for: --split-by COLUMN --split values",
                "none": "not needed: of 2 workers one alone would do all of it",
            },
        ),
        (
            {"table": "keyed", "startable_over": False},
            {
                "key": "its ranges mean the same rows under a later snapshot",
                "ctid": "does not fit: such chunks cannot be read again once their snapshot is gone,"
                " and this load cannot start over",
            },
        ),
        (
            {"table": "parted"},
            {
                "ctid": "does not fit: the rows of public.parted lie in its partitions,"
                " each with ctids of its own",
                "key": "not needed, as partitions fits",
            },
        ),
        ({"table": "lopsided", "startable_over": False}, {"partitions": "not needed, as key fits"}),
        (
            {"table": "keyless", "startable_over": False},
            {
                "none": "no way to cut it fits",
                "key": "does not fit: public.keyless has no unique index on one column alone",
            },
        ),
        (
            {"table": "keyed", "where": "k < 3"},
            {"none": "there is no more than one chunk in it", "ctid": "would make no second chunk"},
        ),
        ({"table": "keyed", "jobs": 1}, {"none": "one worker reads all of it"}),
        (
            {"table": "keyed", "jobs": 1},
            dict.fromkeys(["ctid", "values"], "not looked at, as nothing is cut"),
        ),
        ({"table": "keyed", "split_by": "k"}, {"key": "asked for", "ctid": "not asked for"}),
    ],
)
def test_why_it_is_each_way_or_is_not(sources: str, given: dict[str, Any], whys: dict[str, str]) -> None:
    split = choose(sources, **given)
    assert whys.items() <= {choice.name: choice.why for choice in split.choices}.items(), split.choices


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"query": "TABLE keyed"}, "a query is cut only where --split-by"),
        ({"table": "seen"}, "a view is cut only where --split-by"),
        ({"table": "keyless", "startable_over": False}, "no way to cut it fits"),
        ({"table": "keyless", "startable_over": False, "wanted": "auto"}, None),
        ({"table": "keyless", "startable_over": False, "jobs": 1}, None),
        ({"table": "small"}, None),
        ({"table": "keyed"}, None),
    ],
)
def test_who_wants_more_workers_is_told_that_one_does_it(
    sources: str, given: dict[str, Any], why: str | None
) -> None:
    warnings = choose(sources, **given).warnings
    assert len(warnings) == (why is not None)
    assert all(f"one worker does all of it, not 2: {why}" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"table": "keyed", "split": "ctid", "startable_over": False}, "this load cannot start over"),
        ({"table": "keyed", "split": "ctid", "snapshot": False}, "exact only under one snapshot"),
        ({"table": "seen", "split": "ctid"}, "not stored in blocks"),
        ({"table": "outside", "split": "ctid"}, "not stored in blocks"),
        ({"table": "parted", "split": "ctid"}, "in its partitions"),
        ({"query": "TABLE keyed", "split": "ctid"}, "a query's rows have no ctid"),
        ({"table": "keyed", "split": "partitions"}, "has no partitions"),
        ({"table": "hollow", "split": "partitions"}, "has no partitions"),
        ({"table": "keyless", "split": "key"}, "no unique index"),
        ({"table": "seen", "split": "key"}, "no unique index"),
        ({"query": "TABLE keyed", "split": "key"}, "a query has no keys"),
        ({"table": "icu", "split_by": "t"}, 'column "t".* its collation is not C'),
        ({"table": "keyed", "split_by": "K"}, "there is no such column"),
        ({"query": "TABLE keyed", "split_by": "nil"}, "there is no such column"),
        ({"table": "shapes", "split_by": "p"}, "values of point"),
        ({"table": "shapes", "split_by": "j", "split": "values"}, "values of jsonb"),
    ],
)
def test_a_split_that_cannot_be_had_is_refused(sources: str, given: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        choose(sources, **given)


def test_too_many_values_are_refused(sources: str) -> None:
    query = f"SELECT i AS k FROM generate_series(0, {MOST_VALUES}) AS i"
    with pytest.raises(RefusedError, match="more than 10,000 values"):
        choose(sources, query=query, split="values", split_by="k")


@pytest.mark.parametrize("given", [{"split": "values"}, {"split": "ctid", "split_by": "k"}])
def test_options_that_do_not_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="split_by"):
        Options.of(table="keyed", **given)


def test_every_way_of_the_table_of_splits_is_there() -> None:
    assert WAYS.keys() == SPLITS.keys()
    assert all(way.name == name and way.help for name, way in SPLITS.items())


def test_a_role_that_may_not_read_partitions_by_themselves(pg15: Server) -> None:
    with pg15.fresh_database() as name:
        sql(pg15.dsn(name), MAKE.partition("CREATE EXTENSION")[0])
        role(
            pg15,
            name,
            "split_reader",
            "GRANT SELECT ON parted TO split_reader; GRANT SELECT (k, v) ON keyed TO split_reader",
        )
        try:
            dsn = pg15.dsn(name, user="split_reader")
            split = choose(dsn, table="parted")
            assert split.name == "none"
            assert any("not its partition public.parted_a by itself" in reason for reason in told(split))
            split = choose(dsn, table="keyed", columns=["k", "v"])
            assert split.name == "key"
            assert any("SELECT on the table" in reason for reason in told(split))
        finally:
            sql(pg15.dsn(name), "DROP OWNED BY split_reader; DROP ROLE split_reader")


def test_an_estimate_that_takes_too_long_is_done_without(
    sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.05)
    split = choose(sources, table="keyed", split="ctid", where="pg_sleep(0.01) IS NOT NULL")
    assert any("its chunks have equally many" in reason for reason in told(split))
    assert len(split.chunks) > 1
    assert max(chunk.bytes for chunk in split.chunks) < 2 * min(chunk.bytes for chunk in split.chunks)


def test_a_server_without_scans_of_ranges_of_ctid(sources: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctid, "TID_RANGE_SCANS", 10**6)
    split = choose(sources, table="keyed")
    assert split.name == "key"
    assert any("does not fit: reading ranges of ctid needs PostgreSQL 14" in each for each in told(split))
    with pytest.raises(RefusedError, match="needs PostgreSQL 14 or later on the source"):
        choose(sources, table="keyed", split="ctid")


@pytest.mark.parametrize("server", ["pg15", "pg18"])
def test_a_chunk_by_ctid_reads_its_own_blocks(request: pytest.FixtureRequest, server: str) -> None:
    running: Server = request.getfixturevalue(server)
    options = Options.of(table="t", chunk_bytes=SMALL, jobs=2)
    with running.fresh_database() as name, Session(running.dsn(name), Side.SOURCE) as session:
        sql(running.dsn(name), f"CREATE TABLE t (k int, t text, v text); INSERT INTO t {FILL}")
        session.begin_source()
        origin = plan_origin(session, options, None, None)
        split = choose_split(session, origin, options, jobs=2, startable_over=True)
        for chunk in split.chunks:
            select = chunk_copy(origin, options, chunk).as_string()
            select = select.removeprefix("COPY (").removesuffix(") TO STDOUT (FORMAT BINARY)")
            assert "Tid Range Scan" in session.execute(f"EXPLAIN {select}")[0][0]


def test_a_standby_is_read_by_one_unless_asked(pg15: Server) -> None:
    server = SystemServer()
    try:
        sql(server.dsn(), f"CREATE TABLE t (k int PRIMARY KEY, t text, v text); INSERT INTO t {FILL}")
        server.execute("CHECKPOINT")
        server.halt()
        server.stand_by()
        server.start_again()
        split = choose(server.dsn(), table="t", wanted="auto")
        assert split.name == "none"
        assert any("unless --jobs says more" in reason for reason in told(split))
        with pg15.fresh_database() as name:
            report = copypump.pump(
                server.dsn(), pg15.dsn(name), table="t", create=True, jobs=2, chunk_bytes=SMALL
            )
        assert (report.split, report.rows_written) == ("ctid", 3000)
        assert any("what it replays may cancel long reads" in warning for warning in report.warnings)
    finally:
        server.stop()
