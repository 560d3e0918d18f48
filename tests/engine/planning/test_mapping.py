"""Which bytes may pass as they are, and which column lands where; no server in here."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from copypump.codec.column import Column, ServerType
from copypump.codec.types import INTERVAL, TYPES, arrow_type, opaque
from copypump.codec.typmod import widens
from copypump.engine.planning.mapping import Hidden, Mapping, Value, Wire, make_mapping, same_values
from copypump.errors import RefusedError

BUILTIN = {row.name: row.oid for row in TYPES} | {
    "point": 600, "bit": 1560, "timetz": 1266, "inet": 869, "_int4": 1007, "_text": 1009, "int4range": 3904,
}  # fmt: skip


def builtin(name: str) -> ServerType:
    return ServerType(BUILTIN[name], "pg_catalog", name, is_array=name.startswith("_"))


def column(type_: ServerType | str, typmod: int = -1, name: str = "c", **more: Any) -> Column:
    type_ = builtin(type_) if isinstance(type_, str) else type_
    return Column(name, type_, typmod, f"{type_.name} as declared", **more)


def numeric(precision: int, scale: int) -> int:
    return ((precision << 16) | (scale & 0x7FF)) + 4


def characters(number: int) -> int:
    return number + 4


def domain(base: ServerType | str, typmod: int = -1, oid: int = 20000) -> ServerType:
    base = builtin(base) if isinstance(base, str) else base
    return ServerType(oid, "public", "checked", "d", parts=(base,), typmod=typmod)


def enum(*labels: str, oid: int = 21000, name: str = "mood") -> ServerType:
    return ServerType(oid, "public", name, "e", names=labels)


def array(element: ServerType, oid: int = 22000, name: str = "") -> ServerType:
    return ServerType(oid, "public", name or f"_{element.name}", parts=(element,), is_array=True)


def composite(
    *parts: ServerType,
    names: tuple[str, ...] = ("a", "b"),
    oid: int = 23000,
    typmods: tuple[int, ...] = (),
    schema: str = "public",
) -> ServerType:
    return ServerType(
        oid, schema, "pair", "c", parts=parts, names=names[: len(parts)], part_typmods=typmods or (-1,) * len(parts)
    )  # fmt: skip


def span(subtype: ServerType, oid: int = 24000, name: str = "span") -> ServerType:
    return ServerType(oid, "public", name, "r", parts=(subtype,))


def many(part: ServerType, oid: int = 25000, name: str = "spans") -> ServerType:
    return ServerType(oid, "public", name, "m", parts=(part,))


# widens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source", "target", "holds"),
    [
        ("int4", -1, -1, True),
        ("varchar", characters(5), -1, True),
        ("varchar", characters(5), characters(5), True),
        ("varchar", characters(5), characters(6), True),
        ("varchar", characters(6), characters(5), False),  # trailing blanks would be cut without a word
        ("varchar", -1, characters(5), False),
        ("bpchar", characters(5), characters(6), True),
        ("bit", 5, 5, True),
        ("bit", 5, 6, False),
        ("varbit", 5, 6, True),
        ("numeric", numeric(4, 1), numeric(8, 2), True),
        ("numeric", numeric(4, 1), numeric(4, 2), False),  # 999.9 has no place in it
        ("numeric", numeric(4, 2), numeric(8, 1), False),
        ("numeric", numeric(4, -2), numeric(6, 0), True),
        ("numeric", numeric(6, 0), numeric(4, -2), False),
        ("numeric", -1, numeric(1000, 500), False),
        ("timestamp", 0, 3, True),
        ("timestamptz", 3, 0, False),
        ("timestamp", -1, 3, False),
        ("timestamp", -1, 6, True),  # six digits are all there are
        ("timetz", -1, 6, True),
        ("time", 6, -1, True),
        ("interval", -1, 0x7FFF_0000, False),
        ("interval", 0x7FFF_0000, -1, True),
        ("vector", 3, 4, False),
        ("halfvec", 3, 4, False),  # nothing is known of its typmods
    ],
)
def test_widens(name: str, source: int, target: int, holds: bool) -> None:
    assert widens(name, source, target) is holds


# same_values ----------------------------------------------------------------------------------------------

SAME = [
    (column("int4"), column("int4")),
    (column("varchar", characters(5)), column("varchar", characters(9))),
    (column("varchar", characters(5)), column("text")),
    (column("text"), column("varchar")),
    (column("name"), column("text")),
    (column("bpchar", characters(5)), column("varchar")),
    (column("json"), column("text")),
    (column("point"), column("point")),
    (column("_int4"), column("_int4")),
    (column("int4range"), column("int4range")),
    (column(domain("int4")), column("int4")),
    (column("int4"), column(domain("int4"))),
    (column(domain("varchar", characters(5))), column("varchar", characters(5))),
    (column(domain(domain("varchar", characters(5)), oid=20001)), column("varchar", characters(5))),
    (column(enum("sad", "happy")), column(enum("sad", "happy", oid=30000))),
    (column(enum("sad", "happy")), column(enum("new", "happy", "sad"))),  # their order is not on the wire
    (column(domain(enum("sad"))), column(enum("sad", oid=30000))),
    # Oids of user-defined types stand on the wire: they will be rewritten.
    (column(array(enum("sad"))), column(array(enum("sad"), oid=40000))),
    (column(array(enum("sad"))), column(array(enum("sad", oid=30000), oid=40000, name="__mood"))),
    (column(array(domain("int4"))), column(array(builtin("int4"), oid=1007))),
    (column(array(builtin("int4"), oid=1007)), column(array(domain("int4")))),
    (column(composite(enum("sad"), builtin("int4"))), column(composite(enum("sad", oid=30000), builtin("int4"), oid=9**6))),
    (column(composite(builtin("text"))), column(composite(builtin("text"), oid=40000))),
    (column(composite(domain("text"))), column(composite(builtin("text")))),
    (column(composite(builtin("numeric"), typmods=(numeric(4, 1),))), column(composite(builtin("numeric"), typmods=(numeric(6, 2),)))),
    (column(array(builtin("varchar"), oid=1015), characters(5)), column(array(builtin("varchar"), oid=1015), characters(6))),
    (column(span(enum("sad"))), column(span(enum("sad", oid=30000), oid=40000))),
    (column(many(span(enum("sad")))), column(many(span(enum("sad", oid=30000)), oid=40000, name="other"))),
    # The oids of a server's own catalog differ between versions from 10000 on.
    (column(composite(builtin("int4"), oid=11111)), column(composite(builtin("int4"), oid=11112))),
    (column(ServerType(50000, "public", "vector"), 3), column(ServerType(60000, "extensions", "vector"), 3)),
]  # fmt: skip

OTHER = [
    (column("int4"), column("int8")),
    (column("int8"), column("oid")),
    (column("varchar", characters(9)), column("varchar", characters(5))),
    (column("text"), column("varchar", characters(5))),
    (column("text"), column("bpchar")),
    (column("text"), column("name")),
    (column("text"), column("json")),
    (column("jsonb"), column("text")),  # its version byte
    (column("bytea"), column("text")),
    (column("point"), column("text")),
    (column("_int4"), column("_text")),
    (column("varchar", characters(5)), column(domain("varchar", characters(4)))),
    (column(domain("varchar", characters(5))), column("varchar", characters(4))),
    (column(domain("numeric")), column("numeric", numeric(10, 2))),
    (column(enum("sad", "happy")), column(enum("happy", "new"))),
    (column(enum("sad")), column(enum("sad", name="temper"))),
    (column(enum("sad")), column("text")),
    (column(array(enum("sad"))), column(array(enum("glad")))),
    (column(array(enum("sad"))), column(array(enum("sad", name="temper")))),
    (column(array(enum("sad"))), column(enum("sad"))),
    (column(array(array(enum("sad")))), column(array(enum("sad")))),
    (column(array(builtin("varchar"), oid=1015)), column(array(builtin("text"), oid=1009))),
    (column(composite(enum("sad"))), column(composite(enum("glad", oid=30000)))),
    (column(span(enum("sad"))), column(span(enum("glad")))),
    (column(span(enum("sad"))), column(span(enum("sad"), name="other"))),
    (column(many(span(enum("sad")))), column(span(enum("sad")))),
    (column(composite(builtin("int4"), oid=83)), column(composite(builtin("int4"), builtin("int4"), oid=83))),
    # Typmods within: receiving rounds to them without a word.
    (
        column(array(builtin("varchar"), oid=1015), characters(6)),
        column(array(builtin("varchar"), oid=1015), characters(5)),
    ),
    (column(array(builtin("numeric"), oid=1231)), column(array(builtin("numeric"), oid=1231), numeric(4, 1))),
    (
        column(composite(builtin("numeric"), typmods=(numeric(10, 4),))),
        column(composite(builtin("numeric"), typmods=(numeric(10, 2),))),
    ),
    (column(composite(builtin("numeric"))), column(composite(builtin("numeric"), typmods=(numeric(10, 2),)))),
    (
        column(array(composite(builtin("numeric")))),
        column(array(composite(builtin("numeric"), typmods=(numeric(10, 2),)))),
    ),
    (
        column(composite(domain("numeric", numeric(10, 4)))),
        column(composite(domain("numeric", numeric(10, 2)))),
    ),
    (column(span(domain("numeric"))), column(span(domain("numeric", numeric(10, 2))))),
    (column(many(span(domain("numeric")))), column(many(span(domain("numeric", numeric(10, 2)))))),
    (column(array(domain("varchar", characters(6)))), column(array(domain("varchar", characters(5))))),
    (
        column(domain(array(builtin("varchar"), oid=1015), characters(6))),
        column(domain(array(builtin("varchar"), oid=1015), characters(5))),
    ),
    (column(composite(builtin("int4"))), column(composite(builtin("int8")))),
    (column(composite(builtin("int4"))), column(composite(builtin("int4"), builtin("int4")))),
    (column(composite(builtin("int4"))), column(composite(builtin("int4"), names=("x",)))),
    (column(ServerType(50000, "public", "vector"), 3), column(ServerType(60000, "public", "vector"), 4)),
    (column(ServerType(50000, "public", "vector")), column(ServerType(50000, "public", "halfvec"))),
]


@pytest.mark.parametrize(("source", "target"), SAME, ids=lambda c: c.type.name)
def test_bytes_that_pass(source: Column, target: Column) -> None:
    assert same_values(source, target)


@pytest.mark.parametrize(("source", "target"), OTHER, ids=lambda c: c.type.name)
def test_bytes_that_must_be_checked(source: Column, target: Column) -> None:
    assert not same_values(source, target)


# make_mapping ---------------------------------------------------------------------------------------------

PEOPLE = (column("int8", name="id"), column("text", name="name"), column("int4", name="age"))


def mapped(
    target: tuple[Column, ...],
    *,
    stream: tuple[Column, ...] = PEOPLE,
    reads: tuple[int, ...] = (),
    output: dict[str, pa.DataType] | None = None,
) -> Mapping:
    """A mapping from `stream`, of which a transform reads `reads` and returns `output`."""
    return make_mapping(
        stream,
        [arrow_type(c) for c in stream],
        [i for i in range(len(stream)) if i not in reads],
        [pa.field(name, type_) for name, type_ in (output or {}).items()],
        target,
        "public.t",
    )


def ways(mapping: Mapping) -> dict[str, Any]:
    return {m.column.name: m.origin for m in mapping.mapped}


def refusal(*args: Any, **options: Any) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        mapped(*args, **options)
    assert error.value.table == "public.t"
    return error.value


def test_the_same_columns_go_through_whole_whatever_their_order_there() -> None:
    for target in (PEOPLE, PEOPLE[::-1]):
        mapping = mapped(target)
        assert ways(mapping) == {"id": Wire(0), "name": Wire(1), "age": Wire(2)}
        assert [m.type for m in mapping.mapped] == [None] * 3
        assert mapping.is_forward(3)
        assert not mapping.is_forward(4)
        assert (mapping.generated, mapping.defaulted) == ((), ())


def test_another_type_is_decoded_by_us_alone() -> None:
    narrow = tuple(
        column(*args) for args in (("int4", -1, "id"), ("varchar", 13, "name"), ("numeric", -1, "age"))
    )
    mapping = mapped(narrow)
    assert ways(mapping) == {
        "id": Hidden(0, pa.int64()),
        "name": Hidden(1, pa.utf8()),
        "age": Hidden(2, pa.int32()),
    }
    assert [m.type for m in mapping.mapped] == [pa.int32(), pa.utf8(), pa.decimal128(19, 0)]
    assert not mapping.is_forward(3)


def test_what_the_transform_makes_is_matched_by_name() -> None:
    target = (*PEOPLE, column("float8", name="tax"))
    output = {"tax": pa.float32(), "age": pa.int64()}
    mapping = mapped(target, reads=(2,), output=output)
    assert ways(mapping) == {
        "id": Wire(0),
        "name": Wire(1),
        "age": Value("age", pa.int64()),
        "tax": Value("tax", pa.float32()),
    }
    assert [m.type for m in mapping.mapped] == [None, None, pa.int32(), pa.float64()]
    # An unread column of that name gives way; one that is read and not returned is dropped.
    assert ways(mapped(target, output=output))["age"] == Value("age", pa.int64())
    assert list(ways(mapped(target, reads=(0, 2), output=output))) == ["name", "age", "tax"]


def test_new_columns_follow_those_of_the_stream() -> None:
    target = (column("text", name="new"), *PEOPLE)
    mapping = mapped(target, reads=(0, 1, 2), output={"new": pa.utf8(), "age": pa.int32(), "id": pa.int64()})
    assert list(ways(mapping)) == ["id", "age", "new"]
    assert mapping.defaulted == ("name",)


def test_columns_that_the_target_generates_are_left_out() -> None:
    target = (PEOPLE[0], PEOPLE[1], column("int4", name="age", generated=True))
    assert mapped(target).generated == ("age",)
    assert list(ways(mapped(target))) == ["id", "name"]
    assert mapped(target, reads=(2,), output={"age": pa.bool_()}).generated == ("age",)
    assert mapped(target, stream=PEOPLE[:2]).generated == ()  # it was not sent in the first place
    everything = tuple(column("int4", name=c.name, generated=True) for c in PEOPLE)
    assert "no column is left" in str(refusal(everything))


def test_columns_that_nothing_is_sent_for() -> None:
    target = (
        *PEOPLE,
        column("date", name="born"),
        column("int4", name="serial", not_null=True, has_default=True),
        column("int4", name="identity", not_null=True, identity="a"),
    )
    assert mapped(target).defaulted == ("born", "serial", "identity")
    error = refusal((*PEOPLE, column("date", name="born", not_null=True)))
    assert error.column == "born"
    assert "NOT NULL" in str(error)


def test_a_column_that_the_target_lacks_names_near_ones() -> None:
    error = refusal((PEOPLE[0], PEOPLE[1], column("int4", name="ages")))
    assert error.column == "age"
    assert "near names: ages" in str(error)
    assert "near names" not in str(refusal((column("int4", name="when"),), stream=PEOPLE[2:]))


@pytest.mark.parametrize(
    ("source", "target", "offered"),
    [
        ("text", "int4", pa.utf8()),
        ("int4", "text", pa.int32()),
        ("float8", "int4", pa.float64()),
        ("float8", "float4", pa.float64()),
        ("timestamp", "timestamptz", pa.timestamp("us")),
        ("timestamptz", "date", pa.timestamp("us", "UTC")),
        ("interval", "int8", INTERVAL),
    ],
)
def test_without_a_lossless_way_both_types_are_named(source: str, target: str, offered: pa.DataType) -> None:
    stream, landing = (column(source),), (column(target),)
    for error in (
        refusal(landing, stream=stream),
        refusal(landing, stream=stream, reads=(0,), output={"c": offered}),
    ):
        assert error.column == "c"
        assert f"{source} as declared" in str(error)
        assert f"{target} as declared" in str(error)
        assert error.hint


def test_a_new_column_without_a_lossless_way() -> None:
    error = refusal((column("int4", name="new"),), reads=(0, 1, 2), output={"new": pa.float64()})
    assert str(error).endswith("double has no lossless way to int4 as declared")


def test_opaque_bytes_land_only_where_their_own_type_is() -> None:
    point, offered = builtin("point"), opaque(builtin("point"))
    stream = (column(point), column("inet", name="i"))
    both = (column(point), column("inet", name="i"), column(point, name="copy"))
    mapping = mapped(both, stream=stream, reads=(0, 1), output={"copy": offered})
    assert ways(mapping) == {"copy": Value("copy", offered)}  # renamed by the transform
    assert [m.type for m in mapping.mapped] == [pa.binary()]
    for landing in ("inet", "text"):
        assert refusal((column(landing),), stream=(column(point),)).column == "c"
        assert refusal((column(landing),), stream=stream, reads=(0, 1), output={"c": offered}).column == "c"
    # Its name alone does not make it that type: the values come from nowhere.
    assert refusal((column(point),), stream=PEOPLE, reads=(0, 1, 2), output={"c": offered}).column == "c"


@pytest.mark.parametrize("storage", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_opaque_bytes_are_known_in_any_storage(storage: pa.DataType) -> None:
    offered = pa.opaque(storage, "point", "PostgreSQL")
    stream = (column("point"),)
    assert mapped(stream, stream=stream, reads=(0,), output={"c": offered}).mapped[0].type == pa.binary()
    assert refusal((column("inet"),), stream=stream, reads=(0,), output={"c": offered}).column == "c"


def test_opaque_bytes_of_a_stream_land_where_every_server_means_the_same() -> None:
    def land(target: Column, offered: pa.DataType) -> Mapping:
        return make_mapping((), (), (), [pa.field("c", offered)], (target,), "public.t")

    for name in ("point", "_int4", "int4range"):
        assert land(column(name), opaque(builtin(name))).mapped[0].type == pa.binary()
    assert land(column(domain("point")), opaque(builtin("point"))).mapped
    mood = enum("sad")
    for target, offered in (
        (column("inet"), opaque(builtin("point"))),
        (column("timetz", 0), opaque(builtin("timetz"))),  # the server would round
        (column(array(mood)), opaque(array(mood))),
    ):
        with pytest.raises(RefusedError, match="no lossless way"):
            land(target, offered)


# Oids within ----------------------------------------------------------------------------------------------

HERE, THERE = array(enum("sad")), array(enum("sad", oid=30000), oid=31000)
ELSEWHERE = array(enum("sad", oid=40000), oid=41000)


def opaquely(
    target: tuple[Column, ...], *, stream: tuple[Column, ...], output: dict[str, pa.DataType]
) -> Mapping:
    """A mapping from `stream`, all of which the transform reads as opaque bytes."""
    return make_mapping(
        stream, [opaque(c.type) for c in stream], (), [pa.field(*pair) for pair in output.items()], target, "public.t"
    )  # fmt: skip


def rewritten(mapping: Mapping) -> dict[int, int]:
    """By source column, the oid of the array type whose element's oid its values get."""
    return {walked.index: walked.target.oid for walked in mapping.rewritten}


