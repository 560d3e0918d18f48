"""Names of tables as users write them: "[SCHEMA.]NAME", quoted as in SQL where the name needs it."""

from __future__ import annotations

import re

from copypump.errors import RefusedError

# src/backend/parser/scan.l: ident_start and ident_cont; bytes above 127 are letters there. A set of the
# characters from \u0080 to \U0010ffff says the same, and takes Python 7 ms to compile.
_PLAIN = re.compile(r"(?:[A-Za-z_]|[^\x00-\x7f])(?:[A-Za-z0-9_$]|[^\x00-\x7f])*")
_QUOTED = re.compile(r'"((?:[^"\x00]|"")+)"')
_NEEDS_NO_QUOTES = re.compile(r"[a-z_][a-z0-9_$]*")


def parse_name(text: str) -> tuple[str | None, str]:
    """Return (schema or None, name), folded to lower case where not quoted; else RefusedError."""
    parts: list[str] = []
    at, text = 0, text.strip()
    while True:
        if found := _QUOTED.match(text, at):
            parts.append(found[1].replace('""', '"'))
        elif found := _PLAIN.match(text, at):
            # Only ASCII letters are folded, as the server does in multi-byte encodings.
            parts.append(re.sub("[A-Z]+", lambda upper: upper[0].lower(), found[0]))
        else:
            break
        at = found.end()
        if at == len(text) and len(parts) <= 2:
            return (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])
        if text[at : at + 1] != ".":
            break
        at += 1
    raise RefusedError(
        f"{text!r} is not a table's name: [SCHEMA.]NAME is expected",
        hint="quote a name that SQL would quote, each part by itself, and once more for the shell: "
        """'my_schema."My Table"'""",
    )


def quote_name(name: str) -> str:
    """Return the name in double quotes, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def show_name(*parts: str) -> str:
    """Return how a user would write a name, with its schema's before it: quoted only where that is needed."""
    return ".".join(part if _NEEDS_NO_QUOTES.fullmatch(part) else quote_name(part) for part in parts)
