"""Extensions and types by name, as a server tells them."""

from __future__ import annotations

from copypump.codec.column import ServerType
from copypump.postgres.extensions import extensions_of, find_type, is_available
from copypump.postgres.session import Session
from copypump.postgres.types import load_types
from tests.servers import sql


def type_of(session: Session, name: str) -> ServerType:
    [(oid,)] = session.execute("SELECT $1::regtype::oid", [name])
    return load_types(session, {oid})[oid]


def test_extensions_of_types_and_of_those_within(database: str, target_session: Session) -> None:
    sql(
        database,
        "CREATE EXTENSION hstore VERSION '1.6'; CREATE EXTENSION citext; CREATE EXTENSION cube;"
        " CREATE DOMAIN tags AS hstore; CREATE TYPE pair AS (a citext[], b int); CREATE TYPE mine AS ENUM ('x')",
    )
    names = ("tags", "pair", "mine", "int4[]")
    types = [type_of(target_session, name) for name in names]
    found = extensions_of(target_session, types)
    assert {extension.name for extension in found.values()} == {"hstore", "citext"}
    assert {e.version for e in found.values() if e.name == "hstore"} == {"1.6"}
    assert set(found) == {type_of(target_session, name).oid for name in ("hstore", "citext")}
    assert extensions_of(target_session, []) == {}


def test_types_by_name(database: str, target_session: Session) -> None:
    sql(
        database,
        'CREATE SCHEMA app; CREATE SCHEMA "Odd.Schema"; CREATE DOMAIN app.price AS int; CREATE DOMAIN price AS int8;'
        ' CREATE DOMAIN "Odd.Schema"."a ""b""" AS text; CREATE EXTENSION citext SCHEMA app',
    )

    def found(schema: str, name: str, typmod: int = -1) -> str | None:
        answer = find_type(target_session, schema, name, typmod)
        return None if answer is None else answer[1]

    assert found("pg_catalog", "varchar", 24) == "character varying(20)"
    assert found("pg_catalog", "_numeric", (10 << 16 | 2) + 4) == "numeric(10,2)[]"
    assert found("pg_catalog", "bit", -1) == '"bit"'
    assert found("pg_catalog", "char", -1) == '"char"'
    assert found("app", "price") == "app.price"
    assert found("public", "price") == found("nowhere", "price") == "price"
    assert found("Odd.Schema", 'a "b"') == '"Odd.Schema"."a ""b"""'
    assert found("public", 'a "b"') is None
    assert found("public", "citext") == "app.citext"
    assert found("public", "_citext") == "app.citext[]"
    assert found("pg_catalog", "int9") is None


def test_what_could_be_created(target_session: Session) -> None:
    assert is_available(target_session, "hstore")
    assert not is_available(target_session, "nothing of the sort")
