"""Which way a source is cut, and why not another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from copypump.engine.options import AUTO, Options
from copypump.engine.planning.origin import Origin
from copypump.engine.splits.chunk import SPLITS, Choice, Chunk, Split
from copypump.engine.splits.ctid import split_by_ctid
from copypump.engine.splits.cutting import LEAST_BYTES
from copypump.engine.splits.key import split_by_key
from copypump.engine.splits.partitions import split_by_partitions
from copypump.engine.splits.population import stored_in
from copypump.engine.splits.request import Request, Unfit, megabytes
from copypump.engine.splits.values import split_by_values
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import KINDS
from copypump.postgres.session import Session
from copypump.postgres.sizes import is_standby

_UNCUT = "not looked at, as nothing is cut"
# Why one is never taken where the choice is ours.
_ON_REQUEST = {"values": "only where it is asked for: --split-by COLUMN --split values"}


def choose_split(
    source: Session, origin: Origin, options: Options, *, jobs: int, startable_over: bool
) -> Split:
    """Cut a source for `jobs` workers, as the options ask, else in the best way that it allows.

    `source` stands in the transaction that reads (or in one like it), with the table locked; it is asked for
    sizes and samples, and nothing of that is left behind. `startable_over`: the load can begin again from
    nothing.

    Raises:
        RefusedError: the way that was asked for cannot be had.

    """
    request = Request(source, origin, options, jobs, startable_over)
    asked = _asked(options)
    if asked is None:
        return _best(request)
    try:
        split = WAYS[asked](request)
    except Unfit as unfit:
        raise RefusedError(
            f"cannot split by {asked}: {unfit.reason}",
            side=Side.SOURCE,
            table=origin.name,
            column=unfit.column,
            hint=unfit.hint,
        ) from None
    return explained(split, "asked for", rest="not asked for")


def _asked(options: Options) -> str | None:
    """The way that the options name; None where the choice is ours."""
    if options.split == AUTO:
        return None if options.split_by is None else "key"
    return options.split


def _whole(request: Request, reasons: tuple[str, ...] = ()) -> Split:
    """Everything as one chunk."""
    size = sum(storage.bytes for storage in stored_in(request))
    chunk = Chunk(1, f"all of {request.origin.name}", bytes=size)
    return Split.of("none", [chunk], stable=True, reasons=reasons)


def explained(split: Split, why: str, others: Mapping[str, str] | None = None, rest: str = _UNCUT) -> Split:
    """Add why it is this one; why it is none of the `others` (by name), and none of those that are left."""
    whys = {split.name: why, **(others or {})}
    whys |= {name: rest for name in SPLITS if name not in whys}
    choices = (Choice(name, name == split.name, each) for name, each in whys.items())
    return replace(split, choices=tuple(choices))


def _best(request: Request) -> Split:
    """Cut as is best where nothing was asked for; into one chunk where that cannot be, or is not worth it."""
    if fault := _indivisible(request):
        return _alone(request, fault)
    if fault := _small(request):
        return explained(_whole(request), fault)
    others = {}
    for name in _candidates(request):
        try:
            split = WAYS[name](request)
        except Unfit as unfit:
            others[name] = f"does not fit: {unfit.reason}"
            continue
        if len(split.chunks) == 1:
            others[name] = "would make no second chunk"
            why = "there is no more than one chunk in it"
            return explained(_whole(request, split.reasons), why, others | _ON_REQUEST)
        others["none"] = f"not needed: of {request.jobs} workers one alone would do all of it"
        return explained(split, _PRAISE[name], others | _ON_REQUEST, f"not needed, as {name} fits")
    return _alone(request, "no way to cut it fits", others | _ON_REQUEST)


def _alone(request: Request, why: str, others: Mapping[str, str] | None = None) -> Split:
    """Everything as one chunk, of which those who want more workers are warned."""
    split = explained(_whole(request), why, others)
    if request.jobs == 1 or request.options.jobs == AUTO:
        return split
    return replace(
        split, warnings=(f"one worker does all of it, not {request.jobs}: {why} (see copypump plan)",)
    )


def _indivisible(request: Request) -> str | None:
    """Why nothing is cut unless it is asked for, however large it is."""
    origin, options = request.origin, request.options
    table = origin.table
    if request.jobs == 1:
        return "one worker reads all of it"
    if table is None:
        return "a query is cut only where --split-by names one of its columns: each chunk runs it again"
    if table.kind in "vf":
        kind = KINDS[table.kind]
        return f"a {kind} is cut only where --split-by names a column: each chunk reads all of it again"
    if table.persistence == "t":
        return f"{table} is a temporary table, which no other session can read"
    if options.jobs == AUTO and is_standby(request.source):
        return "the source is a standby, where long reads are cancelled: one worker, unless --jobs says more"
    return None


def _small(request: Request) -> str | None:
    """Why a table is not worth more than one chunk, where it is not."""
    stored = stored_in(request)
    size = sum(storage.bytes for storage in stored)
    known = all(storage.kind != "f" for storage in stored)
    if known and size <= min(LEAST_BYTES, request.options.chunk_bytes):
        return f"{request.origin.table} has {megabytes(size)}, which is not worth a second chunk"
    return None


def _candidates(request: Request) -> tuple[str, ...]:
    """The ways to try for a table, best first, after those that its kind rules out, which costs nothing."""
    table = request.origin.table
    assert table is not None
    if table.kind != "p":
        return "partitions", "ctid", "key"
    sizes = [storage.bytes for storage in stored_in(request)]
    # Uncut, a partition that is larger than a worker's share of the whole would keep it alone at the end.
    uneven = max(sizes, default=0) * request.jobs > sum(sizes)
    keeps_uneven = uneven and not request.startable_over
    return ("ctid", "key", "partitions") if keeps_uneven else ("ctid", "partitions", "key")


# Why each way is taken where the choice is ours.
_PRAISE = {
    "ctid": "it needs no index, reads each block once, and the load can start over",
    "key": "its ranges mean the same rows under a later snapshot",
    "partitions": "each is read by its own name",
}

WAYS: dict[str, Callable[[Request], Split]] = {
    "none": _whole,
    "ctid": split_by_ctid,
    "key": split_by_key,
    "values": split_by_values,
    "partitions": split_by_partitions,
}
assert WAYS.keys() == SPLITS.keys()
