"""Oids within values become the target's: against golden bytes, servers, and the plain reference."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from copypump.codec import _rewrite
from copypump.codec.column import Column, ServerType
from copypump.codec.framing import Block, Framer
from copypump.codec.rewrite import INTERVAL_OID, Rewriter, Walked
from copypump.errors import CastError, DecodeError, Side
from copypump.postgres.query import describe_query
from copypump.postgres.session import Session
from tests.codec import golden_rewrite
from tests.codec.reference_rewrite import BrokenError, InfiniteError, rewritten, work
from tests.codec.streams import blocks, stream
from tests.conftest import Pair
from tests.engine.conftest import wire
from tests.servers import sql

GOLDEN = golden_rewrite.load()
INT4, TEXT, NUMERIC = (
    ServerType(oid, "pg_catalog", name) for oid, name in ((23, "int4"), (25, "text"), (1700, "numeric"))
)
INTERVAL = ServerType(INTERVAL_OID, "pg_catalog", "interval")

_oids = iter(range(16384, 1 << 32))


def own(kind: str, *parts: ServerType, oid: int | None = None, **more: Any) -> ServerType:
    """A user's type; "a" is an array."""
    names = tuple(f"f{at}" for at in range(len(parts))) if kind == "c" else ()
    real = "b" if kind == "a" else kind
    return ServerType(oid or next(_oids), "public", "own", real, parts, names, is_array=kind == "a", **more)


def moved(source: ServerType, by: Callable[[int], int]) -> ServerType:
    """The same type on another server."""
    oid = source.oid if source.is_builtin else by(source.oid)
    return replace(source, oid=oid, parts=tuple(moved(part, by) for part in source.parts))


def column(type_: ServerType) -> Column:
    return Column("c", type_, -1, "own.type")


def rewrite(
    fields: list[bytes | None], source: ServerType, target: ServerType, *, finite: bool = False
) -> list[bytes | None]:
    """Rewrite a column of one stream, between two that nobody touches."""
    neighbour = b"\0\0\0\x17"
    made = Rewriter([Walked(1, column(source), target)], finite=finite)
    rows = [[neighbour, field, None] for field in fields]
    found: list[bytes | None] = []
    for block in blocks([stream(rows)], 3, batch_rows=3):
        made.rewrite(block)
        framed = Framer(3, positions=True, batch_rows=1000)
        [again] = framed.feed(stream([])[:-2] + bytes(block.data[block.start : block.end]))
        for row in range(again.rows):
            first, field, last = (_field(again, at, row) for at in range(3))
            assert (first, last) == (neighbour, None)
            found.append(field)
    return found


def _field(block: Block, at: int, row: int) -> bytes | None:
    assert block.positions is not None
    place = memoryview(block.positions).cast("B").cast("i")[at * block.stride + row]
    if place < 0:
        return None
    start = block.start + place
    length = int.from_bytes(block.data[start - 4 : start], "big")
    return bytes(block.data[start : start + length])


# Golden bytes ---------------------------------------------------------------------------------------------


def golden_types(shift: int) -> dict[str, ServerType]:
    """The types of golden_rewrite.SETUP, as a server with these oids describes them."""
    oids = iter(range(20000 + shift, 30000 + shift))

    def put(name: str, kind: str, *parts: ServerType, names: tuple[str, ...] = ()) -> ServerType:
        real = "b" if kind == "a" else kind
        return ServerType(next(oids), "public", name, real, parts, names, is_array=kind == "a")

    mood = put("mood", "e", names=("sad", "ok"))
    array_of_mood = put("_mood", "a", mood)
    feeling, moods = put("feeling", "d", mood), put("moods", "d", array_of_mood)
    pair = put("pair", "c", INT4, mood, names=("a", "m"))
    span, pairspan = put("span", "r", mood), put("pairspan", "r", pair)
    spans, pairspans = put("spans", "m", span), put("pairspans", "m", pairspan)
    return {
        "mood": mood,
        "mood[]": array_of_mood,
        "_mood": array_of_mood,
        "feeling": feeling,
        "feeling[]": put("_feeling", "a", feeling),
        "moods": moods,
        "moods[]": put("_moods", "a", moods),
        "pair": pair,
        "pairs": put("pairs", "d", put("_pair", "a", pair)),
        "deep": put("deep", "c", pair, array_of_mood, moods, TEXT, names=("p", "many", "d", "n")),
        "span": span,
        "span[]": put("_span", "a", span),
        "spans": spans,
        "pairspan": pairspan,
        "pairspans": pairspans,
        "pairspans[]": put("_pairspans", "a", pairspans),
        "holder": put("holder", "c", span, spans, pairspan, names=("s", "ss", "p")),
        "wide": put("wide", "c", INT4, feeling, NUMERIC, names=("a", "m", "n")),
    }


