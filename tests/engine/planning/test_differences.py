"""What the same bytes mean on another server: refused, or told as a warning of plan and report."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import copypump
from copypump.engine.api import plan
from copypump.engine.planning.differences import same_locale
from copypump.errors import CopypumpError, DecodeError, ExitCode, RefusedError
from tests.conftest import Pair
from tests.engine.conftest import wire
from tests.servers import SystemServer, WheelServer, sql


@pytest.fixture(scope="module")
def german() -> Iterator[SystemServer]:
    """A server that knows a locale which writes money otherwise: compiled here, as machines have none."""
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as environment:
        Path(home).chmod(0o755)
        subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", f"{home}/de_DE.UTF-8"], check=True)
        environment.setenv("LOCPATH", home)
        server = SystemServer()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def other_money(pg15: SystemServer, german: SystemServer) -> Iterator[Pair]:
    """A source that writes money as C does, and a target that writes it in German."""
    with pg15.fresh_database() as source, german.fresh_database() as target:
        sql(german.dsn(), f"ALTER DATABASE {target} SET lc_monetary = 'de_DE.UTF-8'")
        assert sql(german.dsn(target), "SELECT 12.34::numeric::money::text") == [("12,34 €",)]
        yield Pair(pg15.dsn(source), german.dsn(target))


def warned(pair: Pair, **options: Any) -> list[str]:
    """The warnings of the plan, which must be those of the report."""
    planned = plan(pair.src, pair.dst, **options)
    report = copypump.pump(pair.src, pair.dst, **options)
    assert list(planned.warnings) == report.warnings[: len(planned.warnings)]
    assert all(f"warning: {text}" in planned.describe() for text in planned.warnings)
    return report.warnings


# Money --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("C", "C", True),
        ("C", "POSIX", True),
        ("en_US.UTF-8", "en_US.utf8", True),
        ("de_DE@euro", "de_DE", False),
        ("de_DE.UTF-8", "en_US.UTF-8", False),
        ("de_DE.ISO-8859-1", "de_DE.UTF-8", False),
        ("C", "C.UTF-8", True),
        ("C", "de_DE.UTF-8", False),
    ],
)
def test_names_of_locales(one: str, other: str, same: bool) -> None:
    assert same_locale(one, other) is same_locale(other, one) is same


@pytest.mark.parametrize(
    ("type_", "read"),
    [("money", False), ("money", True), ("wealth", True), ("money[]", False), ("purse", False)],
)
def test_money_of_another_locale_is_refused(other_money: Pair, type_: str, read: bool) -> None:
    for dsn in other_money:
        sql(dsn, f"CREATE DOMAIN wealth AS money; CREATE TYPE purse AS (m money); CREATE TABLE t (m {type_})")
    transform = (lambda batch: batch) if read else None
    with pytest.raises(RefusedError) as error:
        plan(other_money.src, other_money.dst, table="t", transform=transform)
    assert error.value.column == "m"
    assert "'C'" in str(error.value)
    assert "'de_DE.UTF-8'" in str(error.value)
    assert "m::numeric" in str(error.value.hint)
    assert "--type m=text" in str(error.value.hint)


def test_money_of_one_locale_passes(pair: Pair) -> None:
    """C and C.UTF-8, by which the two servers of `pair` go."""
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (m money)")
    sql(pair.src, "INSERT INTO t VALUES (12.34)")
    assert warned(pair, table="t") == []
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")


@pytest.mark.parametrize("number", ["int8", "numeric(10,2)", "int4[]"])
def test_money_is_no_number_of_cents(pair: Pair, number: str) -> None:
    """Arrow has money in its smallest units: 5 would become 0.05, and 5.00 become 500."""
    money = "money[]" if "[]" in number else "money"
    for one, other in ((number, money), (money, number)):
        for dsn, type_ in zip(pair, (one, other), strict=True):
            sql(dsn, f"DROP TABLE IF EXISTS t; CREATE TABLE t (a {type_})")
        with pytest.raises(RefusedError, match="different units") as failure:
            copypump.pump(pair.src, pair.dst, table="t")
        assert failure.value.column == "a"
        if number == "int8":
            [warning] = warned(pair, table="t", transform=lambda batch: batch)
            assert "smallest units" in warning


def test_text_that_becomes_jsonb_is_warned_of(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (a json, b jsonb)")
    sql(pair.dst, "CREATE TABLE t (a jsonb, b jsonb)")
    [warning] = warned(pair, table="t")
    assert "column a (json) becomes jsonb" in warning


def test_the_ways_out_of_another_locale(other_money: Pair) -> None:
    pair = other_money
    sql(pair.src, "CREATE TABLE t (m money); INSERT INTO t VALUES (12.34)")
    sql(
        pair.dst, "CREATE TABLE t (m numeric(10,2)); CREATE TABLE words (m text); CREATE TABLE back (m money)"
    )
    copypump.pump(pair.src, pair.dst, query="SELECT m::numeric AS m FROM t", into="t")
    assert sql(pair.dst, "SELECT m::text FROM t") == [("12.34",)]
    copypump.pump(pair.src, pair.dst, table="t", into="words", types={"m": "text"})
    assert sql(pair.dst, "SELECT m FROM words") == [("$12.34",)]
    # Nor can it come back as money from there.
    with pytest.raises(RefusedError, match="lc_monetary"):
        copypump.pump(pair.src, pair.dst, table="t", into="back", types={"m": "text"})


# Oids ---------------------------------------------------------------------------------------------------


def test_oids_of_another_cluster_are_warned_of(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE DOMAIN ref AS regclass; CREATE TABLE t (id int, plain oid, c regclass, d ref)")
    sql(pair.src, "INSERT INTO t VALUES (1, 2, 't', 't')")
    warnings = warned(pair, table="t")
    assert [text.split()[1] for text in warnings] == ["c", "d"]
    assert all(f"--type {name}=text" in text for name, text in zip("cd", warnings, strict=True))
    assert len(warned(pair, table="t", columns=["c"], transform=lambda batch: batch, mode="append")) == 1
    assert warned(pair, table="t", columns=["id", "plain"], mode="append") == []


def test_names_instead_of_oids(pair: Pair) -> None:
    """With their schema, so that the target's search_path cannot find others."""
    for dsn in pair:
        sql(dsn, "CREATE TABLE pad (id int)") if dsn == pair.dst else None
        sql(dsn, "CREATE TABLE t (c regclass)")
    sql(pair.src, "INSERT INTO t VALUES ('t')")
    assert warned(pair, table="t", types={"c": "text"}) == []
    assert sql(pair.dst, "SELECT c::oid = 'public.t'::regclass FROM t") == [(True,)]
    sql(pair.dst, "CREATE TABLE words (c text)")
    copypump.pump(pair.src, pair.dst, table="t", into="words", types={"c": "text"})
    assert sql(pair.dst, "SELECT c FROM words") == [("public.t",)]
    [warning] = warned(pair, table="t", where="true", types={"c": "text"}, mode="truncate")
    assert "without their schema" in warning


