"""The source's transaction: what may be read in it."""

from __future__ import annotations

from typing import Any

import pytest

import copypump
from copypump.engine.options import Options
from copypump.engine.planning.origin import FORBIDDEN, begin_origin, plan_origin
from copypump.errors import Side
from copypump.postgres.session import Session
from tests.servers import sql

MAKE = """
CREATE TABLE plain (a int); INSERT INTO plain VALUES (1);
CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a + 1) STORED); INSERT INTO made VALUES (1);
CREATE VIEW seen AS TABLE plain;
CREATE MATERIALIZED VIEW kept AS TABLE seen;
CREATE TABLE parts (a int) PARTITION BY LIST (a); CREATE TABLE part PARTITION OF parts DEFAULT;
INSERT INTO parts VALUES (1)"""


@pytest.mark.parametrize(
    ("options", "forbidden"),
    [
        ({"table": "plain"}, FORBIDDEN["r"]),
        ({"table": "made"}, FORBIDDEN["r"]),
        ({"table": "kept"}, FORBIDDEN["m"]),
        ({"table": "parts"}, FORBIDDEN["p"]),
        ({"table": "plain", "where": "a IN (TABLE seen)"}, ""),
        ({"table": "seen"}, ""),
        ({"query": "TABLE seen"}, ""),
    ],
)
def test_views_are_forbidden_where_none_can_be_meant(pg18: Any, options: Any, forbidden: str) -> None:
    with pg18.fresh_database() as name:
        dsn = pg18.dsn(name)
        sql(dsn, MAKE)
        with Session(dsn, Side.SOURCE) as session:
            wanted = Options.of(**options)
            session.begin_source()
            origin = plan_origin(session, wanted, None, None)
            session.rollback()
            begin_origin(session, origin, wanted, None, None)
            assert session.execute("SHOW restrict_nonsystem_relation_kind") == [(forbidden,)]
        with copypump.read(dsn, **options) as batches:
            assert batches.read_all()["a"].to_pylist() == [1]
