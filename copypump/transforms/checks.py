"""Declared checks: what must hold of every row that lands, as a condition or as a function of the user's.

As with a CHECK of SQL's, a row passes unless the condition is false: null passes. A row counts for the first
check that it fails, and later ones do not see it; so that `b <> 0` keeps `a / b > 1` from failing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import Struct

from copypump.codec.convert import BrokenError, picked
from copypump.codec.decoder import ROW_INDEX
from copypump.errors import RefusedError, TransformError
from copypump.transforms.finding import identity_of, load
from copypump.transforms.promise import promise_of
from copypump.transforms.rejecting import mask_of, opposite
from copypump.transforms.returned import empty
from copypump.transforms.wording import kind_of, name_of, near, place_of

if TYPE_CHECKING:
    from copypump.transforms.expressions import Node

Function = Callable[[pa.RecordBatch], Any]

_REFERENCE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


class Failure(Struct, frozen=True):
    """The rows of a batch, by their places in it (from 0, ascending), that a check was the first to fail."""

    check: str
    rows: pa.Array[Any]


class Checks:
    """All checks of a run, in order; empty where there are none.

    Args:
        checks: each a condition (see `transforms.expressions`), the `module:function` name of a function, or
            a function: it takes a batch and returns one boolean a row, true for a good one.
        pythonpath: as for transforms.

    Raises:
        UsageError: a condition that does not parse.
        RefusedError: a function that is not there.

    """

    def __init__(self, checks: Sequence[str | Function], pythonpath: Sequence[str] = ()) -> None:
        self._checks = tuple(_check(check, pythonpath) for check in checks)

    def __len__(self) -> int:
        return len(self._checks)

    def __iter__(self) -> Iterator[str]:
        return (check.name for check in self._checks)

    def identities(self) -> list[dict[str, str] | None]:
        """What each function is, as `Transform.identity` has it; a condition is what its text says."""
        functions = (check for check in self._checks if isinstance(check, _Function))
        return [
            identity_of(each.function, each.name, promise_of(each.function).version) for each in functions
        ]

    def needs(self, made: Sequence[str], passing: Sequence[str]) -> frozenset[str]:
        """Which of the columns that pass unread the checks read, beside those that the transform made.

        Raises:
            RefusedError: a column that does not land.

        """
        landing = [name for name in (*made, *passing) if name != ROW_INDEX]
        wanted: set[str] = set()
        for check in self._checks:
            for name in sorted((check.columns or frozenset()).difference(landing)):
                raise RefusedError(
                    f'check "{check.name}" names a column "{name}" that does not land{near(name, landing)}'
                )
            wanted |= set(landing) if check.columns is None else check.columns
        return frozenset(wanted.intersection(passing).difference(made))

    def probe(self, schema: pa.Schema) -> None:
        """Fit every check to these types, and try it on no rows (RefusedError: one cannot be computed)."""
        batch = empty(schema)
        self._checks = tuple(check.probed(batch) for check in self._checks)

    def failures(self, batch: pa.RecordBatch, where: str) -> tuple[list[Failure], pa.Array[Any] | None]:
        """Give what fails, and the places of the good rows (None: all of them are good).

        `where` names the batch in messages.

        Raises:
            TransformError: a check raises, or gives no boolean a row.

        """
        import pyarrow.compute as pc

        found: list[Failure] = []
        places: pa.Array[Any] | None = None
        for check in self._checks:
            if not batch.num_rows:
                break
            passes = check.passes(batch, where)
            if not passes.false_count:
                continue
            good: Any = passes.fill_null(True)
            bad = pc.indices_nonzero(opposite(good)).cast(pa.int64())
            left = pc.indices_nonzero(good).cast(pa.int64())
            batch = picked(batch, left)
            found.append(Failure(check.name, bad if places is None else places.take(bad)))
            places = left if places is None else places.take(left)
        return found, places


def _check(check: str | Function, pythonpath: Sequence[str]) -> _Expression | _Function:
    if not isinstance(check, str):
        if not callable(check):
            raise RefusedError(f"a check is a condition or a function, not {kind_of(check)}")
        return _function(name_of(check), check)
    name = check.strip()
    if _REFERENCE.fullmatch(name):
        return _function(name, load(name, pythonpath))
    from copypump.transforms.expressions import columns_of, parse  # most runs have no condition

    node = parse(name)
    return _Expression(name, columns_of(node), node)


def _function(name: str, function: Function) -> _Function:
    return _Function(name, promise_of(function).columns, function)


class _Expression(Struct, frozen=True):
    """A condition, and the columns that it names."""

    name: str
    columns: frozenset[str]
    node: Node

    def probed(self, batch: pa.RecordBatch) -> _Expression:
        """Give the same for columns of a batch's types, once it was computed on it."""
        from copypump.transforms.fitting import fit

        try:
            fitted = _Expression(self.name, self.columns, fit(self.node, batch.schema))
            result = fitted._compute(batch)
        except RefusedError as error:
            error.message = f'check "{self.name}" does not mean here what it means in SQL: {error.message}'
            raise
        except (pa.ArrowException, RecursionError) as error:
            # The batch held no rows, so that the text of the error can hold no value of one.
            why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise RefusedError(
                f'check "{self.name}" does not go with the types of its columns: {why}',
                hint="--type COLUMN=decimal128(18,4), say, reads a numeric without precision as a number",
            ) from error
        if not (pa.types.is_boolean(result.type) or pa.types.is_null(result.type)):
            raise RefusedError(
                f'check "{self.name}" is no condition: it gives {result.type}',
                hint="compare it with something: age >= 0",
            )
        return fitted

    def passes(self, batch: pa.RecordBatch, where: str) -> pa.BooleanArray:
        try:
            return mask_of(self._compute(batch), batch.num_rows)
        except (pa.ArrowException, BrokenError) as error:
            # The error's own text may hold a row's value, so only --debug shows it.
            raise TransformError(
                f'check "{self.name}" cannot be computed in {where}',
                hint="an overflow or a division by zero, say; an earlier check can keep such rows from it",
            ) from error

    def _compute(self, batch: pa.RecordBatch) -> Any:
        from copypump.transforms.expressions import compute

        return compute(self.node, {name: batch.column(name) for name in self.columns})


class _Function(Struct, frozen=True):
    """A function of the user's, and the columns that it reads: by `copypump.reads`, else all that land."""

    name: str
    columns: frozenset[str] | None
    function: Function

    def probed(self, batch: pa.RecordBatch) -> _Function:
        """Give the same, once it was called."""
        try:
            mask_of(self.function(self._given(batch)), batch.num_rows)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # polars' panics, and SystemExit, are no Exception
            raise RefusedError(
                f"check {self.name} failed on an empty batch:"
                f" {type(error).__name__}: {error}{place_of(error, self.function)}",
                hint="a check returns one boolean a row, true for a good one",
            ) from error
        return self

    def passes(self, batch: pa.RecordBatch, where: str) -> pa.BooleanArray:
        try:
            return mask_of(self.function(self._given(batch)), batch.num_rows)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # as above
            raise TransformError(
                f"check {self.name} raised {type(error).__name__}{place_of(error, self.function)} in {where}",
                hint="--debug shows the traceback, which may hold values of the rows",
            ) from error

    def _given(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names = batch.schema.names
        wanted: Iterable[str] = names if self.columns is None else self.columns
        return batch.select([name for name in names if name in wanted and name != ROW_INDEX])
