"""Which way a source is cut, and why not another."""

from __future__ import annotations

from collections.abc import Callable

from copypump.engine.options import Options
from copypump.engine.origin import Origin
from copypump.engine.splits.chunk import Chunk, Split
from copypump.engine.splits.ctid import split_by_ctid
from copypump.engine.splits.request import Request, Unfit
from copypump.errors import RefusedError, Side
from copypump.postgres.session import Session


def choose_split(
    source: Session, origin: Origin, options: Options, *, jobs: int, startable_over: bool
) -> Split:
    """Cut a source for `jobs` workers, as the options ask, else in the best way that it allows.

    `source` stands in the transaction that reads (or one like it), the table locked. `startable_over`: the
    load can begin again from nothing.

    Raises:
        RefusedError: the way that was asked for cannot be had.

    """
    request = Request(source, origin, options, jobs, startable_over)
    asked = None if options.split == "auto" else options.split
    if asked is None and options.split_by is not None:
        asked = "key"
    if asked is None:
        return _best(request)
    if asked == "none":
        return whole(request, ["asked for"])
    try:
        return WAYS[asked](request)
    except Unfit as unfit:
        raise RefusedError(
            f"cannot split by {asked}: {unfit.reason}",
            side=Side.SOURCE,
            table=origin.name,
            column=unfit.column,
            hint=unfit.hint,
        ) from None


def whole(request: Request, reasons: list[str]) -> Split:
    """Everything as one chunk."""
    return Split.of("none", [Chunk(1, f"all of {request.origin.name}")], stable=True, reasons=reasons)


def _best(request: Request) -> Split:
    if request.jobs == 1:
        return whole(request, ["one worker reads all of it"])
    reasons = []
    for name, way in WAYS.items():
        try:
            split = way(request)
        except Unfit as unfit:
            reasons.append(f"not by {name}: {unfit.reason}")
        else:
            return Split.of(split.name, split.chunks, split.stable, [*split.reasons, *reasons])
    return whole(request, reasons)


WAYS: dict[str, Callable[[Request], Split]] = {"ctid": split_by_ctid}
