"""What is written down of each table of the zoo: how it is made, what it needs, and how it must arrive."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from copypump.errors import CopypumpError, RefusedError, UnrepresentableError


class Yardstick(enum.StrEnum):
    """The raw COPY pipe whose result on the target is what exact means for a table.

    A binary pipe keeps every bit (the payload of a NaN, say), but the oids of user-defined types in it would
    be those of the source; a table where such stand on the wire is held against a pipe of text.
    """

    BINARY = "binary"
    TEXT = "text"


class Home(enum.StrEnum):
    """Which servers can hold a table; what the distribution's alone can is not pumped to the wheel's."""

    ANY = "any"
    SYSTEM = "the distribution's"  # contrib modules and xml
    WHEEL = "the wheel's"  # pgvector


@dataclass(frozen=True)
class Needs:
    """What both servers of a way must offer: their kind, at least this major version, an extension."""

    home: Home = Home.ANY
    since: int = 0
    extension: str | None = None

    def __str__(self) -> str:
        parts = [self.home] if self.home is not Home.ANY else []
        parts += [f"PostgreSQL {self.since}+"] if self.since else []
        parts += [self.extension] if self.extension else []
        return ", ".join(parts) or "nothing"


@dataclass(frozen=True)
class Fails:
    """The documented error: its class, the column that it names, and the row, counted from 1."""

    error: type[CopypumpError]
    column: str | None
    row: int | None = None


def unrepresentable(row: int, column: str = "v") -> Fails:
    """The outcome of reading a value that its Arrow type cannot hold."""
    return Fails(UnrepresentableError, column, row)


NO_BINARY_FORM = Fails(RefusedError, "v")


@dataclass(frozen=True)
class ZooTable:
    """One table of the zoo.

    `name` is written as in SQL. `create` runs on both sides, `rows` on the source after it; `landing` runs on
    the target in place of `create` where the two sides differ. `copied` is what the raw pipe reads: the name,
    or `ONLY` it. `order` makes the order of rows certain. `read` is the documented outcome once a transform
    reads the columns, `moved` that of every way to move the table; None means that it arrives exactly.
    """

    name: str
    create: str
    rows: str
    landing: str | None = None
    needs: Needs = Needs()
    yardstick: Yardstick = Yardstick.BINARY
    order: str = "id"
    has_rows: bool = True
    copied: str | None = None
    read: Fails | None = None
    moved: Fails | None = None

    def __str__(self) -> str:
        return self.name.replace('"', "") or self.name


def one_type(
    name: str,
    type_: str,
    *values: str,
    read: Fails | None = None,
    moved: Fails | None = None,
    needs: Needs = Needs(),
    text: bool = False,
    before: str = "",
) -> ZooTable:
    """A table (id int, v TYPE) with a row for each SQL expression in `values`, counted from 1, then a NULL.

    `text` chooses the yardstick; `before` is SQL that makes the types.
    """
    rows = ", ".join(f"({row}, ({value})::{type_})" for row, value in enumerate(values, 1))
    last = f"INSERT INTO {name} VALUES ({len(values) + 1}, NULL)"
    return ZooTable(
        name=name,
        create=f"{before}; CREATE TABLE {name} (id int, v {type_})".lstrip("; "),
        rows=f"INSERT INTO {name} VALUES {rows}; {last}" if values else last,
        needs=needs,
        yardstick=Yardstick.TEXT if text else Yardstick.BINARY,
        read=read,
        moved=moved,
    )
