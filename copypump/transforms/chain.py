"""A chain of functions: probed on an empty batch, then called for each, and checked on the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from msgspec import Struct

from copypump.codec.decoder import ROW_INDEX
from copypump.errors import RefusedError, TransformError
from copypump.transforms.checks import Checks
from copypump.transforms.finding import identity_of, load
from copypump.transforms.promise import Promise, promise_of
from copypump.transforms.rejecting import Collector, Rejection, collecting, rejected, without
from copypump.transforms.returned import WrongReturn, empty, pieces_of
from copypump.transforms.wording import batch_of, kind_of, name_of, near, place_of, quoted

Function = Callable[[pa.RecordBatch], Any]
OnRejected = Callable[[Rejection], object]


class Transform:
    """A chain of functions, checked on the way in and on the way out.

    `probe` fixes what the chain gives; `apply` may then be called from several threads at once, and again for
    the same batch.

    Attributes:
        reads: names of the columns that the chain reads, or None when a link of it reads them all. A later
            link's may be a column that an earlier one makes; `needs` tells these apart.
        rows_same: whether every link promised as many rows in the same order.
        checks: what holds of the rows that land; the engine sees to it, which has those columns too that
            the chain does not return.

    """

    def __init__(
        self,
        functions: Sequence[str | Function],
        *,
        reads: Iterable[str] | None = None,
        pythonpath: Sequence[str] = (),
        checks: Sequence[str | Function] = (),
    ) -> None:
        self.checks = Checks(checks, pythonpath)
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
        return ", ".join(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The functions' names, in order."""
        return tuple(link.name for link in self._links)

    def identity(self) -> list[dict[str, str]] | None:
        """What each function is, for a run that is resumed; None when one of them cannot be found again.

        Its importable name, and its own `version`, or else the SHA-256 of its module's source.
        """
        identities = [identity_of(link.function, link.name, link.promise.version) for link in self._links]
        identities += self.checks.identities()
        return None if None in identities else [each for each in identities if each is not None]

    def needs(self, columns: Sequence[str]) -> frozenset[str] | None:
        """Which of the source's `columns` the chain reads; None for all of them.

        Raises:
            RefusedError: one that is read is not there, and no earlier link could make it.

        """
        if self.reads is None:
            return None
        if self._chosen is not None:
            who, first = "reads names", self._chosen
        elif not self._links:
            return frozenset()
        else:
            who, first = (
                f"transform {self._links[0].name} reads",
                self._links[0].promise.columns or frozenset(),
            )
        for name in sorted(first.difference(columns)):
            raise RefusedError(f'{who} a column "{name}" that the source does not have{near(name, columns)}')
        return self.reads.intersection(columns)

    def probe(self, schema: pa.Schema) -> pa.Schema:
        """Run the chain on an empty batch of `schema`, and keep the names of what each link returns.

        A `schema` with the `__copypump_row` column is that of a stream of which some columns are not read;
        the schema returned then ends with that column.

        Raises:
            RefusedError: a function fails, or returns what no transform may.

        """
        batch = empty(schema)
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
            TransformError: a function raises, rejects rows, or returns something other than the probe saw.

        """
        return list(self.stream(batch, batch_number=batch_number, first_row=first_row, last_row=last_row))

    def stream(
        self,
        batch: pa.RecordBatch,
        *,
        batch_number: int,
        first_row: int,
        last_row: int,
        on_rejected: OnRejected | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """`apply`, one piece at a time: a generator that makes much out of little need not be held whole.

        Rows that a function rejects are given to `on_rejected`, before the piece that it returned without
        them; without that, they are an error.
        """
        if self._names is None:
            raise RuntimeError("a transform is applied before it was probed")
        where = batch_of(batch_number, first_row, last_row)
        return self._run(batch, 0, self._names, _Call(where, batch, on_rejected))

    def _run(
        self, batch: pa.RecordBatch, depth: int, names: tuple[tuple[str, ...], ...], call: _Call
    ) -> Iterator[pa.RecordBatch]:
        if depth == len(self._links):
            yield batch
        elif batch.num_rows:
            for piece in self._links[depth].run(batch, names[depth], call):
                yield from self._run(piece, depth + 1, names, call)


class _Call(Struct, frozen=True):
    """One batch's way through the chain: its name for messages, as it was decoded, and its rejected rows."""

    where: str
    decoded: pa.RecordBatch
    on_rejected: OnRejected | None

    def deliver(self, rejections: Sequence[Rejection]) -> None:
        if self.on_rejected is None:
            if rejections:
                raise rejected(rejections, self.where)
            return
        for rejection in rejections:
            self.on_rejected(rejection)