def filled(template: str, oids: Callable[[str], int]) -> bytes:
    return bytes.fromhex(re.sub(r"\{(\w+)\}", lambda found: f"{oids(found[1]):08x}", template))


@pytest.mark.parametrize(("declared", "value", "template"), GOLDEN, ids=[f"{d} {v}" for d, v, _ in GOLDEN])
def test_golden_bytes(declared: str, value: str, template: str) -> None:
    mine, theirs = golden_types(0), golden_types(777)
    before, after = (filled(template, lambda name: types[name].oid) for types in (mine, theirs))  # noqa: B023
    source, target = mine[declared], theirs[declared]
    assert source.same_wire(target)
    assert rewrite([before, None, before], source, target) == [after, None, after]
    assert rewritten(before, source, target) == after
    assert source.same_oids(target) == (not work(source, target, False))


def test_golden_bytes_are_what_servers_send(same_server_pair: Pair) -> None:
    """And rewritten they are what the other database sends for the same values."""
    assert GOLDEN
    pair = same_server_pair
    sql(pair.dst, "CREATE TYPE other AS ENUM ('x')")  # moves the oids apart
    names = list(golden_rewrite.OWN)
    oids = []
    for dsn in pair:
        sql(dsn, golden_rewrite.SETUP)
        oids.append(dict(sql(dsn, "SELECT typname, oid FROM pg_type WHERE typname = ANY (%s)", [names])))
    assert all(oids[0][name] != oids[1][name] for name in names)
    sessions = [Session(dsn, side) for dsn, side in zip(pair, Side, strict=True)]
    with sessions[0] as source, sessions[1] as target:
        source.begin_source()
        target.begin_target()
        for declared, value, template in GOLDEN:
            literal = "'" + value.replace("'", "''") + f"'::{declared}"
            [here], [there] = (describe_query(each, f"SELECT {literal} AS v") for each in (source, target))
            sent, expected = (_sent(dsn, literal) for dsn in pair)
            assert sent == filled(template, oids[0].__getitem__)
            assert rewrite([sent], here.type, there.type) == [expected], (declared, value)


def _sent(dsn: str, expression: str) -> bytes:
    """One value as COPY BINARY sends it."""
    return wire(dsn, f"SELECT {expression}")[25:-2]


# Any type -------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from((INT4, TEXT, INTERVAL))


def _nested(inner: st.SearchStrategy[ServerType]) -> st.SearchStrategy[ServerType]:
    return st.one_of(
        inner.map(lambda part: own("a", part)),
        inner.map(lambda part: own("d", part)),
        st.lists(inner, max_size=4).map(lambda parts: own("c", *parts)),
        inner.map(lambda part: own("r", part)),
        inner.map(lambda part: own("m", own("r", part))),
    )


TYPES = st.recursive(LEAVES | st.builds(lambda: own("e")), _nested, max_leaves=8)


def word(number: int) -> bytes:
    return struct.pack(">i", number)


def sized(value: bytes | None) -> bytes:
    return word(-1) if value is None else word(len(value)) + value


