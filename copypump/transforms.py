"""The user's functions on record batches: find them, probe them on an empty batch, check what they return.

`load` finds `module:function`, `reads` is the decorator by which a function says which columns it reads, and
`Transform` is a checked chain of functions that the pipeline calls batch by batch. A function is handed a
`pa.RecordBatch` and returns a RecordBatch, a Table, an iterable of these, or anything that speaks the Arrow
PyCapsule protocol (polars, pandas, duckdb). Its output names are fixed by the probe; types may vary from
batch to batch where the cast to the target is lossless, which the engine sees to. No server is known here.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, cast

import pyarrow as pa

from copypump.codec.decoder import ROW_INDEX
from copypump.errors import CopypumpError, RefusedError, TransformError, UsageError

Function = Callable[[pa.RecordBatch], Any]
F = TypeVar("F", bound=Callable[..., Any])

_PROMISE = "__copypump_promise__"


@dataclass(frozen=True, slots=True)
class Promise:
    """What `reads` wrote on a function. `columns` is None for one that reads every column."""

    columns: frozenset[str] | None = None
    rows_same: bool = False
    schema: pa.Schema | None = None


def reads(
    *columns: str, rows: Literal["any", "same"] = "any", schema: pa.Schema | None = None
) -> Callable[[F], F]:
    """Say which columns a transform reads; all others pass by it as wire bytes, exact and undecoded.

    Args:
        columns: their names; none for a transform that reads no column; `"*"` for one that reads them all
            (and makes another promise).
        rows: `"same"` promises as many rows in the same order; then `__copypump_row` need not be handed on.
        schema: what it returns, for a generator that yields nothing when it is given an empty batch.

    """
    if not all(isinstance(column, str) for column in columns):
        raise TypeError('copypump.reads takes column names: @copypump.reads("age", "salary")')
    if rows not in ("any", "same"):
        raise ValueError(f'rows is "any" or "same", not {rows!r}')
    promise = Promise(None if "*" in columns else frozenset(columns), rows == "same", schema)

    def mark(function: F) -> F:
        setattr(function, _PROMISE, promise)
        return function

    return mark


class Transform:
    """A chain of functions, checked on the way in and on the way out.

    `probe` fixes what the chain gives; `apply` may then be called from several threads at once, and again for
    the same batch.

    Attributes:
        reads: names of the columns that the chain reads, or None when a link of it reads them all. A later
            link's may be a column that an earlier one makes; `needs` tells these apart.
        rows_same: whether every link promised as many rows in the same order.

    """

    def __init__(
        self,
        functions: Sequence[str | Function],
        *,
        reads: Iterable[str] | None = None,
        pythonpath: Sequence[str] = (),
    ) -> None:
        self._links = tuple(_Link.of(function, pythonpath) for function in functions)
        self._chosen = None if reads is None else frozenset(reads)
        self._names: tuple[tuple[str, ...], ...] | None = None
        self.rows_same = all(link.promise.rows_same for link in self._links)
        self.reads = self._chosen if self._chosen is not None else self._union()

    def _union(self) -> frozenset[str] | None:
        union: frozenset[str] = frozenset()
        for link in self._links:
            if link.promise.columns is None:
                return None
            union |= link.promise.columns
        return union

    def __str__(self) -> str:
        return ", ".join(link.name for link in self._links)

    def needs(self, columns: Sequence[str]) -> frozenset[str] | None:
        """Which of the source's `columns` the chain reads; None for all of them.

        Raises:
            RefusedError: one that is read is not there, and no earlier link could make it.

        """
        if self.reads is None:
            return None
        if self._chosen is not None:
            who, first = "reads names", self._chosen
        else:
            who, first = (
                f"transform {self._links[0].name} reads",
                self._links[0].promise.columns or frozenset(),
            )
        for name in sorted(first.difference(columns)):
            raise RefusedError(f'{who} a column "{name}" that the source does not have{_near(name, columns)}')
        return self.reads.intersection(columns)

    def probe(self, schema: pa.Schema) -> pa.Schema:
        """Run the chain on an empty batch of `schema`, and keep the names of what each link returns.

        A `schema` with the `__copypump_row` column is that of a stream of which some columns are not read;
        the schema returned then ends with that column.

        Raises:
            RefusedError: a function fails, or returns what no transform may.

        """
        batch = _empty(schema)
        names = []
        for link in self._links:
            batch = link.probe(batch)
            names.append(tuple(batch.schema.names))
        self._names = tuple(names)
        return batch.schema

    def apply(
        self, batch: pa.RecordBatch, *, batch_number: int, first_row: int, last_row: int
    ) -> list[pa.RecordBatch]:
        """Run the chain on one batch: batches with the columns of the probe, in its order; or none.

        `batch_number`, `first_row` and `last_row` count from 1, in the source's stream; errors name them.

        Raises:
            TransformError: a function raises, or returns something other than the probe saw.

        """
        return list(self.stream(batch, batch_number=batch_number, first_row=first_row, last_row=last_row))

    def stream(
        self, batch: pa.RecordBatch, *, batch_number: int, first_row: int, last_row: int
    ) -> Iterator[pa.RecordBatch]:
        """`apply`, one piece at a time: a generator that makes much out of little need not be held whole."""
        if self._names is None:
            raise RuntimeError("a transform is applied before it was probed")
        where = f"batch {batch_number:,} (source rows {first_row:,} to {last_row:,})"
        return self._run(batch, 0, self._names, where)

    def _run(
        self, batch: pa.RecordBatch, depth: int, names: tuple[tuple[str, ...], ...], where: str
    ) -> Iterator[pa.RecordBatch]:
        if depth == len(self._links):
            yield batch
        elif batch.num_rows:
            for piece in self._links[depth].run(batch, names[depth], where):
                yield from self._run(piece, depth + 1, names, where)


@dataclass(frozen=True, slots=True)
class _Link:
    """One function of a chain."""

    function: Function
    name: str
    promise: Promise

    @classmethod
    def of(cls, function: str | Function, pythonpath: Sequence[str]) -> _Link:
        if isinstance(function, str):
            found, name = load(function, pythonpath), function
        elif callable(function):
            found, name = function, _name(function)
        else:
            raise RefusedError(f"a transform is a function, not {_kind(function)}")
        return cls(found, name, getattr(found, _PROMISE, None) or Promise())

    def probe(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The empty batch that this link makes of an empty one (RefusedError)."""
        given = batch.schema
        for name in sorted((self.promise.columns or frozenset()).difference(given.names)):
            raise RefusedError(
                f'transform {self.name} reads a column "{name}" that neither the source has'
                f" nor an earlier transform makes{_near(name, given.names)}"
            )
        try:
            pieces = list(_pieces(self.function(batch)))
        except _WrongReturn as wrong:
            raise RefusedError(f"transform {self.name} returned {wrong}", hint=wrong.hint) from None
        except (Exception, SystemExit) as error:
            # The batch held no rows, so that the text of the error can hold no value of one.
            raise RefusedError(
                f"transform {self.name} failed on an empty batch:"
                f" {type(error).__name__}: {error}{_place(error, self.function)}",
                hint="a transform is tried on an empty batch of the real columns before anything is written",
            ) from error
        if pieces:
            return _empty(self._output(pieces[0].schema, given))
        if self.promise.schema is not None:
            return _empty(self._output(self.promise.schema, given))
        raise RefusedError(
            f"transform {self.name} yielded nothing for an empty batch, so that its columns are not known",
            hint="yield an empty batch (batch.slice(0, 0)), or say them: @copypump.reads(..., schema=...)",
        )

    def _output(self, schema: pa.Schema, given: pa.Schema) -> pa.Schema:
        """`schema`, checked, and with the row column of `given` at its end (RefusedError)."""
        names = schema.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RefusedError(f"transform {self.name} returns two columns named {_quoted(twice)}")
        if ROW_INDEX not in given.names:
            if ROW_INDEX in names:
                raise RefusedError(f"transform {self.name} returns {ROW_INDEX}, a name that copypump keeps")
            if not names:
                raise RefusedError(f"transform {self.name} returns no columns")
            return schema
        if ROW_INDEX not in names and not self.promise.rows_same:
            raise RefusedError(
                f"transform {self.name} dropped {ROW_INDEX}, which says whose unread columns go with a row",
                hint=_ROW_HINT,
            )
        return pa.schema([*(f for f in schema if f.name != ROW_INDEX), given.field(ROW_INDEX)])

    def run(self, batch: pa.RecordBatch, names: tuple[str, ...], where: str) -> Iterator[pa.RecordBatch]:
        """What the function makes of one batch, each piece with the columns `names` in that order."""
        given = batch.column(ROW_INDEX) if ROW_INDEX in batch.schema.names else None
        same, rows = self.promise.rows_same, 0
        for piece in self._call(batch, where):
            start, rows = rows, rows + piece.num_rows
            if same and rows > batch.num_rows:
                break
            if given is not None:
                expected = given.slice(start, piece.num_rows) if same else None
                piece = self._with_rows(piece, expected, where)
            yield self._ordered(piece, names, where)
        if same and rows != batch.num_rows:
            count = "more" if rows > batch.num_rows else f"{rows:,}"
            raise TransformError(
                f'transform {self.name} promised rows="same" and returned {count} rows'
                f" for the {batch.num_rows:,} of {where}"
            )

    def _call(self, batch: pa.RecordBatch, where: str) -> Iterator[pa.RecordBatch]:
        """The function's pieces, its errors turned into ours."""
        try:
            yield from _pieces(self.function(batch))
        except _WrongReturn as wrong:
            raise TransformError(
                f"transform {self.name} returned {wrong} for {where}", hint=wrong.hint
            ) from None
        except (Exception, SystemExit) as error:
            # The error's own text may hold a row's value, so only --debug shows it.
            raise TransformError(
                f"transform {self.name} raised {type(error).__name__}{_place(error, self.function)}"
                f" in {where}",
                hint="--debug shows the traceback, which may hold values of the rows",
            ) from error

    def _with_rows(self, piece: pa.RecordBatch, expected: pa.Array[Any] | None, where: str) -> pa.RecordBatch:
        """`piece` with a sound row column; `expected` is what a link that keeps all rows must return."""
        if ROW_INDEX not in piece.schema.names:
            # Where it was not promised away, `_ordered` reports it among the missing.
            return piece if expected is None else piece.append_column(ROW_INDEX, expected)
        returned = piece.column(ROW_INDEX)
        if returned.null_count:
            raise TransformError(
                f"transform {self.name} returned null as {ROW_INDEX} for {where}", hint=_ROW_HINT
            )
        if expected is not None and not _same(returned, expected):
            raise TransformError(
                f'transform {self.name} promised rows="same" and returned other rows for {where}'
            )
        return piece

    def _ordered(self, piece: pa.RecordBatch, names: tuple[str, ...], where: str) -> pa.RecordBatch:
        """`piece` with its columns in the probe's order."""
        have = piece.schema.names
        if tuple(have) == names:
            return piece
        if sorted(have) == sorted(names):
            return piece.select(list(names))
        differences = [
            f"{what} {_quoted(which)}"
            for what, which in (
                ("without", [name for name in names if name not in have]),
                ("with", [name for name in have if name not in names]),
                ("twice", sorted({name for name in have if have.count(name) > 1})),
            )
            if which
        ]
        raise TransformError(
            f"transform {self.name} returned other columns for {where}"
            f" than for the empty batch: {', '.join(differences)}",
            hint="a transform returns columns of the same names for every batch"
            + (f"; {_ROW_HINT}" if ROW_INDEX in names and ROW_INDEX not in have else ""),
        )