def test_bytes_that_nobody_reads_get_the_targets_oids() -> None:
    mapping = mapped(
        (column(THERE), column("int4", name="d")), stream=(column(HERE), column("int4", name="d"))
    )
    assert ways(mapping) == {"c": Wire(0), "d": Wire(1)}
    assert rewritten(mapping) == {0: THERE.oid}
    assert mapping.is_forward(2)
    assert rewritten(mapped((column(HERE),), stream=(column(HERE),))) == {}
    # The target makes it itself, or the transform gives the column: none of its bytes go on.
    generated = (column(THERE, generated=True), column("int4", name="d"))
    assert rewritten(mapped(generated, stream=(column(HERE), column("int4", name="d")))) == {}
    assert rewritten(mapped((column(THERE),), stream=(column(HERE),), output={"c": pa.null()})) == {}


def test_values_that_are_decoded_keep_the_sources_oids() -> None:
    narrow = composite(builtin("numeric"), enum("sad", oid=30000), typmods=(numeric(4, 1), -1))
    stream = (column(composite(builtin("numeric"), enum("sad"))),)
    assert not same_values(stream[0], column(narrow))


def test_opaque_bytes_get_the_oids_of_where_they_land() -> None:
    stream, offered = (column(HERE), column(HERE, name="other")), opaque(HERE)
    mapping = opaquely((column(THERE),), stream=stream, output={"c": offered})
    # The transform may have taken them from either.
    assert rewritten(mapping) == {0: THERE.oid, 1: THERE.oid}
    renamed = opaquely((column(THERE, name="new"),), stream=stream, output={"new": offered})
    assert rewritten(renamed) == {0: THERE.oid, 1: THERE.oid}
    assert rewritten(opaquely((column("int4", name="n"),), stream=stream, output={"n": pa.int32()})) == {}