class _Link(Struct, frozen=True):
    """One function of a chain."""

    function: Function
    name: str
    promise: Promise

    @classmethod
    def of(cls, function: str | Function, pythonpath: Sequence[str]) -> _Link:
        if isinstance(function, str):
            found, name = load(function, pythonpath), function
        elif callable(function):
            found, name = function, name_of(function)
        else:
            raise RefusedError(f"a transform is a function, not {kind_of(function)}")
        return cls(found, name, promise_of(found))

    def probe(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The empty batch that this link makes of an empty one (RefusedError)."""
        given = batch.schema
        for name in sorted((self.promise.columns or frozenset()).difference(given.names)):
            raise RefusedError(
                f'transform {self.name} reads a column "{name}" that neither the source has'
                f" nor an earlier transform makes{near(name, given.names)}"
            )
        try:
            with collecting(Collector(f"transform {self.name}", batch)):
                pieces = list(pieces_of(self.function(batch)))
        except WrongReturn as wrong:
            raise RefusedError(f"transform {self.name} returned {wrong}", hint=wrong.hint) from None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # polars' panics, and SystemExit, are no Exception
            # The batch held no rows, so that the text of the error can hold no value of one.
            raise RefusedError(
                f"transform {self.name} failed on an empty batch:"
                f" {type(error).__name__}: {error}{place_of(error, self.function)}",
                hint="a transform is tried on an empty batch of the real columns before anything is written",
            ) from error
        if pieces:
            return empty(self._output(pieces[0].schema, given))
        if self.promise.schema is not None:
            return empty(self._output(self.promise.schema, given))
        raise RefusedError(
            f"transform {self.name} yielded nothing for an empty batch, so that its columns are not known",
            hint="yield an empty batch (batch.slice(0, 0)), or say them: @copypump.reads(..., schema=...)",
        )

    def _output(self, schema: pa.Schema, given: pa.Schema) -> pa.Schema:
        """`schema`, checked, and with the row column of `given` at its end (RefusedError)."""
        names = schema.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RefusedError(f"transform {self.name} returns two columns named {quoted(twice)}")
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

    def run(self, batch: pa.RecordBatch, names: tuple[str, ...], call: _Call) -> Iterator[pa.RecordBatch]:
        """What the function makes of one batch, each piece with the columns `names` in that order."""
        given = batch.column(ROW_INDEX) if ROW_INDEX in batch.schema.names else None
        same, rows, left = self.promise.rows_same, 0, batch.num_rows
        collector = Collector(f"transform {self.name}", call.decoded)
        for piece in self._call(batch, call.where, collector):
            if rejections := collector.taken():
                call.deliver(rejections)
                left = batch.num_rows - collector.rows
                given = self._without(given, rejections, call) if same else given
            start, rows = rows, rows + piece.num_rows
            if same and rows > left:
                break
            if given is not None:
                expected = given.slice(start, piece.num_rows) if same else None
                piece = self._with_rows(piece, expected, call.where)
            yield self._ordered(piece, names, call.where)
        if rejections := collector.taken():
            call.deliver(rejections)
            left = batch.num_rows - collector.rows
        if same and rows != left:
            count = "more" if rows > left else f"{rows:,}"
            raise TransformError(
                f'transform {self.name} promised rows="same" and returned {count} rows'
                f" for the {left:,} of {call.where}" + (" that it did not reject" if collector.rows else "")
            )

    def _without(
        self, given: pa.Array[Any] | None, rejections: Sequence[Rejection], call: _Call
    ) -> pa.Array[Any] | None:
        """The row column without the rows that were rejected, for a function that keeps all others."""
        if given is None:
            return None
        gone = [rejection.places for rejection in rejections if rejection.places is not None]
        if len(gone) < len(rejections):
            raise TransformError(
                f'transform {self.name} promised rows="same" and rejected rows of which nobody can tell'
                f" whose they are, in {call.where}",
                hint=f"reject rows of the batch that was given, or of one with its {ROW_INDEX}",
            )
        return without(call.decoded, given, gone)

    def _call(self, batch: pa.RecordBatch, where: str, collector: Collector) -> Iterator[pa.RecordBatch]:
        """The function's pieces, its errors turned into ours."""
        try:
            with collecting(collector):
                pieces = pieces_of(self.function(batch))
            while True:
                with collecting(collector):
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece
        except WrongReturn as wrong:
            raise TransformError(
                f"transform {self.name} returned {wrong} for {where}", hint=wrong.hint
            ) from None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # polars' panics, and SystemExit, are no Exception
            # The error's own text may hold a row's value, so only --debug shows it.
            raise TransformError(
                f"transform {self.name} raised {type(error).__name__}{place_of(error, self.function)}"
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
            f"{what} {quoted(which)}"
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


def _same(returned: pa.Array[Any], expected: pa.Array[Any]) -> bool:
    """Whether two row columns are equal; that of another library may be of a wider integer type."""
    if returned.type != expected.type:  # rare: a cast imports pyarrow.compute
        try:
            returned = returned.cast(expected.type)
        except pa.ArrowException:  # whose words may hold a value
            return False
    return returned.equals(expected)
