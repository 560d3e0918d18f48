"""The README's generated tables and its code blocks; `python -m tests.readme` writes the tables anew.

A table stands between `<!-- name -->` and `<!-- /name -->`, and comes from the place that the program itself
reads: the types from `codec.types`, the options from the command, the plan's keys from `engine.planning.description`, the
exit codes from `errors.ExitCode`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click

from copypump.cli.options import OTHERS, TITLES
from copypump.cli.run import run
from copypump.cli.types import HEAD
from copypump.codec.types import facts
from copypump.engine.planning import description
from copypump.errors import ExitCode

README = Path(__file__).parents[1] / "README.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells)


def options() -> str:
    """Every option of `copypump run`, in the order and under the titles of its help."""
    titled: dict[str, list[tuple[str, str]]] = {}
    for option in run.params:
        if isinstance(option, click.Option):
            titled.setdefault(TITLES.get(option.name or "", OTHERS), []).append(row(option))
    titled[OTHERS] = titled.pop(OTHERS)
    return "\n\n".join(
        f"**{title}**\n\n{table(('option', 'what it does'), rows)}" for title, rows in titled.items()
    )


def row(option: click.Option) -> tuple[str, str]:
    """One option: how it is written, and its help and default."""
    value = "" if option.is_flag else option.metavar
    if isinstance(option.type, click.Choice):
        value = "|".join(option.type.choices)
    notes = [
        *(["required"] if option.required else []),
        *([f"default `{option.default}`"] if option.show_default else []),
    ]
    names = ", ".join(f"`{f'{name} {value}'.strip()}`" for name in (*option.opts, *option.secondary_opts))
    return names, (option.help or "") + (f" ({', '.join(notes)})" if notes else "")


def exit_codes() -> str:
    """Every exit code."""
    return table(("code", "what it means"), [(str(code.value), code.meaning) for code in ExitCode])


def types() -> str:
    """Every type."""
    return table(HEAD, facts())


def plan() -> str:
    """Every key of a plan as JSON."""
    return table(("key", "what it holds"), [(f"`{key}`", holds) for key, holds in plan_keys().items()])


def plan_keys() -> dict[str, str]:
    """The keys of `copypump plan --json`, and what each holds, as the module that makes them documents it."""
    found = re.findall(r"^    ([a-z_]+) +(\S.*(?:\n {18}.*)*)", str(description.__doc__), re.MULTILINE)
    return {key: " ".join(holds.split()) for key, holds in found}


TABLES: dict[str, Callable[[], str]] = {
    "types": types,
    "options": options,
    "exit codes": exit_codes,
    "plan": plan,
}


def renewed(text: str) -> str:
    """`text` with every table as it should be (ValueError: one has no place)."""
    for name, made in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"README.md must have one {begin.strip()} and one {end}")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{made()}\n\n{end}{after}"
    return text


def blocks(language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
