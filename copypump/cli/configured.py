"""Commands whose options may also stand in the environment and in a file, below the command line.

The command's own options are the only table of what either may say, and one that is added to them can stand
there from then on. What a file says becomes click's `default_map`, which click asks after the command line
and the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from copypump.cli.config_file import File, Loaded
from copypump.cli.options import OTHERS, TITLES
from copypump.errors import UsageError

DEFAULT_FILE = "copypump.toml"

# Where a context keeps what its file said, and what is known of the parameters that choose it.
_LOADED = "copypump.cli.configured"


class Configured(click.Command):
    """A command whose options may stand in a file: it takes `[NAME]` and `--config FILE` beside its own.

    With `file_keys`, the file may say those of another command, too, which has more options.
    """

    config_help = (
        "A TOML file with options: those of its [run.NAME], and of its [defaults]. With NAME,"
        f" {DEFAULT_FILE} in the current directory is the default."
    )

    def __init__(
        self,
        name: str | None,
        *,
        params: list[click.Parameter],
        file_keys: dict[str, click.Option] | None = None,
        **settings: Any,
    ) -> None:
        # Eager: all others come after them.
        config = click.Option(
            ["--config"],
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=_choose,
            help=self.config_help,
        )
        self.choosing = (*self.naming(), config)
        super().__init__(name, params=[*self.choosing, *params], **settings)
        self.file_keys = file_keys if file_keys is not None else keys_of(self)
        known = {option.name for option in self.file_keys.values()}
        for option in params:
            if isinstance(option, click.Option) and option.name in known:
                _from_environment(option)

    def naming(self) -> tuple[click.Argument, ...]:
        """Make the argument that names the section, for a command that has one."""
        argument = click.Argument(
            ["name"], required=False, is_eager=True, expose_value=False, callback=_choose
        )
        return (argument,)

    def load(self, config: str | None, name: str | None) -> Loaded:
        """Give what the file says; `config_help` tells which file, and what of it.

        Raises:
            UsageError: it cannot be read, holds what no file may, or does not have that run.

        """
        if config is None and name is None:
            return Loaded()
        hint = f"{name} is taken for its [run.{name}]; --config names another file"
        file = File(config or DEFAULT_FILE, self.file_keys, hint if config is None else None)
        file.check(name)
        return file.of(name)

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


class OnLedger(Configured):
    """A command on the runs of a ledger; its file is that of `copypump run`, of whose options it has some."""

    config_help = (
        "A TOML file with options of runs, of which the [defaults] are taken. By default"
        f" {DEFAULT_FILE} in the current directory, if it is there."
    )

    def naming(self) -> tuple[click.Argument, ...]:
        """See `Configured`."""
        return ()

    def load(self, config: str | None, name: str | None) -> Loaded:
        """See `Configured`; a run that the file does not know has its defaults."""
        if config is None and not Path(DEFAULT_FILE).is_file():
            return Loaded()
        file = File(config or DEFAULT_FILE, self.file_keys)
        section = file.section_of(name)
        if config is not None and not file.has_defaults:
            file.check(section or name)
        return file.of(section)


class OnRun(OnLedger):
    """A command on one run, RUN: its name in the ledger, or that of the section with which it began."""

    config_help = (
        "A TOML file with options of runs: those of the [run.NAME] that RUN names, itself or by its run-id,"
        f" and of the [defaults]. By default {DEFAULT_FILE} in the current directory, if it is there."
    )

    def naming(self) -> tuple[click.Argument, ...]:
        """See `Configured`."""
        return (click.Argument(["run"], metavar="RUN", is_eager=True, callback=_choose),)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `Configured`; of a section, RUN becomes the name that its run has in the ledger."""
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing and ctx.params["run"] == _loaded(ctx).run:
            named = self.file_keys["run-id"].value_from_envvar(ctx) or _loaded(ctx).values.get("run_id")
            ctx.params["run"] = named or ctx.params["run"]
        return rest


def _choose(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Keep one of the parameters that choose, and read the file as soon as all are known."""
    if ctx.resilient_parsing:
        return value
    assert isinstance(ctx.command, Configured)
    chosen = ctx.meta.setdefault(f"{_LOADED}.chosen", {})
    chosen[param.name] = value
    if len(chosen) == len(ctx.command.choosing):
        name = chosen.get("name", chosen.get("run"))
        loaded = ctx.meta[_LOADED] = ctx.command.load(chosen["config"], name)
        ctx.default_map = loaded.values
    return value


def _loaded(ctx: click.Context) -> Loaded:
    loaded: Loaded = ctx.meta[_LOADED]
    return loaded


def section_of(ctx: click.Context, param: click.Parameter) -> str:
    """Say which section of which file gave a parameter its value."""
    assert param.name is not None
    return _loaded(ctx).sections[param.name]


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


def _from_environment(option: click.Option) -> None:
    """Let an option stand in the environment, too."""
    if option.envvar is None:
        option.envvar = f"COPYPUMP_{key_of(option).upper().replace('-', '_')}"
    if option.multiple and isinstance(option.type, click.types.StringParamType):
        option.type = _Lines()


def key_of(param: click.Parameter) -> str:
    """Give the name of an option as a file writes it: that of its flag."""
    return max(param.opts, key=len).removeprefix("--")


def keys_of(command: click.Command) -> dict[str, click.Option]:
    """Give every option of the command that may stand in a file, by its key."""
    options = (param for param in command.params if isinstance(param, click.Option))
    return {key_of(option): option for option in options if option.name != "config"}
