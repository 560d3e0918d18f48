"""Rewrites, within framed blocks, the oids of user-defined types to those that the target knows.

Arrays carry their element's oid, composites each attribute's; they differ between two databases. A Rewriter
is made once per stream, for the columns whose bytes go on as they are. Each of its blocks is changed in place
(lengths stay) after the Framer and before anybody else reads it. On the same walk it can hold intervals to
be finite. Where nothing in a subtree is to be done, nothing in it is looked at.
"""

from __future__ import annotations

import array
import enum
from collections.abc import Sequence

from msgspec import Struct

from copypump.codec import _rewrite
from copypump.codec.column import Column, ServerType
from copypump.codec.framing import Block
from copypump.errors import CastError, CopypumpError, DecodeError

INTERVAL_OID = 1186


class Step(enum.IntEnum):
    """How a value is walked; the numbers are those of _rewrite.pyx."""

    PASS = 0  # nothing to do in it
    ARRAY = 1
    COMPOSITE = 2
    RANGE = 3
    MULTIRANGE = 4
    FINITE = 5  # an interval that must not be infinite


class Fault(enum.IntEnum):
    """What can be wrong with a field; the numbers are those of _rewrite.pyx."""

    OK = 0
    LENGTH = 1
    TAIL = 2
    OID = 3
    ATTRIBUTES = 4
    HEAD = 5
    INFINITE = 6


_FAULTS = {
    Fault.LENGTH: "a length within the value leads out of it",
    Fault.TAIL: "bytes are left over behind the value",
    Fault.OID: "the oid {number} stands where the catalog has that of another type",
    Fault.ATTRIBUTES: "a composite of {number} attributes, where the catalog has another number",
    Fault.HEAD: "dimensions or flags that no array and no range has",
}


class Walked(Struct, frozen=True):
    """Column `index` of a stream, and the type whose oids its values shall carry: of the same wire."""

    index: int
    column: Column
    target: ServerType


class Rewriter:
    """Walks columns of one stream's blocks; `finite` holds all intervals within them to be finite.

    `columns` are the indices of those in which there is something to do.
    """

    def __init__(self, walked: Sequence[Walked], *, finite: bool = False) -> None:
        plan = _Nodes(finite)
        roots = [(each, plan.root(each.column.type, each.target)) for each in walked]
        self._roots = [(each, root) for each, root in roots if root is not None]
        self._nodes = plan.words
        _rewrite.check_nodes(self._nodes)
        self.columns = tuple(each.index for each, _ in self._roots)

    def rewrite(self, block: Block) -> None:
        """Rewrite a block that was framed with positions, in place.

        Raises DecodeError where a value is not built as the catalog says, CastError for an infinite interval;
        both name the column and its row in the stream. The block is of no use after that.
        """
        positions = memoryview(block.positions).cast("B") if block.positions is not None else b""
        for each, root in self._roots:
            row, code, number = _rewrite.rewrite(
                self._nodes,
                root,
                block.data,
                block.start,
                block.end,
                positions,
                each.index,
                block.stride,
                block.rows,
            )
            if code:
                raise _error(Fault(code), number, each.column, block.first_row + row + 1)


def _error(fault: Fault, number: int, column: Column, row: int) -> CopypumpError:
    if fault == Fault.INFINITE:
        return CastError(
            "an infinite interval has no place on a server before 17",
            column=column.name,
            row=row,
            hint="replace it in the query, or move to a newer server",
        )
    return DecodeError(
        f"not a valid {column.declared}: {_FAULTS[fault].format(number=number)}", column=column.name, row=row
    )


# What a node does with a value, and where its parts stand.
_Body = tuple[Step, int, int]
_NOTHING: _Body = (Step.PASS, 0, 0)


class _Nodes:
    """The trees as the native walk takes them (see _rewrite.pyi); a type that comes again stands once."""

    def __init__(self, finite: bool) -> None:
        self.words = array.array("I")
        self._finite = finite
        self._bodies: dict[tuple[int, int], _Body] = {}

    def root(self, source: ServerType, target: ServerType) -> int | None:
        """Give the place of the node for a column's values; None where nothing is to be done in them."""
        body = self._body(source, target)
        return None if body == _NOTHING else self._put([(body, 0, 0)])

    def _put(self, nodes: Sequence[tuple[_Body, int, int]]) -> int:
        place = len(self.words) // 5
        for (step, first, count), found, wanted in nodes:
            self.words.extend((step, first, count, found, wanted))
        return place

    def _body(self, source: ServerType, target: ServerType) -> _Body:
        mine, theirs = source.base, target.base
        key = mine.oid, theirs.oid
        if key not in self._bodies:
            self._bodies[key] = self._made(mine, theirs)
        return self._bodies[key]

    def _made(self, mine: ServerType, theirs: ServerType) -> _Body:
        if not mine.parts:
            return (Step.FINITE, 0, 0) if self._finite and mine.oid == INTERVAL_OID else _NOTHING
        pairs = list(zip(mine.parts, theirs.parts, strict=True))
        parts = [(self._body(a, b), a.oid, b.oid) for a, b in pairs]
        if all(body == _NOTHING and (a == b or not mine.carries_oids) for body, a, b in parts):
            return _NOTHING
        step = Step.ARRAY if mine.is_array else _STEPS[mine.kind]
        return step, self._put(parts), len(parts)


_STEPS = {"c": Step.COMPOSITE, "r": Step.RANGE, "m": Step.MULTIRANGE}
