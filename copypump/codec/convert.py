"""Arrow arrays to other Arrow types, every value as it was: what casts.py decides, done.

Nested arrays are taken apart, their children converted, and put together again. Nothing is converted that
stands under a NULL parent: it may be anything. Arrow's own casts trust offsets and indices, so these are
checked here first; and its cast of list views is not used at all, for it loses values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pyarrow as pa

AnyArray: TypeAlias = "pa.Array[Any]"


class BrokenError(Exception):
    """An array whose buffers are not what its type says."""


def convert(array: AnyArray, to: pa.DataType) -> AnyArray:
    """Convert exactly, or raise pa.ArrowException or, for an array that is broken, BrokenError."""
    if array.type == to:
        return array
    if isinstance(array, pa.ExtensionArray):
        return convert(array.storage, to)
    if isinstance(array, pa.DictionaryArray):
        if isinstance(to, pa.DictionaryType):
            return _reindexed(array, to)
        return convert(_decoded(array), to)
    if isinstance(array, pa.RunEndEncodedArray):
        return convert(_expanded(array), to)
    if item_field(array.type) is not None:
        return _lists(array, to)
    if isinstance(array, pa.StructArray):
        return _structs(array, to)
    if isinstance(to, pa.DictionaryType) and not pa.types.is_null(array.type):
        words: Any = convert(array, to.value_type)
        return pa.DictionaryArray.from_arrays(
            _counted(len(words)).cast(to.index_type), words, ordered=to.ordered
        )
    return _leaves(array, to)


def _leaves(array: AnyArray, to: pa.DataType) -> AnyArray:
    """Convert what holds no other values."""
    type_: Any = array.type
    if pa.types.is_null(type_):
        make: Any = pa.nulls  # whose stubs know no type that is only known at run time
        nulls: AnyArray = make(len(array), to)
        return nulls
    if is_text(type_) and to == pa.utf8():
        # As binary: the Encoder checks UTF-8 itself and names the row.
        raw = array.view(_AS_BINARY[str(type_)]())
        validated(raw)
        return raw.cast(pa.binary()).view(pa.utf8())
    if pa.types.is_integer(type_) and pa.types.is_decimal(to):
        array = array.cast(pa.decimal128(_LONGEST_INTEGER, 0))
    if pa.types.is_decimal(array.type):
        return _rescaled(array, to)
    if not is_plain(type_):
        validated(array)
    return array.cast(to)


def _rescaled(array: AnyArray, to: Any) -> AnyArray:
    """Convert decimals.

    Arrow multiplies without a look at overflow, and 0.000007 as decimal128(38, 44) becomes another number. So
    what cannot fit once it is multiplied is found before.
    """
    type_: Any = array.type
    if pa.types.is_integer(to) and type_.scale < 0:
        return _rescaled(array, pa.decimal128(_LONGEST_INTEGER, 0)).cast(to)
    if not pa.types.is_decimal(to):
        return array.cast(to)
    shift = to.scale - type_.scale
    if shift > 0 and type_.precision + shift > (76 if 256 in (type_.bit_width, to.bit_width) else 38):
        array = array.cast(pa.decimal256(max(1, to.precision - shift), type_.scale))
    return array.cast(to)


def is_text(type_: pa.DataType) -> bool:
    """Whether values are UTF-8, in whatever layout."""
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def is_binary(type_: pa.DataType) -> bool:
    """Whether values are bytes, in whatever layout."""
    return (
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_binary_view(type_)
        or pa.types.is_fixed_size_binary(type_)
    )


def item_field(type_: pa.DataType) -> pa.Field[pa.DataType] | None:
    """Give what each value is a list of, in whatever layout (a map is one of pairs); None: it is no list."""
    if isinstance(type_, pa.MapType):
        return pa.field("entries", pa.struct([type_.key_field, type_.item_field]), nullable=False)
    if isinstance(
        type_,
        pa.ListType | pa.LargeListType | pa.FixedSizeListType | pa.ListViewType | pa.LargeListViewType,
    ):
        return type_.value_field
    return None


def bare(type_: pa.DataType) -> pa.DataType:
    """Give the type of the values themselves, without what is wrapped around them."""
    if isinstance(type_, pa.BaseExtensionType):
        return bare(type_.storage_type)
    if isinstance(type_, pa.DictionaryType | pa.RunEndEncodedType):
        return bare(type_.value_type)
    return type_


def is_plain(type_: pa.DataType) -> bool:
    """Whether values are words of one size: no bits of theirs can lead out of a buffer."""
    return pa.types.is_primitive(type_) or pa.types.is_decimal(type_)


def validated(array: AnyArray, *, full: bool = True) -> None:
    """Have Arrow check an array; without `full`, not its values, which may be 24:00:00 or broken UTF-8."""
    try:
        array.validate(full=full)
    except pa.ArrowException:
        raise BrokenError from None


_LONGEST_INTEGER = 20  # digits, of a uint64

_AS_BINARY: dict[str, Callable[[], pa.DataType]] = {
    "string": pa.binary,
    "large_string": pa.large_binary,
    "string_view": pa.binary_view,
}


def _compute(name: str, *arguments: object, options: object = None) -> Any:
    """Call one of Arrow's functions. Its module is rarely needed, and slow to import."""
    import pyarrow.compute as pc

    return pc.call_function(name, list(arguments), options)  # type: ignore[arg-type]