# Extensions ---------------------------------------------------------------------------------------------


def test_extensions_of_other_versions_are_warned_of(same_server_pair: Pair) -> None:
    pair = same_server_pair
    sql(pair.src, "CREATE EXTENSION hstore; CREATE EXTENSION citext")
    sql(
        pair.dst,
        "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext VERSION '1.5'; CREATE EXTENSION citext",
    )
    [(version,)] = sql(pair.src, "SELECT extversion FROM pg_extension WHERE extname = 'hstore'")
    sql(pair.src, "CREATE TABLE t (h hstore, c citext); INSERT INTO t VALUES ('a=>1', 'X')")
    sql(pair.dst, "CREATE TABLE t (h ext.hstore, c citext)")
    [warning] = warned(pair, table="t")
    assert "hstore" in warning
    assert "1.5" in warning
    assert version in warning
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")
    sql(pair.dst, "ALTER EXTENSION hstore UPDATE")
    assert warned(pair, table="t", mode="append") == []


# Encodings ----------------------------------------------------------------------------------------------

ASCII = "ENCODING 'SQL_ASCII' LOCALE 'C'"
LATIN = "ENCODING 'LATIN1' LOCALE 'C'"
READ: dict[str, Any] = {"transform": lambda batch: batch}


@pytest.fixture(params=[(ASCII, ""), (ASCII, ASCII), ("", ASCII), (LATIN, ""), ("", LATIN), (LATIN, ASCII)])
def encoded(
    request: pytest.FixtureRequest, pg15: SystemServer, pg16: WheelServer
) -> Iterator[tuple[Pair, tuple[str, str]]]:
    source, target = request.param
    with pg15.fresh_database(source) as src, pg16.fresh_database(target) as dst:
        pair = Pair(pg15.dsn(src), pg16.dsn(dst))
        for dsn in pair:
            sql(f"{dsn} client_encoding=UTF8", "CREATE TABLE t (id int, word text)")
        yield pair, request.param


