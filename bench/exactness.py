"""What arrives of the values of corners.py: unchanged, changed without a word, or refused with an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.corners import CORNERS
from bench.measure import FailedError
from bench.peers.table import PEERS, Peer, Places, missing, version
from bench.pump import Arena, telling
from bench.results import scene
from bench.servers import Pair

# Every way that decodes values, or hands them on by a peer's own client: the others pass the server's own bytes.
DECODING = (
    "copypump-plain",
    "copypump",
    "polars",
    "adbc",
    "connectorx",
    "asyncpg",
    "psycopg-rows",
    "executemany",
)
EXACT, CHANGED, ERROR = "exact", "changed", "error"


def measure(
    pair: Pair, places: Places, wanted: Sequence[str], tell: Callable[[str], object]
) -> dict[str, Any]:
    """Move every corner with every wanted peer; what exact.json holds."""
    peers = [PEERS[name] for name in wanted or DECODING]
    corners = []
    for corner in CORNERS.values():
        with Arena(pair, corner, 1.0, places) as arena:
            found = {peer.name: moved(arena, peer) for peer in peers if not missing(peer, places)}
        tell(f"{corner.title}: {', '.join(f'{name} {outcome[0]}' for name, outcome in found.items())}")
        corners.append({"title": corner.title, "outcomes": found})
    return {
        **scene(pair, places),
        "peers": [
            {
                "name": peer.name,
                "title": peer.title,
                "missing": missing(peer, places),
                "version": version(peer, places),
            }
            for peer in peers
        ],
        "corners": corners,
    }


def moved(arena: Arena, peer: Peer) -> tuple[str, str]:
    """What became of a corner, and what was said or is wrong."""
    way = arena.way(peer)
    try:
        arena.run(way, timeout=60)
    except FailedError as error:
        return ERROR, telling(str(error))
    fault = arena.fault(way)
    return (EXACT, "") if fault is None else (CHANGED, fault)
