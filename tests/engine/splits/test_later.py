"""What others do after the plan: rows that come, go and move, and partitions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from copypump.engine.options import Options
from copypump.engine.planning.origin import begin_origin, plan_origin
from copypump.engine.splits import check_split, choose_split, chunk_copy
from copypump.errors import RefusedError, Side
from copypump.postgres.session import Session
from tests.engine.splits.tables import SMALL
from tests.engine.splits.test_exact import rows
from tests.servers import sql

FILL = "SELECT i, 'r' || i % 3, md5(i::text) || md5(i::text) FROM generate_series(1000, 4000) AS i"
ORDINARY = f'CREATE TABLE t (k int UNIQUE, region text, v text COLLATE "C"); INSERT INTO t {FILL}'
PARTED = f"""
CREATE TABLE t (k int, region text, v text) PARTITION BY LIST (region);
CREATE TABLE t_0 PARTITION OF t FOR VALUES IN ('r0'); CREATE TABLE t_rest PARTITION OF t DEFAULT;
INSERT INTO t {FILL}"""

# Keys before, between and after those that the cuts were made of, new regions and none at all; rows that
# move to other blocks, and to another key.
CHANGES = """
INSERT INTO t VALUES (-2147483648, 'a', 'x'), (NULL, NULL, 'x'), (NULL, 'zz', 'x'), (2147483647, 'r1', 'x');
DELETE FROM t WHERE k % 5 = 0;
UPDATE t SET v = v || 'y', k = CASE WHEN k % 7 = 0 THEN -k ELSE k END WHERE k % 2 = 1;
INSERT INTO t SELECT i, 'r0', 'z' FROM generate_series(5000, 9000) AS i"""


@pytest.mark.parametrize(
    ("make", "way"),
    [
        (ORDINARY, {"split": "key"}),
        (ORDINARY, {"split": "key", "split_by": "v"}),
        (ORDINARY, {"split": "values", "split_by": "region"}),
        (ORDINARY, {"split": "ctid"}),
        (PARTED, {"split": "partitions"}),
    ],
)
def test_chunks_planned_before_are_all_rows_of_any_snapshot(
    database: str, make: str, way: dict[str, Any]
) -> None:
    sql(database, make)
    options = Options.of(table="t", chunk_bytes=SMALL, **way)
    with Session(database, Side.SOURCE) as session:
        session.begin_source()
        origin = plan_origin(session, options, None, None)
        split = choose_split(session, origin, options, jobs=2, startable_over=True)
        assert len(split.chunks) > 2
        session.rollback()
        sql(database, CHANGES)
        begin_origin(session, origin, options, None, None)
        check_split(session, origin, split)
        everything = rows(session, origin.copy)
        # Under the one snapshot, nothing that happens meanwhile is seen.
        sql(
            database,
            "UPDATE t SET k = -k - 10000 WHERE k BETWEEN 5000 AND 9000; DELETE FROM t WHERE k < 2000",
        )
        found: Counter[bytes] = Counter()
        for chunk in split.chunks:
            found += rows(session, chunk_copy(origin, options, chunk))
    assert everything.total() > 6000
    assert found == everything


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES IN ('a')",
        "ALTER TABLE t DETACH PARTITION t_0",
        "ALTER TABLE t_0 RENAME TO t_nil",
    ],
)
def test_other_partitions_than_planned_are_refused(database: str, change: str) -> None:
    sql(database, PARTED)
    options = Options.of(table="t", split="partitions")
    with Session(database, Side.SOURCE) as session:
        session.begin_source()
        origin = plan_origin(session, options, None, None)
        split = choose_split(session, origin, options, jobs=2, startable_over=False)
        check_split(session, origin, split)
        session.rollback()
        sql(database, change)
        begin_origin(session, origin, options, None, None)
        with pytest.raises(RefusedError, match="its partitions are not those of the plan"):
            check_split(session, origin, split)