def test_what_is_utf8_arrives_in_every_encoding(encoded: tuple[Pair, tuple[str, str]]) -> None:
    pair, encodings = encoded
    sql(f"{pair.src} client_encoding=UTF8", "INSERT INTO t VALUES (1, 'größe'), (2, '')")
    for options in ({}, READ):
        warnings = warned(pair, table="t", mode="truncate", **options)
        assert [text for text in warnings if "SQL_ASCII" in text] == warnings
        assert len(warnings) == (ASCII in encodings)
        words = sql(f"{pair.dst} client_encoding=UTF8", "SELECT textsend(word) FROM t ORDER BY id")
        assert words == [("größe".encode(),), (b"",)]


@pytest.mark.parametrize("encodings", [(ASCII, ""), (ASCII, LATIN), (ASCII, ASCII)])
def test_bytes_that_are_not_utf8(encodings: tuple[str, str], pg15: SystemServer, pg16: WheelServer) -> None:
    """Read, they are an error of ours with the row; forwarded, one of the target's, if it looks at all."""
    with pg15.fresh_database(encodings[0]) as src, pg16.fresh_database(encodings[1]) as dst:
        pair = Pair(pg15.dsn(src), pg16.dsn(dst))
        for dsn in pair:
            sql(f"{dsn} client_encoding=UTF8", "CREATE TABLE t (id int, word text)")
        sql(pair.src, r"INSERT INTO t VALUES (1, 'fine'), (2, E'gr\xf6\xdfe')")
        with pytest.raises(DecodeError) as error:
            copypump.pump(pair.src, pair.dst, table="t", **READ)
        assert (error.value.column, error.value.row) == ("word", 2)
        if encodings[1] == ASCII:
            copypump.pump(pair.src, pair.dst, table="t")
            assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")
            return
        with pytest.raises(CopypumpError) as refusal:
            copypump.pump(pair.src, pair.dst, table="t")
        assert refusal.value.exit_code == ExitCode.TARGET
        assert refusal.value.sqlstate == "22021"
        # As bytes, which the user knows the encoding of.
        with copypump.read(pair.src, table="t", types={"word": "opaque"}) as batches:
            raw = batches.read_all()
        assert raw.column("word").cast(pa.binary()).to_pylist() == [b"fine", b"gr\xf6\xdfe"]


def test_a_character_that_the_target_lacks(pg15: SystemServer, pg16: WheelServer) -> None:
    with pg15.fresh_database() as src, pg16.fresh_database(LATIN) as dst:
        pair = Pair(pg15.dsn(src), pg16.dsn(dst))
        for dsn in pair:
            sql(f"{dsn} client_encoding=UTF8", "CREATE TABLE t (word text)")
        sql(pair.src, "INSERT INTO t VALUES ('10 €')")
        for options in ({}, READ):
            with pytest.raises(CopypumpError) as error:
                copypump.pump(pair.src, pair.dst, table="t", **options)
            assert error.value.exit_code == ExitCode.TARGET
            assert error.value.sqlstate == "22P05"
