"""The options that commands share, in groups, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from copypump.cli import logs
from copypump.cli.output import Face
from copypump.codec.policy import Policy
from copypump.engine.modes import MODES
from copypump.engine.options import (
    ABORT,
    AUTO,
    CONFLICTS,
    DEFAULT_BATCH_BYTES,
    DEFAULT_BATCH_ROWS,
    DEFAULT_CHUNK_BYTES,
    DEFAULT_LEDGER,
    DEFAULT_RETRIES,
    INDEXES,
    KEEP,
    MAX_BATCH_BYTES,
    MAX_JOBS,
    MAX_MAINTENANCE,
    ON_ERROR,
    SEQUENCES,
    SYNCHRONOUS,
    TRIGGERS,
    WORKERS,
    milliseconds,
)
from copypump.engine.splits.chunk import SPLITS
from copypump.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# An SQL identifier: in double quotes (a doubled one stands for itself), or anything without a separator.
_NAME = r'"(?:[^"]|"")+"|[^\s",=]+'
_NAMES = re.compile(rf"\s*({_NAME})\s*(?:,|$)")
_TYPED = re.compile(rf"\s*({_NAME})\s*=\s*(\S.*?)\s*")
_POLICY = re.compile(rf"(?:\s*({_NAME})\s*=)?\s*({'|'.join(Policy)})\s*")
_DEDUPE = re.compile(rf"\s*(first|last)\s*:\s*({_NAME})\s*")
# As in PostgreSQL's own settings, kB, MB and GB are powers of 1,024.
_SIZE = re.compile(r"\s*(\d+)\s*([kmg]?)i?b?\s*", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


# Values ---------------------------------------------------------------------------------------------------


def identifier(text: str) -> str:
    """Read a name as SQL does: as it stands within quotes, in lower case (of ASCII) without them."""
    if text.startswith('"'):
        return text[1:-1].replace('""', '"')
    return "".join(c.lower() if c.isascii() else c for c in text)


def _names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Read column names, separated by commas."""
    if value is None:
        return None
    names, position = [], 0
    while position < len(value.rstrip()):
        match = _NAMES.match(value, position)
        if match is None:
            raise click.BadParameter('write column names as in SQL, separated by commas: id,"Full name"')
        names.append(identifier(match[1]))
        position = match.end()
    return tuple(names)


