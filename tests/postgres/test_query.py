"""What the server says of a query that it only parses, and where a query ends."""

import pytest

from copypump.errors import RefusedError
from copypump.postgres.catalog import find_table, holds_lock
from copypump.postgres.query import bare_query, describe_query, parse
from tests.servers import sql


def test_describe_a_query_without_running_it(database, source_session):
    sql(
        database,
        """CREATE TYPE mood AS ENUM ('sad', 'meh', 'ok'); CREATE TABLE "Things" (price numeric(12, 3), mood mood)""",
    )
    query = """SELECT price, mood AS "Mood", 1/0 AS boom, pg_sleep(100)::text AS late
                 FROM "Things" -- comment;  ;"""
    price, mood, boom, late = describe_query(source_session, query)
    assert (price.name, price.declared) == ("price", "numeric(12,3)")
    assert (mood.name, mood.type.names) == ("Mood", ("sad", "meh", "ok"))
    assert (boom.declared, late.declared) == ("integer", "text")
    assert holds_lock(source_session, source_session.backend_pid(), find_table(source_session, '"Things"'))


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT 1 AS a, 2 AS b, 3 AS a", 'more than one column "a"'),
        ("SELECT", "no columns"),
        ("CREATE TABLE x ()", "no columns"),
        ("SELECT $1::int AS a", "parameters"),
    ],
)
def test_queries_that_cannot_be_read(source_session, query, complaint):
    with pytest.raises(RefusedError, match=complaint):
        describe_query(source_session, query)


@pytest.mark.parametrize(
    ("query", "sqlstate", "place"),
    [
        ("SELECT 1; SELECT 2", "42601", None),
        ("SELEC 1", "42601", 1),
        ("SELECT\n 1 FROM nowhere", "42P01", 16),
        ("SELECT nowhere.x()", "3F000", 8),
        ("SELECT 'ü', nowhere(1)", "42883", 13),
        ("SELECT nothing FROM pg_class", "42703", 8),
        ("SELECT 1 WHERE generate_series(1, 2) = 1", "0A000", 16),
        ("SELECT 'x'::int", "22P02", 8),
    ],
)
def test_faults_of_the_text_are_refused_with_their_place(source_session, query, sqlstate, place):
    with pytest.raises(RefusedError) as caught:
        parse(source_session, f"/* ours */ {query}", ours=11)
    assert (caught.value.sqlstate, caught.value.side) == (sqlstate, "source")
    assert caught.value.message.partition(", at character ")[2] == ("" if place is None else str(place))


def test_the_servers_hint_is_given(source_session):
    with pytest.raises(RefusedError) as caught:
        parse(source_session, "SELECT relnam FROM pg_class")
    assert "pg_class.relname" in caught.value.hint


@pytest.mark.parametrize(
    "ending",
    [
        "",
        ";",
        " ; ;\n",
        "; -- done",
        " -- ;'",
        " /* a */",
        "; /* a; /* nested -- */ ' */ -- done\n;",
        "\n--\n--",
    ],
)
@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        " -- begins so\n select 1",
        "select ';--' ",
        "select '''; --'",
        r"select E'\'; --'",
        r"""select 1 as "a; --""\"""",
        "select $$; -- '$$",
        "select $a$ $$; -- $a$",
        "select 1 as a$b$",
        "select 2 /* it's */ - 1",
        "select 2 -- it's\n -1",
    ],
)
def test_what_stands_behind_a_query_is_left_out(query, ending, source_session):
    bare = bare_query(query + ending)
    assert bare == query.rstrip()
    parse(source_session, f"COPY ({bare}) TO STDOUT")


@pytest.mark.parametrize("query", ["select 1 /* never", "select 'never ; --'x", "select 1 */"])
def test_what_does_not_end_stays(query):
    assert bare_query(query) == query