def values(type_: ServerType, draw: random.Random) -> bytes:
    """Any value of the type, as its server sends it."""
    type_ = type_.base

    def part(at: int, *, nullable: bool = True) -> bytes:
        null = nullable and draw.random() < 0.2
        return sized(None if null else values(type_.parts[at], draw))

    if type_.is_array:
        sizes = draw.choice(([], [1], [3], [2, 2], [0], [1, 2, 1]))
        items = 1
        for size in sizes:
            items *= size
        head = word(len(sizes)) + word(draw.randrange(2)) + struct.pack(">I", type_.parts[0].oid)
        head += b"".join(word(size) + word(draw.randrange(-3, 3)) for size in sizes)
        return head + b"".join(part(0) for _ in range(items if sizes else 0))
    if type_.kind == "c":
        oids = [struct.pack(">I", each.oid) for each in type_.parts]
        return word(len(oids)) + b"".join(oid + part(at) for at, oid in enumerate(oids))
    if type_.kind == "r":
        flags = draw.choice((0x01, 0x02, 0x04, 0x06, 0x08, 0x10, 0x18, 0x0C))
        bounds = [part(0, nullable=False) for end in (0x08, 0x10) if not flags & (0x01 | end)]
        return bytes([flags]) + b"".join(bounds)
    if type_.kind == "m":
        count = draw.randrange(3)
        return word(count) + b"".join(part(0, nullable=False) for _ in range(count))
    if type_.oid == INTERVAL_OID:
        return draw.randbytes(16)
    return draw.randbytes(draw.randrange(6))


def elsewhere(source: ServerType, draw: random.Random) -> ServerType:
    """The type on another server, where each of its oids may be another one or not."""
    oids: dict[int, int] = {}
    return moved(source, lambda oid: oids.setdefault(oid, draw.choice((oid, draw.randrange(16384, 1 << 32)))))


@settings(max_examples=200, deadline=None)
@given(TYPES, st.integers(0, 1 << 32), st.booleans())
def test_any_value_of_any_type(source: ServerType, seed: int, finite: bool) -> None:
    draw = random.Random(seed)
    target = elsewhere(source, draw)
    seeds = [draw.random() for _ in range(7)]
    before = [values(source, random.Random(each)) for each in seeds]
    after: list[bytes | None] = [
        values(target, random.Random(each)) for each in seeds
    ]  # the very same values
    assert [rewritten(value, source, target, finite=finite) for value in before] == after
    assert rewrite([*before, None], source, target, finite=finite) == [*after, None]
    # And back again.
    back = rewrite(after, target, source)
    assert back == before


def outcome(function: Callable[[], Any]) -> Any:
    """What it gives, or the kind of its error."""
    try:
        return function()
    except (BrokenError, DecodeError):
        return BrokenError
    except (InfiniteError, CastError):
        return InfiniteError


@settings(max_examples=300, deadline=None)
@given(TYPES, st.integers(0, 1 << 32), st.booleans())
def test_hostile_bytes(source: ServerType, seed: int, finite: bool) -> None:
    draw = random.Random(seed)
    target = elsewhere(source, draw)
    for _ in range(12):
        value = hostile(values(source, draw), draw)
        expected = outcome(lambda: [rewritten(value, source, target, finite=finite)])  # noqa: B023
        assert outcome(lambda: rewrite([value], source, target, finite=finite)) == expected  # noqa: B023


def hostile(value: bytes, draw: random.Random) -> bytes:
    """The value cut off, lengthened, with bytes or words of it changed; or anything at all."""
    broken, at = bytearray(value), draw.randrange(len(value) + 1)
    match draw.randrange(6):
        case 0:
            return value[:at]
        case 1:
            return value + draw.randbytes(draw.randrange(1, 6))
        case 2:
            broken[at : at + 1] = draw.randbytes(1)
        case 3:
            broken[at : at + 4] = word(draw.choice((-2, -1, 0, 1, 2, 7, 0x7FFFFFFF, -0x80000000)))
        case 4:
            at -= at % 4
            broken[at : at + 4] = word(draw.choice((0, 1, 2, 5, 6, 7, 1 << 16, 1 << 29)))
        case _:
            return draw.randbytes(draw.randrange(40))
    return bytes(broken)


