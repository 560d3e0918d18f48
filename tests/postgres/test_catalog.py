import psycopg
import pytest

from copypump.codec.column import ServerType
from copypump.errors import RefusedError, Side, SourceError
from copypump.postgres.catalog import (
    begin_both,
    find_table,
    forbid_relations,
    has_rows,
    lock_table,
    suggest,
)
from copypump.postgres.session import Session
from tests.servers import role, sql

MAKE = """
CREATE SCHEMA other;
CREATE DOMAIN other.small AS int NOT NULL DEFAULT 5 CHECK (VALUE < 10);
CREATE TYPE other.mood AS ENUM ('sad', 'ok');
ALTER TYPE other.mood ADD VALUE 'meh' BEFORE 'ok';
CREATE TYPE other.pair AS (a int, gone text, moods other.mood[]);
ALTER TYPE other.pair DROP ATTRIBUTE gone;
CREATE TYPE other.span AS RANGE (subtype = float8);
CREATE TABLE "Things" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dropped int,
    price numeric(12, 3) DEFAULT 1,
    twice numeric GENERATED ALWAYS AS (price * 2) STORED,
    label varchar(7) NOT NULL,
    small other.small,
    mood other.mood,
    pairs other.pair[],
    spans other.span,
    many int4multirange,
    acl aclitem[],
    "sel""ect" text
);
ALTER TABLE "Things" DROP COLUMN dropped;
"""


@pytest.fixture
def things(database):
    sql(database, MAKE)
    return database


def test_columns(things, source_session):
    table = find_table(source_session, '"Things"')
    assert (table.schema, table.name, table.kind, table.persistence) == ("public", "Things", "r", "p")
    assert str(table) == 'public."Things"'
    columns = {column.name: column for column in table.columns}
    expected = ["id", "price", "twice", "label", "small", "mood", "pairs", "spans", "many", "acl", 'sel"ect']
    assert list(columns) == expected
    assert columns["id"].identity == "a"
    assert columns["id"].not_null
    assert columns["price"].declared == "numeric(12,3)"
    assert columns["price"].has_default
    assert columns["price"].typmod == (12 << 16 | 3) + 4
    assert columns["twice"].generated
    assert columns["label"].not_null
    assert not columns["label"].has_default
    small = columns["small"]
    assert small.type.kind == "d"
    assert small.wire_type.name == "int4"
    assert small.not_null
    assert small.has_default
    assert small.declared == "other.small"


def test_types_down_to_the_ground(things, source_session):
    columns = {column.name: column.type for column in find_table(source_session, '"Things"').columns}
    assert columns["mood"].names == ("sad", "meh", "ok")
    assert not columns["mood"].carries_oids
    pairs = columns["pairs"]
    assert pairs.is_array
    assert pairs.carries_oids
    [pair] = pairs.parts
    assert (pair.kind, pair.names) == ("c", ("a", "moods"))
    assert [part.name for part in pair.parts] == ["int4", "_mood"]
    assert pair.parts[1].parts[0].names == ("sad", "meh", "ok")
    assert (columns["spans"].kind, columns["spans"].parts[0].name) == ("r", "float8")
    [int_range] = columns["many"].parts
    assert (columns["many"].kind, int_range.name, int_range.parts[0].name) == ("m", "int4range", "int4")
    assert not columns["acl"].binary
    assert columns["id"] == ServerType(20, "pg_catalog", "int8")


def test_catalog_is_not_fooled_by_a_search_path(things, sql):
    """A user's own operator and function must not come before the server's."""
    sql(
        things,
        """CREATE SCHEMA evil;
        CREATE FUNCTION evil.format_type(oid, int) RETURNS text LANGUAGE sql AS 'SELECT ''evil''::text';
        CREATE TABLE evil.pg_class (oid oid)""",
    )
    dsn = psycopg.conninfo.make_conninfo(things, options="-c search_path=evil,pg_catalog,public")
    with Session(dsn, Side.SOURCE) as session:
        session.begin_source()
        assert find_table(session, '"Things"').columns[1].declared == "numeric(12,3)"


def test_names_follow_the_search_path(things, sql, source_session):
    sql(things, "CREATE TABLE other.hidden (a int); CREATE TEMP TABLE x ()")
    assert find_table(source_session, "hidden") is None
    assert find_table(source_session, "other.hidden").schema == "other"
    assert find_table(source_session, "nowhere.hidden") is None
    assert suggest(source_session, "hidden") == ["other.hidden"]
    assert suggest(source_session, "things") == ['public."Things"']


