"""Transforms are found, probed and checked; what they return, in any allowed shape, arrives the same."""

from __future__ import annotations

import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from copypump.codec.decoder import ROW_INDEX
from copypump.errors import RefusedError, TransformError, UsageError
from copypump.transforms import Transform, load, reads

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.utf8()), ("age", pa.int32())])
BATCH = pa.record_batch(
    {"id": [1, 2, 3], "name": ["a", None, "c"], "age": pa.array([10, 20, 30], pa.int32())}
)
ROWS = pa.record_batch({"age": BATCH["age"], ROW_INDEX: pa.array([0, 1, 2], pa.int32())})


def probed(*functions: Any, schema: pa.Schema = SCHEMA, **options: Any) -> Transform:
    transform = Transform(functions, **options)
    transform.probe(schema)
    return transform


def apply(transform: Transform, batch: pa.RecordBatch = BATCH) -> list[pa.RecordBatch]:
    return transform.apply(batch, batch_number=7, first_row=1001, last_row=1003)


def rows(batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


# What may be returned -------------------------------------------------------------------------------------


def older(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.set_column(2, "age", pc.add(batch["age"], pa.scalar(1, pa.int32())))


def as_generator(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    changed = older(batch)
    yield changed.slice(0, 1)
    yield changed.slice(1)


class OnlyArray:
    """The least that a producer may be: one struct array over the PyCapsule protocol."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self.batch.__arrow_c_array__(requested_schema)


def as_duckdb(batch: pa.RecordBatch) -> duckdb.DuckDBPyRelation:
    return duckdb.connect().from_arrow(pa.table(batch)).project("id, name, age + 1 as age")


SHAPES: dict[str, Callable[[pa.RecordBatch], Any]] = {
    "batch": older,
    "table": lambda batch: pa.table(older(batch)),
    "chunked table": lambda batch: pa.Table.from_batches(list(as_generator(batch)), older(batch).schema),
    "list": lambda batch: [older(batch)],
    "list of tables": lambda batch: [pa.table(older(batch))],
    "generator": as_generator,
    "reader": lambda batch: pa.RecordBatchReader.from_batches(older(batch).schema, as_generator(batch)),
    "array capsule": lambda batch: OnlyArray(older(batch)),
    "polars": lambda batch: pl.DataFrame(batch).with_columns(age=pl.col("age") + 1),
    "duckdb": as_duckdb,
    "reordered": lambda batch: older(batch).select(["age", "id", "name"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_result_arrives_the_same(shape: str) -> None:
    assert rows(apply(probed(older))) == [
        {"id": 1, "name": "a", "age": 11},
        {"id": 2, "name": None, "age": 21},
        {"id": 3, "name": "c", "age": 31},
    ]
    transform = probed(SHAPES[shape])
    got = rows(apply(transform))
    assert [{name: row[name] for name in SCHEMA.names} for row in got] == rows(apply(probed(older)))


def test_an_index_of_pandas_is_a_column_if_it_has_a_name() -> None:
    def adults(batch: pa.RecordBatch) -> pd.DataFrame:
        frame = batch.to_pandas()
        return frame[frame["age"] >= 20].sort_values("age", ascending=False)

    transform = Transform([adults])
    assert transform.probe(SCHEMA).names == ["id", "name", "age"]
    assert [row["id"] for row in rows(apply(transform))] == [3, 2]

    def indexed(batch: pa.RecordBatch) -> pd.DataFrame:
        return batch.to_pandas().set_index("id")

    assert rows(apply(probed(indexed))) == rows([BATCH])


def test_the_probe_gives_names_and_types_and_later_types_may_vary() -> None:
    def varying(batch: pa.RecordBatch) -> pa.RecordBatch:
        kind = pa.int32() if batch.num_rows else pa.null()
        return pa.record_batch({"n": pa.array([None] * batch.num_rows, kind)})

    transform = Transform([varying])
    assert transform.probe(SCHEMA) == pa.schema([("n", pa.null())])
    assert apply(transform)[0].schema == pa.schema([("n", pa.int32())])


def test_rows_may_be_dropped_and_added_and_a_chain_runs_in_order() -> None:
    def twice(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield batch
        yield batch

    def of_20(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pc.equal(batch["age"], 20))

    assert [row["age"] for row in rows(apply(probed(of_20, twice, older)))] == [21, 21]
    assert rows(apply(probed(older, of_20, twice))) == []
    assert rows(apply(probed(lambda batch: batch.slice(0, 0), older))) == []


def test_a_link_is_not_called_for_no_rows() -> None:
    calls = []

    def count(batch: pa.RecordBatch) -> pa.RecordBatch:
        calls.append(batch.num_rows)
        return batch

    transform = probed(lambda batch: [batch.slice(0, 0), batch], count)
    apply(transform)
    assert calls == [0, 3]  # the probe, and then only the piece that has rows


def test_a_stream_is_taken_piece_by_piece() -> None:
    made = []

    def many(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        for number in range(1000):
            made.append(number)
            yield batch

    transform = probed(many, older)
    made.clear()
    stream = transform.stream(BATCH, batch_number=1, first_row=1, last_row=3)
    next(stream)
    next(stream)
    assert made == [0, 1]


def test_apply_from_many_threads() -> None:
    transform = probed(older, as_generator)
    results: list[list[dict[str, Any]]] = []

    def work() -> None:
        for _ in range(50):
            results.append(rows(apply(transform)))  # noqa: PERF401 - one call at a time is what is tested

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 400
    assert all(result == results[0] for result in results)


# What may not be returned ---------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[pa.RecordBatch], Any], str]] = {
    "None": (lambda _: None, "returned None"),
    "int": (lambda _: 3, "returned int"),
    "text": (lambda _: "rows", "returned str"),
    "dict": (lambda batch: batch.to_pydict(), "returned dict"),
    "rows": (lambda _: [{}], "returned list of dict"),
    "None within": (lambda batch: [batch, None], "returned list of None"),
    "lazy frame": (lambda batch: pl.DataFrame(batch).lazy(), "LazyFrame"),
    "an array": (lambda batch: batch["age"], "failed on an empty batch"),
    "two of a name": (
        lambda batch: pa.RecordBatch.from_arrays([batch["id"], batch["age"]], ["a", "a"]),
        'two columns named "a"',
    ),
    "no columns": (lambda batch: batch.select([]), "returns no columns"),
    "our name": (lambda batch: batch.rename_columns(["id", "name", ROW_INDEX]), ROW_INDEX),
    "empty generator": (lambda _: iter([]), "yielded nothing for an empty batch"),
    "raises": (lambda batch: batch["agee"], "failed on an empty batch: KeyError"),
    "exits": (lambda _: sys.exit(3), "failed on an empty batch: SystemExit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_probe_refuses(case: str) -> None:
    function, message = WRONG[case]
    with pytest.raises(RefusedError, match=message):
        Transform([function]).probe(SCHEMA)


def test_none_for_rows_says_how_to_drop_them() -> None:
    transform = probed(lambda batch: None if batch.num_rows else batch)
    with pytest.raises(
        TransformError, match=r"returned None for batch 7 \(source rows 1,001 to 1,003\)"
    ) as caught:
        apply(transform)
    assert "batch.slice(0, 0)" in str(caught.value.hint)


def test_an_error_names_the_function_the_line_and_the_rows_and_no_value() -> None:
    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError(f"secret {batch['name'][0]}")
        return batch

    transform = probed(older, fails)
    with pytest.raises(TransformError) as caught:
        apply(transform)
    message = str(caught.value)
    assert "fails raised ValueError (test_transforms.py:" in message
    assert "batch 7 (source rows 1,001 to 1,003)" in message
    assert "secret" not in message
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_generator_that_raises_in_the_middle() -> None:
    def fails(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield batch
        assert not batch.num_rows

    with pytest.raises(TransformError, match="raised AssertionError"):
        apply(probed(fails))


def test_ctrl_c_is_not_an_error_of_the_transform() -> None:
    def interrupted(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise KeyboardInterrupt
        return batch

    with pytest.raises(KeyboardInterrupt):
        apply(probed(interrupted))


def test_columns_that_change_are_listed() -> None:
    def changing(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.rename_columns(["id", "Name", "age"]) if batch.num_rows else batch

    with pytest.raises(TransformError, match='without "name", with "Name"'):
        apply(probed(changing))

    def doubling(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.append_column("age", batch["age"]) if batch.num_rows else batch

    with pytest.raises(TransformError, match='twice "age"'):
        apply(probed(doubling))


def test_apply_needs_the_probe() -> None:
    with pytest.raises(RuntimeError, match="before it was probed"):
        apply(Transform([older]))


# Reads ----------------------------------------------------------------------------------------------------

SEEN = ROWS.schema


@reads("age")
def filtered(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.filter(pc.greater(batch["age"], 10))


@reads("age", rows="same")
def months(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.record_batch({"months": pc.multiply(batch["age"], 12)})


def test_reads_of_a_chain() -> None:
    assert Transform([filtered]).reads == {"age"}
    assert Transform([filtered, reads("name")(partial(older))]).reads == {"age", "name"}
    assert Transform([filtered, older]).reads is None
    assert Transform([older], reads=["id"]).reads == {"id"}
    assert Transform([reads("*", rows="same")(partial(older))]).reads is None
    assert Transform([reads()(partial(older))]).reads == frozenset()
    assert Transform([months]).rows_same
    assert not Transform([months, filtered]).rows_same


def test_needs_tells_source_columns_from_those_that_a_link_makes() -> None:
    chain = Transform([months, reads("months", "id")(partial(older))])
    assert chain.needs(["id", "name", "age"]) == {"age", "id"}
    assert Transform([older]).needs(["id"]) is None
    with pytest.raises(
        RefusedError, match=r'months reads a column "age" that the source does not have.*ages'
    ):
        chain.needs(["id", "ages"])
    with pytest.raises(RefusedError, match=r'reads names a column "agee".*near names: age'):
        Transform([older], reads=["agee"]).needs(["id", "age"])
    with pytest.raises(RefusedError, match="neither the source has nor an earlier transform makes"):
        Transform([filtered, reads("month")(partial(older))]).probe(SEEN)


def test_the_row_column_follows_a_filter() -> None:
    transform = Transform([filtered])
    assert transform.probe(SEEN).names == ["age", ROW_INDEX]
    assert rows(apply(transform, ROWS)) == [{"age": 20, ROW_INDEX: 1}, {"age": 30, ROW_INDEX: 2}]


def test_the_row_column_is_put_back_where_all_rows_are_kept() -> None:
    @reads(rows="same")
    def in_pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        for start in range(max(batch.num_rows, 1)):
            yield batch.slice(start, 1).select(["months"])

    transform = Transform([months, in_pieces])
    assert transform.probe(SEEN).names == ["months", ROW_INDEX]
    assert rows(apply(transform, ROWS)) == [{"months": 12 * n * 10, ROW_INDEX: n - 1} for n in (1, 2, 3)]


def test_the_row_column_through_other_libraries() -> None:
    @reads("age")
    def sorted_(batch: pa.RecordBatch) -> pl.DataFrame:
        return pl.DataFrame(batch).sort("age", descending=True)

    got = rows(apply(probed(sorted_, schema=SEEN), ROWS))
    assert [row[ROW_INDEX] for row in got] == [2, 1, 0]

    @reads("age", rows="same")
    def widened(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.set_column(1, ROW_INDEX, batch[ROW_INDEX].cast(pa.int64()))

    assert len(rows(apply(probed(widened, schema=SEEN), ROWS))) == 3


def test_a_lost_row_column_is_refused() -> None:
    with pytest.raises(RefusedError, match=f"dropped {ROW_INDEX}") as caught:
        Transform([lambda batch: batch.select(["age"])], reads=["age"]).probe(SEEN)
    assert 'rows="same"' in str(caught.value.hint)
    transform = probed(lambda batch: batch.select(["age"]) if batch.num_rows else batch, schema=SEEN)
    with pytest.raises(TransformError, match=f'without "{ROW_INDEX}"'):
        apply(transform, ROWS)


def test_a_null_row_is_an_error() -> None:
    def forgets(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.set_column(1, ROW_INDEX, pa.nulls(batch.num_rows, pa.int32()))

    with pytest.raises(TransformError, match=f"returned null as {ROW_INDEX}"):
        apply(probed(forgets, schema=SEEN), ROWS)


@pytest.mark.parametrize("batch", [BATCH, ROWS], ids=["all read", "some read"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch.slice(0, 2), "returned 2 rows for the 3 of batch 7"),
        (lambda batch: [batch, batch], "returned more rows for the 3"),
        (lambda batch: iter([batch.slice(0, 0)]), "returned 0 rows for the 3"),
    ],
)
def test_a_promise_of_the_same_rows_is_held(batch: pa.RecordBatch, change: Any, message: str) -> None:
    function = reads("age", rows="same")(lambda batch: change(batch) if batch.num_rows else batch)
    with pytest.raises(TransformError, match=message):
        apply(probed(function, schema=batch.schema), batch)


def test_a_promise_of_the_same_order_is_held() -> None:
    function = reads("age", rows="same")(lambda batch: batch.sort_by([("age", "descending")]))
    with pytest.raises(TransformError, match="returned other rows for batch 7"):
        apply(probed(function, schema=SEEN), ROWS)


def test_a_generator_that_yields_nothing_needs_its_schema() -> None:
    @reads("*", schema=pa.schema([("n", pa.int64())]))
    def only_with_rows(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if batch.num_rows:
            yield pa.record_batch({"n": batch["id"]})

    transform = Transform([only_with_rows])
    assert transform.probe(SCHEMA).names == ["n"]
    assert rows(apply(transform)) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_reads_without_parentheses_is_said() -> None:
    with pytest.raises(TypeError, match="takes column names"):
        reads(older)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='rows is "any" or "same"'):
        reads("age", rows="some")  # type: ignore[arg-type]


# Loading --------------------------------------------------------------------------------------------------


@pytest.fixture
def etl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Write modules of a user's; `sys.path`, `sys.modules` and the current directory come back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(name: str, text: str) -> str:
        path = tmp_path / "lib" / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return str(tmp_path / "lib")

    yield write
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith("cp_"):
            del sys.modules[name]


def test_load_finds_functions_and_methods(etl: Callable[[str, str], str]) -> None:
    path = etl(
        "cp_etl", "def clean(batch): return batch\nclass Etl:\n    @staticmethod\n    def clean(b): return b"
    )
    etl("cp_pack.deep", "def clean(batch): return batch")
    assert load("cp_etl:clean", [path])(BATCH) is BATCH
    assert load("cp_etl:Etl.clean", [path])(BATCH) is BATCH
    assert load("cp_pack.deep:clean", [path])(BATCH) is BATCH
    assert sys.path[0] == path


def test_load_looks_in_the_current_directory_last(etl: Callable[[str, str], str], tmp_path: Path) -> None:
    (tmp_path / "cp_here.py").write_text("def clean(batch): return batch")
    load("cp_here:clean")
    assert sys.path[-1] == str(tmp_path)


@pytest.mark.parametrize(
    "reference", ["clean", "cp_etl", "cp_etl:", ":clean", "cp_etl.py:clean()", "../cp_etl:clean"]
)
def test_load_wants_module_and_function(reference: str) -> None:
    with pytest.raises(UsageError, match="does not name a transform"):
        load(reference)


def test_load_wants_directories(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a directory"):
        load("cp_etl:clean", [str(tmp_path / "nowhere")])


BROKEN: dict[str, tuple[str, str, str]] = {
    "missing": ("", "cp_elt:clean", 'no module "cp_elt"; near names: cp_etl'),
    "missing below": ("", "cp_etl.deep:clean", 'no module "cp_etl.deep"'),
    "attribute": ("def clean(b): return b", "cp_etl:claen", 'has no "claen"; near names: clean'),
    "callable": ("clean = {}", "cp_etl:clean", "cp_etl:clean is dict, not a function"),
    "import": (
        "import cp_nothing",
        "cp_etl:clean",
        r'imports "cp_nothing", which is not there \(cp_etl.py:1\)',
    ),
    "from": ("from json import nope", "cp_etl:clean", r"ImportError: cannot import name 'nope'.*cp_etl.py:1"),
    "syntax": ("x = 1\ndef clean(b:", "cp_etl:clean", r"does not parse \(cp_etl.py:2\)"),
    "error": ("x = 1\n1 / 0", "cp_etl:clean", r"ZeroDivisionError: division by zero \(cp_etl.py:2\)"),
    "exit": ("raise SystemExit(0)", "cp_etl:clean", "SystemExit"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_load_tells_what_is_wrong(case: str, etl: Callable[[str, str], str]) -> None:
    text, reference, message = BROKEN[case]
    path = etl("cp_etl", text)
    with pytest.raises(RefusedError, match=message):
        load(reference, [path])


def test_a_chain_is_named_as_the_user_named_it(etl: Callable[[str, str], str]) -> None:
    path = etl("cp_etl", "def clean(batch): raise TypeError('no')")
    transform = Transform(["cp_etl:clean", older], pythonpath=[path])
    assert str(transform) == f"cp_etl:clean, {__name__}:older"
    with pytest.raises(
        RefusedError, match=r"cp_etl:clean failed on an empty batch: TypeError: no \(cp_etl.py:1\)"
    ):
        transform.probe(SCHEMA)
    with pytest.raises(RefusedError, match="a transform is a function, not int"):
        Transform([3])  # type: ignore[list-item]
