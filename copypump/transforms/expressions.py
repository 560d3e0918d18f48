"""Conditions on columns, written as in SQL and computed on whole arrays: the language of declared checks.

    age >= 0 and (email is null or email like '%@%')

Columns are named as in SQL: in lower case without quotes, as they stand within "double quotes". There are
numbers, 'strings', true and false; + - * /; = <> < <= > >=; and, or, not; `is null`, `in (...)`, `between ...
and ...`, `like`, `ilike`, `~` and `~*` (RE2's regular expressions) and their negations; and the functions of
`FUNCTIONS`. Logic has three values, as in SQL. A string beside a value of another type is read as that type:
born >= '1900-01-01'. Text is compared by its bytes, a NaN with nothing; overflow and division by zero are
errors. Nothing here is evaluated as Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import time
from decimal import Decimal
from typing import Any, TypeAlias

import pyarrow as pa
from msgspec import Struct

from copypump.codec.convert import sound
from copypump.errors import UsageError

# pyarrow.compute is imported by what computes: a run without checks shall not wait for it.


class Column(Struct, frozen=True):
    """The column of this name."""

    name: str


class Literal(Struct, frozen=True):
    """A value that stands in the text; a string takes the type of what it stands beside."""

    value: bool | int | Decimal | str


class Call(Struct, frozen=True):
    """One of Arrow's compute functions on the values of other nodes."""

    function: str
    arguments: tuple[Node, ...]


class Matches(Struct, frozen=True):
    """Whether text matches a pattern, by `match_like` or `match_substring_regex`."""

    function: str
    text: Node
    pattern: str
    ignore_case: bool


class Among(Struct, frozen=True):
    """Whether a value is one of some."""

    value: Node
    literals: tuple[bool | int | Decimal | str, ...]


class Unpadded(Struct, frozen=True):
    """Text without the blanks at its end, which mean nothing in a column of type char(n)."""

    text: Column


Node: TypeAlias = Column | Literal | Call | Matches | Among | Unpadded

# By the name in an expression: Arrow's function, and the least and the most arguments that it takes.
FUNCTIONS = {
    "abs": ("abs_checked", 1, 1),
    "coalesce": ("coalesce", 1, 100),
    "length": ("utf8_length", 1, 1),
    "lower": ("utf8_lower", 1, 1),
    "upper": ("utf8_upper", 1, 1),
}

# Binary operators: how tightly they bind, and Arrow's function. As PostgreSQL orders them.
_OPERATORS = {
    "or": (1, "or_kleene"),
    "and": (2, "and_kleene"),
    "=": (4, "equal"),
    "==": (4, "equal"),
    "<>": (4, "not_equal"),
    "!=": (4, "not_equal"),
    "<": (4, "less"),
    "<=": (4, "less_equal"),
    ">": (4, "greater"),
    ">=": (4, "greater_equal"),
    "+": (6, "add_checked"),
    "-": (6, "subtract_checked"),
    "*": (7, "multiply_checked"),
    "/": (7, "divide_checked"),
}
_NOT, _COMPARING, _TESTING, _ADDING, _SIGN = 3, 4, 5, 6, 8
_LOGIC = {"and_kleene", "or_kleene", "invert"}
_TEXT = {"utf8_length", "utf8_lower", "utf8_upper"}
# What follows a value and asks something of it: how tightly it binds.
_TESTS = {
    "is": _COMPARING,
    **dict.fromkeys(("not", "in", "between", "like", "ilike", "~", "~*", "!~", "!~*"), _TESTING),
}
_MATCHES = {
    "like": ("match_like", False),
    "ilike": ("match_like", True),
    "~": ("match_substring_regex", False),
    "~*": ("match_substring_regex", True),
}
_INT64_DIGITS = 18
_RESERVED = {"and", "or", "not", "is", "null", "in", "between", "like", "ilike", "true", "false"}

_TOKENS = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<word>[^\W\d]\w*)
      | (?P<sign><=|>=|<>|!=|==|!~\*|!~|~\*|~|[=<>+\-*/(),])
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)


def parse(text: str) -> Node:
    """Read a condition (UsageError: it is none, and where)."""
    try:
        node = _Parser(text).whole()
        columns_of(node)  # as deep a recursion as any
    except RecursionError:
        raise UsageError(f'check "{text[:40]}...": it is nested too deeply') from None
    return node


def columns_of(node: Node) -> frozenset[str]:
    """Give the names of the columns that a condition reads."""
    match node:
        case Column(name):
            return frozenset([name])
        case Literal():
            return frozenset()
        case Call(_, arguments):
            return frozenset().union(*map(columns_of, arguments))
        case Matches(_, inner) | Among(inner) | Unpadded(inner):
            return columns_of(inner)