def test_one_columns_bytes_in_two_columns() -> None:
    stream, output = (column(HERE),), {"a": opaque(HERE), "b": opaque(HERE)}
    both = (column(THERE, name="a"), column(THERE, name="b"))
    assert rewritten(opaquely(both, stream=stream, output=output)) == {0: THERE.oid}
    for other in (HERE, ELSEWHERE):  # types of one name in two schemas
        for target in (both[0], column(other, name="b")), (column(other, name="a"), both[1]):
            with pytest.raises(RefusedError, match="other oids within") as error:
                opaquely(target, stream=stream, output=output)
            assert error.value.column == "b"
            assert error.value.hint


def test_two_columns_bytes_of_one_name_in_one() -> None:
    stream = (column(HERE), column(ELSEWHERE, name="d"))
    mapping = opaquely((column(THERE),), stream=stream, output={"c": opaque(HERE)})
    assert rewritten(mapping) == {0: THERE.oid, 1: THERE.oid}
    # One of them does not fit: whose bytes they are cannot be told.
    stream = (column(HERE), column(array(enum("glad")), name="d"))
    with pytest.raises(RefusedError):
        opaquely((column(THERE),), stream=stream, output={"c": opaque(HERE)})


def test_labels_that_the_target_lacks_are_named() -> None:
    mine = composite(builtin("int4"), array(domain(enum("sad", "it's", "ok"))))
    theirs = composite(builtin("int4"), array(domain(enum("ok", oid=30000))))
    for source, target in ((mine, theirs), (span(mine), span(theirs)), (mine.parts[1], theirs.parts[1])):
        for error in (
            refusal((column(target),), stream=(column(source),)),
            refusal((column(target),), stream=(column(source),), reads=(0,), output={"c": opaque(source)}),
        ):
            assert error.column == "c"
        assert "'sad', 'it''s'" in str(refusal((column(target),), stream=(column(source),)))
        hint = refusal((column(target),), stream=(column(source),)).hint
        assert "ALTER TYPE public.mood ADD VALUE 'it''s'" in str(hint)


