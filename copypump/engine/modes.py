"""The one table of load modes: how rows land in the target. Imports nothing of ours; so help can read it.

A new way to land rows is an entry here, and a function of the same name in `engine.loading.LOADINGS`, which
decides its statements.
"""

from __future__ import annotations

from msgspec import Struct


class LoadMode(Struct, frozen=True):
    """One way in which rows land.

    `privileges` are those on the table that its statements need, beside INSERT; with one of them, the target
    is a table and no view. `starts_over`: what has landed so far can be taken away again without touching
    rows of others, so that chunks which mean nothing under a later snapshot do no harm. `single`, where it is
    not empty, is why all rows land in one transaction, by one worker. `new_table`: rows land in another
    table, which takes the target's place; what that asks for the mode itself checks. `keyed`: rows are told
    by a key, which the user names. `inserts`: new rows come in. `copies`: by COPY; else wherever an INSERT
    goes, also under row-level security.
    """

    name: str
    help: str
    privileges: tuple[str, ...] = ()
    starts_over: bool = False
    single: str = ""
    new_table: bool = False
    keyed: bool = False
    inserts: bool = True
    copies: bool = True


MODES: dict[str, LoadMode] = {
    mode.name: mode
    for mode in (
        LoadMode("append", "add the rows to those that are there"),
        LoadMode(
            "truncate",
            "empty the target and load it, in one transaction",
            privileges=("TRUNCATE",),
            starts_over=True,
            single="emptying and loading the target are one transaction",
        ),
        LoadMode(
            "replace",
            "load a new table of the same definition, and let it take the target's place",
            starts_over=True,
            new_table=True,
        ),
        LoadMode(
            "upsert",
            "insert rows whose key is new, update what changed in those that are there",
            privileges=("SELECT",),
            starts_over=True,
            keyed=True,
        ),
        LoadMode(
            "update",
            "update what changed in the rows that are there, by their key, and insert nothing",
            privileges=("SELECT",),
            starts_over=True,
            keyed=True,
            inserts=False,
        ),
        LoadMode(
            "insert",
            "add the rows by INSERTs, slower: to views and foreign tables, and under row-level security",
            copies=False,
        ),
    )
}
