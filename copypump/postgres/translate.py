"""A server's error as one of ours: its own words and SQLSTATE, without anything that may be a row's value.

DETAIL and CONTEXT quote rows, so they are never shown; the context's row number, table and function name
are taken out of them. The primary message quotes values in a few classes, which are masked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from copypump.errors import Side, SourceError, TargetError
from copypump.postgres.exchange import Lost

# Data exceptions (class 22) put the value behind a colon, or behind the word "value":
#   invalid input syntax for type integer: "abc"      value "99999999999" is out of range for type integer
_VALUE_AFTER_COLON = re.compile(r': ".*', re.DOTALL)
_VALUE_QUOTED = re.compile(r'\bvalue ".*"( is out of range)', re.DOTALL)

# "COPY people, line 3, column age"; the number is of the row as the server counts it, from 1. The word is
# translated.
_COPY_LINE = re.compile(r"^COPY .*?, \w+ (\d+)(?=,|:|$)", re.MULTILINE)
_FUNCTION = re.compile(r"^PL/\w+ function (\S+?)\(", re.MULTILINE)

_RAISED = "P0001"  # raise_exception: words of the user's own trigger, which like to quote the row


def translate(
    error: psycopg.Error | Lost, side: Side, *, table: str | None = None
) -> SourceError | TargetError:
    """Return `error` as the side's error.

    One without SQLSTATE means that the session was lost (or was never there): its message starts with
    "the connection was lost".
    """
    kind = SourceError if side is Side.SOURCE else TargetError
    if isinstance(error, Lost) or error.sqlstate is None:
        return kind(f"the connection was lost: {one_line(str(error))}", side=side, table=table)
    diag = error.diag
    context = diag.context or ""
    line = _COPY_LINE.search(context)
    return kind(
        message_of(error),
        side=side,
        table=table or diag.table_name,
        column=diag.column_name,
        row=int(line[1]) if line else None,
        sqlstate=error.sqlstate,
        hint=f'the constraint is "{diag.constraint_name}"' if diag.constraint_name else None,
    )


def message_of(error: psycopg.Error) -> str:
    """Return the server's primary message with every row value taken out."""
    message = error.diag.message_primary or one_line(str(error))
    if error.sqlstate == _RAISED:
        found = _FUNCTION.search(error.diag.context or "")
        where = f"the function {found[1]}" if found else "a function or trigger"
        return f"{where} raised an exception; its words, which may hold row values, are in the server's log"
    if error.sqlstate is not None and error.sqlstate.startswith("22"):
        message = _VALUE_AFTER_COLON.sub(": (value not shown)", message)
        message = _VALUE_QUOTED.sub(r"value (not shown)\1", message)
    return message


def one_line(message: str) -> str:
    """Return libpq's words without their line breaks and tabs."""
    return " ".join(message.split())


@contextmanager
def told(side: Side, *, table: str | None = None) -> Iterator[None]:
    """Raise what the server or libpq raises inside as the side's error."""
    try:
        yield
    except (psycopg.Error, Lost) as error:
        raise translate(error, side, table=table) from None
