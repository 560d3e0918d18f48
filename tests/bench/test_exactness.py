"""The corners of the types are what they say, and what becomes of them is seen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.corners import CORNERS
from bench.exactness import CHANGED, DECODING, ERROR, EXACT, moved
from bench.peers.table import PEERS, Places
from bench.pump import Arena
from bench.report import exactness
from bench.servers import Pair as Servers
from bench.workloads import WORKLOADS, Workload
from tests.conftest import Pair

BY_TITLE = {corner.title: corner for corner in CORNERS.values()}


def outcome(pair: Pair, folder: Path, corner: Workload, peer: str) -> tuple[str, str]:
    places = Places(sys.executable, sys.executable, folder)
    with Arena(Servers(pair.src, pair.dst, False), corner, 1.0, places) as arena:
        return moved(arena, PEERS[peer])


def test_corners_are_no_workloads_and_have_tables_of_their_own() -> None:
    assert len(CORNERS) > 20
    assert not CORNERS.keys() & WORKLOADS.keys()
    assert len({corner.table for corner in CORNERS.values()}) == len(CORNERS)


def test_the_servers_own_bytes_pass_every_corner(pair: Pair, tmp_path: Path) -> None:
    for corner in CORNERS.values():
        assert outcome(pair, tmp_path, corner, "raw") == (EXACT, ""), corner.title


@pytest.mark.parametrize(
    ("title", "peer", "expected", "words"),
    [
        ("interval: months, days, seconds", "copypump", EXACT, ""),
        ("interval: months, days, seconds", "psycopg-rows", CHANGED, "other values in value"),
        ("time: 24:00", "copypump", ERROR, 'column "value", row 1'),
    ],
)
def test_an_outcome(pair: Pair, tmp_path: Path, title: str, peer: str, expected: str, words: str) -> None:
    found, said = outcome(pair, tmp_path, BY_TITLE[title], peer)
    assert found == expected, said
    assert words in said


def test_the_table_has_every_corner_and_no_missing_peer() -> None:
    peers = [{"name": name, "title": PEERS[name].title, "missing": None} for name in DECODING]
    peers[-1]["missing"] = "not on PATH"
    corners = [
        {"title": corner.title, "outcomes": dict.fromkeys(DECODING[:-1], (CHANGED, ""))}
        for corner in CORNERS.values()
    ]
    lines = exactness({"peers": peers, "corners": corners}).splitlines()
    assert len(lines) == 2 + len(CORNERS)
    assert all(line.count("**changed**") == len(DECODING) - 1 for line in lines[2:])
