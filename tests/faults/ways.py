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

AGES = """CREATE TABLE ages (age int PRIMARY KEY);
          INSERT INTO ages SELECT generate_series(1, 90);
          ALTER TABLE people ADD CONSTRAINT people_age FOREIGN KEY (age) REFERENCES ages"""
# Those that it refuses where a foreign key finds no such age.
UNKNOWN = 43
LESS = f"DELETE FROM ages WHERE age = {UNKNOWN}"

# Beside the primary key, indexes of several kinds. One takes its time, so that faults meet it while it is made.
INDEXES = """CREATE FUNCTION late(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
                 BEGIN IF id = 1 THEN PERFORM pg_sleep(0.2); END IF; RETURN -id; END $$;
             CREATE INDEX people_late ON people (late(id)) WHERE id > 0;
             CREATE INDEX people_name ON people (name text_pattern_ops, age DESC);
             COMMENT ON INDEX people_name IS 'kept';
             ALTER TABLE people CLUSTER ON people_name;
             ALTER TABLE people ADD CONSTRAINT people_once UNIQUE (id, age) DEFERRABLE"""
# The primary key is referred to, and so are rows that come.
NOTES = "CREATE TABLE notes (id int REFERENCES people); INSERT INTO notes VALUES (1)"


@dataclass(frozen=True)
class Way:
    """`options` of the run, and what the target holds `before` it; then what is `found` there
    is what `lands`, of the source.

    `rejected` gives the ids of the rows that are rejected, where they may be. `fill` fills the source, `tuning`
    makes many chunks and batches of that. `steps` are those of a run, about: random faults come within them.
    """

    options: tuple[str, ...]
    before: str = ""
    lands: str = OLDER
    found: str = "SELECT id, name, age, region FROM people"
    rejected: str = ""
    fill: str = FILL
    tuning: tuple[str, ...] = ("--chunk-bytes", "160kB", "--batch-rows", "500")
    steps: int = 3 * CHUNKS

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

_REBUILD = ("--indexes", "rebuild")
_LONG = 60  # where much is done before the rows come, and once they are there

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
    "replace-reject": Way(
        ("--split", "key", "--mode", "replace", *_REJECT),
        before=f"INSERT INTO people VALUES (1, 'was there', 1, NULL); {CHECK}; {AGES}; {LESS}; {INDEXES}; {NOTES}",
        lands=f"{OLDER} WHERE age + 1 NOT IN ({REFUSED}, {UNKNOWN})",
        rejected=f"SELECT id FROM people WHERE age + 1 IN ({REFUSED}, {UNKNOWN})",
        steps=_LONG,
    ),
    "rebuild-ctid": Way(("--split", "ctid", *_REBUILD), before=f"{AGES}; {INDEXES}", steps=_LONG),
    "rebuild-key": Way(
        ("--split", "key", "--mode", "append", *_REBUILD),
        before=f"INSERT INTO people {OTHER}; {AGES}; {INDEXES}",
        lands=f"{OLDER} UNION ALL {OTHER}",
        steps=_LONG,
    ),
    "rebuild-upsert": Way(
        ("--split", "ctid", "--mode", "upsert", "--key", "id", *_REBUILD),
        before=f"INSERT INTO people VALUES (1, 'was there', 1, NULL); {AGES}; {INDEXES}",
        steps=_LONG,
    ),
    "processes-ctid": Way(("--split", "ctid", *_PROCESSES)),
    "processes-key": _append("--split", "key", *_PROCESSES),
    "processes-reject": Way(
        ("--split", "key", *_REJECT, *_PROCESSES), before=CHECK, lands=_TAKEN, rejected=_REJECTED
    ),
}
