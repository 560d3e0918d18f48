"""Types of the user's own, in both directions, whole columns only."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.codec import registry, types
from copypump.codec.casts import encoded_type
from copypump.codec.column import Column, ServerType
from copypump.errors import RefusedError, TransformError, UsageError
from tests.conftest import Pair
from tests.servers import sql

POINT = ServerType(600, "pg_catalog", "point")
XY = pa.struct([pa.field("x", pa.float64()), pa.field("y", pa.float64())])


class Wkb(pa.ExtensionType):
    """An extension type over the wire's bytes, as geoarrow.wkb is one."""

    def __init__(self) -> None:
        super().__init__(pa.binary(), "tests.wkb")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> Wkb:
        return cls()


def read_points(wire: pa.BinaryArray) -> pa.Array:
    pairs = [None if data is None else struct.unpack(">dd", data) for data in wire.to_pylist()]
    return pa.array([pair and {"x": pair[0], "y": pair[1]} for pair in pairs], XY)


def write_points(array: pa.Array) -> pa.Array:
    rows = [row and struct.pack(">dd", row["x"], row["y"]) for row in array.to_pylist()]
    return pa.array(rows, pa.large_binary())


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    before = dict(registry._REGISTERED)
    yield
    registry._REGISTERED.clear()
    registry._REGISTERED.update(before)


def test_a_registered_type_is_seen_by_transforms_and_lands(pair: Pair) -> None:
    for dsn in (pair.src, pair.dst):
        sql(dsn, "CREATE TABLE places (id int, at point, path point[])")
    sql(
        pair.src,
        "INSERT INTO places VALUES (1, '(1,2)', '{\"(1,2)\"}'), (2, NULL, NULL), (3, '(-0.5,4)', '{}')",
    )
    copypump.register_type("point", XY, decode=read_points, encode=write_points)

    def mirrored(batch: pa.RecordBatch) -> pa.RecordBatch:
        at = batch.column("at")
        assert at.type == XY
        assert batch.schema.field("path").type == pa.list_(types.opaque(POINT))  # within values, as ever
        x, y = at.field("x"), at.field("y")
        turned = pa.StructArray.from_arrays([y, x], fields=list(XY), mask=at.is_null())
        return batch.set_column(1, "at", turned)

    report = copypump.pump(pair.src, pair.dst, table="places", transform=mirrored, batch_rows=2)
    assert report.rows_written == 3
    assert sql(pair.dst, "SELECT id, at::text, path::text FROM places ORDER BY id") == [
        (1, "(2,1)", '{"(1,2)"}'),
        (2, None, None),
        (3, "(4,-0.5)", "{}"),
    ]


def test_bytes_under_an_extension_type_pass_as_they_are(pair: Pair) -> None:
    for dsn in (pair.src, pair.dst):
        sql(dsn, "CREATE TABLE places (at point)")
    sql(pair.src, "INSERT INTO places VALUES ('(1,2)'), (NULL)")
    copypump.register_type("point", Wkb())
    seen = []

    def taken(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.schema.field("at").type)
        return batch.take(pa.array(range(batch.num_rows), pa.int64()))

    copypump.pump(pair.src, pair.dst, table="places", transform=taken)
    assert len(seen) > 1
    assert all(type_ == Wkb() for type_ in seen)
    assert sql(pair.dst, "SELECT at::text FROM places") == [("(1,2)",), (None,)]
    copypump.pump(
        pair.src,
        pair.dst,
        table="places",
        mode="append",
        transform=lambda batch: pa.table({"at": batch.column("at").storage.cast(pa.large_binary())}),
    )
    assert sql(pair.dst, "SELECT count(*), count(at) FROM places") == [(4, 2)]


def test_the_arrow_type_may_hang_on_the_typmod() -> None:
    copypump.register_type(
        "vector", lambda typmod: pa.list_(pa.float32(), max(1, typmod)), decode=pc.cast, encode=pc.cast
    )
    kind = ServerType(50000, "public", "vector")
    assert types.arrow_type(Column("c", kind, 3, "vector(3)")) == pa.list_(pa.float32(), 3)
    column = Column("c", kind, 3, "vector(3)")
    for offered in (pa.list_(pa.float32(), 3), pa.large_list(pa.float32()), pa.null()):
        assert encoded_type(column, offered) == pa.binary()
    for offered in (pa.float32(), pa.list_(pa.utf8()), pa.binary()):
        assert encoded_type(column, offered) is None
    assert types.arrow_type(column, types.opaque(kind)) == types.opaque(kind)


WIRE = pa.array([b"a", None], pa.binary())
FAULTS = {
    "raises": (lambda _: 1 / 0, "raised ZeroDivisionError"),
    "no array": (lambda _: [1, None], "gave list"),
    "fewer": (lambda a: a.slice(1), "gave 1 values for 2"),
    "NULLs": (lambda _: pa.array([1, 2]), "gave NULL for a value, or a value for NULL"),
    "type": (lambda _: pa.array([1, None], pa.int8()), "gave int8, expected int64"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_functions_are_held_to_what_they_promise(name: str) -> None:
    function, words = FAULTS[name]
    converter = registry.Converter("t", lambda _: pa.int64(), function, function)
    with pytest.raises(TransformError, match="the registered type t: its decoder") as error:
        converter.from_wire(WIRE, pa.int64(), "c")
    assert words in str(error.value)
    assert error.value.column == "c"
    with pytest.raises(TransformError, match="its encoder"):
        converter.to_wire(pa.array([1, None]), pa.int64(), "c")


def test_both_directions_or_bytes() -> None:
    with pytest.raises(UsageError, match="decode and encode"):
        copypump.register_type("t", pa.int64(), decode=read_points)
    with pytest.raises(UsageError, match="would have to be binary"):
        copypump.register_type("t", pa.int64())


def test_the_server_rounds_nothing_of_a_registered_type(pair: Pair) -> None:
    """Its encoder's bytes are a timestamp's, which receiving one rounds to a narrower typmod."""
    copypump.register_type("timestamp", pa.binary())
    sql(pair.src, "CREATE TABLE t (a timestamp); INSERT INTO t VALUES ('2020-01-01 00:00:00.6')")
    sql(pair.dst, "CREATE TABLE t (a timestamp(0))")
    for transform in (None, lambda batch: batch):
        with pytest.raises(RefusedError, match="no lossless way"):
            copypump.pump(pair.src, pair.dst, table="t", transform=transform)
    sql(pair.dst, "ALTER TABLE t ALTER a TYPE timestamp")
    copypump.pump(
        pair.src, pair.dst, table="t", transform=lambda batch: batch.filter(pc.is_valid(batch["a"]))
    )
    assert sql(pair.dst, "SELECT a::text FROM t") == [("2020-01-01 00:00:00.6",)]