# Plain binary ---------------------------------------------------------------------------------------------


def test_plain_binary_lands_where_the_server_would_not_round_it() -> None:
    halfvec = ServerType(50000, "public", "halfvec")

    def land(source: Column, target: Column) -> Mapping:
        return opaquely((target,), stream=(source,), output={"c": pa.binary()})

    assert land(column("point"), column("point")).mapped[0].type == pa.binary()
    assert land(column(halfvec, 3), column(halfvec, 3)).mapped[0].type == pa.binary()
    assert land(column(halfvec, 3), column(halfvec)).mapped
    with pytest.raises(RefusedError, match="no lossless way"):
        land(column(halfvec), column(halfvec, 3))
    with pytest.raises(RefusedError, match="no lossless way"):
        mapped((column(halfvec, 3),), output={"c": pa.binary()}, reads=(0, 1, 2))


def test_lists_of_floats_land_in_vectors() -> None:
    vector = ServerType(50000, "public", "vector")
    for source, target in ((3, 3), (3, -1), (-1, 3)):
        mapping = mapped((column(vector, target),), stream=(column(vector, source),), reads=(0,),
                         output={"c": arrow_type(column(vector, source))})  # fmt: skip
        [taken] = mapping.mapped
        assert taken.type is not None
        assert pa.types.is_list(taken.type)
    for refused in (pa.list_(pa.float64()), pa.list_(pa.float32(), 4)):
        with pytest.raises(RefusedError, match="no lossless way"):
            mapped((column(vector, 3),), output={"c": refused}, reads=(0, 1, 2))


