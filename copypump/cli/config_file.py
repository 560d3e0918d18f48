"""Options from a TOML file: those of `[run.NAME]` over those of `[defaults]`.

A key is an option's long name, and its value is what stands after the flag: a string or a number, true or
false for a switch, an array where the flag is repeatable or takes a list.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
from msgspec import Struct, field

from copypump.errors import UsageError

# How help writes the values of options that take a number in words (a size with its unit, a share), and of
# those that take a list: a file may say them as a number, and as an array.
_NUMBERS = {"N", "SIZE"}
_LISTS = ",..."

# What begins a section, a key, and a string of several lines or its end.
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")
_QUOTES = re.compile(r"""\"{3}|'{3}""")

# A password of a conninfo string (sslpassword, and a URI's parameter, too), and that of a URI's authority.
_PASSWORDS = re.compile(r"password\s*=|://[^/?#\s@]*:[^/?#\s]*@", re.IGNORECASE)


class Loaded(Struct):
    """What a file says of one run: values for click, and where each stands, by the parameter's name.

    `run` is the NAME of the [run.NAME] that they are from; None of the defaults alone.
    """

    run: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


class File:
    """A file, read and checked whole, so that a fault is found before the night in which its run is due.

    `options` are those that it may say, by their keys; `hint` is for whoever has no such file.

    Raises:
        UsageError: it cannot be read, or holds what no file may.

    """

    def __init__(self, path: str, options: dict[str, click.Option], hint: str | None = None) -> None:
        self._path = path
        tables, lines = _parsed(path, hint)
        _known(path, tables, ("defaults", "run"))
        sections = {"defaults": _section(path, "[defaults]", tables.get("defaults", {}))}
        for run, table in _section(path, "[run]", tables.get("run", {})).items():
            sections[f"run.{run}"] = _section(path, f"[run.{run}]", table)
        self._said: dict[str, Loaded] = {}
        for section, table in sections.items():
            said = self._said[section] = Loaded()
            for key, value in table.items():
                line = f", line {lines[section, key]}" if (section, key) in lines else ""
                _known(f"{path}{line}, [{section}]", {key: value}, options)
                place = f"{path}{line}, [{section}], {key}"
                param = options[key].name or key
                said.values[param], said.places[param] = _read(options[key], value, place), place
                said.sections[param] = f"{path}, [{section}]"
        self.has_defaults = "defaults" in tables
        self.runs = [section.removeprefix("run.") for section in sections if section != "defaults"]

    def check(self, name: str | None) -> None:
        """Raise UsageError unless it has that run, or, for None, defaults."""
        if name is not None and name not in self.runs:
            raise UsageError(
                f"{self._path} has no [run.{name}]{_near(name, self.runs)}", hint=_runs(self.runs)
            )
        if name is None and not self.has_defaults:
            raise UsageError(
                f"{self._path} has no [defaults], and none of its runs is named", hint=_runs(self.runs)
            )

    def section_of(self, run: str | None) -> str | None:
        """Find the NAME of the [run.NAME] with which a run of the ledger began, by NAME or by its run-id."""
        if run is None or run in self.runs:
            return run
        return next(
            (name for name in self.runs if self._said[f"run.{name}"].values.get("run_id") == run), None
        )

    def of(self, name: str | None) -> Loaded:
        """Give what it says of a run that it has; for None, of any."""
        found = Loaded(name)
        for section in ("defaults", *([] if name is None else [f"run.{name}"])):
            said = self._said[section]
            found.values |= said.values
            found.sections |= said.sections
            found.places |= said.places
        return found


