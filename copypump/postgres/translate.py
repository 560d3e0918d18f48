"""A server's error as one of ours: its own words and SQLSTATE, without anything that may be a row's value.

DETAIL and CONTEXT quote rows, so they are never shown; the context's row number and function name are taken
out of them. The primary message quotes values too; `message_of` is the rule for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from copypump.errors import RefusedError, Side, SourceError, TargetError
from copypump.postgres.exchange import Lost

# "COPY people, line 3, column age"; the number is of the row as the server counts it, from 1. The words are
# translated. A value would follow behind a colon, but for COPY BINARY none does.
_COPY_LINE = re.compile(r'^COPY .*?, \w+ (\d+)(?:, \w+ (.+?))?(?:: ".*)?$', re.MULTILINE)
# The innermost line of the context comes first.
_FUNCTION = re.compile(r'PL/\w+ function "?([^\s("]+)')

# What stands for words that a user's own function chose, which like to quote the row: RAISE and ASSERT of
# PL/pgSQL, whatever SQLSTATE they were given, and exceptions of the other languages (class 38).
_RAISERS = frozenset({"exec_stmt_raise", "exec_stmt_assert"})
_RAISED = ("P0001", "P0004", "38")

# What is known to be a name where a data exception (class 22) quotes it.
_NAMES = re.compile(r'\b(?:column|encoding|parameter|sequence) "[^"]*"')
# Quotation marks of the languages that the server speaks.
_QUOTES = re.compile('["«»„“”「」『』]')
_COLON = re.compile(r": |\uff1a")
_NUMBER = re.compile(r"(?<=\bvalue )-?\d[\d.e+-]*")  # percentile value 4711 is not between 0 and 1
_BYTES = re.compile(r"0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")
_COLON_QUOTED = re.compile(rf"({_COLON.pattern}){_QUOTES.pattern}.*", re.DOTALL)

_HIDDEN = "(not shown)"

DENIED = "42501"  # insufficient_privilege


def error_class(side: Side) -> type[SourceError | TargetError]:
    """The class of the errors of a side."""
    return SourceError if side is Side.SOURCE else TargetError


def denied(message: str, table: str, *, hint: str | None = None) -> TargetError:
    """What the target's server would say itself, later: insufficient_privilege."""
    return TargetError(message, side=Side.TARGET, table=table, sqlstate=DENIED, hint=hint)


def translate(
    error: psycopg.Error | Lost, side: Side, *, table: str | None = None
) -> SourceError | TargetError:
    """Return `error` as the side's error.

    One without SQLSTATE means that the session was lost (or was never there): its message starts with
    "the connection was lost".
    """
    kind = error_class(side)
    if isinstance(error, Lost) or error.sqlstate is None:
        lost = kind(f"the connection was lost: {one_line(str(error))}", side=side, table=table)
        lost.lost = True
        return lost
    diag = error.diag
    line = _COPY_LINE.search(diag.context or "")
    names = (diag.table_name, diag.column_name, diag.constraint_name)
    if _is_raised(error):  # RAISE ... USING sets these to what it likes
        names = (None, None, None)
    return kind(
        message_of(error),
        side=side,
        table=table or names[0],
        column=names[1] or (line[2] if line else None),
        row=int(line[1]) if line else None,
        sqlstate=error.sqlstate,
        hint=f'the constraint is "{names[2]}"' if names[2] else None,
    )


# Errors of the text that was given, when it is only parsed: syntax and names, a schema, what the server does
# not support there, a constant that is no value of its type. The rights of the role (DENIED) are not of it.
_TEXT_FAULTS = ("42", "3F", "0A", "22")


def refused_text(error: psycopg.Error, side: Side, *, ours: int = 0) -> RefusedError | None:
    """Return an error of a statement that was only parsed as a fault of its text; None where it is none.

    `ours` characters at its start are not the user's, and not counted.
    """
    state, diag = error.sqlstate or "", error.diag
    if state == DENIED or not state.startswith(_TEXT_FAULTS):
        return None
    place = int(diag.statement_position or 0) - ours
    return RefusedError(
        message_of(error) + (f", at character {place}" if place > 0 else ""),
        side=side,
        sqlstate=state,
        hint=diag.message_hint if place > 0 and state.startswith("42") else None,
    )


def message_of(error: psycopg.Error) -> str:
    """Return the server's primary message with every row value taken out.

    What may be a value depends on the error's class:

    - Words of a user's own function are not shown at all.
    - Data exceptions (22) are about values: only quoted names that are known as such stay, and nothing
      behind a colon (`invalid input syntax for type integer: "abc"`).
    - So are errors of syntax and names (42) when they do not point into our own statement: then a value was
      read as a name or as code (a cast to regclass or tsquery, EXECUTE).
    - Constraints (23) are told by their names, and all others by the server's own things; only what is
      quoted behind a colon is left out.
    """
    message, state = error.diag.message_primary or one_line(str(error)), error.sqlstate or ""
    if _is_raised(error):
        found = _FUNCTION.match(error.diag.context or "")
        where = f"the function {found[1]}" if found else "a function or trigger"
        return f"{where} raised an exception; its words, which may hold row values, are in the server's log"
    if state.startswith("22"):
        return _without_values(message, [found.span() for found in _NAMES.finditer(message)])
    if error.diag.statement_position:
        return message
    if state.startswith("42"):
        return _without_values(message, [])
    return _COLON_QUOTED.sub(rf"\1{_HIDDEN}", message)


def _is_raised(error: psycopg.Error) -> bool:
    """Whether the message is a user's function's own."""
    return (error.sqlstate or "").startswith(_RAISED) or error.diag.source_function in _RAISERS


def _without_values(message: str, names: list[tuple[int, int]]) -> str:
    """`message` up to its first colon, without quoted parts that begin outside of `names`, and bytes."""
    colon = _COLON.search(message)
    head, tail = (message[: colon.end()], _HIDDEN) if colon else (message, "")
    marks = [found.start() for found in _QUOTES.finditer(head)]
    first = next((at for at in marks if not any(start <= at < end for start, end in names)), None)
    if first is not None:  # a value may hold quotation marks itself: up to the last
        end = marks[-1] + 1 if marks[-1] > first else len(head)
        head = head[:first] + _HIDDEN + head[end:]
    return _BYTES.sub(_HIDDEN, _NUMBER.sub(_HIDDEN, head)) + tail


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