_ROW_HINT = (
    f"hand {ROW_INDEX} on like any column; or, if all rows are kept in their order,"
    ' promise so: @copypump.reads(..., rows="same")'
)


class _WrongReturn(Exception):  # noqa: N818 - what was returned, not an error that leaves this module
    """What a function returned that no transform may."""

    hint = (
        "a transform returns a pyarrow RecordBatch or Table, an iterable of these,"
        " or an object with __arrow_c_stream__ or __arrow_c_array__ (polars, pandas, duckdb)"
    )

    def __init__(self, value: object, within: object = None) -> None:
        super().__init__(_kind(value) if within is None else f"{_kind(within)} of {_kind(value)}")
        if value is None and within is None:
            self.hint = "return an empty batch (batch.slice(0, 0)) to drop all rows"


def _pieces(value: object) -> Iterator[pa.RecordBatch]:
    """The batches in what a function returned: at least one, except for an iterable that is empty."""
    if _is_tabular(value):
        yield from _batches(value)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        for item in value:
            if not _is_tabular(item):
                raise _WrongReturn(item, within=value)
            yield from _batches(item)
    else:
        raise _WrongReturn(value)


def _is_tabular(value: object) -> bool:
    return isinstance(value, pa.RecordBatch | pa.Table) or (
        hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")
    )


