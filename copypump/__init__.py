"""Rows from one PostgreSQL to another, as fast as a raw pipe, through a vectorized function of yours.

`pump` does the whole job, `read` and `write` half of it each, `reads` marks a transform with the columns that
it reads, and `reject` is called by one to keep rows from landing. Names are resolved when they are first
used: `import copypump` loads neither pyarrow nor psycopg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from copypump.codec.registry import register_type as register_type
    from copypump.engine.aio import apump as apump
    from copypump.engine.aio import aread as aread
    from copypump.engine.api import pump as pump
    from copypump.engine.chunks.history import forget as forget
    from copypump.engine.chunks.history import runs as runs
    from copypump.engine.chunks.history import status as status
    from copypump.engine.chunks.resume import resume as resume
    from copypump.engine.report import Progress as Progress
    from copypump.engine.report import Report as Report
    from copypump.engine.streams import read as read
    from copypump.engine.streams import write as write
    from copypump.errors import CastError as CastError
    from copypump.errors import CopypumpError as CopypumpError
    from copypump.errors import DecodeError as DecodeError
    from copypump.errors import OutcomeUnknownError as OutcomeUnknownError
    from copypump.errors import RefusedError as RefusedError
    from copypump.errors import SourceError as SourceError
    from copypump.errors import StoppedError as StoppedError
    from copypump.errors import TargetError as TargetError
    from copypump.errors import TooManyRejectsError as TooManyRejectsError
    from copypump.errors import TransformError as TransformError
    from copypump.errors import UnrepresentableError as UnrepresentableError
    from copypump.errors import UsageError as UsageError
    from copypump.transforms import reads as reads
    from copypump.transforms import reject as reject

    __version__: str

# Each public name and the module that it comes from; the imports above give type checkers the same.
_HOMES = {
    "pump": "engine.api",
    "read": "engine.streams",
    "write": "engine.streams",
    "apump": "engine.aio",
    "aread": "engine.aio",
    "resume": "engine.chunks.resume",
    "runs": "engine.chunks.history",
    "status": "engine.chunks.history",
    "forget": "engine.chunks.history",
    "reads": "transforms",
    "reject": "transforms",
    "register_type": "codec.registry",
    "Report": "engine.report",
    "Progress": "engine.report",
    "CopypumpError": "errors",
    "UsageError": "errors",
    "RefusedError": "errors",
    "SourceError": "errors",
    "DecodeError": "errors",
    "TargetError": "errors",
    "TooManyRejectsError": "errors",
    "TransformError": "errors",
    "UnrepresentableError": "errors",
    "CastError": "errors",
    "OutcomeUnknownError": "errors",
    "StoppedError": "errors",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    """Import a public name's module when the name is first used (PEP 562)."""
    value: object
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value = version(__name__)
        except PackageNotFoundError:  # a checkout that was built in place
            value = "0+not.installed"
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names too."""
    return sorted({*globals(), *__all__})