# Reading --------------------------------------------------------------------------------------------------


class _Token(Struct, frozen=True):
    kind: str
    text: str
    start: int


class _Parser:
    """Reads by how tightly operators bind (a Pratt parser)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan()
        self._next = next(self._tokens)

    def _scan(self) -> Iterator[_Token]:
        position = 0
        while True:
            match = _TOKENS.match(self._text, position)
            if match is None:
                position += len(self._text[position:]) - len(self._text[position:].lstrip())
                raise self._error(position, f'"{self._text[position]}" has no meaning here')
            kind = match.lastgroup or ""
            text, start = match[kind], match.start(kind)
            if kind == "word":
                text = "".join(c.lower() if c.isascii() else c for c in text)
                kind = "sign" if text in _RESERVED else kind
            yield _Token(kind, text, start)
            position = match.end()

    def _error(self, position: int, why: str) -> UsageError:
        return UsageError(
            f'check "{self._text}", character {position + 1}: {why}',
            hint="a check is a condition, such as age >= 0 or name is not null, or MODULE:FUNCTION",
        )

    def _unexpected(self, wanted: str) -> UsageError:
        token = self._next
        found = "it ends" if token.kind == "end" else f"there stands {token.text}"
        return self._error(token.start, f"{found} where {wanted} should")

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _taken(self, sign: str) -> bool:
        """Take this sign if it comes next; whether it did."""
        found = self._next.kind == "sign" and self._next.text == sign
        if found:
            self._take()
        return found

    def _must(self, sign: str) -> None:
        if not self._taken(sign):
            raise self._unexpected(sign)

    def whole(self) -> Node:
        node = self._value(0)
        if self._next.kind != "end":
            raise self._unexpected("an operator or the end")
        return node

    def _value(self, least: int) -> Node:
        """Read a value, and all operators behind it that bind at least as tightly as `least`."""
        left, compared = self._first(), False
        while self._next.kind == "sign":
            sign = self._next.text
            if sign in _TESTS and _TESTS[sign] >= least:
                left = self._test(left)
            elif sign in _OPERATORS and _OPERATORS[sign][0] >= least:
                power, function = _OPERATORS[sign]
                if compared and power == _COMPARING:
                    raise self._error(self._next.start, "write a comparison of three as two, with and")
                compared = power == _COMPARING
                self._take()
                left = Call(function, (left, self._value(power + 1)))
            else:
                break
        return left

    def _first(self) -> Node:
        """Read what stands before any operator."""
        if self._taken("("):
            node = self._value(0)
            self._must(")")
            return node
        if self._taken("not"):
            return Call("invert", (self._value(_NOT),))
        if self._taken("-"):
            inner = self._value(_SIGN)
            if isinstance(inner, Literal) and isinstance(inner.value, int | Decimal):
                return Literal(-inner.value)
            return Call("negate_checked", (inner,))
        if self._next.kind in ("number", "string") or self._next.text in ("true", "false"):
            return Literal(self._literal())
        if self._next.kind not in ("word", "quoted"):
            raise self._unexpected("a value")
        token = self._take()
        if token.kind == "quoted":
            return Column(token.text[1:-1].replace('""', '"'))
        return self._function(token) if self._taken("(") else Column(token.text)

    def _literal(self) -> bool | int | Decimal | str:
        negative = self._taken("-")
        token = self._next
        if token.kind == "number":
            self._take()
            whole = token.text.isdigit() and len(token.text) <= _INT64_DIGITS
            number = int(token.text) if whole else Decimal(token.text)
            return -number if negative else number
        if negative or not (token.kind == "string" or token.text in ("true", "false")):
            raise self._unexpected("a number, a string, true or false")
        self._take()
        return token.text[1:-1].replace("''", "'") if token.kind == "string" else token.text == "true"

    def _function(self, name: _Token) -> Node:
        """Read a function's arguments, behind the opening parenthesis."""
        if name.text not in FUNCTIONS:
            raise self._error(name.start, f"no function {name.text}; there are {', '.join(FUNCTIONS)}")
        function, least, most = FUNCTIONS[name.text]
        arguments = [self._value(0)]
        while self._taken(","):
            arguments.append(self._value(0))
        self._must(")")
        if not least <= len(arguments) <= most:
            raise self._error(name.start, f"{name.text} takes {least} value, not {len(arguments)}")
        return Call(function, tuple(arguments))

    def _test(self, left: Node) -> Node:
        """Read what is asked of a value: is null, in, between, like, and their negations."""
        if self._taken("is"):
            valid = self._taken("not")
            self._must("null")
            return Call("is_valid" if valid else "is_null", (left,))
        negated = self._taken("not")
        asked = self._next.text.removeprefix("!")
        if asked not in _MATCHES and asked not in ("in", "between"):
            raise self._unexpected("in, between or like")
        negated |= self._take().text.startswith("!")
        if asked == "in":
            node: Node = Among(left, self._literals())
        elif asked == "between":
            low = self._value(_ADDING)
            self._must("and")
            high = self._value(_ADDING)
            node = Call("and_kleene", (Call("greater_equal", (left, low)), Call("less_equal", (left, high))))
        else:
            if self._next.kind != "string":
                raise self._unexpected("a pattern in single quotes")
            function, ignore_case = _MATCHES[asked]
            pattern = str(self._literal())
            if function == "match_substring_regex":
                pattern = f"(?s){pattern}"  # a dot is any character, newlines among them
            node = Matches(function, left, pattern, ignore_case)
        return Call("invert", (node,)) if negated else node

    def _literals(self) -> tuple[bool | int | Decimal | str, ...]:
        self._must("(")
        values = [self._literal()]
        while self._taken(","):
            values.append(self._literal())
        self._must(")")
        return tuple(values)


