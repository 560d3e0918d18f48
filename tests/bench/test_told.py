"""What benches say under pytest."""

from __future__ import annotations

from bench.told import Told


def test_rows_share_a_table_and_pages_follow() -> None:
    told = Told()
    told.page("more", "text")
    told.row("speed", {"way": "a", "rows": 12345})
    told.row("speed", {"way": "b", "MB": 1.5})
    assert list(told.pages()) == [
        ("speed", "| way | rows | MB |\n| --- | --- | --- |\n| a | 12,345 |  |\n| b |  | 1.5 |"),
        ("more", "text"),
    ]