def _parsed(path: str, hint: str | None) -> tuple[dict[str, Any], dict[tuple[str, str], int]]:
    """Parse the file, and find the line of each key; UsageError if others may read the passwords in it."""
    import tomllib

    try:
        with Path(path).expanduser().open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().decode()
        tables = tomllib.loads(text.replace("\r\n", "\n"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=hint) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    if mode & 0o077 and (keys := list(_with_password(tables))):
        raise UsageError(
            f"{path}, {keys[0]}: a password, in a file that not only its owner may use (mode {mode:04o})",
            hint=f"chmod 600 {path}; or leave passwords to a passfile or a service file of libpq's",
        )
    return tables, _lines_of(text)


def _lines_of(text: str) -> dict[tuple[str, str], int]:
    """The line of each key, by its section, for messages; of what is written in rarer ways, none."""
    lines: dict[tuple[str, str], int] = {}
    section, within = "", None
    for number, line in enumerate(text.split("\n"), 1):
        if within is None:
            if header := _HEADER.match(line):
                section = re.sub(r"[\s\"']", "", header[1])
            elif key := _KEY.match(line):
                lines.setdefault((section, key[1]), number)
        for quotes in _QUOTES.findall(line):
            if within in (None, quotes):
                within = quotes if within is None else None
    return lines


def holds_password(text: str) -> bool:
    """Whether a DSN, or SQL with one in it, holds a password; one that may hold it does."""
    return bool(_PASSWORDS.search(text) or _PASSWORDS.search(unquote(text)))


def _with_password(value: object, place: str = "") -> Iterator[str]:
    """Give the places of the strings that hold one, of whatever key."""
    if isinstance(value, str) and holds_password(value):
        yield place
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _with_password(below, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for below in value:
            yield from _with_password(below, place)


def _section(path: str, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(
            f"{path}: {name} must be a table, not {_kind(value)}",
            hint="options stand below [defaults] or below [run.NAME]",
        )
    return value


def _known(place: str, table: dict[str, Any], known: Any) -> None:
    """Refuse a key that nobody knows."""
    for key in table:
        if key not in known:
            raise UsageError(f"{place}: there is no key {key}{_near(key, known)}")


def _near(name: str, names: Any) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; near names: {', '.join(near)}" if near else ""


def _runs(names: list[str]) -> str:
    return f"its runs: {', '.join(names)}" if names else "it has no runs: [run.NAME] makes one"


# Values ---------------------------------------------------------------------------------------------------


def _read(option: click.Option, value: object, place: str) -> Any:
    """Give a key's value as click takes it from a `default_map`.

    Raises:
        UsageError: it is of a type that the option does not take. What it then says is for click to check.

    """
    if option.is_flag:
        if isinstance(value, bool):
            return value
        raise _wrong(place, "true or false", value)
    wanted = _wanted(option)
    if option.multiple:
        wanted += ", or an array of these"
        values = value if isinstance(value, list) else [value]
        return [_one(option, each, place, wanted) for each in values]
    if isinstance(value, list) and (option.metavar or "").endswith(_LISTS):
        return ",".join(str(_one(option, each, place, wanted)) for each in value)
    if (option.metavar or "").endswith(_LISTS):
        wanted += ", or an array of these"
    return _one(option, value, place, wanted)


def _one(option: click.Option, value: object, place: str, wanted: str) -> str | int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match option.type:
        case click.types.IntParamType():  # IntRange among them
            fits = number and isinstance(value, int)
        case click.types.FloatParamType():
            fits = number
        case _:
            fits = isinstance(value, str) or (number and _takes_numbers(option))
            value = str(value) if fits else value
    if not fits:
        raise _wrong(place, wanted, value)
    assert isinstance(value, str | int | float)
    return value


def _takes_numbers(option: click.Option) -> bool:
    """Whether what the option takes may be a number alone."""
    return bool(_NUMBERS & set(re.split(r"\W+", option.metavar or "")))


def _wanted(option: click.Option) -> str:
    match option.type:
        case click.types.IntParamType():
            return "a whole number"
        case click.types.FloatParamType():
            return "a number"
    return "a number or a string" if _takes_numbers(option) else "a string"


def _wrong(place: str, wanted: str, value: object) -> UsageError:
    return UsageError(f"{place}: it must be {wanted}, not {_kind(value)}")


def _kind(value: object) -> str:
    """Say a value's type in TOML's words, and nothing of the value itself."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "a table"
    return "a date or time"
