"""Types of the user's own: how an extension's values look in Arrow, said from Python.

A registered type stands above the table of `types`. It holds for whole columns; within arrays, composites and
ranges a type is what the table says. Registering is for a process: where workers are processes, the module
that holds the transform does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pyarrow as pa
from msgspec import Struct

from copypump.codec.convert import AnyArray, BrokenError, convert, is_binary, is_text, item_field
from copypump.errors import TransformError, UsageError

Decode: TypeAlias = Callable[[pa.BinaryArray], AnyArray]
Encode: TypeAlias = Callable[[AnyArray], AnyArray]


class Converter(Struct, frozen=True):
    """What `register_type` was told; `arrow` maps a typmod to a type."""

    name: str
    arrow: Callable[[int], pa.DataType]
    decode: Decode | None
    encode: Encode | None

    def takes(self, offered: pa.DataType, typmod: int) -> bool:
        """Whether values of `offered` are those of its Arrow type, in whatever layout."""
        return pa.types.is_null(offered) or _alike(offered, self.arrow(typmod))

    def from_wire(self, wire: pa.BinaryArray, type_: pa.DataType, column: str) -> AnyArray:
        """Give the values of a column's wire bytes, as `type_`; TransformError where that goes wrong."""
        if self.decode is None:
            return _stored(wire, type_)
        made = self._call(self.decode, wire, "decoder", column)
        if made.type != type_:
            raise self._wrong(f"decoder gave {made.type}, expected {type_}", column)
        return made

    def to_wire(self, array: AnyArray, type_: pa.DataType, column: str) -> AnyArray:
        """Give the wire bytes of values of `type_`; TransformError where that goes wrong."""
        if array.type != type_:
            try:
                array = _stored(convert(array, _storage(type_)), type_)
            except (pa.ArrowException, BrokenError):
                raise self._wrong(f"values are no {type_}", column) from None
        if self.encode is None:
            return array.storage if isinstance(array, pa.ExtensionArray) else array
        made = self._call(self.encode, array, "encoder", column)
        if made.type not in (pa.binary(), pa.large_binary(), pa.binary_view()):
            raise self._wrong(f"encoder gave {made.type}, expected binary", column)
        return made

    def _call(self, function: Callable[..., AnyArray], array: AnyArray, what: str, column: str) -> AnyArray:
        try:
            made: Any = function(array)
        except Exception as error:
            # The error's own text may hold a row's value.
            raise self._wrong(f"{what} raised {type(error).__name__}", column) from error
        if isinstance(made, pa.ChunkedArray):
            made = made.combine_chunks()
        if not isinstance(made, pa.Array):
            raise self._wrong(f"{what} gave {type(made).__name__}, expected a pyarrow array", column)
        if len(made) != len(array):
            raise self._wrong(f"{what} gave {len(made):,} values for {len(array):,}", column)
        if not made.is_null().equals(array.is_null()):
            raise self._wrong(f"{what} gave NULL for a value, or a value for NULL", column)
        return made

    def _wrong(self, message: str, column: str) -> TransformError:
        return TransformError(
            f"the registered type {self.name}: its {message}",
            column=column,
            hint="one value for each value, in their order, NULL for NULL",
        )


_REGISTERED: dict[str, Converter] = {}


def register_type(
    name: str,
    arrow: pa.DataType | Callable[[int], pa.DataType],
    *,
    decode: Decode | None = None,
    encode: Encode | None = None,
) -> None:
    """Say how columns of a PostgreSQL type look in Arrow, in both directions; again for other words on it.

    Args:
        name: the type's name, as in pg_type.typname: `halfvec`, `geometry`.
        arrow: the Arrow type of its values, or a function that gives it for a column's typmod (-1: none).
        decode: takes a `pa.BinaryArray`, what the type's binary send function made of each value (NULL for
            NULL), and gives as many values of that type. None: the bytes are the values, and the Arrow type
            is binary or an extension type over it.
        encode: the reverse: takes values of that type, and gives bytes for the binary receive function.

    Raises:
        UsageError: only one of the two functions is given, or none and the Arrow type is not over binary.

    """
    of = arrow if callable(arrow) else _always(arrow)
    if (decode is None) != (encode is None):
        raise UsageError("give decode and encode, or neither", hint="both directions are needed")
    if decode is None and _storage(of(-1)) != pa.binary():
        raise UsageError(f"without decode and encode, {of(-1)} would have to be binary, or stored as such")
    _REGISTERED[name] = Converter(name, of, decode, encode)


def registered(name: str) -> Converter | None:
    """Give what was registered for a type of this name, if anything was."""
    return _REGISTERED.get(name)


def _always(type_: pa.DataType) -> Callable[[int], pa.DataType]:
    return lambda _typmod: type_


def _storage(type_: pa.DataType) -> pa.DataType:
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def _alike(offered: pa.DataType, wanted: pa.DataType) -> bool:
    offered, wanted = _storage(offered), _storage(wanted)
    mine, theirs = item_field(offered), item_field(wanted)
    if mine is not None and theirs is not None:
        return _alike(mine.type, theirs.type)
    same = (is_binary(offered) and is_binary(wanted)) or (is_text(offered) and is_text(wanted))
    return same or offered == wanted


def _stored(array: AnyArray, type_: pa.DataType) -> AnyArray:
    """Give an array's own storage as `type_`."""
    storage: AnyArray = array.storage if isinstance(array, pa.ExtensionArray) else array
    if not isinstance(type_, pa.BaseExtensionType):
        return storage
    made: AnyArray = pa.ExtensionArray.from_storage(type_, storage)
    return made
