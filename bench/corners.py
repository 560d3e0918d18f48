"""Values in the corners of their types: of each kind a table, which a way that decodes moves whole, or does not."""

from __future__ import annotations

from bench.workloads import SCHEMA, Workload

# By what it is: the column's type, and each value in SQL.
VALUES = {
    "numeric: NaN": ("numeric", "'NaN'", "1"),
    "numeric(12,2): NaN": ("numeric(12,2)", "'NaN'", "1.50"),
    "numeric: 60 digits, scales of their own": ("numeric", "1.500", f"{'1234567890' * 6}.01", "0.00"),
    "float8: NaN, -0, infinities, the least": (
        "float8",
        "'NaN'",
        "'-0'",
        "'Infinity'",
        "'-Infinity'",
        "'5e-324'",
    ),
    "date: infinity": ("date", "'infinity'", "'-infinity'", "'2020-02-29'"),
    "date: BC and year 200000": ("date", "'4713-01-01 BC'", "'200000-12-31'"),
    "timestamp: infinity": ("timestamp", "'infinity'", "'-infinity'", "'2020-02-29 12:00:00.000001'"),
    "timestamptz: infinity": ("timestamptz", "'infinity'", "'-infinity'", "'2020-02-29 12:00:00+05'"),
    "time: 24:00": ("time", "'24:00'", "'23:59:59.999999'"),
    "timetz": ("timetz", "'12:00+05:30'", "'00:00-12'"),
    "interval: months, days, seconds": ("interval", "'1 mon 1 day 1 second'", "'-14 mon'", "'400 days'"),
    "text: quotes, tabs, lines, empty": (
        "text",
        r"E'a\tb\nc\\d'",
        "''",
        r"'\N'",
        "'größe 日本 😀'",
        r"E'\r'",
    ),
    "char(8): blanks at the end": ("char(8)", "'a'", "''"),
    "bytea: zeros": ("bytea", r"'\x00ff00'", r"'\x'"),
    "json: as it was written": ("json", '\'{"b": 1,  "a": 1.50, "a": 2}\'', "'[ ]'"),
    "jsonb: numbers of many digits": (
        "jsonb",
        "'[0.12345678901234567890, 12345678901234567890123]'",
        "'1.10'",
    ),
    "integer[]: NULLs within": ("integer[]", "ARRAY[1, NULL, 3]", "'{}'", "NULL"),
    "integer[]: two dimensions": ("integer[]", "ARRAY[[1, 2], [3, 4]]", "ARRAY[1]"),
    "integer[]: from 0 on": ("integer[]", "'[0:1]={1,2}'", "'{1}'"),
    "numeric(12,2)[]": ("numeric(12,2)[]", "ARRAY[1.50, NULL, 12345.67]"),
    "enum": (f"{SCHEMA}.mood", "'sad'", "NULL", "'delighted'"),
    "enum[]": (f"{SCHEMA}.mood[]", "'{sad,NULL,ok}'", "'{}'"),
    "uuid": ("uuid", "'00000000-0000-0000-0000-000000000001'", "NULL"),
    "inet": ("inet", "'10.0.0.1/8'", "'::1'", "'192.168.0.1'"),
    "bit(5), zeros first": ("bit(5)", "B'00101'", "NULL"),
    "money": ("money", "12.34", "-0.01"),
    "int4range: empty, unbounded": ("int4range", "'empty'", "'[1,)'", "'[1,5)'", "NULL"),
    "point": ("point", "'(1.5,-0)'", "'(NaN,Infinity)'"),
}


def _workload(number: int, what: str, type_: str, *values: str) -> Workload:
    rows = ", ".join(f"({at}, ({value})::{type_})" for at, value in enumerate(values, start=1))
    return Workload(
        f"corner {number}", what, f"corner_{number}", {"id": "int", "value": type_}, len(values), "values",
        values=f"VALUES {rows}",
    )  # fmt: skip


CORNERS = {
    one.name: one
    for one in (
        _workload(number, what, *given) for number, (what, given) in enumerate(VALUES.items(), start=1)
    )
}
