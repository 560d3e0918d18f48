"""The declared checks on their way: over what a transform made of one batch, and what passes beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from copypump.codec.convert import BrokenError, picked
from copypump.errors import TransformError
from copypump.transforms import OnRejected, Rejection
from copypump.transforms.checks import Checks
from copypump.transforms.rejecting import places_of, rejected


def checked(
    piece: pa.RecordBatch,
    unread: Mapping[str, pa.Array[Any]],
    checks: Checks,
    decoded: pa.RecordBatch,
    where: str,
    on_rejected: OnRejected | None,
) -> pa.RecordBatch:
    """Give the rows of a piece for which all checks hold; the others go to `on_rejected`.

    Args:
        piece: what the transform returned.
        unread: columns that land with its rows, and that the transform did not see, as long as the piece.
        checks: the checks.
        decoded: the batch that the piece was made of.
        where: which one that is, for messages.
        on_rejected: who takes what is rejected; None: nobody.

    Raises:
        TransformError: a row fails, and nobody takes it; or a check cannot be computed.

    """
    landing = {**unread, **dict(zip(piece.schema.names, piece.columns, strict=True))}
    try:
        failures, good = checks.failures(pa.RecordBatch.from_pydict(landing), where)
        if good is None:
            return piece
        rejections = [
            Rejection(
                "check", failure.check, picked(piece, failure.rows), places_of(decoded, piece, failure.rows)
            )
            for failure in failures
        ]
        passing = picked(piece, good)
    except BrokenError as error:
        raise TransformError(f"the transform returned an array that is broken, in {where}") from error
    if on_rejected is None:
        raise rejected(rejections, where)
    for rejection in rejections:
        on_rejected(rejection)
    return passing
