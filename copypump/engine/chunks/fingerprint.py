"""What a run must still be when it is resumed: its source, target, transform and options, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from copypump.codec.column import Column
from copypump.engine.options import Options
from copypump.engine.planning.origin import Origin
from copypump.engine.planning.plan import Plan
from copypump.engine.splits import Chunk, Split
from copypump.errors import RefusedError
from copypump.postgres.catalog import Table

# Options that change how fast a run is, or how it is watched, and nothing of what lands.
FREE = frozenset(
    {
        "analyze",
        "lock_timeout",
        "sequences",
        "synchronous_commit",
        "indexes",
        "maintenance_work_mem",
        "jobs",
        "retries",
        "batch_rows",
        "batch_bytes",
        "pythonpath",
        "run_id",
        "ledger_schema",
        "max_rejects",
        "workers",
    }
)

# Decided once, when the run begins: its chunks stand in the ledger.
_SPLIT = frozenset({"split", "split_by", "chunk_bytes", "snapshot"})


def saved_options(options: Options) -> dict[str, Any]:
    """The options as JSON takes them; a function that is no importable reference is left out."""
    saved: dict[str, Any] = {}
    for name in options.__struct_fields__:
        value = getattr(options, name)
        if name in ("transforms", "checks"):
            value = [each if isinstance(each, str) else None for each in value]
        elif isinstance(value, Mapping):
            value = dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        saved[name] = value
    return saved


def saved_split(split: Split) -> dict[str, Any]:
    """The split as JSON takes it; its conditions hold literals, which may be values of rows."""
    chunks = [chunk.as_dict() for chunk in split.chunks]
    return {"name": split.name, "stable": split.stable, "reasons": list(split.reasons), "chunks": chunks}


def loaded_split(saved: Mapping[str, Any]) -> Split:
    """What `saved_split` gave, as a split again."""
    chunks = tuple(Chunk.of(chunk) for chunk in saved["chunks"])
    return Split(saved["name"], chunks, saved["stable"], tuple(saved["reasons"]))


def fingerprint(plan: Plan, landed: Table) -> dict[str, Any]:
    """What must be the same, the target being `landed`, as the run found or made it; see `differences`."""
    options = saved_options(plan.options)
    return {
        "source": _source(plan.origin),
        "target": {"name": str(landed), "columns": _columns(landed.columns)},
        "transform": plan.transform.identity() if plan.transform else [],
        "options": {
            name: value
            for name, value in options.items()
            if name not in FREE | _SPLIT and name not in ("transforms", "create", "create_like_source")
        },
    }


def _source(origin: Origin) -> dict[str, Any]:
    return {"name": origin.name, "columns": _columns(origin.columns)}


def _columns(columns: Sequence[Column]) -> dict[str, str]:
    return {c.name: c.declared + (" not null" if c.not_null else "") for c in columns}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Say what is not as it was, a line each."""
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        here = f"{path}{name}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{here} ")
        elif _functions(old) == _functions(new) != []:
            for one, other in zip(before[name], now[name], strict=True):
                yield from differences(one, other, f"{here} {one['name']} ")
        elif old != new:
            yield f"{here}: was {_shown(old)}, is {_shown(new)}"


def _functions(value: object) -> list[str]:
    """The names of functions, as `Transform.identity` gives them; none of anything else."""
    named = [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
    return [each["name"] for each in named]


def _shown(value: object) -> str:
    return "not there" if value is None else str(value)


def check_same(run: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """RefusedError, with every difference, unless the run is what it was."""
    found = list(differences(before, now))
    if found:
        raise RefusedError(
            f"the run {run} is not what it was: " + "; ".join(found),
            hint=f"put it back as it was, or begin anew: copypump forget {run}",
        )


def check_source(run: str, before: Mapping[str, Any], origin: Origin) -> None:
    """The same of the source alone, before anything else is planned that a change of it would upset."""
    check_same(run, {"source": before["source"]}, {"source": _source(origin)})
