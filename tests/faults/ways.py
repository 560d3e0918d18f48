"""The ways in which a run of the suite goes: how the source is cut, how rows land, and what is then there."""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 24_000
CHUNKS = 8  # at least

SOURCE = "CREATE TABLE people (id int PRIMARY KEY, name text, age int, region text)"
FILL = f"""INSERT INTO people SELECT i, repeat('x', i % 40), i % 90, (ARRAY['n', 's', 'e', 'w', NULL])[1 + i % 5]
           FROM generate_series(1, {ROWS}) AS i"""

# As `etl.older` makes them.
OLDER = "SELECT id, name, age + 1 AS age, region FROM people"
OTHER = "SELECT -1, 'was there', 1, NULL"

# The rows that the target refuses where it has the check, one in 90.
REFUSED = 42
CHECK = f"ALTER TABLE people ADD CHECK (age <> {REFUSED})"


@dataclass(frozen=True)
class Way:
    """`options` of the run, and what the target holds `before` it; then what is `found` there
    is what `lands`, of the source.

    `rejected` gives the ids of the rows that are rejected, where they may be. `fill` fills the source, `tuning`
    makes many chunks and batches of that.
    """

    options: tuple[str, ...]
    before: str = ""
    lands: str = OLDER
    found: str = "SELECT id, name, age, region FROM people"
    rejected: str = ""
    fill: str = FILL
    tuning: tuple[str, ...] = ("--chunk-bytes", "160kB", "--batch-rows", "500")

    @property
    def done(self) -> int:
        """The exit code of a run that is done: 10 tells of rejects."""
        return 10 if self.rejected else 0

    @property
    def processes(self) -> bool:
        return "processes" in self.options


def _append(*options: str, **more: str) -> Way:
    there = f"INSERT INTO people {OTHER}"
    return Way((*options, "--mode", "append"), before=there, lands=f"{OLDER} UNION ALL {OTHER}", **more)


_REJECT = ("--on-error", "reject")
_REJECTED = f"SELECT id FROM people WHERE age + 1 = {REFUSED}"
_TAKEN = f"{OLDER} WHERE age + 1 <> {REFUSED}"
_PROCESSES = ("--workers", "processes")

WAYS: dict[str, Way] = {
    "empty-ctid": Way(("--split", "ctid")),
    "empty-key": Way(("--split", "key")),
    "append-key": _append("--split", "key"),
    "append-values": _append("--split", "values", "--split-by", "region"),
    "insert-key": Way(
        ("--split", "key", "--mode", "insert"),
        before=f"INSERT INTO people {OTHER}",
        lands=f"{OLDER} UNION ALL {OTHER}",
    ),
    "upsert-ctid": Way(
        ("--split", "ctid", "--mode", "upsert", "--key", "id"),
        before="INSERT INTO people VALUES (1, 'was there', 1, NULL)",
    ),
    "update-ctid": Way(
        ("--split", "ctid", "--mode", "update", "--key", "id"),
        before=f"INSERT INTO people {OTHER} UNION ALL SELECT 2 * i, 'old', 7, 'n' FROM generate_series(1, 5000) i",
        lands=f"{OLDER} WHERE id % 2 = 0 AND id <= 10000 UNION ALL {OTHER}",
    ),
    "replace-ctid": Way(
        ("--split", "ctid", "--mode", "replace"),
        before="INSERT INTO people VALUES (1, 'was there', 1, NULL)",
    ),
    "reject-ctid": Way(("--split", "ctid", *_REJECT), before=CHECK, lands=_TAKEN, rejected=_REJECTED),
    "reject-key": Way(("--split", "key", *_REJECT), before=CHECK, lands=_TAKEN, rejected=_REJECTED),
    "processes-ctid": Way(("--split", "ctid", *_PROCESSES)),
    "processes-key": _append("--split", "key", *_PROCESSES),
    "processes-reject": Way(
        ("--split", "key", *_REJECT, *_PROCESSES), before=CHECK, lands=_TAKEN, rejected=_REJECTED
    ),
}
