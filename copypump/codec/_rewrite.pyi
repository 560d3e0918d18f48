"""The native walk along trees of types; `rewrite.py` makes the nodes and tells the faults.

A node is five uint32: step, first, count, found, wanted. `step` (a rewrite.Step) says how a value is walked;
`first` and `count` are the places of its parts, all before the node itself: an array's element, a composite's
attributes in order, a range's bound, a multirange's range; one for all but composites. `found` and `wanted`
are the oid that stands in front of the node's values, within an array or a composite, and the one to put
there.
"""

import array

def check_nodes(nodes: array.array[int]) -> None:
    """Raise ValueError for nodes that are not as told above, or nested more than 100 deep."""

def rewrite(
    nodes: array.array[int],
    root: int,
    data: bytes | bytearray,
    start: int,
    end: int,
    positions: memoryview | bytes,
    column: int,
    stride: int,
    rows: int,
) -> tuple[int, int, int]:
    """Walk the fields of `column` in a framed block along the node `root`, of nodes that were checked.

    The block's numbers are those of framing.Block; its positions are trusted. `data` is changed in place, and
    must not be bytes (BufferError), which nobody may change.
    Returns (row, fault, number): (-1, 0, 0) when all is well, else the row in the block (from 0) of the first
    field at fault, a `rewrite.Fault`, and for OID and ATTRIBUTES the oid or count that was found. ValueError
    when the arguments do not fit each other.
    """
