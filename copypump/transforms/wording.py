"""Words that the errors of this room share."""

from __future__ import annotations

import difflib
import importlib
import inspect
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_OURS = f"{Path(__file__).parent}/"


def place_of(error: BaseException, function: Callable[..., Any] | None = None) -> str:
    """Write ` (file.py:12)`: the deepest line of the user's own file, else of the first that is not ours."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != importlib.__file__ and not frame.filename.startswith((_OURS, "<frozen"))
    ]
    if not frames:
        return ""
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    home = code.co_filename if code is not None else frames[0].filename
    frame = next((f for f in reversed(frames) if f.filename == home), frames[0])
    return f" ({Path(frame.filename).name}:{frame.lineno})"


def kind_of(value: object) -> str:
    """A value's type, as a user would write it."""
    if value is None:
        return "None"
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def name_of(function: Callable[..., Any]) -> str:
    """A function's name as `MODULE:FUNCTION`; the type of what is called but has none."""
    name = getattr(function, "__qualname__", None)
    return f"{function.__module__}:{name}" if name else kind_of(function)


def near(name: str, names: Iterable[str]) -> str:
    """Write the names that are near to one that is not there."""
    found = difflib.get_close_matches(name, list(dict.fromkeys(names)), n=3)
    return f"; near names: {', '.join(found)}" if found else ""


def quoted(names: Iterable[str]) -> str:
    """Write names, each in quotes."""
    return ", ".join(f'"{name}"' for name in names)


def batch_of(number: int, first_row: int, last_row: int) -> str:
    """Write which batch it is; all three count from 1, the rows in the source's stream."""
    return f"batch {number:,} (source rows {first_row:,} to {last_row:,})"
