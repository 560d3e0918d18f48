"""`copypump config show`: what a run would be given, and where each setting comes from."""

from __future__ import annotations

import copy
import json
from typing import Any

import click
from click.core import ParameterSource

from copypump.cli import output
from copypump.cli.config_file import holds_password
from copypump.cli.configured import Configured, keys_of, section_of
from copypump.cli.run import KEYS
from copypump.errors import Side, UsageError, printable

ORIGINS = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT: "default",
}
HIDDEN = "***"
WIDEST = 60  # columns of settings before the origins, where the lines are short


@click.group(short_help="Show what a run's settings are, and why.")
def config() -> None:
    """Look at what a configuration file says."""


def _as_written(option: click.Option) -> click.Option:
    """Make the option's double for `show`: checked in the same way, but kept as it was written."""
    double, callback = copy.copy(option), option.callback
    double.required, double.expose_value = False, True
    if callback is not None:

        def checked(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
            if value is not None or not option.required:
                callback(ctx, param, value)
            return value

        double.callback = checked
    return double


@config.command(cls=Configured, params=[_as_written(option) for option in KEYS.values()])
@click.pass_context
def show(ctx: click.Context, /, **settings: Any) -> None:
    """Show the settings that a run would have, and where each comes from: flag, environment, file or default.

    It takes what `copypump run` takes, and prints it as a file would say it. Passwords are not shown.
    """
    lines: list[tuple[str, str]] = []
    missing: list[str] = []
    for key, option in keys_of(ctx.command).items():
        value = settings[option.name or ""]
        if value is None or value == ():
            missing.append(key)
        else:
            lines.append((f"{key} = {_toml(_redacted(option, value))}", _origin(ctx, option)))
    width = min(WIDEST, max(len(setting) for setting, _ in lines))
    shown = [f"{setting:<{width}}  # {origin}" for setting, origin in lines]
    output.result("\n".join([*shown, f"# not set: {', '.join(missing)}"]))


def _origin(ctx: click.Context, option: click.Option) -> str:
    """Say where a setting comes from: the section, too, or the variable."""
    assert option.name is not None
    source = ctx.get_parameter_source(option.name) or ParameterSource.DEFAULT
    if source is ParameterSource.DEFAULT_MAP:
        return printable(section_of(ctx, option))
    return f"{ORIGINS[source]} {option.envvar}" if source is ParameterSource.ENVIRONMENT else ORIGINS[source]


def _redacted(option: click.Option, value: Any) -> Any:
    """Give the value without passwords: a DSN's other parameters stay, any other string is hidden whole."""
    if isinstance(value, tuple):
        return tuple(_redacted(option, each) for each in value)
    if not isinstance(value, str) or not holds_password(value):
        return value
    if option.metavar != "DSN":
        return HIDDEN
    from psycopg.conninfo import make_conninfo

    from copypump.postgres.connect import parse_dsn

    try:
        parameters = parse_dsn(value, Side.SOURCE)
    except UsageError:
        return HIDDEN
    secret = {name: HIDDEN for name in parameters if "password" in name}
    return make_conninfo("", **parameters | secret)


def _toml(value: Any) -> str:
    """Write a value as TOML does."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    text = json.dumps(value, ensure_ascii=False)
    # TOML takes JSON's escapes, but allows fewer characters to stand for themselves.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