def _batches(value: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(value, pa.RecordBatch):
        yield value
        return
    if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "index"):
        value = _without_index(value)
    if hasattr(value, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(value)
        schema, batches = reader.schema, cast("Iterator[pa.RecordBatch]", reader)
    else:
        batch = pa.record_batch(value)
        schema, batches = batch.schema, iter([batch])
    first = next(batches, None)
    yield _empty(schema) if first is None else first
    yield from batches


def _without_index(frame: Any) -> pa.Table:
    """Turn a pandas frame into a table: an index with a name is a column, one without is nothing.

    Left to pandas, it depends on the values whether an index becomes a column.
    """
    named = [name for name in frame.index.names if name is not None]
    return pa.Table.from_pandas(frame.reset_index(level=named) if named else frame, preserve_index=False)


def load(reference: str, pythonpath: Sequence[str] = ()) -> Function:
    """Import the function that `module:function` names; nothing else of the user's is imported.

    The directories of `pythonpath` come first on `sys.path` from then on, and the current one last, where a
    console script has none of them.

    Raises:
        UsageError: `reference` is not of that form, or a directory is not there.
        RefusedError: there is no such module or attribute, the module fails while it is imported, or what it
            names cannot be called.

    """
    module_name, _, attribute = reference.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise UsageError(
            f'"{reference}" does not name a transform',
            hint="write MODULE:FUNCTION, such as my_etl:clean for the function clean in my_etl.py",
        )
    _extend_path(pythonpath)
    module = _import(module_name)
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [name for name in dir(found) if not name.startswith("_")]
            raise RefusedError(
                f'module "{module_name}" ({_home(module)}) has no "{attribute}"{_near(part, names)}'
            ) from None
    if not callable(found):
        raise RefusedError(f"{reference} is {_kind(found)}, not a function")
    return found  # type: ignore[no-any-return] # callable, and its result is checked at each call


def _extend_path(pythonpath: Sequence[str]) -> None:
    directories = []
    for directory in pythonpath:
        path = Path(directory).expanduser()
        if not path.is_dir():
            raise UsageError(f'"{directory}" of the python path is not a directory')
        directories.append(str(path.resolve()))
    sys.path[:0] = [path for path in dict.fromkeys(directories) if path not in sys.path]
    with contextlib.suppress(FileNotFoundError):  # a current directory that was removed
        current = str(Path.cwd())
        if not {"", current} & set(sys.path):
            sys.path.append(current)  # last, so that no file in it takes the place of a library's module
    importlib.invalidate_caches()


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise RefusedError(
                f'module "{name}" imports "{missing}", which is not there{_place(error)}'
            ) from error
        parent, _, last = missing.rpartition(".")
        where = list(getattr(sys.modules.get(parent), "__path__", ())) if parent else sys.path
        raise RefusedError(
            f'there is no module "{missing}"{_near(last, [m.name for m in pkgutil.iter_modules(where)])}',
            hint="--pythonpath DIR says where a module is; the current directory is looked in too",
        ) from None
    except SyntaxError as error:
        place = f" ({Path(error.filename).name}:{error.lineno})" if error.filename else ""
        raise RefusedError(f'module "{name}" does not parse{place}: {error.msg}') from error
    except CopypumpError:
        raise
    except (Exception, SystemExit) as error:
        raise RefusedError(
            f'module "{name}" failed while it was imported: {type(error).__name__}: {error}{_place(error)}'
        ) from error


def _place(error: BaseException, function: Function | None = None) -> str:
    """Write ` (file.py:12)`: the deepest line of the user's own file, else of the first that is not ours."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<frozen")
    ]
    if not frames:
        return ""
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    home = code.co_filename if code is not None else frames[0].filename
    frame = next((f for f in reversed(frames) if f.filename == home), frames[0])
    return f" ({Path(frame.filename).name}:{frame.lineno})"


def _home(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "built in"


def _name(function: Function) -> str:
    name = getattr(function, "__qualname__", None)
    return f"{function.__module__}:{name}" if name else _kind(function)


def _kind(value: object) -> str:
    if value is None:
        return "None"
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(dict.fromkeys(names)), n=3)
    return f"; near names: {', '.join(near)}" if near else ""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _same(returned: pa.Array[Any], expected: pa.Array[Any]) -> bool:
    """Whether two row columns are equal; that of another library may be of a wider integer type."""
    if returned.type != expected.type:  # rare: a cast imports pyarrow.compute
        returned = returned.cast(expected.type)
    return returned.equals(expected)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)
