"""Options from a TOML file: those of `[run.NAME]` over those of `[defaults]`, below flags and environment.

A key is an option's long name, and its value is what stands after the flag: a string or a number, true or
false for a switch, an array where the flag is repeatable or takes a list. So the command's own options are
the only table of what a file may say, and one that is added to them can stand in a file from then on. What
is read here becomes click's `default_map`, which click asks after the command line and the environment.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
from click.core import ParameterSource

from copypump.cli.options import OTHERS, TITLES
from copypump.errors import UsageError

DEFAULT_FILE = "copypump.toml"

# Where a context keeps what its file said, and what is known of the two parameters that choose it.
_LOADED = "copypump.cli.config_file"

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


@dataclass(slots=True)
class Loaded:
    """What one file says of one run: values for click, and where each stands, by the parameter's name."""

    values: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


class Configured(click.Command):
    """A command whose options may stand in a file: it takes `[NAME]` and `--config FILE` beside its own.

    With `file_keys`, the file may say those of another command, too, which has more options.
    """

    def __init__(
        self,
        name: str | None,
        *,
        params: list[click.Parameter],
        file_keys: dict[str, click.Option] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name, params=[*_chosen_by(), *params], **settings)
        self.file_keys = file_keys if file_keys is not None else keys_of(self)
        for key, option in self.file_keys.items():
            _from_environment(key, option)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options under the titles that they have."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(TITLES.get(param.name or "", OTHERS), []).append(record)
        sections[OTHERS] = sections.pop(OTHERS, [])
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options, as any command; a fault of a value that is not from the flags names its place."""
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            if error.param is None or (place := _place(ctx, error.param)) is None:
                raise
            raise UsageError(f"{place}: {error.message}") from None


def _place(ctx: click.Context, param: click.Parameter) -> str | None:
    """Say where a value was found; None for the command line."""
    assert param.name is not None
    match ctx.get_parameter_source(param.name):
        case ParameterSource.DEFAULT_MAP:
            return _loaded(ctx).places[param.name]
        case ParameterSource.ENVIRONMENT:
            return f"the environment, {param.envvar}"
    return None


class _Lines(click.types.StringParamType):
    """Words that may be several: in the environment one a line, as they hold blanks and commas themselves."""

    envvar_list_splitter = "\n"


def _from_environment(key: str, option: click.Option) -> None:
    """Let an option stand in the environment, too."""
    if option.envvar is None:
        option.envvar = f"COPYPUMP_{key.upper().replace('-', '_')}"
    if option.multiple and isinstance(option.type, click.types.StringParamType):
        option.type = _Lines()


def _loaded(ctx: click.Context) -> Loaded:
    loaded: Loaded = ctx.meta[_LOADED]
    return loaded


def section_of(ctx: click.Context, param: click.Parameter) -> str:
    """Say which section of which file gave a parameter its value."""
    assert param.name is not None
    return _loaded(ctx).sections[param.name]


def key_of(param: click.Parameter) -> str:
    """Give the name of an option as a file writes it: that of its flag."""
    return max(param.opts, key=len).removeprefix("--")


def keys_of(command: click.Command) -> dict[str, click.Option]:
    """Give every option of the command that may stand in a file, by its key."""
    options = (param for param in command.params if isinstance(param, click.Option))
    return {key_of(option): option for option in options if option.name != "config"}


def _chosen_by() -> tuple[click.Parameter, ...]:
    """Make the two parameters that choose a file and its section. Eager: all others come after them."""
    return (
        click.Argument(["name"], required=False, is_eager=True, expose_value=False, callback=_choose),
        click.Option(
            ["--config"],
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=_choose,
            help="A TOML file with options: those of its [run.NAME], and of its [defaults]. With NAME,"
            f" {DEFAULT_FILE} in the current directory is the default.",
        ),
    )


def _choose(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Keep one of the two, and read the file as soon as both are known."""
    if ctx.resilient_parsing:
        return
    chosen = ctx.meta.setdefault(f"{_LOADED}.chosen", {})
    chosen[param.name] = value
    if len(chosen) == 2:
        name, config = chosen["name"], chosen["config"]
        loaded = Loaded()
        if name is not None or config is not None:
            assert isinstance(ctx.command, Configured)
            loaded = load(config if config is not None else DEFAULT_FILE, name, ctx.command.file_keys)
        ctx.meta[_LOADED] = loaded
        ctx.default_map = loaded.values


def load(path: str, name: str | None, options: dict[str, click.Option]) -> Loaded:
    """Read the file, and give what it says of the run `name` (None: of its defaults alone).

    Raises:
        UsageError: it cannot be read, holds what no file may, or does not have that run. All of its sections
            are checked, so that a fault is found before the night in which its run is due.

    """
    tables, lines = _parsed(path, name)
    _known(path, tables, ("defaults", "run"))
    sections = {"defaults": _section(path, "[defaults]", tables.get("defaults", {}))}
    for run, table in _section(path, "[run]", tables.get("run", {})).items():
        sections[f"run.{run}"] = _section(path, f"[run.{run}]", table)
    found = Loaded()
    for section, table in sections.items():
        for key, value in table.items():
            line = f", line {lines[section, key]}" if (section, key) in lines else ""
            _known(f"{path}{line}, [{section}]", {key: value}, options)
            place = f"{path}{line}, [{section}], {key}"
            read = _read(options[key], value, place)
            param = options[key].name
            if param is not None and section in ("defaults", f"run.{name}"):
                found.values[param], found.places[param] = read, place
                found.sections[param] = f"{path}, [{section}]"
    runs = [section.removeprefix("run.") for section in sections if section != "defaults"]
    if name is not None and name not in runs:
        raise UsageError(f"{path} has no [run.{name}]{_near(name, runs)}", hint=_runs(runs))
    if name is None and "defaults" not in tables:
        raise UsageError(f"{path} has no [defaults], and none of its runs is named", hint=_runs(runs))
    return found


def _parsed(path: str, name: str | None) -> tuple[dict[str, Any], dict[tuple[str, str], int]]:
    """Parse the file, and find the line of each key; UsageError if others may read the passwords in it."""
    import tomllib

    try:
        with Path(path).expanduser().open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().decode()
        tables = tomllib.loads(text.replace("\r\n", "\n"))
    except OSError as error:
        hint = None if name is None else f"{name} is taken for its [run.{name}]; --config names another file"
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