# Errors, limits -------------------------------------------------------------------------------------------

MOOD = own("e", oid=20000)
MOODS, PAIR = own("a", MOOD, oid=20001), own("c", INT4, MOOD, oid=20002)
SPAN = own("r", PAIR, oid=20003)
MANY = own("m", SPAN, oid=20004)
HEAD = word(1) + word(0) + word(20000)


@pytest.mark.parametrize(
    ("type_", "value", "words"),
    [
        (MOODS, b"", "a length"),
        (MOODS, HEAD[:11], "a length"),
        (MOODS, HEAD + word(1), "a length"),
        (MOODS, HEAD + word(1) + word(1) + word(3) + b"sa", "a length"),
        (MOODS, HEAD + word(1) + word(1) + word(-2), "a length"),
        (MOODS, HEAD + word(1) + word(1) + sized(b"sad") + b"\0", "bytes are left over"),
        (MOODS, HEAD + word(0x7FFFFFFF) + word(1), "a length"),
        (MOODS, word(2) + HEAD[4:] + (word(0x7FFFFFFF) + word(1)) * 2, "a length"),
        (MOODS, word(7) + HEAD[4:], "dimensions or flags"),
        (MOODS, word(-1) + HEAD[4:], "dimensions or flags"),
        (MOODS, word(1) + word(2) + HEAD[8:], "dimensions or flags"),
        (MOODS, HEAD + word(-1) + word(1), "dimensions or flags"),
        (MOODS, word(0) + word(0) + word(25), "the oid 25 "),
        (MOODS, word(0) + word(0) + struct.pack(">I", 0xFFFFFFFF), "the oid 4294967295 "),
        (PAIR, word(1), "a composite of 1 attributes"),
        (PAIR, word(2) + word(20) + sized(None) + word(20000) + sized(None), "the oid 20 "),
        (PAIR, word(2) + word(23) + sized(None) + word(20000), "a length"),
        (SPAN, b"\x20", "dimensions or flags"),
        (SPAN, b"\x08" + word(-1), "a length"),
        (SPAN, b"", "a length"),
        (MANY, word(-1), "a length"),
        (MANY, word(1) + word(-1), "a length"),
    ],
)  # fmt: skip
def test_what_no_server_sends(type_: ServerType, value: bytes, words: str) -> None:
    good = {MOODS: word(0) + word(0) + word(20000), SPAN: b"\x01", MANY: word(0)}.get(
        type_, word(2) + word(23) + sized(None) + word(20000) + sized(None)
    )
    target = moved(type_, lambda oid: oid + 1000)
    with pytest.raises(DecodeError) as error:
        rewrite([good, None, good, good, value, good], type_, target)
    assert (error.value.column, error.value.row) == ("c", 5)
    assert f"not a valid own.type: {words}" in str(error.value)
    with pytest.raises(BrokenError):
        rewritten(value, type_, target)


@pytest.mark.parametrize("sign", [1, -1])
def test_infinite_intervals_at_any_depth(sign: int) -> None:
    endless = struct.pack(
        ">qii", *((2**63 - 1, 2**31 - 1, 2**31 - 1) if sign > 0 else (-(2**63), -(2**31), -(2**31)))
    )
    nearly = endless[:15] + bytes([endless[15] ^ 1])
    held = own("c", INT4, own("a", own("r", own("d", INTERVAL))))
    for type_, wrap in (
        (INTERVAL, lambda value: value),
        (own("d", INTERVAL), lambda value: value),
        (own("r", INTERVAL), lambda value: b"\x08" + sized(value)),
        (
            held,
            lambda value: word(2) + word(23) + sized(None) + word(held.parts[1].oid) + sized(
                word(1) + word(0) + word(held.parts[1].parts[0].oid) + word(1) + word(1) + sized(b"\x10" + sized(value))
            ),
        ),
    ):  # fmt: skip
        for target in (type_, moved(type_, lambda oid: oid + 1)):
            assert rewrite([wrap(nearly)], type_, target, finite=True)
            assert rewrite([wrap(endless)], type_, target)
            with pytest.raises(CastError) as error:
                rewrite([wrap(nearly), wrap(endless)], type_, target, finite=True)
            assert (error.value.column, error.value.row) == ("c", 2)


