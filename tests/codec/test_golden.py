"""golden.toml is what servers send today, names every row of the type table, and means what they say it does."""

from __future__ import annotations

import pytest

from copypump.codec import types
from copypump.codec.spelling import ANY_STRUCT
from copypump.codec.types import FAMILIES, TYPES, Kernel
from tests.codec import golden
from tests.codec import reference_decoder as reference
from tests.codec.server_text import server_text
from tests.conftest import Server

GOLDEN = golden.load()


def test_every_row_and_family_has_golden_bytes() -> None:
    rows = {types.pg_type(case.column).name for case in GOLDEN}
    assert {row.name for row in TYPES} - rows == golden.UNSENT
    assert {row.name for row in FAMILIES} <= rows
    assert {types.pg_type(case.column).kernel for case in GOLDEN} == set(Kernel)
    assert len({case.column.declared for case in GOLDEN}) == len(GOLDEN) > 100
    assert all(case.wire for case in GOLDEN)


def test_the_distributions_server_makes_the_same_file(pg15: Server) -> None:
    with pg15.fresh_database() as name:
        assert golden.make(pg15.dsn(name)) == golden.FILE.read_text()


@pytest.mark.parametrize("server", ["pg16", "pg18"])
def test_a_server_with_pgvector_makes_the_same_file(server: str, request: pytest.FixtureRequest) -> None:
    running: Server = request.getfixturevalue(server)
    with running.fresh_database() as name:
        made = golden.make(running.dsn(name), golden.OF_PGVECTOR)
    assert len(golden.parse(made)) == len(golden.OF_PGVECTOR)
    assert made == golden.PGVECTOR_FILE.read_text()


# What the wheel's servers are built without: contrib modules and libxml.
NOT_IN_THE_WHEEL = {
    "xml",
    *(f"golden.{name}" for name in ("citext", "hstore", "ltree", "lquery", "cube", "citext[]", "hstore[]")),
}


@pytest.mark.parametrize("server", ["pg16", "pg18"])
def test_other_majors_send_the_same(server: str, request: pytest.FixtureRequest) -> None:
    running: Server = request.getfixturevalue(server)
    with running.fresh_database() as name:
        made = {str(case): case for case in golden.parse(golden.make(running.dsn(name)))}
    filed = {str(case): case for case in GOLDEN}
    assert filed.keys() - made.keys() == NOT_IN_THE_WHEEL
    assert made == {name: case for name, case in filed.items() if name not in NOT_IN_THE_WHEEL}


# Values of the file that have no place in their column's usual Arrow type, by declared type.
UNREPRESENTABLE = {
    "time": 1,
    "timestamp": 2,
    "timestamptz": 1,
    "timetz": 1,
    "numeric(15,2)": 1,
    "int4[]": 8,
    "oid[]": 1,
    "int2[]": 1,
    "text[]": 1,
    "golden.vector[]": 1,
}


@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_the_reference_reads_what_the_server_says(case: golden.Golden) -> None:
    usual = types.arrow_type(case.column)
    refused = 0
    for text, wire in zip(case.texts, case.wire, strict=True):
        try:
            value = reference.value(case.column, usual, wire)
        except reference.UnrepresentableError:
            refused += 1
            continue
        if "arrow.opaque" not in str(usual):
            assert server_text(case.column, usual, value) == text
        elif types.kernel(case.column, usual) == Kernel.BYTES:
            assert value == wire
    assert refused == UNREPRESENTABLE.get(case.column.declared, 0)


@pytest.mark.parametrize(
    "case", [case for case in GOLDEN if types.pg_type(case.column).kernel == Kernel.ARRAY], ids=str
)
def test_every_array_is_read_as_a_struct(case: golden.Golden) -> None:
    struct = types.arrow_type(case.column, ANY_STRUCT)
    for text, wire in zip(case.texts, case.wire, strict=True):
        value = reference.value(case.column, struct, wire)
        if "arrow.opaque" not in str(struct):
            assert server_text(case.column, struct, value) == text


def test_oids_of_users_types_are_numbered_wherever_they_stand() -> None:
    [case] = [case for case in GOLDEN if case.column.declared == "golden.outer"]
    kind = case.column.type
    assert any(part.oid >= 0x80000000 for part in kind.parts)
    for wire in case.wire:
        assert golden.renumber(kind, wire) == wire
        assert wire.count(kind.parts[2].oid.to_bytes(4, "big")) == 1