def test_an_index_is_no_table(things, source_session):
    with pytest.raises(RefusedError, match="is no table"):
        find_table(source_session, '"Things_pkey"')


def test_kinds_and_what_happens_on_insert(database, sql, source_session):
    sql(
        database,
        """CREATE TABLE parts (a int) PARTITION BY LIST (a);
        CREATE TABLE part PARTITION OF parts DEFAULT;
        CREATE UNLOGGED TABLE quick (a int);
        CREATE VIEW seen AS SELECT a FROM quick;
        CREATE MATERIALIZED VIEW kept AS SELECT 1 AS a;
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER t BEFORE INSERT ON quick FOR EACH ROW EXECUTE FUNCTION nothing();
        CREATE TRIGGER t INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION nothing();
        CREATE RULE r AS ON INSERT TO part DO INSTEAD NOTHING""",
    )
    found = {name: find_table(source_session, name) for name in ("parts", "part", "quick", "seen", "kept")}
    assert "".join(table.kind for table in found.values()) == "prrvm"
    assert [table.has_children for table in found.values()] == [True, False, False, False, False]
    assert [table.instead_trigger for table in found.values()] == [False, False, False, True, False]
    assert [table.has_rules for table in found.values()] == [False, True, False, False, False]
    assert [table.can_lock for table in found.values()] == [True, True, True, True, False]
    assert found["quick"].persistence == "u"


def test_privileges(database, pg15, sql):
    dbname = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    sql(database, "CREATE TABLE secret (a int, b int)")
    role(pg15, dbname, "reader_of_a", "GRANT SELECT (a) ON secret TO reader_of_a")
    try:
        with Session(pg15.dsn(dbname, user="reader_of_a"), Side.SOURCE) as session:
            session.begin_source()
            table = find_table(session, "secret")
            assert (table.can_select, table.can_insert, table.can_truncate) == (False, False, False)
            assert lock_table(table) is None
            assert not has_rows(session, table)  # one column is enough to ask
            with pytest.raises(SourceError, match="permission denied") as caught:
                session.execute("SELECT b FROM secret")
            assert caught.value.sqlstate == "42501"
    finally:
        sql(database, "DROP OWNED BY reader_of_a; DROP ROLE reader_of_a")


def test_has_rows(database, sql, source_session):
    sql(
        database,
        "CREATE TABLE mother (a int); CREATE TABLE child () INHERITS (mother); INSERT INTO child VALUES (1)",
    )
    assert not has_rows(source_session, find_table(source_session, "mother"))
    assert has_rows(source_session, find_table(source_session, "child"))


def test_lock(database, sql, source_session):
    sql(database, "CREATE TABLE held (a int)")
    table = find_table(source_session, "held")
    source_session.rollback()
    source_session.begin_source()
    source_session.execute(lock_table(table))
    with pytest.raises(psycopg.errors.LockNotAvailable):
        sql(database, "BEGIN; LOCK TABLE held NOWAIT")


@pytest.mark.parametrize("server", ["pg15", "pg18"])
def test_views_are_forbidden(server, request):
    server = request.getfixturevalue(server)
    with server.fresh_database() as name, Session(server.dsn(name), Side.SOURCE) as session:
        sql(server.dsn(name), "CREATE VIEW seen AS SELECT 1 AS a")
        session.begin_source()
        session.execute(forbid_relations(session.server_version, "view"))
        assert session.execute("SELECT count(*) >= 0 FROM pg_locks") == [(True,)]
        with pytest.raises(SourceError, match="access to non-system view"):
            session.execute("TABLE seen")
        session.rollback()
        session.begin_source()
        assert session.execute("TABLE seen") == [(1,)]


def test_servers_that_cannot_forbid_views():
    for old in (120019, 130015, 140012, 150007, 160003):
        assert forbid_relations(old, "view") is None
        assert forbid_relations(old + 1, "view") is not None
    assert forbid_relations(170000, "view") is not None


def test_both_begin_and_know_whether_they_are_in_one_database(database, pg15):
    for dsn, one in ((database, True), (pg15.dsn("template1"), False)):
        with Session(database, Side.SOURCE) as source, Session(dsn, Side.TARGET) as target:
            assert begin_both(source, target) is one
            assert source.in_transaction
            assert target.in_transaction
