"""The user's functions on record batches: find them, probe them on an empty batch, check what they return.

`reads` is the decorator by which a function says which columns it reads, and `Transform` is a checked chain
of functions that the pipeline calls batch by batch. A function is handed a `pa.RecordBatch` and returns a
RecordBatch, a Table, an iterable of these, or anything that speaks the Arrow PyCapsule protocol (polars,
pandas, duckdb). Its output names are fixed by the probe; types may vary from batch to batch where the cast
to the target is lossless, which the engine sees to. Rows may be rejected: by a function, through `reject`, or
by the declared checks of a chain. No server is known here.
"""

from copypump.transforms.chain import OnRejected as OnRejected
from copypump.transforms.chain import Transform as Transform
from copypump.transforms.promise import reads as reads
from copypump.transforms.rejecting import Rejection as Rejection
from copypump.transforms.rejecting import reject as reject
