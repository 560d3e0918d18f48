"""The language of checks: what it reads, what it refuses, what it computes (its agreement with SQL: engine)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from copypump.codec.convert import BrokenError
from copypump.errors import UsageError
from copypump.transforms.expressions import FUNCTIONS, columns_of, compute, parse

COLUMNS = {
    "n": pa.array([1, -1, None], pa.int32()),
    "big": pa.array([1, 2**64 - 1, None], pa.uint64()),
    "text": pa.array(["a", "B%", None]),
    "view": pa.array(["a", "B%", None], pa.string_view()),
    "word": pa.array(["a", "B%", None]).dictionary_encode(),
    "runs": pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]),
    "raw": pa.array([b"", b"abc", None]),
    "real": pa.array([0.1, 0.3, float("nan")]),
    "price": pa.array([Decimal("0.10"), Decimal("9.99"), None], pa.decimal128(10, 2)),
    "nulls": pa.nulls(3),
    "flag": pa.array([True, False, None]),
    "list": pa.array([[1], [], None]),
    "Odd name": pa.array([1, 2, 3]),
}


def computed(text: str) -> Any:
    return compute(parse(text), COLUMNS).to_pylist()


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("N >= 0", [True, False, None]),
        ('"Odd name" > 1', [False, True, True]),
        ("n == 1 or flag", [True, False, None]),
        ("big > 5", [False, True, None]),
        ("view = 'a'", [True, False, None]),
        ("word like 'B\\%'", [False, True, None]),
        ("runs = 'a'", [True, True, None]),
        ("length(raw) > 0", [False, True, None]),
        ("real in (0.1, 0.3)", [True, True, False]),
        ("real = 0.3", [False, True, False]),
        ("price in (0.1, 9.99)", [True, True, None]),
        ("list is null", [False, False, True]),
        # a batch may hold nothing but NULLs, of the null type
        ("nulls > 0", [None] * 3),
        ("nulls like 'a'", [None] * 3),
        ("not nulls or flag", [True, None, None]),
        ("length(nulls) = 1", [None] * 3),
        ("nulls in (1, 2)", [None] * 3),
        ("nulls is null", [True] * 3),
    ],
)
def test_values(text: str, result: list[bool | None]) -> None:
    assert computed(text) == result


def test_no_column_is_needed() -> None:
    assert compute(parse("1 < 2"), {}).as_py() is True


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a > b and not c", {"a", "b", "c"}),
        ("length(a) in (1, 2) or b like 'x'", {"a", "b"}),
        ("a between b and c", {"a", "b", "c"}),
        ("coalesce(a, b, 'is') is not null", {"a", "b"}),
        ("true", set()),
    ],
)
def test_columns(text: str, columns: set[str]) -> None:
    assert columns_of(parse(text)) == columns


@pytest.mark.parametrize(
    ("text", "position", "why"),
    [
        ("", 1, "it ends where a value should"),
        ("age >", 6, "it ends where a value should"),
        ("(age > 0", 9, "it ends where ) should"),
        ("0 < age < 5", 9, "as two, with and"),
        ("age > 0 age", 9, "there stands age where an operator or the end should"),
        ("age = null", 7, "there stands null where a value should"),
        ("age is 5", 8, "there stands 5 where null should"),
        ("age not 5", 9, "there stands 5 where in, between or like should"),
        ("age in ()", 9, "there stands ) where"),
        ("age in (b)", 9, "there stands b where"),
        ("name like other", 11, "a pattern in single quotes"),
        ("sleep(5)", 1, "no function sleep"),
        ("length()", 8, "where a value should"),
        ("length(a, b)", 1, "length takes 1 value, not 2"),
        ("'open", 1, "has no meaning here"),
        ("age # 2", 5, "has no meaning here"),
        ("__import__('os')", 1, "no function __import__"),
    ],
)
def test_what_is_no_condition(text: str, position: int, why: str) -> None:
    with pytest.raises(UsageError, match=f"character {position}: .*") as raised:
        parse(text)
    assert why in str(raised.value)


def test_depth_ends_in_an_error() -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        parse("(" * 5000 + "1" + ")" * 5000)


@pytest.mark.parametrize(
    "text", ["n / 0 > 1", "n + 2147483647 + 2147483647 + 2147483647 * 2147483647 * 4 > 0"]
)
def test_overflow_and_division_by_zero_are_errors(text: str) -> None:
    with pytest.raises(pa.ArrowInvalid):
        computed(text)


@pytest.mark.parametrize("text", ["text > 5", "n = 'x'", "n in (1.5)", "list = 1", "flag + 1 > 0"])
def test_types_that_do_not_go_together_are_found_without_rows(text: str) -> None:
    with pytest.raises(pa.ArrowException):
        compute(parse(text), {name: array.slice(0, 0) for name, array in COLUMNS.items()})


def test_broken_arrays_are_not_read() -> None:
    indices, words = pa.array([0, 7], pa.int32()), pa.array(["a"])
    broken = pa.DictionaryArray.from_arrays(indices, words, safe=False)
    with pytest.raises(BrokenError):
        compute(parse("x = 'a'"), {"x": broken})
    offsets = pa.array([0, 1 << 20, 1], pa.int32()).buffers()[1]
    text = pa.Array.from_buffers(pa.utf8(), 2, [None, offsets, pa.py_buffer(b"a")])
    with pytest.raises(BrokenError):
        compute(parse("x like 'a%'"), {"x": text})


def test_every_function_computes() -> None:
    assert FUNCTIONS
    for name in FUNCTIONS:
        column = "n" if name == "abs" else "text"
        assert len(computed(f"{name}({column}) is not null")) == 3
