"""The one table of load modes: how rows land in the target. Imports nothing, so that help can read it.

A new way to land rows is a new entry here. `before` and `after` are the very statements that a run executes
in the target's transaction, before and after its rows land (how they land is `engine.sink`'s). `{table}`
stands for the quoted target table, and `{only}` for "ONLY " where an ordinary table may have inheritance
children, whose rows are none of ours. The first statement of `before` locks the target as the mode needs it.
`privileges` are those on the table that the statements need, beside INSERT; with one of them, the target is a
table and no view.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadMode:
    """One way in which rows land; see the module docstring for the statements."""

    name: str
    help: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ()


MODES: dict[str, LoadMode] = {
    mode.name: mode
    for mode in (
        LoadMode("append", "add the rows to those that are there"),
        LoadMode(
            "truncate",
            "empty the target and load it, in one transaction",
            before=("TRUNCATE TABLE {only}{table}",),
            privileges=("TRUNCATE",),
        ),
    )
}
