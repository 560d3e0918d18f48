import psycopg
import pytest

from copypump.errors import Side, SourceError, TargetError
from copypump.postgres.exchange import Lost
from copypump.postgres.session import Session
from copypump.postgres.target import Target
from copypump.postgres.translate import translate
from tests.postgres.conftest import HEADER, TRAILER, wire_rows
from tests.servers import sql

SECRET = "4711-secret"


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT '{SECRET}'::int",
        f"SELECT '{SECRET}'::date",
        f"SELECT '{SECRET}'::bool",
        f"SELECT json '{{\"{SECRET}'",
        "SELECT '47110000000000'::int",
        "SELECT '47110000000000'::text::int2",
        f"DO $$ BEGIN RAISE EXCEPTION 'bad %', '{SECRET}'; END $$",
        f"SELECT ('{SECRET}' || E'\\n\"x')::uuid",
    ],
)
def test_no_value_in_a_message(source_session, query):
    with pytest.raises(SourceError) as caught:
        source_session.execute(query)
    assert "4711" not in str(caught.value)
    assert caught.value.sqlstate


def test_a_trigger_is_named_and_not_quoted(database, sql):
    sql(
        database,
        f"""CREATE TABLE t (id bigint, name text);
        CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.id = 3 THEN RAISE EXCEPTION 'bad {SECRET} %', NEW.id; END IF; RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION guard()""",
    )
    error = refused(database, "t")
    assert error.message.startswith("the function guard raised an exception")
    assert (error.sqlstate, error.row) == ("P0001", 3)


def test_constraint_and_row(database, sql):
    sql(database, "CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (5)")
    error = refused(database, "t")
    assert error.message == 'duplicate key value violates unique constraint "t_pkey"'
    assert (error.sqlstate, error.row, error.table) == ("23505", 5, "t")
    assert "t_pkey" in error.hint


def test_a_null_where_none_may_be(database, sql):
    sql(database, "CREATE TABLE t (id bigint, name text, more int NOT NULL)")
    error = refused(database, "t")
    assert (error.sqlstate, error.column, error.row) == ("23502", "more", 1)


def test_row_in_another_language(database):
    class Diag:
        context = "COPY leute, Zeile 12, Spalte alter"
        message_primary = "ungültig"
        table_name = column_name = constraint_name = None

    class Fault(psycopg.Error):
        sqlstate = "22P03"
        diag = Diag()

    assert translate(Fault(), Side.TARGET).row == 12


def test_a_lost_session():
    error = translate(Lost("server closed\n\tthe connection"), Side.SOURCE, table="t")
    assert isinstance(error, SourceError)
    assert str(error) == "source, table t: the connection was lost: server closed the connection"
    assert error.sqlstate is None


def refused(database: str, table: str) -> TargetError:
    """Copy ids 1 to 9 into `table` and return the refusal."""
    with Session(database, Side.TARGET) as session:
        session.begin_target()
        target = Target(session, table=table)
        target.start(f"COPY {table} (id, name) FROM STDIN (FORMAT BINARY)")
        with pytest.raises(TargetError) as caught:
            write_all(target)
    assert sql(database, f"SELECT count(*) FROM {table} WHERE id < 5") == [(0,)]
    return caught.value


def write_all(target: Target) -> None:
    target.write(HEADER + wire_rows(range(1, 10)) + TRAILER)
    target.finish()
