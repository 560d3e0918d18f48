"""Sizes, partitions and keys, as a real server tells them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from copypump.errors import Side
from copypump.postgres.catalog import find_table
from copypump.postgres.session import Session
from copypump.postgres.sizes import Key, in_byte_order, is_standby, keys_of, leaves_of, storage_of
from tests.servers import Server, role, sql

MAKE = """
CREATE TABLE plain (a int PRIMARY KEY, v text);
ALTER TABLE plain ALTER v SET STORAGE EXTERNAL;
INSERT INTO plain SELECT i, repeat('x', 9000) FROM generate_series(1, 50) AS i;
CREATE TABLE narrow (a int); INSERT INTO narrow SELECT generate_series(1, 1000);
CREATE VIEW seen AS TABLE plain;
CREATE TABLE parted (k int, "S p" text) PARTITION BY RANGE (k);
CREATE TABLE "p 1" PARTITION OF parted FOR VALUES FROM (1) TO (10);
CREATE TABLE p2 PARTITION OF parted FOR VALUES FROM (10) TO (20) PARTITION BY LIST (k);
CREATE TABLE p2_empty PARTITION OF parted FOR VALUES FROM (20) TO (30) PARTITION BY LIST (k);
CREATE TABLE p21 PARTITION OF p2 DEFAULT;
ALTER TABLE p21 ENABLE ROW LEVEL SECURITY;
INSERT INTO parted SELECT i, 'x' FROM generate_series(1, 19) AS i;
CREATE TABLE keyed (a int, b text UNIQUE, c int NOT NULL, d int, e text, f text, g int, PRIMARY KEY (c), UNIQUE (d, a));
CREATE INDEX ON keyed (a DESC); CREATE UNIQUE INDEX ON keyed (g) WHERE g > 0; CREATE INDEX ON keyed (abs(g));
CREATE INDEX ON keyed (e COLLATE "POSIX"); CREATE INDEX ON keyed USING hash (f); CREATE INDEX ON keyed (f text_pattern_ops);
CREATE TABLE collated (a text, b text COLLATE "C", c text COLLATE "POSIX", d text COLLATE "en-x-icu", e int,
                       f text COLLATE "ucs_basic")"""


@pytest.fixture(scope="module")
def made(pg15: Server) -> Iterator[str]:
    with pg15.fresh_database() as name:
        sql(pg15.dsn(name), MAKE)
        yield name


@pytest.fixture
def session(pg15: Server, made: str) -> Iterator[Session]:
    with Session(pg15.dsn(made), Side.SOURCE) as session:
        session.begin_source()
        yield session


def oid(session: Session, name: str) -> int:
    table = find_table(session, name)
    assert table is not None
    return table.oid


def test_storage_counts_toast(session: Session) -> None:
    [(heap,)] = session.execute("SELECT pg_relation_size(oid) FROM pg_class WHERE relname = 'plain'")
    plain = storage_of(session, oid(session, "plain"))
    assert (plain.heap, plain.blocks, plain.block) == (heap, heap // 8192, 8192)
    assert 50 * 9000 < plain.toast < 50 * 13_000
    assert plain.bytes == plain.heap + plain.toast
    assert (plain.has_blocks, plain.can_select, plain.row_security, plain.kind) == (True, True, False, "r")
    narrow = storage_of(session, oid(session, "narrow"))
    assert (narrow.toast, narrow.blocks) == (0, 5)


def test_what_is_not_stored_has_no_size(session: Session) -> None:
    for name in ("seen", "parted"):
        storage = storage_of(session, oid(session, name))
        assert (storage.bytes, storage.has_blocks) == (0, False)


def test_leaves_are_at_any_depth(session: Session) -> None:
    leaves = leaves_of(session, oid(session, "parted"))
    assert [str(leaf) for leaf in leaves] == ['public."p 1"', "public.p21"]
    assert [leaf.qualified.as_string() for leaf in leaves] == ['"public"."p 1"', '"public"."p21"']
    assert all(leaf.heap == 8192 and leaf.has_blocks for leaf in leaves)


def test_leaves_say_what_the_role_may(pg15: Server, made: str) -> None:
    role(pg15, made, "leaf_reader", "GRANT SELECT ON parted, p21 TO leaf_reader")
    try:
        with Session(pg15.dsn(made, user="leaf_reader"), Side.SOURCE) as session:
            session.begin_source()
            leaves = leaves_of(session, oid(session, "parted"))
            assert [(leaf.can_select, leaf.row_security) for leaf in leaves] == [(False, False), (True, True)]
    finally:
        sql(pg15.dsn(made), "DROP OWNED BY leaf_reader; DROP ROLE leaf_reader")


def test_keys_are_whole_indexes_in_the_columns_own_order(session: Session) -> None:
    assert keys_of(session, oid(session, "keyed")) == (
        Key("c", unique=True),
        Key("b", unique=True),
        Key("d", unique=False),
        Key("a", unique=False),
    )
    assert keys_of(session, oid(session, "narrow")) == ()


def test_byte_order_is_that_of_c(session: Session) -> None:
    found = {name: in_byte_order(session, oid(session, "collated"), name) for name in "abcdef"}
    assert found == {"a": True, "b": True, "c": True, "d": False, "e": True, "f": True}


def test_byte_order_by_the_databases_own_collation(pg18: Server) -> None:
    for locale, ordered in [
        ("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'", True),
        ("LOCALE_PROVIDER libc LOCALE 'C'", True),
        ("LOCALE_PROVIDER libc LOCALE 'C.UTF-8'", False),
    ]:
        with pg18.fresh_database(locale) as name, Session(pg18.dsn(name), Side.SOURCE) as session:
            sql(pg18.dsn(name), "CREATE TABLE t (a text, b text COLLATE pg_unicode_fast)")
            session.begin_source()
            table = oid(session, "t")
            assert in_byte_order(session, table, "a") is ordered
            assert in_byte_order(session, table, "b")


def test_a_primary_is_no_standby(session: Session) -> None:
    assert is_standby(session) is False