# Computing ------------------------------------------------------------------------------------------------


def compute(node: Node, columns: Mapping[str, Any]) -> Any:
    """Compute a condition on columns of one length: an array, or a scalar where it names no column.

    Raises:
        pa.ArrowException: types that do not go together, whatever the rows; or overflow, division by zero and
            the like. Its text may hold values of the rows.
        BrokenError: an array whose buffers are not what its type says.

    """
    import pyarrow.compute as pc

    match node:
        case Column(name):
            return sound(columns[name])
        case Literal(value):
            return pa.scalar(value)
        case Call(function, arguments):
            values = [compute(argument, columns) for argument in arguments]
            if function in _LOGIC or function in _TEXT:
                values = [_as(value, pa.bool_() if function in _LOGIC else pa.utf8()) for value in values]
            if function == "utf8_length" and _is_binary(values[0].type):
                function = "binary_length"
            return pc.call_function(function, _alike(arguments, values))
        case Matches(function, text, pattern, ignore_case):
            options = pc.MatchSubstringOptions(pattern, ignore_case=ignore_case)
            given = _as(compute(text, columns), pa.utf8())
            if not isinstance(given, pa.Scalar) and not len(given):  # no pattern is read for no rows
                pc.call_function(function, [pa.scalar("")], options)
            return pc.call_function(function, [given], options)
        case Unpadded(text):
            return pc.utf8_rtrim(_as(compute(text, columns), pa.utf8()), characters=" ")
        case Among(inner, literals):
            value = compute(inner, columns)
            found = pc.is_in(value, value_set=_set(literals, value.type))
            return pc.if_else(pc.is_valid(value), found, pa.scalar(None, pa.bool_()))


def _as(value: Any, type_: pa.DataType) -> Any:
    """Give a value of the null type, as a batch of NULLs alone may have it, the type that is wanted."""
    return value.cast(type_) if pa.types.is_null(value.type) else value


def _alike(nodes: tuple[Node, ...], values: list[Any]) -> list[Any]:
    """Give literals the type of what stands beside them, where Arrow would not do so by itself."""
    others = [v.type for n, v in zip(nodes, values, strict=True) if not isinstance(n, Literal)]
    if not others or pa.types.is_null(others[0]):
        return values
    return [
        _literal(node.value, others[0]) if isinstance(node, Literal) else value
        for node, value in zip(nodes, values, strict=True)
    ]


def _literal(value: bool | int | Decimal | str, beside: pa.DataType) -> Any:
    """Give a literal as a scalar that can stand beside a type (pa.ArrowException: a string is none of it)."""
    if isinstance(value, str) and pa.types.is_time(beside):  # which Arrow does not cast
        try:
            return pa.scalar(time.fromisoformat(value), beside)
        except ValueError:
            raise pa.ArrowInvalid(f"'{value}' is no time") from None
    if isinstance(value, str):
        return pa.scalar(value).cast(beside)
    if isinstance(value, Decimal) and pa.types.is_floating(beside):
        return pa.scalar(float(value), beside)  # Arrow's cast of a decimal may be off by a bit
    if isinstance(value, int) and value >= 0 and beside == pa.uint64():
        return pa.scalar(value, beside)  # Arrow would bring both to int64
    return pa.scalar(value)


def _set(literals: tuple[bool | int | Decimal | str, ...], type_: pa.DataType) -> Any:
    """Give the literals as an array of a type (pa.ArrowException: one is none of it)."""
    if pa.types.is_null(type_):
        return pa.array([], type_)
    return pa.array([_literal(value, type_).cast(type_) for value in literals], type_)


def _is_binary(type_: pa.DataType) -> bool:
    return (
        pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_)
    )
