"""The table of types, the spelling of Arrow types, and typmods."""

from __future__ import annotations

import pyarrow as pa
import pytest

from copypump.codec import types, typmod
from copypump.codec.column import Column, ServerType
from copypump.codec.spelling import parse_arrow_type, spelling
from copypump.codec.types import FAMILIES, INTERVAL, TYPES, Kernel
from copypump.errors import RefusedError, UsageError
from tests.codec.streams import column, numeric_typmod


def test_the_table_names_each_type_once() -> None:
    oids = [row.oid for row in TYPES if row.oid]
    assert len(set(oids)) == len(oids) > 20
    assert len({row.name for row in (*TYPES, *FAMILIES)}) == len(TYPES) + len(FAMILIES)
    assert {row.kernel for row in (*TYPES, *FAMILIES)} == set(Kernel)


@pytest.mark.parametrize("row", TYPES, ids=lambda row: row.name)
def test_every_row_goes_through_its_choices(row: types.PgType) -> None:
    of_row = column(row.name)
    usual = types.arrow_type(of_row)
    assert types.kernel(of_row, usual) == row.kernel
    assert types.arrow_type(of_row, usual) == usual
    opaque = types.arrow_type(of_row, parse_arrow_type("opaque"))
    assert isinstance(opaque, pa.OpaqueType)
    assert (opaque.type_name, opaque.vendor_name, opaque.storage_type) == (
        row.name,
        "PostgreSQL",
        pa.binary(),
    )
    assert types.kernel(of_row, opaque) == Kernel.BYTES
    for choice in row.alternatives:
        chosen = parse_arrow_type(choice.replace("p,s", "30,2"))
        assert types.arrow_type(of_row, chosen) == chosen
    with pytest.raises(RefusedError, match='column "c"') as caught:
        types.arrow_type(of_row, pa.duration("s"))
    assert caught.value.hint is not None
    assert "opaque" in caught.value.hint


@pytest.mark.parametrize(
    ("precision", "scale", "expected"),
    [
        (15, 2, pa.decimal128(15, 2)),
        (38, 38, pa.decimal128(38, 38)),
        (39, 0, pa.decimal256(39, 0)),
        (76, 10, pa.decimal256(76, 10)),
        (77, 0, pa.utf8()),
        (5, -3, pa.decimal128(5, -3)),
        (3, 6, pa.decimal128(3, 6)),
        (1000, 1000, pa.utf8()),
        (2, -1000, pa.decimal128(2, -1000)),
    ],
)
def test_numeric_by_its_typmod(precision: int, scale: int, expected: pa.DataType) -> None:
    modifier = numeric_typmod(precision, scale)
    assert typmod.numeric(modifier) == (precision, scale)
    assert types.arrow_type(column("numeric", modifier)) == expected


@pytest.mark.parametrize(("modifier", "size"), [(3, 3), (16000, 16000), (-1, -1)])
def test_vectors_by_their_typmod(modifier: int, size: int) -> None:
    floats = pa.list_(pa.field("item", pa.float32(), nullable=False), size)
    assert types.arrow_type(column("vector", modifier)) == floats
    assert pa.types.is_fixed_size_list(floats) == (size > 0)
    vectors = ServerType(20000, "public", "_vector", parts=(column("vector").type,), is_array=True)
    assert types.arrow_type(Column("c", vectors, modifier, "vector[]")).value_type == floats
    unit = ServerType(20001, "public", "unit", "d", (column("vector").type,), typmod=modifier)
    assert types.arrow_type(Column("c", unit, -1, "unit")) == floats


def test_typmods_without_a_limit() -> None:
    assert typmod.numeric(-1) is None
    assert typmod.characters(-1) is None
    assert typmod.fraction(-1) is None
    assert typmod.dimensions(-1) is None
    assert typmod.interval(-1) is None
    assert types.arrow_type(column("numeric")) == pa.utf8()


def test_typmods_with_one() -> None:
    assert typmod.characters(9) == 5
    assert typmod.fraction(0) == 0
    assert typmod.interval(0x7FFF0003) == (None, 3)
    assert typmod.interval((0b100 << 16) | 0xFFFF) == (4, None)


def test_a_type_without_a_row_is_opaque() -> None:
    point = column("point")
    assert types.pg_type(point).kernel == Kernel.BYTES
    assert types.arrow_type(point) == pa.opaque(pa.binary(), "point", "PostgreSQL")
    assert types.arrow_type(point, pa.binary()) == pa.binary()
    with pytest.raises(RefusedError):
        types.arrow_type(point, pa.utf8())


def test_a_domain_is_its_base_type() -> None:
    numeric = ServerType(1700, "pg_catalog", "numeric")
    money = ServerType(20000, "shop", "price", "d", (numeric,), typmod=numeric_typmod(10, 2))
    dear = ServerType(20001, "shop", "dear", "d", (money,))
    field = types.field(Column("p", dear, -1, "shop.dear", not_null=True))
    assert field.type == pa.decimal128(10, 2)
    assert not field.nullable
    told = {b"PG:oid": b"20001", b"PG:typmod": b"-1", b"PG:type": b"shop.dear", b"PG:declared": b"shop.dear"}
    assert field.metadata == told


def test_a_types_name_is_quoted_as_in_sql() -> None:
    odd = ServerType(20000, "My.Schema", 'a "b"', "d", (ServerType(25, "pg_catalog", "text"),))
    metadata = types.field(Column("c", odd, -1, '"My.Schema"."a ""b"""')).metadata or {}
    assert metadata[b"PG:type"] == metadata[b"PG:declared"] == b'"My.Schema"."a ""b"""'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("utf8", pa.utf8()),
        ("string", pa.utf8()),
        ("decimal128(18,4)", pa.decimal128(18, 4)),
        (" Decimal256( 60, -3 ) ", pa.decimal256(60, -3)),
        ("timestamp[us]", pa.timestamp("us")),
        ("timestamp[us, UTC]", pa.timestamp("us", "UTC")),
        ("timestamp[us, tz=UTC]", pa.timestamp("us", "UTC")),
        ("time64[us]", pa.time64("us")),
        ("date32", pa.date32()),
        ("uuid", pa.uuid()),
        ("json", pa.json_()),
        ("binary", pa.binary()),
        ("fixed_size_binary(16)", pa.binary(16)),
    ],
)
def test_arrow_types_as_they_are_spelled(text: str, expected: pa.DataType) -> None:
    assert parse_arrow_type(text) == expected
    assert parse_arrow_type(spelling(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "foo", "struct(1)", "fixed_size_binary(-1)", "timestamp[us, Mars]", "decimal128"),
        *(f"decimal128({numbers})" for numbers in ("18", "39,2", "a,b", "1,2,3", "99999999999,0")),
    ],
)
def test_what_is_no_arrow_type(text: str) -> None:
    with pytest.raises(UsageError, match="is not an Arrow type"):
        parse_arrow_type(text)


def test_a_nested_type_is_spelled_by_its_outermost_form() -> None:
    assert spelling(INTERVAL) == "struct"
    assert spelling(pa.list_(pa.struct([pa.field("a", pa.int8())]))) == "list"
