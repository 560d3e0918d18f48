"""Tables that are hard to cut, and the ways to cut each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

SMALL = 64 << 10  # bytes of a chunk, so that small tables have several


class Case(NamedTuple):
    """`table` is as the user writes it; `keys` and `values` are columns to cut by, "" for the one we choose."""

    name: str
    make: str
    keys: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("ctid",)
    table: str = ""
    options: Mapping[str, Any] = MappingProxyType({})
    since: int = 0


# 3,000 rows of about 100 bytes; `{}` is the key.
ROWS = "SELECT {}, md5(i::text) || md5(i::text) FROM generate_series(1, 3000) AS i"

CASES = [
    Case("empty", 'CREATE TABLE empty (k int UNIQUE, v text COLLATE "C")', ("", "v"), ("k",)),
    Case("one", "CREATE TABLE one (k int, v text); INSERT INTO one VALUES (NULL, 'x')", ("k",), ("v", "k")),
    Case(
        "nulls",
        f"CREATE TABLE nulls (k int UNIQUE, v text); INSERT INTO nulls {ROWS.format('nullif(i % 5, 0) * 0 + i')}",
        ("", "k"),
    ),
    Case(
        "dupes",
        f"CREATE TABLE dupes (k smallint, v text); INSERT INTO dupes {ROWS.format('nullif(i % 4, 3)')}",
        ("k",),
        ("k",),
    ),
    Case(
        "ints",
        f'CREATE TABLE ints (k bigint PRIMARY KEY, v text COLLATE "C");'
        f" INSERT INTO ints {ROWS.format('i::int8 * i * 7919')};"
        " INSERT INTO ints VALUES (9223372036854775807, 'most'), (-9223372036854775808, 'least')",
        ("", "v"),
    ),
    Case(
        "days",
        "CREATE TABLE days (k date UNIQUE, l date, v text); INSERT INTO days SELECT '2020-12-31'::date + i * 5,"
        " '2020-12-31'::date + i % 5, md5(i::text) || md5(i::text) FROM generate_series(1, 3000) AS i;"
        " INSERT INTO days SELECT k, k FROM unnest('{infinity, -infinity, 0044-03-15 BC, 12345-06-07, NULL, NULL}'"
        "::date[]) AS k",
        ("", "l"),
        ("l",),
    ),
    Case(
        "moments",
        "CREATE TABLE moments (k timestamptz UNIQUE, l timestamp, m time, v text); INSERT INTO moments"
        " SELECT 'epoch'::timestamptz + i * i * interval '0.123457 s', 'epoch'::timestamp + i % 3 * interval '1 h',"
        " '00:00'::time + i % 9 * interval '1 s', md5(i::text) FROM generate_series(-1500, 1500) AS i"
        " ON CONFLICT DO NOTHING;"
        "INSERT INTO moments VALUES ('infinity', 'infinity', '24:00'), ('-infinity', '-infinity', NULL), ('1800-01-01', NULL, NULL),"
        " ('0044-03-15 12:00 BC', '0044-03-15 12:00 BC', NULL), ('12345-06-07', '12345-06-07', NULL)",
        ("", "l", "m"),
        ("l", "m"),
    ),
    Case(
        "numbers",
        f"CREATE TABLE numbers (k numeric UNIQUE, v text); INSERT INTO numbers {ROWS.format('i * 1.10')};"
        " INSERT INTO numbers VALUES ('NaN'), ('Infinity'), ('-Infinity'), (NULL), (1e100), (-1e-100), (0.000)",
        ("",),
    ),
    Case(
        "floats",
        "CREATE TABLE floats (k float8, l float4, v text); INSERT INTO floats SELECT"
        " i / 7.0, (i % 9) / 7.0, md5(i::text) FROM generate_series(1, 3000) AS i;"
        " INSERT INTO floats VALUES ('NaN', 'NaN'), ('NaN', 'NaN'), ('inf', '-inf'), (0, 0), ('-0', '-0')",
        ("k", "l"),
        ("l",),
    ),
    Case(
        "uuids",
        f"CREATE TABLE uuids (k uuid UNIQUE, v text); INSERT INTO uuids {ROWS.format('md5(i::text)::uuid')};"
        " INSERT INTO uuids VALUES ('ffffffff-ffff-ffff-ffff-ffffffffffff'), (NULL)",
        ("",),
    ),
    Case(
        "texts",
        'CREATE TABLE texts (k text COLLATE "C" UNIQUE, l varchar(9) COLLATE "C", m char(5) COLLATE "C", v text COLLATE "C");'
        r" INSERT INTO texts SELECT chr(i) || '''\"' || i, i % 9 || E'\\', i % 7, md5(i::text)"
        " FROM generate_series(33, 3000) AS i; INSERT INTO texts VALUES ('', '', ''), (' ', ' ', ' '), (NULL, NULL, NULL),"
        " (repeat('long', 200), '\x01', NULL), (chr(1114111), 'é', NULL)",
        ("", "l", "m", "v"),
        ("l", "m"),
    ),
    Case(
        "others",
        "CREATE TYPE mood AS ENUM ('sad', 'it''s', 'ok'); CREATE DOMAIN small AS int CHECK (VALUE < 9);"
        'CREATE TABLE others (a bool, b "char", c name, d oid, e inet, f macaddr, g mood, h small, v text);'
        "INSERT INTO others SELECT i % 2 = 0, chr(65 + i % 9)::\"char\", 'n' || i % 9, i % 9,"
        " ('10.0.0.' || i % 9 || '/24')::inet, ('08:00:2b:01:02:0' || i % 9)::macaddr,"
        " (enum_range(NULL::mood))[i % 4], i % 9, md5(i::text) FROM generate_series(1, 900) AS i",
        tuple("abcdefgh"),
        tuple("abcdefgh"),
    ),
    # NOT NULL of a domain is not asked of the result of a subquery (documentation of CREATE DOMAIN).
    Case(
        "unchecked",
        f"CREATE DOMAIN sure AS int NOT NULL; CREATE TABLE unchecked (k sure, v text); INSERT INTO unchecked"
        f" {ROWS.format('i')}; INSERT INTO unchecked VALUES ((SELECT k FROM unchecked WHERE false), 'x')",
        ("k",),
    ),
    Case(
        "invalid",
        f"CREATE TABLE invalid (k int, v text); INSERT INTO invalid {ROWS.format('nullif(i, 7)')};"
        " ALTER TABLE invalid ADD CONSTRAINT n NOT NULL k NOT VALID",
        ("k",),
        since=18,
    ),
    Case(
        "quoted",
        'CREATE SCHEMA "Sch ""e.ma"; CREATE TABLE "Sch ""e.ma"."Tä.b""le" ("sel ect" int, "Ü""x" text COLLATE "C");'
        f'INSERT INTO "Sch ""e.ma"."Tä.b""le" {ROWS.format("i % 10")}',
        ("sel ect", 'Ü"x'),
        ("sel ect",),
        table='"Sch ""e.ma"."Tä.b""le"',
    ),
    Case(
        "holes",
        "CREATE TABLE holes (gone int, k int UNIQUE, v text, twice int GENERATED ALWAYS AS (k * 2) STORED);"
        f"INSERT INTO holes (k, v) {ROWS.format('i')}; ALTER TABLE holes DROP COLUMN gone;"
        "DELETE FROM holes WHERE k BETWEEN 500 AND 2900; UPDATE holes SET v = v || 'x' WHERE k % 3 = 0",
        ("",),
    ),
    Case(
        "heavy",
        "CREATE TABLE heavy (k int PRIMARY KEY, v text); ALTER TABLE heavy ALTER v SET STORAGE EXTERNAL;"
        "INSERT INTO heavy SELECT i, repeat('x', CASE WHEN i BETWEEN 100 AND 120 THEN 50000 ELSE 9 END)"
        " FROM generate_series(1, 2000) AS i",
        ("",),
    ),
    Case(
        "chosen",
        f"CREATE TABLE chosen (k int UNIQUE, w int, v text); INSERT INTO chosen {ROWS.format('i, i % 5')}",
        ("",),
        ("w",),
        # A condition that only the outermost parentheses hold together, with a comment at its end.
        options={"where": "k % 3 = 0) OR (v < '4' -- and so on", "columns": ["v"], "types": {"v": "text"}},
    ),
    Case(
        "parted",
        'CREATE TABLE parted (k int, v text COLLATE "C", UNIQUE (k)) PARTITION BY RANGE (k);'
        'CREATE TABLE parted_a (v text COLLATE "C", gone int, k int NOT NULL); ALTER TABLE parted_a DROP gone;'
        "ALTER TABLE parted ATTACH PARTITION parted_a FOR VALUES FROM (1) TO (1500);"
        'CREATE TABLE "parted ""b" PARTITION OF parted FOR VALUES FROM (1500) TO (2000) PARTITION BY LIST (k);'
        'CREATE TABLE parted_c PARTITION OF "parted ""b" DEFAULT;'
        f"CREATE TABLE parted_d PARTITION OF parted DEFAULT; INSERT INTO parted {ROWS.format('i')};"
        "INSERT INTO parted VALUES (-5, 'x')",
        ("", "v"),
        splits=("partitions",),
    ),
    Case(
        "kept",
        f"CREATE MATERIALIZED VIEW kept AS SELECT * FROM ({ROWS.format('i AS k')}) AS q (k, v)",
        ("k",),
    ),
    Case(
        "seen",
        f"CREATE VIEW seen AS SELECT * FROM ({ROWS.format('i % 10 AS k')}) AS q (k, v)",
        ("k",),
        ("k",),
        splits=(),
    ),
    Case(
        "parent",
        f"CREATE TABLE parent (k int UNIQUE, v text); CREATE TABLE child () INHERITS (parent);"
        f"INSERT INTO parent {ROWS.format('i')}; INSERT INTO child VALUES (17, 'not ours')",
        ("",),
    ),
    Case(
        "query",
        "",
        ("k", "é l", "v"),
        ("é l",),
        splits=(),
        options={
            "table": None,
            "query": """SELECT i AS k, i % 9 AS "é l", chr(i % 500 + 33) COLLATE "C" AS v
                          FROM generate_series(1, 2000) AS i -- made here""",
        },
    ),
]
