"""Values that options take, whatever they are."""

from __future__ import annotations

from typing import Any

import click

# What options take whose values have a form of their own, by how help writes it; all others take any word.
SAMPLES: dict[str, Any] = {
    "COLUMN,...": "id",
    "COLUMN=ARROW_TYPE": "id=utf8",
    "[COLUMN=]error|null|keep": "null",
    "SIZE": "8MB",
    "N|auto": 3,
    "first|last:COLUMN": "first:id",
    "DIR": ".",
    "DURATION": "5s",
}


# Other ones.
OTHERS: dict[str, Any] = {
    "COLUMN,...": "name",
    "COLUMN=ARROW_TYPE": "id=int64",
    "[COLUMN=]error|null|keep": "keep",
    "SIZE": "3MB",
    "first|last:COLUMN": "last:id",
    "DURATION": "9s",
    "DIR": "..",
}


def sample(option: click.Option) -> Any:
    """Something other than its default that the option takes, as the file has it."""
    if option.is_flag:
        return option.default is not True
    if isinstance(option.type, click.Choice):
        return next(choice for choice in option.type.choices if choice != option.default)
    if isinstance(option.type, click.IntRange):
        return next(n for n in (option.type.min, 7) if n not in (None, option.default))
    if isinstance(option.type, click.types.IntParamType):
        return 7
    if isinstance(option.type, click.types.FloatParamType):
        return 0.5
    return SAMPLES.get(option.metavar or "", "word")


def other(option: click.Option) -> Any:
    """Another value than the `sample`."""
    value = sample(option)
    if option.is_flag:
        return not value
    if isinstance(option.type, click.Choice):
        return next(choice for choice in reversed(option.type.choices) if choice != value)
    if isinstance(value, int) or option.metavar == "N|auto":
        return value + 1
    return OTHERS.get(option.metavar or "", "other")