def test_plain_binary_of_a_type_of_others_lands_where_each_of_its_columns_may() -> None:
    shape = ServerType(30000, "public", "shape")
    stream = (column(shape, 7), column(shape, 7, "d"))
    for more, fits in (((), True), ((column(shape, -1, "e"),), False)):
        columns = (*stream, *more)
        options: Any = {"reads": tuple(range(len(columns))), "output": {"c": pa.binary()}}
        if fits:
            assert mapped((column(shape, 7),), stream=columns, **options).mapped[0].type == pa.binary()
        else:
            assert refusal((column(shape, 7),), stream=columns, **options).column == "c"
    assert refusal((column(shape, 7),), reads=(0, 1, 2), output={"c": pa.binary()}).column == "c"


def test_bytes_reach_bytea_by_a_transform_only() -> None:
    target = (column("bytea"),)
    assert refusal(target, stream=(column("point"),))
    assert mapped(target, stream=(column("point"),), reads=(0,), output={"c": pa.binary()}).mapped


def test_two_columns_of_one_name() -> None:
    with pytest.raises(RefusedError, match="two columns") as error:
        make_mapping((), (), (), [pa.field("id", pa.int64()), pa.field("id", pa.int64())], PEOPLE, "public.t")
    assert error.value.column == "id"


def test_the_null_type_lands_anywhere() -> None:
    for name in BUILTIN:
        mapping = mapped((column(name),), reads=(0, 1, 2), output={"c": pa.null()})
        assert mapping.mapped[0].type is not None
