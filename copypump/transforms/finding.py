"""From `module:function` to the function; nothing else of the user's is imported."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from copypump.errors import CopypumpError, RefusedError, UsageError
from copypump.transforms.wording import kind_of, near, place_of


def load(reference: str, pythonpath: Sequence[str] = ()) -> Callable[..., Any]:
    """Import the function that `module:function` names; nothing else of the user's is imported.

    The directories of `pythonpath` come first on `sys.path` from then on, and the current one last, where a
    console script has none of them.

    Raises:
        UsageError: `reference` is not of that form, or a directory is not there.
        RefusedError: there is no such module or attribute, the module fails while it is imported, or what it
            names cannot be called.

    """
    module_name, _, attribute = reference.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise UsageError(
            f'"{reference}" does not name a transform',
            hint="write MODULE:FUNCTION, such as my_etl:clean for the function clean in my_etl.py",
        )
    _extend_path(pythonpath)
    module = _import(module_name)
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [name for name in dir(found) if not name.startswith("_")]
            raise RefusedError(
                f'module "{module_name}" ({_home(module)}) has no "{attribute}"{near(part, names)}'
            ) from None
    if not callable(found):
        raise RefusedError(f"{reference} is {kind_of(found)}, not a function")
    return found  # type: ignore[no-any-return] # callable, and its result is checked at each call


def _extend_path(pythonpath: Sequence[str]) -> None:
    directories = []
    for directory in pythonpath:
        path = Path(directory).expanduser()
        if not path.is_dir():
            raise UsageError(f'"{directory}" of the python path is not a directory')
        directories.append(str(path.resolve()))
    sys.path[:0] = [path for path in dict.fromkeys(directories) if path not in sys.path]
    with contextlib.suppress(FileNotFoundError):  # a current directory that was removed
        current = str(Path.cwd())
        if not {"", current} & set(sys.path):
            sys.path.append(current)  # last, so that no file in it takes the place of a library's module
    importlib.invalidate_caches()


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise RefusedError(
                f'module "{name}" imports "{missing}", which is not there{place_of(error)}'
            ) from error
        parent, _, last = missing.rpartition(".")
        where = list(getattr(sys.modules.get(parent), "__path__", ())) if parent else sys.path
        raise RefusedError(
            f'there is no module "{missing}"{near(last, [m.name for m in pkgutil.iter_modules(where)])}',
            hint="--pythonpath DIR says where a module is; the current directory is looked in too",
        ) from None
    except SyntaxError as error:
        place = f" ({Path(error.filename).name}:{error.lineno})" if error.filename else ""
        raise RefusedError(f'module "{name}" does not parse{place}: {error.msg}') from error
    except CopypumpError:
        raise
    except (Exception, SystemExit) as error:
        raise RefusedError(
            f'module "{name}" failed while it was imported: {type(error).__name__}: {error}{place_of(error)}'
        ) from error


def _home(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "built in"