def test_only_what_differs_is_looked_at() -> None:
    assert Rewriter([Walked(0, column(MOODS), MOODS), Walked(1, column(INT4), INT4)]).columns == ()
    there = moved(PAIR, lambda oid: oid + 1)
    made = Rewriter([Walked(0, column(MOODS), MOODS), Walked(4, column(PAIR), there)])
    assert made.columns == (4,)
    # Within the same subtree anything passes.
    both = own("c", MOODS, PAIR)
    target = replace(both, parts=(MOODS, there))
    value = word(2) + word(MOODS.oid) + sized(b"anything") + word(PAIR.oid) + sized(None)
    assert rewrite([value], both, target) != [value]


def test_types_that_come_again_stand_once() -> None:
    """A tree that doubles at each level has a node for each of its types."""
    type_ = own("c", MOOD)
    for _ in range(40):
        type_ = own("c", type_, type_)
    assert 40 < _nodes(type_) < 100


def _nodes(type_: ServerType) -> int:
    oids: dict[int, ServerType] = {}

    def shared(source: ServerType) -> ServerType:
        if source.oid not in oids:
            parts = tuple(shared(part) for part in source.parts)
            oids[source.oid] = replace(source, oid=source.oid + 1, parts=parts)
        return oids[source.oid]

    return len(Rewriter([Walked(0, column(type_), shared(type_))])._nodes) // 5


def test_nesting_has_a_limit() -> None:
    deep = MOOD
    for _ in range(98):
        deep = own("a", deep)
    target = moved(deep, lambda oid: oid + 1)
    assert Rewriter([Walked(0, column(deep), target)]).columns == (0,)
    deeper = own("a", own("a", own("a", deep)))
    with pytest.raises(ValueError, match="too deeply"):
        Rewriter([Walked(0, column(deeper), moved(deeper, lambda oid: oid + 1))])


def test_arguments_that_do_not_fit() -> None:
    import array

    good = array.array("I", (0, 0, 0, 1, 2, 1, 0, 1, 0, 0))
    _rewrite.check_nodes(good)
    for bad in (
        good[:7],
        array.array("I", (9, 0, 0, 0, 0)),
        array.array("I", (1, 0, 1, 0, 0)),
        array.array("I", (0, 0, 0, 0, 0, 1, 0, 2, 0, 0)),
        array.array("I", (0, 0, 0, 0, 0, 2, 0xFFFFFFFF, 1, 0, 0)),
        array.array("I", (0, 0, 0, 0, 0, 2, 1, 1, 0, 0)),
    ):
        with pytest.raises(ValueError, match="node"):
            _rewrite.check_nodes(bad)
    data, places = bytearray(b"\0\0\0\0"), memoryview(struct.pack("<i", 4))
    assert _rewrite.rewrite(good, 0, data, 0, 4, places, 0, 1, 1) == (-1, 0, 0)
    for arguments in (
        (2, 0, 4, 0, 1, 1), (-1, 0, 4, 0, 1, 1), (0, 0, 5, 0, 1, 1), (0, 4, 4, 0, 1, 1), (0, -1, 4, 0, 1, 1),
        (0, 0, 4, 1, 1, 1), (0, 0, 4, -1, 1, 1), (0, 0, 4, 0, 1, 2), (0, 0, 4, 0, 2, 1), (0, 0, 4, 0, 1, 0),
    ):  # fmt: skip
        root, start, end, at, stride, rows = arguments
        with pytest.raises(ValueError, match=r"node|block"):
            _rewrite.rewrite(good, root, data, start, end, places, at, stride, rows)
    with pytest.raises(BufferError):
        _rewrite.rewrite(good, 0, bytes(data), 0, 4, places, 0, 1, 1)
