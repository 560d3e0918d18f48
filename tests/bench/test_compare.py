"""The comparison sees every difference, and names where it is."""

from __future__ import annotations

import pytest

from bench.compare import connect, difference

ROWS = "SELECT i AS id, 'a' || i AS name, i * 1.50 AS price, i / 2::float8 AS half FROM generate_series(1, 100) AS i"

SAME = [ROWS, f"{ROWS} ORDER BY i DESC"]

OTHER = {
    f"{ROWS} LIMIT 99": "99 rows arrived instead of 100",
    ROWS.replace("'a' || i", "CASE i WHEN 7 THEN NULL ELSE 'a' || i END"): "other values in name",
    ROWS.replace("'a' || i", "'a' || i || CASE i WHEN 7 THEN ' ' ELSE '' END"): "other values in name",
    ROWS.replace("1.50", "1.5"): "other values in price",
    ROWS.replace(
        "i / 2::float8", "i / 2::float8 + CASE i WHEN 3 THEN 1e-15 ELSE 0 END"
    ): "other values in half",
    ROWS.replace("SELECT i AS id", "SELECT 101 - i AS id"): "values of different rows stand side by side",
    ROWS.replace("AS half", "AS other"): "other columns arrived",
}


@pytest.mark.parametrize("query", SAME)
def test_rows_in_any_order_are_the_same(database: str, query: str) -> None:
    with connect(database) as one, connect(database) as other:
        assert difference(one, ROWS, other, query) is None


@pytest.mark.parametrize("query", OTHER)
def test_what_differs_is_named(database: str, query: str) -> None:
    with connect(database) as one, connect(database) as other:
        assert difference(one, ROWS, other, query) == OTHER[query]


def test_null_is_not_an_empty_text(database: str) -> None:
    with connect(database) as one, connect(database) as other:
        assert difference(one, "SELECT NULL::text AS a", other, "SELECT ''::text AS a") == "other values in a"
