"""Files of results as the bench writes them, for tables and charts."""

from __future__ import annotations

from typing import Any

START = {"wall": 0.2, "user": 0.1, "system": 0.0, "memory": 20.0}


def cost(wall: float, cpu: float, memory: float = 30.0) -> dict[str, float]:
    return {"wall": wall, "user": cpu, "system": 0.0, "memory": memory}


def way(name: str, **other: Any) -> dict[str, Any]:
    return {
        "name": name, "title": name.title(), "how": "", "ours": name.startswith("copypump"), "transforms": True,
        "version": "1", "rows": 1000, "missing": None, "failed": None, "fault": None, "start": START,
        "costs": [cost(1.0, 0.5), cost(2.0, 0.5)], "samples": [[0.0, 1.0], [0.5, 30.0]],
    } | other  # fmt: skip


MATCH = {
    "name": "W1",
    "title": "people: of all ages; a year older",
    "rows": 1000,
    "bytes": 2_000_000,
    "ways": [
        way("raw", transforms=False),
        way("copypump", costs=[cost(1.1, 0.4, 99.0), cost(2.4, 0.4)]),
        way("slow", rows=100, costs=[cost(1.2, 0.6), None]),
        way("lossy", fault="other values in name", costs=[cost(3.0, 1.0), None]),
        way("absent", missing="slow is not installed", costs=[], samples=[]),
        way("broken", failed="error: no", costs=[], samples=[]),
    ],
}

RESULTS: dict[str, Any] = {
    "made": "2026-01-02T03:04:05+00:00",
    "machine": {"processor": "A machine", "cores": "2", "memory": "24 GB", "system": "Linux 6.1"},
    "load": 0.5,
    "source": {"server_version": "16.1 (x)", "fsync": "off", "way": "Unix socket"},
    "target": {"server_version": "18.1", "fsync": "off", "way": "Unix socket"},
    "embedded": True,
    "environment": {"copypump": "1", "pyarrow": "2", "numpy": "3", "pandas": None},
    "scale": 0.1,
    "turns": {"ours": 2, "peers": 0},
    "matches": [MATCH],
}

SCENE = {name: RESULTS[name] for name in ("made", "machine", "source", "target", "embedded", "environment")}


def point(sweep: str, way_: str, x: float, **other: Any) -> dict[str, Any]:
    return {
        "sweep": sweep, "way": way_, "x": x, "rows": 100, "runs": 3, "wall": 1.0, "cpu": 0.5, "start_cpu": 0.1, "memory": 50.0,
        "samples": [[0.0, 1.0], [1.0, 2.0]],
    } | other  # fmt: skip


SCALED: dict[str, Any] = {
    **SCENE,
    "points": [
        *(
            point("rows", way_, x, rows=x)
            for x in (100_000, 1_000_000)
            for way_ in ("psql | psql", "copypump")
        ),
        *(
            point("batches", "copypump", kilobytes * 1024, cpu=cpu)
            for kilobytes, cpu in ((64, 1.1), (2048, 0.5), (4096, 0.6), (65_536, 0.7))
        ),
        *(point("columns", way_, x) for x in (1, 1024) for way_ in ("psql | psql", "copypump")),
        *(point("wire", way_, x, wall=1.0 + x / 50) for x in (0, 50) for way_ in ("psql | psql", "copypump")),
    ],
}

STARTED: dict[str, Any] = {
    **SCENE,
    "rows": 1000,
    "measures": [
        {"what": "copypump --help", "of": "wall", "bar": 0.3, "seconds": [0.1, 0.3, 0.2]},
        {"what": "run, to the first row sent", "of": "wall", "bar": 1.0, "seconds": [0.6, 0.5, 0.7]},
    ],
}

STREAM = {
    "workload": "W1",
    "direction": "read",
    "rows": 10,
    "values": 40,
    "bytes": 1000,
    "missing": None,
    "remark": "",
}
STREAMS: dict[str, Any] = {
    **SCENE,
    "scale": 0.1,
    "streams": [
        {**STREAM, "way": "copypump", "wall": [1.0, 2.0], "cpu": [1e-6, 2e-6]},
        {**STREAM, "way": "ADBC", "wall": [1.0, 2.0], "cpu": [4e-6, 6e-6], "remark": "as text: price"},
        {**STREAM, "direction": "write", "way": "ADBC", "wall": [], "cpu": [], "missing": "no driver"},
    ],
}