def match(texts: AnyArray, pattern: str) -> AnyArray:
    """Tell which texts have a part that is like a regular expression of RE2."""
    import pyarrow.compute as pc

    made: AnyArray = _compute("match_substring_regex", texts, options=pc.MatchSubstringOptions(pattern))
    return made


def true_places(flags: AnyArray) -> list[int]:
    """Give the places of what is true."""
    places: list[int] = _compute("indices_nonzero", flags).to_pylist()
    return places


def less(numbers: AnyArray, by: pa.Scalar[Any]) -> AnyArray:
    """Subtract from integers, without a look at overflow: different numbers stay different."""
    made: AnyArray = _compute("subtract", numbers, by)
    return made


# ---- dictionaries and runs


def _takeable(type_: pa.DataType) -> pa.DataType:
    """Give the type of the same values that Arrow's take knows: without views, which polars brings."""
    type_ = bare(type_)
    item = item_field(type_)
    if item is not None:
        return pa.list_(item.with_type(_takeable(item.type)))
    if isinstance(type_, pa.StructType):
        return pa.struct([field.with_type(_takeable(field.type)) for field in type_])
    if pa.types.is_string_view(type_):
        return pa.utf8()
    return pa.binary() if pa.types.is_binary_view(type_) else type_


def sound(array: AnyArray) -> AnyArray:
    """Give the same values in a type that Arrow's functions take, none of its offsets leading out of them.

    Raises BrokenError.
    """
    values = convert(array, _takeable(array.type))
    if is_text(values.type):
        validated(values.view(_AS_BINARY[str(values.type)]()))  # its UTF-8 is the Encoder's to check
    elif not is_plain(values.type):
        validated(values)
    return values


