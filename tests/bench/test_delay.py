"""The slow wire loses nothing, and ends when either side does."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.delay import delayed
from tests.conftest import Pair
from tests.servers import sql


def test_rows_pass_whole_both_ways(pair: Pair) -> None:
    for dsn in pair:
        parts = conninfo_to_dict(dsn)
        with delayed(str(parts["host"]), int(str(parts["port"])), 0.001) as port:
            through = make_conninfo(dsn, host="127.0.0.1", port=port)
            [(size,)] = sql(through, "SELECT length(%s)", ["x" * 9_000_000])
            assert size == 9_000_000
            [(text,)] = sql(through, "SELECT repeat('abc', 3000000)")
            assert text == "abc" * 3_000_000
