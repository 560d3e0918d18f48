"""Transforms with promises to copypump, which the peers' environments need not have."""

from __future__ import annotations

import pyarrow as pa

import copypump
from bench import transforms


@copypump.reads("l_extendedprice", "l_discount", rows="same")
def lineitem(batch: pa.RecordBatch) -> pa.RecordBatch:
    """W2, reading its two columns; the other fourteen pass as bytes."""
    return transforms.lineitem(batch)