def picked(batch: pa.RecordBatch, rows: AnyArray) -> pa.RecordBatch:
    """Take rows of a batch by indices that were checked; columns keep their types where Arrow's take can.

    Raises BrokenError.
    """
    arrays = []
    for array in batch.columns:
        if not is_plain(array.type):
            validated(array.view(_AS_BINARY[str(array.type)]()) if is_text(array.type) else array)
        try:
            arrays.append(array.take(rows))
        except pa.ArrowNotImplementedError:
            arrays.append(_taken(array, rows))
    fields = [field.with_type(array.type) for field, array in zip(batch.schema, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _decoded(array: pa.DictionaryArray[Any, Any]) -> AnyArray:
    validated(array.indices)
    words = array.dictionary
    check = pa.DictionaryArray.from_arrays(array.indices, pa.nulls(len(words)), safe=False)
    validated(check)
    return _taken(words, array.indices)


def _reindexed(array: pa.DictionaryArray[Any, Any], to: pa.DictionaryType[Any, Any]) -> AnyArray:
    """Convert the words and the indices; whether these lead to a word is the Encoder's to check."""
    validated(array.indices)
    return pa.DictionaryArray.from_arrays(
        array.indices.cast(to.index_type),
        convert(array.dictionary, to.value_type),
        ordered=to.ordered,
        safe=False,
    )


def _taken(values: AnyArray, indices: AnyArray) -> AnyArray:
    """Take values by indices that were checked."""
    return sound(values).take(indices)


def _expanded(array: pa.RunEndEncodedArray[Any, Any]) -> AnyArray:
    # Of the runs' numbers: Arrow decodes no runs of nested values.
    numbers = _counted(len(array.values))
    from_arrays: Any = pa.RunEndEncodedArray.from_arrays
    runs: AnyArray = from_arrays(array.run_ends, numbers)
    validated(array, full=False)
    validated(runs)
    indices = _compute("run_end_decode", runs.slice(array.offset, len(array)))
    return _taken(array.values, indices)


# ---- lists


def _lists(array: Any, to: pa.DataType) -> AnyArray:
    """Give any kind of list (a map is one) as lists with int32 offsets from zero.

    What NULL ones hold is left out, or left as it is.
    """
    item = item_field(to)
    if item is None:
        raise pa.ArrowNotImplementedError
    validated(array, full=False)
    _check_spans(array)
    valid = None
    if array.null_count:
        valid = _compute("and", array.is_valid(), array.is_valid())  # its bits from the first on
    if (
        isinstance(array, pa.FixedSizeListArray)
        and array.type.value_type == item.type
        and is_plain(item.type)
    ):
        return _of_one_size(array, valid, to)
    starts, sizes, values = _spans(array)
    if valid is not None:
        sizes = _compute("if_else", valid, sizes, pa.scalar(0, sizes.type))
    ends = _compute("cumulative_sum_checked", sizes)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    total = offsets[-1].as_py()
    narrow = offsets.cast(pa.int32())
    first = _dense_start(starts, sizes, offsets)
    if first is not None:
        values = values.slice(first, total)
    else:
        parents = pa.Array.from_buffers(
            pa.list_(pa.null()), len(array), [None, narrow.buffers()[1]], children=[pa.nulls(total)]
        )
        shift = _compute("subtract", starts, offsets[:-1]).take(_compute("list_parent_indices", parents))
        values = _taken(values, _compute("add", shift, _counted(total)))
    return pa.Array.from_buffers(
        to,
        len(array),
        [None if valid is None else valid.buffers()[1], narrow.buffers()[1]],
        children=[convert(values, item.type)],
    )


def _of_one_size(array: Any, valid: Any, to: pa.DataType) -> AnyArray:
    """Give lists of one size, of words that need no conversion, with their values where they lie.

    NULL ones keep theirs, which nobody looks at. Encoding vector(384), a value in twenty being NULL, took
    4.4 us a value where those were taken out, and takes 0.32 us (bench.codec, a busy machine).
    """
    rows, width = len(array), array.type.list_size
    offsets = _compute("multiply", _counted(rows + 1), pa.scalar(width, pa.int64())).cast(pa.int32())
    return pa.Array.from_buffers(
        to,
        rows,
        [None if valid is None else valid.buffers()[1], offsets.buffers()[1]],
        children=[array.values.slice(array.offset * width, rows * width)],
    )


def _spans(array: Any) -> tuple[Any, Any, AnyArray]:
    """Give where each list starts in the values, how long it is (both int64), and the values."""
    rows = len(array)
    if not rows:  # such an array may go without offsets, and pyarrow would read them all the same
        none = pa.array([], pa.int64())
        return none, none, array.values
    if isinstance(array, pa.FixedSizeListArray):
        width = array.type.list_size
        starts = _compute("multiply", _counted(rows, array.offset), pa.scalar(width, pa.int64()))
        return starts, pa.repeat(pa.scalar(width, pa.int64()), rows), array.values
    offsets = array.offsets.cast(pa.int64())
    if isinstance(array, pa.ListViewArray | pa.LargeListViewArray):
        return offsets, array.sizes.cast(pa.int64()), array.values
    return offsets[:-1], _compute("subtract", offsets[1:], offsets[:-1]), array.values


def _dense_start(starts: Any, sizes: Any, offsets: Any) -> int | None:
    """Give the place in the values where all lists follow each other without gaps, or None."""
    filled = _compute("greater", sizes, pa.scalar(0, sizes.type))
    first = _compute("index", filled, options=_index_of_true()).as_py()
    if first < 0:
        return 0
    start: int = starts[first].as_py()
    expected = _compute("add", offsets[:-1], pa.scalar(start, pa.int64()))
    follows = _compute("equal", starts, expected)
    return start if _compute("all", _compute("or", follows, _compute("invert", filled))).as_py() else None


def _index_of_true() -> Any:
    import pyarrow.compute as pc

    return pc.IndexOptions(pa.scalar(True))


def _counted(count: int, start: int = 0) -> Any:
    """Give the int64 numbers from `start` on."""
    ones = pa.repeat(pa.scalar(1, pa.int64()), count)
    return _compute("add", _compute("cumulative_sum", ones), pa.scalar(start - 1, pa.int64()))


def _check_spans(array: Any) -> None:
    """Check offsets and sizes, not the values that they lead to."""
    type_, nothing = array.type, pa.nulls(len(array.values))
    if isinstance(array, pa.FixedSizeListArray):
        hollow, count = pa.list_(pa.null(), type_.list_size), 1
    elif isinstance(array, pa.ListViewArray):
        hollow, count = pa.list_view(pa.null()), 3
    elif isinstance(array, pa.LargeListViewArray):
        hollow, count = pa.large_list_view(pa.null()), 3
    else:
        hollow = pa.large_list(pa.null()) if pa.types.is_large_list(type_) else pa.list_(pa.null())
        count = 2
    try:
        shape = pa.Array.from_buffers(
            hollow, len(array), array.buffers()[:count], offset=array.offset, children=[nothing]
        )
    except pa.ArrowException:
        raise BrokenError from None
    validated(shape)


# ---- structs


def _structs(array: pa.StructArray, to: pa.DataType) -> AnyArray:
    """Give the children of the same names, in the order of `to`, and NULL where their parent is."""
    if not isinstance(to, pa.StructType):
        raise pa.ArrowNotImplementedError
    validated(array, full=False)
    type_: Any = array.type
    nulls = array.null_count > 0
    children = array.flatten() if nulls else [array.field(i) for i in range(type_.num_fields)]
    valid = _compute("and", array.is_valid(), array.is_valid()).buffers()[1] if nulls else None
    return pa.Array.from_buffers(
        to,
        len(array),
        [valid],
        children=[convert(children[type_.get_field_index(field.name)], field.type) for field in to],
    )
