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


CASTS = (
    "int",
    "date",
    "bool",
    "json",
    "inet",
    "point",
    "bit(3)",
    "int[]",
    "numeric",
    "timestamptz",
    "interval",
    "uuid",
)
RAISE = "DO $$ BEGIN RAISE EXCEPTION {} ; END $$"


@pytest.mark.parametrize(
    "query",
    [
        *(f"SELECT '{SECRET}'::{name}" for name in CASTS),
        *(f"SELECT a::{name} FROM (VALUES ('{SECRET}'::text)) AS v(a)" for name in (*CASTS, "regclass")),
        "SELECT a::tsquery FROM (VALUES ('4711 secret'::text)) AS v(a)",
        "SELECT '47110000000000'::int",
        "SELECT '47110000000000'::text::int2",
        "SELECT '4711-47-11'::text::date",
        "SELECT percentile_cont(4711) WITHIN GROUP (ORDER BY a) FROM (VALUES (1)) AS v(a)",
        "SELECT make_date(4711, 47, 11)",
        "SELECT 'x'::text::\"char\", '{4711'::text::int[]",
        f"SELECT now() AT TIME ZONE '{SECRET}'",
        f"SELECT to_date('{SECRET}', 'DD-MM-YYYY')",
        f"SELECT to_date('11 {SECRET}', 'DD MON')",
        "SELECT to_timestamp('4711', 'YYYY HH24:MI ')::int",
        f"SELECT ('{SECRET}' || E'\\n\"x')::uuid",
        f"SELECT ('\"' || '{SECRET}')::text::int",
        f"SELECT ('column \"{SECRET}\" ')::text::int8",
        "SELECT convert_from('\\x471147ff'::bytea, 'UTF8')",
        "SELECT convert_to(U&'\\4711', 'LATIN1')",
        f"SELECT decode('{SECRET}', 'hex')",
        f"SELECT decode('{SECRET}!', 'base64')",
        f"SELECT jsonb_path_query(to_jsonb('{SECRET}'::text), '$.double()')",
        f"DO $$ BEGIN EXECUTE 'SELECT \"' || '{SECRET}' || '\"'; END $$",
        RAISE.format(f"'bad %', '{SECRET}'"),
        *(
            RAISE.format(f"'bad %', '{SECRET}' USING ERRCODE = '{code}'")
            for code in ("23505", "22003", "42601", "XX000")
        ),
        RAISE.format(
            f"USING MESSAGE = '{SECRET}', COLUMN = '{SECRET}', TABLE = '{SECRET}', CONSTRAINT = '{SECRET}'"
        ),
        RAISE.format(f"USING ERRCODE = '23505', MESSAGE = 'x', COLUMN = '{SECRET}', CONSTRAINT = '{SECRET}'"),
        f"DO $$ BEGIN ASSERT false, '{SECRET}'; END $$",
    ],
)
def test_no_value_in_a_message(source_session, query):
    with pytest.raises(SourceError) as caught:
        source_session.execute(query)
    error = caught.value
    assert "4711" not in f"{error} {error.hint}"
    assert "0xff" not in str(error)
    assert error.sqlstate


def test_an_enums_value(database, source_session):
    sql(database, "CREATE TYPE mood AS ENUM ('sad')")
    with pytest.raises(SourceError) as caught:
        source_session.execute(f"SELECT a::mood FROM (VALUES ('{SECRET}'::text)) AS v(a)")
    assert caught.value.message == "invalid input value for enum mood: (not shown)"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 'abc'::int", "invalid input syntax for type integer: (not shown)"),
        ("SELECT 'abc'::text::int", "invalid input syntax for type integer: (not shown)"),
        ("SELECT '99999999999'::text::int", "value (not shown) is out of range for type integer"),
        (
            "SELECT convert_from('\\xff'::bytea, 'UTF8')",
            'invalid byte sequence for encoding "UTF8": (not shown)',
        ),
        (
            "SELECT convert_to(U&'\\4711', 'LATIN1')",
            'character with byte sequence (not shown) in encoding "UTF8" has no equivalent in encoding "LATIN1"',
        ),
        ("SELECT 1.5::numeric(2,2)", "numeric field overflow"),
        ("SELECT 1 / 0", "division by zero"),
        ("SELECT nowhere", 'column "nowhere" does not exist'),
        ("SELECT nowhere(1)", "function nowhere(integer) does not exist"),
        ("TABLE nowhere", 'relation "nowhere" does not exist'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SET LOCAL work_mem = 'much'", 'invalid value for parameter "work_mem": (not shown)'),
    ],
)
def test_what_is_no_value_is_shown(source_session, query, message):
    with pytest.raises(SourceError) as caught:
        source_session.execute(query)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("sqlstate", "message", "shown"),
    [
        ("22003", "Wert »4711« ist außerhalb des gültigen Bereichs für Typ integer", "Wert (not shown) ist außerhalb des gültigen Bereichs für Typ integer"),
        ("22P02", "syntaxe en entrée invalide pour le type integer : « 4711 »", "syntaxe en entrée invalide pour le type integer : (not shown)"),
        ("38000", "ValueError: 4711", "a function or trigger raised an exception; its words, which may hold row values, are in the server's log"),
        ("XX000", 'could not find: "4711"', "could not find: (not shown)"),
        ("53100", 'could not extend file "base/1/2": No space left on device', 'could not extend file "base/1/2": No space left on device'),
    ],
)  # fmt: skip
def test_words_of_other_languages_and_extensions(sqlstate, message, shown):
    class Diag:
        message_primary = message
        context = table_name = column_name = constraint_name = statement_position = source_function = None

    class Fault(psycopg.Error):
        diag = Diag()

    Fault.sqlstate = sqlstate
    assert translate(Fault(), Side.SOURCE).message == shown


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
        table_name = column_name = constraint_name = statement_position = source_function = None

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
