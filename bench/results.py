"""What was measured, as plain values for JSON, and the figures that follow from them.

Every file is one dict that begins with its scene: `made`, `machine`, `source`, `target`, `embedded`, `environment` (the
pump's Python). results.json adds `load`, `scale`, `turns` and `matches`, one for each workload.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Cost
from bench.peers.table import Places, packages
from bench.pump import YARDSTICK, Match, Turns, Way
from bench.servers import Pair, described, machine

# What the README shows: all peers, beside the charts and scaling.json; and copypump at full size.
FOLDER = Path(__file__).with_name("results")
BARS = FOLDER / "bars"

# A chart shows no more points than this, and a file of results is to be read by people too.
MOST_SAMPLES = 200

# pyarrow imports these where they are, which makes every start of the pump slower.
HEAVY = ("numpy", "pandas")


def scene(pair: Pair, places: Places) -> dict[str, Any]:
    """When and where something was measured, as every file says it."""
    known = packages(places.pump)
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "source": described(pair.src),
        "target": described(pair.dst),
        "embedded": pair.embedded,
        "environment": {name: known.get(name) for name in ("copypump", "pyarrow", "psycopg", *HEAVY)},
    }


def gather(pair: Pair, places: Places, turns: Turns, scale: float, matches: list[Match]) -> dict[str, Any]:
    """All of one run of the bench."""
    return {
        **scene(pair, places),
        "load": os.getloadavg()[0],
        "scale": scale,
        "turns": {"ours": turns.ours, "peers": turns.peers},
        "matches": [
            {
                "name": match.workload.name,
                "title": match.workload.title,
                "rows": match.rows,
                "bytes": match.size,
                "ways": [_way(way) for way in match.ways],
            }
            for match in matches
        ],
    }


def _way(way: Way) -> dict[str, Any]:
    def plain(cost: Cost | None) -> dict[str, float] | None:
        if cost is None:
            return None
        return {name: round(value, 4) for name, value in asdict(cost).items() if name != "samples"}

    return {
        "name": way.peer.name,
        "title": way.peer.title,
        "how": way.peer.how,
        "ours": way.peer.ours,
        "transforms": way.peer.transforms,
        "version": way.version,
        "rows": way.rows,
        "missing": way.missing,
        "failed": way.failed,
        "fault": way.fault,
        "start": plain(way.start),
        "costs": [plain(cost) for cost in way.costs],
        "samples": [
            [seconds, round(size, 1)] for seconds, size in thinned(way.first.samples if way.first else ())
        ],
    }


def thinned(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_SAMPLES` of seconds and sizes: of each stretch the largest, for a peak is what they are for."""
    step = max(1, -(-len(samples) // MOST_SAMPLES))
    return [max(samples[at : at + step], key=lambda seen: seen[1]) for at in range(0, len(samples), step)]


def save(results: dict[str, Any], path: Path) -> None:
    """Write JSON with innermost lists and dicts on a line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1)
    text = re.sub(r"\[\s+([-\d.]+),\s+([-\d.]+)\s+\]", r"[\1, \2]", text)
    text = re.sub(
        r"\{\s+(\"wall\"[^{}]*?)\s+\}", lambda found: "{" + re.sub(r"\s+", " ", found[1]) + "}", text
    )
    path.write_text(text + "\n")


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote."""
    results: dict[str, Any] = json.loads(path.read_text())
    return results


@dataclass(frozen=True)
class Figures:
    """One way over one workload, from its counted turns: seconds, MB, and ratios taken turn by turn.

    `share` is how much of the table it moved. Below 1, `walls`, `cpus` and the ratios are what the whole table
    would take at the rate seen between start and end.
    """

    share: float
    walls: list[float]
    ratios: list[float]
    cpus: list[float]
    cpu_ratios: list[float]
    start: float | None
    memory: float
    rows_per_second: float
    megabytes_per_second: float
    cpu_per_gigabyte: float


def figures(match: dict[str, Any], way: dict[str, Any]) -> Figures | None:
    """None where it has no figure: missing or failed."""
    if way["missing"] or way["failed"]:
        return None
    raw: list[Any] = next((each["costs"] for each in match["ways"] if each["name"] == YARDSTICK), [])
    share = way["rows"] / match["rows"]
    start = way["start"] or {"wall": 0.0, "user": 0.0, "system": 0.0}
    # The yardstick's CPU is all of it, start included.
    start_cpu = 0.0 if way["name"] == YARDSTICK else start["user"] + start["system"]
    walls, cpus, ratios, cpu_ratios, memory = [], [], [], [], 0.0
    for turn, cost in enumerate(way["costs"]):
        if cost is None:
            continue
        wall, cpu = cost["wall"], cost["user"] + cost["system"]
        if share < 1:
            wall = start["wall"] + max(wall - start["wall"], 1e-3) / share
            cpu = start_cpu + max(cpu - start_cpu, 1e-3) / share
        walls.append(wall)
        cpus.append(cpu)
        memory = max(memory, cost["memory"])
        yardstick = raw[turn] if turn < len(raw) else None
        if yardstick is not None:
            ratios.append(wall / yardstick["wall"])
            cpu_ratios.append((cpu - start_cpu) / (yardstick["user"] + yardstick["system"]))
    wall = median(walls)
    return Figures(
        share, walls, ratios, cpus, cpu_ratios, start_cpu if way["start"] else None, memory,
        match["rows"] / wall, match["bytes"] / wall / 1e6, (median(cpus) - start_cpu) / match["bytes"] * 1e9,
    )  # fmt: skip


def measured(match: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Figures]]:
    """The ways that have figures."""
    for way in match["ways"]:
        found = figures(match, way)
        if found is not None:
            yield way, found


def place(results: dict[str, Any]) -> str:
    """What a chart or a table says of the machine, in a line."""
    on, source, target = results["machine"], results["source"], results["target"]
    versions = " and ".join(dict.fromkeys(side["server_version"].split()[0] for side in (source, target)))
    ways = " and ".join(dict.fromkeys(side["way"] for side in (source, target)))
    durability = "fsync off" if target["fsync"] == "off" else "fsync on"
    return (
        f"{on['processor']}, {on['cores']} cores, {on['memory']}, {on['system'].split('-')[0]}; PostgreSQL"
        f" {versions}, {ways}, {durability}; {results['made'][:10]}"
    )
