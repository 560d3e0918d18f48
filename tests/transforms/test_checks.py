"""Declared checks: which rows fail, for which check each counts, and what is refused before any row moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.codec.decoder import ROW_INDEX
from copypump.errors import RefusedError, TransformError, UsageError
from copypump.transforms.checks import Checks
from tests.transforms.conftest import BATCH, SCHEMA

WHERE = "batch 7"


def failing(*checks: Any, batch: pa.RecordBatch = BATCH) -> tuple[dict[str, list[int]], list[int] | None]:
    """The places of failing rows by check, and those of good rows."""
    made = Checks(checks)
    made.needs(batch.schema.names, ())
    made.probe(batch.schema)
    failures, good = made.failures(batch, WHERE)
    return {f.check: f.rows.to_pylist() for f in failures}, None if good is None else good.to_pylist()


def test_all_rows_are_good() -> None:
    assert failing("age > 0", "name is null or name <> ''") == ({}, None)
    assert failing() == ({}, None)


def test_false_fails_and_null_passes() -> None:
    assert failing("name = 'a'") == ({"name = 'a'": [2]}, [0, 1])


def test_a_row_counts_for_the_first_check_that_it_fails() -> None:
    first, second = "id <> 2", "age < 30 and id <> 2"
    assert failing(first, second) == ({first: [1], second: [2]}, [0])
    assert failing(second, first) == ({second: [1, 2]}, [0])


def test_an_earlier_check_guards_a_later_one() -> None:
    batch = pa.record_batch({"a": [1, 5, 9], "b": [1, 0, 3]})
    assert failing("b <> 0", "a / b < 3", batch=batch) == ({"b <> 0": [1], "a / b < 3": [2]}, [0])
    with pytest.raises(TransformError, match=rf'check "a / b < 3" cannot be computed in {WHERE}') as raised:
        failing("a / b < 3", batch=batch)
    assert "zero" not in str(raised.value)


def test_nothing_is_left_for_later_checks() -> None:
    def never(batch: pa.RecordBatch) -> Any:
        assert not batch.num_rows
        return [True] * batch.num_rows

    assert failing("1 > 2", never) == ({"1 > 2": [0, 1, 2]}, [])


def adults(batch: pa.RecordBatch) -> Any:
    return pc.greater(batch["age"], 10)


@pytest.mark.parametrize(
    "function",
    [
        adults,
        lambda batch: adults(batch).to_pylist(),
        lambda batch: pl.from_arrow(batch)["age"] > 10,
        lambda batch: adults(batch).to_numpy(zero_copy_only=False),
        lambda batch: pa.chunked_array([adults(batch)]),
        lambda batch: [None if row == 20 else row > 10 for row in batch["age"].to_pylist()],
    ],
)
def test_functions_and_the_masks_that_they_return(function: Any) -> None:
    found, good = failing(function)
    assert list(found.values()) == [[0]]
    assert good == [1, 2]


def test_a_function_is_given_what_it_reads() -> None:
    seen = []

    @copypump.reads("age")
    def check(batch: pa.RecordBatch) -> Any:
        seen.append(batch.schema.names)
        return adults(batch)

    def all_of_them(batch: pa.RecordBatch) -> Any:
        seen.append(batch.schema.names)
        return adults(batch)

    with_rows = BATCH.append_column(ROW_INDEX, pa.array([5, 6, 7], pa.int32()))
    failing(check, all_of_them, batch=with_rows)
    assert seen == [["age"], ["id", "name", "age"]] * 2


def test_the_name_of_a_function(tmp_path: Path) -> None:
    (tmp_path / "cp_checks.py").write_text(
        "def even(batch):\n    return [i % 2 == 0 for i in batch['id'].to_pylist()]\n"
    )
    checks = Checks(["cp_checks:even"], [str(tmp_path)])
    assert list(checks) == ["cp_checks:even"]
    failures, _ = checks.failures(BATCH, WHERE)
    assert failures[0].rows.to_pylist() == [0, 2]


def test_what_passes_unread_is_decoded_if_a_check_names_it() -> None:
    checks = Checks(["age > 0 and note is null", 'code = "Other"'])
    assert checks.needs(["age", "code"], ["note", "Other", "more"]) == {"note", "Other"}
    assert checks.needs(["age", "note", "code", ROW_INDEX], ["Other", "note"]) == {"Other"}
    assert Checks([adults]).needs(["age"], ["note", "more"]) == {"note", "more"}
    with pytest.raises(RefusedError, match='names a column "note" that does not land; near names: notes'):
        checks.needs(["age"], ["notes", "code", "Other"])


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        ("age >", UsageError, "where a value should"),
        ("no_such_module:fn", RefusedError, "no module"),
        ("name > 5", RefusedError, 'check "name > 5" does not go with the types'),
        ("name ~ '('", RefusedError, "missing \\)"),
        ("age + 1", RefusedError, "is no condition: it gives int"),
        (7, RefusedError, "a check is a condition or a function, not int"),
        (lambda batch: batch, RefusedError, "failed on an empty batch"),
        (lambda _batch: ["yes"] * 3, RefusedError, "one boolean a row"),
        (" and ".join(["age > 0"] * 3000), UsageError, "nested too deeply"),
    ],
)
def test_refused_before_anything_moves(check: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Checks([check]).probe(SCHEMA)


def test_a_function_that_fails_on_rows_says_no_values() -> None:
    def raises(batch: pa.RecordBatch) -> Any:
        if batch.num_rows:
            raise ValueError("secret")
        return []

    with pytest.raises(
        TransformError, match=rf"raised ValueError \(test_checks.py:\d+\) in {WHERE}"
    ) as raised:
        failing(raises)
    assert "secret" not in str(raised.value)
    with pytest.raises(TransformError, match="raised ValueError"):
        failing(lambda batch: [True] * min(1, batch.num_rows))