def _typed(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read Arrow types by column name."""
    types: dict[str, str] = {}
    for value in values:
        match = _TYPED.fullmatch(value)
        if match is None:
            raise click.BadParameter("write COLUMN=ARROW_TYPE, such as price=decimal128(18,4)")
        name = identifier(match[1])
        if types.setdefault(name, match[2]) != match[2]:
            raise click.BadParameter(f'two types for the column "{name}"')
    return types


def _policies(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read policies by column name, "" being all others."""
    policies: dict[str, str] = {}
    for value in values:
        match = _POLICY.fullmatch(value)
        if match is None:
            raise click.BadParameter(f"write one of {', '.join(Policy)}, or COLUMN= and one of them")
        name = identifier(match[1]) if match[1] else ""
        if policies.setdefault(name, match[2]) != match[2]:
            whose = f'the column "{name}"' if name else "all columns"
            raise click.BadParameter(f"two policies for {whose}")
    return policies


class Jobs(click.ParamType):  # type: ignore[type-arg] # generic only since click 8.4
    """A number of workers, or `auto`."""

    name = "jobs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Read it."""
        if isinstance(value, int) or value == AUTO:
            return value if isinstance(value, int) else AUTO
        if not str(value).isdecimal() or not 1 <= int(value) <= MAX_JOBS:
            self.fail(f"write {AUTO}, or a number from 1 to {MAX_JOBS}", param, ctx)
        return int(value)


def _name(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Read one column name."""
    return None if value is None else identifier(value.strip())


def _size(_ctx: click.Context, _param: click.Parameter, value: str, most: int = MAX_BATCH_BYTES) -> int:
    """Read a number of bytes."""
    match = _SIZE.fullmatch(value)
    if match is None:
        raise click.BadParameter("write a size such as 1048576, 512kB or 4MB")
    size = int(match[1]) * _UNITS[match[2].lower()]
    if not 1 <= size <= most:
        raise click.BadParameter(f"it must lie between 1 and {most:,} bytes")
    return size


def _duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Check that it is one; the engine reads it."""
    if value is not None:
        try:
            milliseconds(value)
        except UsageError as error:
            raise click.BadParameter(error.message) from None
    return value


def _chunk_size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Read the bytes of a chunk, of which there is no highest number."""
    return _size(ctx, param, value, 1 << 62)


def _memory(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read the bytes of maintenance_work_mem."""
    return None if value is None else _size(ctx, param, value, MAX_MAINTENANCE)


def _dedupe(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Read which row of a key lands, and the column that says so."""
    if value is None:
        return None
    match = _DEDUPE.fullmatch(value)
    if match is None:
        raise click.BadParameter("write first:COLUMN or last:COLUMN, the name as in SQL")
    return f"{match[1]}:{identifier(match[2])}"


def _query(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Read the query from its file where `@file` names one."""
    if value is None or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise click.BadParameter(f"{value[1:]} cannot be read: {reason}") from None


def _writable(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Check that the report can be written, as far as can be told before the run."""
    if value is not None and value != "-" and not Path(value).absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {Path(value).parent}")
    return value


def _debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Face).debug = value


def _log_format(ctx: click.Context, _param: click.Parameter, value: str) -> str:
    ctx.ensure_object(Face).json = value == "json"
    return value


# Groups ---------------------------------------------------------------------------------------------------


# The title under which help lists an option, by its parameter's name; the others come last.
_SERVERS, _CHUNKS, _PLAN = "Servers", "Many chunks", "The plan"
_SAID, OTHERS = "What is said", "Other options"
TITLES: dict[str, str] = {"dry_run": _PLAN, "profile": _SAID}


def together(*options: Callable[[Any], Any], title: str | None = None) -> Callable[[F], F]:
    """Make one decorator of several; help lists their options in this order, under the title."""
    if title is not None:
        for option in reduce(lambda made, each: each(made), options, _Named()).__click_params__:
            TITLES[str(option.name)] = title
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


class _Named:
    """What options are tried on, to have their names."""

    __click_params__: list[click.Parameter]

    def __init__(self) -> None:
        self.__click_params__ = []


def _endpoint(name: str, words: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}",
        metavar="DSN",
        required=True,
        envvar=f"COPYPUMP_{name.upper()}",
        show_envvar=True,
        help=f'{words}, as libpq takes it: a URI, key=value pairs, service=NAME; "" for PG* variables alone.',
    )


endpoints = together(_endpoint("src", "The source"), _endpoint("dst", "The target"), title=_SERVERS)

selection = together(
    click.option("--table", metavar="[SCHEMA.]NAME", help="The table to copy, its name written as in SQL."),
    click.option(
        "--query", metavar="SQL|@FILE", callback=_query, help="A query to copy, or the file that it is in."
    ),
    click.option(
        "--columns", metavar="COLUMN,...", callback=_names, help="With --table: only these, in this order."
    ),
    click.option("--where", metavar="SQL", help="With --table: only rows for which this holds."),
    click.option(
        "--into", metavar="[SCHEMA.]NAME", help="The target table; by default the one of --table's name."
    ),
    title="What is copied, and where it lands",
)

transforming = together(
    click.option(
        "--transform",
        metavar="MODULE:FUNCTION",
        multiple=True,
        help="A function on pyarrow record batches; repeat it for a chain, in order.",
    ),
    click.option(
        "--pythonpath",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False),
        multiple=True,
        help="Where its module is, beside the current directory; repeatable.",
    ),
    click.option(
        "--reads",
        metavar="COLUMN,...",
        callback=_names,
        help="The columns that the transforms read; the others pass untouched. By default what"
        " @copypump.reads says, or else all.",
    ),
    click.option(
        "--check",
        metavar="CONDITION|MODULE:FUNCTION",
        multiple=True,
        help='What must hold of every row that lands, as in SQL: "age >= 0", null passes; or a function from'
        " a batch to one boolean a row. A row that fails stops the run, or is rejected (--on-error);"
        " repeatable.",
    ),
    click.option(
        "--type",
        "types",
        metavar="COLUMN=ARROW_TYPE",
        callback=_typed,
        multiple=True,
        help="Decode a column as this type, such as price=decimal128(18,4); repeatable. COLUMN=text lets the"
        " source cast it to text, and the target cast it back where it does not land in text.",
    ),
    click.option(
        "--on-unrepresentable",
        metavar=f"[COLUMN=]{'|'.join(Policy)}",
        callback=_policies,
        multiple=True,
        help="What becomes of values without a place in Arrow, in columns that are read; "
        + "; ".join(f"{policy}: {policy.help}" for policy in Policy)
        + ". Without it, infinities are kept and all else is an error; repeatable.",
    ),
    title="What happens to rows on the way",
)

landing = together(
    click.option(
        "--mode",
        type=click.Choice(list(MODES)),
        help="; ".join(f"{mode.name}: {mode.help}" for mode in MODES.values())
        + ". Without it, the target must be empty.",
    ),
    click.option(
        "--key",
        metavar="COLUMN,...",
        callback=_names,
        help="With --mode upsert or update: the columns by which rows are the same; with --create: those of"
        " the primary key.",
    ),
    click.option(
        "--on-conflict",
        type=click.Choice(CONFLICTS),
        default=CONFLICTS[0],
        show_default=True,
        help="With --mode upsert: what becomes of a row whose key is there already.",
    ),
    click.option(
        "--dedupe",
        metavar="first|last:COLUMN",
        callback=_dedupe,
        help="With --key: which of the source's rows of one key lands, by the order of a column, NULL last."
        " Without it, a key that two rows have is an error.",
    ),
    click.option(
        "--on-error",
        type=click.Choice(ON_ERROR),
        default=ABORT,
        show_default=True,
        help="What becomes of rows that the target, a transform, a check or a cast refuses; reject: they"
        " go to a table, and the others land.",
    ),
    click.option(
        "--rejects",
        metavar="[SCHEMA.]TABLE|FILE",
        help="Where rejected rows go: a table on the target, made if it is missing, or also a .parquet or"
        " .jsonl file, written at the end; by default the table rejects beside the ledger.",
    ),
    click.option(
        "--max-rejects",
        metavar="N|P%",
        help="Stop when more rows than these are rejected, or more in a hundred.",
    ),
    click.option(
        "--indexes",
        type=click.Choice(INDEXES),
        default=KEEP,
        show_default=True,
        help="Keep the target's; or rebuild: drop those that the load does not need, with unique constraints"
        " and foreign keys, and make them again once all rows are there, up to --jobs at once. The plan says"
        " which, and why not others.",
    ),
    click.option(
        "--maintenance-work-mem",
        metavar="SIZE",
        callback=_memory,
        help="Memory of the server for making one index, with --indexes rebuild, --mode replace or"
        " --create-like-source; by default what the server is set to.",
    ),
    click.option(
        "--create",
        is_flag=True,
        help="Make the target table from what arrives, if it is missing: types, NOT NULL, the primary key"
        " that --key names, and the schema that --into names.",
    ),
    click.option(
        "--create-like-source",
        is_flag=True,
        help="Make the target table by the source table's definition, which pg_dump tells; its indexes,"
        " constraints and triggers once all rows are there. Owners and grants are left out. COPYPUMP_PGBIN"
        " names the directory of another pg_dump.",
    ),
    click.option(
        "--triggers",
        type=click.Choice(TRIGGERS),
        default=TRIGGERS[0],
        show_default=True,
        help="What becomes of the target's triggers while rows land; disable-user: none of users' fires, and"
        " each is then as it was, in the transaction of the rows; replica: the run's sessions set"
        " session_replication_role, which switches foreign keys off, too: each is checked at the end.",
    ),
    click.option(
        "--sequences",
        type=click.Choice(SEQUENCES),
        default=SEQUENCES[0],
        show_default=True,
        help="What becomes of the sequences of serial and identity columns that rows land in; advance: they"
        " go on behind the highest value that is there, and never back.",
    ),
    click.option(
        "--analyze/--no-analyze",
        default=False,
        show_default=True,
        help="Take the target's statistics anew (ANALYZE) when all rows are there; else autovacuum does.",
    ),
    click.option(
        "--lock-timeout",
        metavar="DURATION",
        callback=_duration,
        help="How long a transaction waits for any one lock, such as 500ms, 5s or 2min; as long as it takes"
        " without it.",
    ),
    title="How rows land",
)

tuning = together(
    click.option(
        "--batch-rows",
        metavar="N",
        type=click.IntRange(1, 1 << 24),
        default=DEFAULT_BATCH_ROWS,
        show_default=True,
        help="The most rows that a transform is given at once.",
    ),
    click.option(
        "--batch-bytes",
        metavar="SIZE",
        default=f"{DEFAULT_BATCH_BYTES >> 20}MB",
        show_default=True,
        callback=_size,
        help="About how many bytes of rows make one batch.",
    ),
    title="Batches",
)

_LEDGER = click.option(
    "--ledger-schema",
    metavar="SCHEMA",
    default=DEFAULT_LEDGER,
    show_default=True,
    help="The schema on the target that keeps account of runs; made when it is needed.",
)

_JOBS_HELP = "How many workers move chunks at once; auto: as many as suit the machine, up to 4."

chunking = together(
    click.option("--jobs", metavar="N|auto", type=Jobs(), default=1, show_default=True, help=_JOBS_HELP),
    click.option(
        "--split",
        type=click.Choice([AUTO, *SPLITS]),
        default=AUTO,
        show_default=True,
        help="How the source is cut into chunks; "
        + "; ".join(f"{way.name}: {way.help}" for way in SPLITS.values())
        + ". The plan says which, and why.",
    ),
    click.option(
        "--split-by", metavar="COLUMN", callback=_name, help="The column by whose values the source is cut."
    ),
    click.option(
        "--chunk-bytes",
        metavar="SIZE",
        default=f"{DEFAULT_CHUNK_BYTES >> 20}MB",
        show_default=True,
        callback=_chunk_size,
        help="About how many bytes of the source's disk make one chunk, at most.",
    ),
    click.option(
        "--snapshot/--no-snapshot",
        default=True,
        help="Read all chunks under one snapshot; without it, each chunk is exact by itself alone.",
    ),
    click.option(
        "--run-id", metavar="NAME", help="Name the run in the ledger; a name is made up without it."
    ),
    click.option(
        "--workers",
        type=click.Choice(WORKERS),
        default=WORKERS[0],
        show_default=True,
        help="What they are; processes suit a transform that holds the GIL.",
    ),
    click.option(
        "--synchronous-commit",
        type=click.Choice(SYNCHRONOUS),
        help="Whether a chunk's COMMIT waits for the target's disk; off: a crash of the target may take the"
        " last chunks along, which the run then moves again. The run's end always waits. By default as the"
        " target is set.",
    ),
    click.option(
        "--retries",
        metavar="N",
        type=click.IntRange(0),
        default=DEFAULT_RETRIES,
        show_default=True,
        help="How many times a chunk is tried again after what may pass.",
    ),
    _LEDGER,
    title=_CHUNKS,
)

resuming = together(
    click.option("--jobs", metavar="N|auto", type=Jobs(), help=f"{_JOBS_HELP} By default as before."),
    click.option(
        "--retries", metavar="N", type=click.IntRange(0), help="How many times a chunk is tried again."
    ),
    click.option(
        "--new-snapshot",
        is_flag=True,
        help="Read the rest as the source is now, though chunks that were read before are committed.",
    ),
    _LEDGER,
    title=_CHUNKS,
)

target = _endpoint("dst", "The target")
ledger = _LEDGER

previewing = together(
    click.option(
        "--preview",
        metavar="N",
        type=click.IntRange(0, 1000),
        default=0,
        help="With the plan, show N rows before and after the transform: their values.",
    ),
    title=_PLAN,
)

reporting = together(
    click.option("--progress/--no-progress", default=True, help="Show progress on stderr, or do not."),
    click.option(
        "--report",
        metavar="FILE|-",
        type=click.Path(dir_okay=False, writable=True, allow_dash=True),
        callback=_writable,
        help="Write a report as JSON; with - stdout is that JSON alone.",
    ),
    title=_SAID,
)

profiling = click.option(
    "--profile",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True),
    callback=_writable,
    help="Write where the client's CPU went: libpq and system calls, framing, decoding by type, transform,"
    " encoding, waits; as JSON if FILE ends with .json.",
)

diagnostics = together(
    click.option(
        "--log-level",
        type=click.Choice(logs.LEVELS),
        default="warning",
        show_default=True,
        help="Log to stderr from this level on.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(logs.FORMATS),
        default="text",
        show_default=True,
        is_eager=True,
        callback=_log_format,
        help="With json, all of stderr is one JSON object a line.",
    ),
    click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_debug,
        help="Show tracebacks, which may hold values of your rows.",
    ),
    title=_SAID,
)
