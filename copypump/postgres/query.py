"""Queries of the user's, parsed by the server, which executes nothing of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg

from copypump.codec.column import Column
from copypump.errors import RefusedError
from copypump.postgres import exchange
from copypump.postgres.names import quote_name
from copypump.postgres.session import Session
from copypump.postgres.translate import refused_text, told
from copypump.postgres.types import load_types

# One lexical element of SQL (src/backend/parser/scan.l) as far as it tells where a query ends; comments
# between slashes nest, and are left to `_comment_end`.
_ELEMENT = re.compile(
    r"""(?P<nothing> [\ \t\r\n\f\v;]+ | --[^\n]* )
    | [eE]'(?: [^'\\] | \\. | '' )*'
    | '(?: [^'] | '' )*'
    | "(?: [^"] | "" )*"
    | \$ (?P<tag> (?: [^\W\d]\w* )? ) \$ .*? \$ (?P=tag) \$
    | \w [\w$]*
    | .""",
    re.DOTALL | re.VERBOSE,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


def bare_query(query: str) -> str:
    """Return the query without the blanks, semicolons and comments at its end, fit for COPY (query)."""
    at = end = 0
    while at < len(query):
        if query.startswith("/*", at) and (comment := _comment_end(query, at)):
            at = comment
            continue
        found = _ELEMENT.match(query, at)
        assert found is not None  # the last alternative takes anything
        at = found.end()
        if found["nothing"] is None:
            end = at
    return query[:end]


def _comment_end(query: str, at: int) -> int | None:
    """Where the comment that begins at `at` is over; None when it never is."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(query, at):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return None


def statements_of(script: str) -> Iterator[str]:
    """Give the statements of a script, without the semicolons and the comments between them.

    Strings are read as with standard_conforming_strings on. A semicolon within parentheses, as between the
    actions of a rule, ends none; the bodies of functions in parsed SQL are not told apart.
    """
    begin: int | None = None  # of the statement that is not over yet
    at = depth = 0
    while at < len(script):
        nothing: str | None
        if script.startswith("/*", at) and (comment := _comment_end(script, at)):
            end, nothing = comment, ""
        else:
            found = _ELEMENT.match(script, at)
            assert found is not None  # the last alternative takes anything
            end, nothing = found.end(), found["nothing"]
        if nothing is None:
            begin = at if begin is None else begin
            depth += {"(": 1, ")": -1}.get(script[at:end], 0)
        elif begin is not None and not depth and ";" in nothing and not nothing.startswith("--"):
            yield script[begin:at]
            begin = None
        at = end
    if begin is not None:
        yield script[begin:].rstrip()


def parse(session: Session, statement: str, *, ours: int = 0) -> None:
    """Let the server parse a statement, and execute nothing.

    The transaction holds locks on all tables that it names from then on. RefusedError, with the server's
    words and the place, for a fault of the text; `ours` characters at its start are not the user's, and not
    counted.
    """
    pgconn, encoded = session.pgconn, session.encode(statement)
    with told(session.side):
        try:
            exchange.exchange(pgconn, lambda: pgconn.send_prepare(b"", encoded), interrupt=session.interrupt)
        except psycopg.Error as error:
            refused = refused_text(error, session.side, ours=ours)
            if refused is None:
                raise
            raise refused from None


def describe_query(session: Session, query: str, *, ours: int = 0) -> tuple[Column, ...]:
    """Return the columns of a query's result; the server parses it (see `parse`) and executes nothing.

    Only name, type, typmod and declared of the columns are known. RefusedError when it is faulty, gives no
    rows, or has parameters, unnamed or equal columns.
    """
    pgconn, side = session.pgconn, session.side
    parse(session, query, ours=ours)
    with told(side):
        [described] = exchange.exchange(
            pgconn, lambda: pgconn.send_describe_prepared(b""), interrupt=session.interrupt
        )
    if described.nparams:
        raise RefusedError("the query has parameters ($1 ...), and nothing gives them values", side=side)
    if not described.nfields:
        raise RefusedError(
            "the query returns no columns", side=side, hint="a SELECT, TABLE or VALUES is expected"
        )
    encoding = exchange.encoding(pgconn)
    names = [(described.fname(at) or b"").decode(encoding) for at in range(described.nfields)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RefusedError(
            f"the query has more than one column {', '.join(map(quote_name, twice))}",
            side=side,
            hint="give each its own name with AS",
        )
    fields = [(described.ftype(at), described.fmod(at)) for at in range(described.nfields)]
    types = load_types(session, {oid for oid, _ in fields})
    return tuple(
        Column(name=name, type=types[oid], typmod=typmod, declared=_declared(session, oid, typmod))
        for name, (oid, typmod) in zip(names, fields, strict=True)
    )


def _declared(session: Session, oid: int, typmod: int) -> str:
    """Return a type as SQL writes it."""
    query = "SELECT pg_catalog.format_type($1::pg_catalog.oid, $2::pg_catalog.int4)"
    return str(session.execute(query, [oid, typmod])[0][0])
