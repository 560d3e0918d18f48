"""From `module:function` to the function; nothing else of the user's is imported."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
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


def reference_of(function: Callable[..., Any]) -> str | None:
    """The `module:function` under which a function can be imported again; None for a closure and the like."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    found: Any = sys.modules.get(module or "")
    if found is None or name is None or module == "__main__":
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is function else None


def identity_of(function: Callable[..., Any], name: str, version: str | None) -> dict[str, str] | None:
    """What a function is: its importable name, and its version or a hash of its module's source.

    `name` is the reference that it was given by, if there is one. None where it cannot be imported again.
    """
    reference = name if _is_found(name, function) else reference_of(function)
    if reference is None:
        return None
    if version is not None:
        return {"name": reference, "version": version}
    try:
        source = inspect.getsourcefile(inspect.unwrap(function)) or ""
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return None
    return {"name": reference, "sha256": digest}


def _is_found(reference: str, function: Callable[..., Any]) -> bool:
    """Whether `module:function` names this very function."""
    module, _, attribute = reference.partition(":")
    found: Any = sys.modules.get(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    return found is not None and found is function


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
