"""PostgreSQL's own pg_dump and pg_restore: found on this machine, and run with a session's way to its server.

They are looked for in the directory that the environment variable COPYPUMP_PGBIN names, and there alone where
it is set: where a machine keeps its programs is no matter of a job. Else on the PATH, and then where Debian's
packages put them, the newest first. The first that is new enough is taken: a pg_dump reads servers that are
older than itself, and no newer ones.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from psycopg import pq
from psycopg.conninfo import make_conninfo

from copypump.errors import RefusedError, Side, SourceError
from copypump.postgres.connect import APPLICATION_NAME
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.session import Session
from copypump.postgres.translate import one_line

DIRECTORY = "COPYPUMP_PGBIN"

_DEBIAN = Path("/usr/lib/postgresql")

# What Debian has on the PATH: it chooses among the versions by its own files, whatever --version says.
_WRAPPER = "pg_wrapper"

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)\S*")

# Seconds between two looks at the interrupt while a program works, and those that one has to end.
_SLICE = 0.1
_PATIENCE = 2.0


class Tools(Struct, frozen=True):
    """Both programs, of one directory; `version` is pg_dump's major one."""

    pg_dump: Path
    pg_restore: Path
    version: int


def find_tools(server_version: int) -> Tools:
    """Find programs for a server of this version (as libpq counts).

    Raises:
        RefusedError: there are none, or only older ones; or pg_restore is missing beside pg_dump.

    """
    wanted = server_version // 10000
    hint = (
        f"install the client programs of PostgreSQL {wanted} or later, or name their directory in {DIRECTORY}"
    )
    found: list[int] = []
    for directory in _directories():
        pg_dump, pg_restore = directory / "pg_dump", directory / "pg_restore"
        if not os.access(pg_dump, os.X_OK):
            continue
        version = _version(pg_dump)
        found.append(version)
        if version < wanted:
            continue
        if not os.access(pg_restore, os.X_OK):
            raise RefusedError(f"there is a pg_dump, but no pg_restore in {directory}", hint=hint)
        return Tools(pg_dump, pg_restore, version)
    where = (
        f"in {named}, which {DIRECTORY} names" if (named := os.environ.get(DIRECTORY)) else "on this machine"
    )
    if not found:
        raise RefusedError(f"there is no pg_dump {where}", hint=hint)
    raise RefusedError(
        f"the pg_dump {where} is of version {max(found)}, older than the server, PostgreSQL {wanted}:"
        " it does not know what it would have to read",
        side=Side.SOURCE,
        hint=hint,
    )


def _directories() -> Iterator[Path]:
    if named := os.environ.get(DIRECTORY):
        yield Path(named)
        return
    for directory in map(Path, os.get_exec_path()):
        if (directory / "pg_dump").resolve().name != _WRAPPER:
            yield directory
    yield from sorted(
        (path for path in _DEBIAN.glob("*/bin") if path.parent.name.isdigit()),
        key=lambda path: int(path.parent.name),
        reverse=True,
    )


def _version(program: Path) -> int:
    told = run([program, "--version"], None).decode(errors="replace")
    match = _VERSION.search(told)
    if match is None:
        raise RefusedError(f"{program} does not say which version it is", hint=f"name another in {DIRECTORY}")
    return int(match[1])


class ToolError(SourceError):
    """A program ended with an error; the message has its own first words."""


def run(
    command: Sequence[Path | str],
    interrupt: Interrupt | None,
    *,
    given: bytes = b"",
    environment: dict[str, str] | None = None,
) -> bytes:
    """Run a program on what it is `given`; return what it writes.

    Raises:
        ToolError: it fails.
        Aborted: the interrupt was set; the program is gone by then, and so after Ctrl-C.

    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be run: {error.strerror}") from None
    try:
        left: bytes | None = given
        while True:
            try:
                written, complaint = process.communicate(left, timeout=_SLICE)
                break
            except subprocess.TimeoutExpired:
                left = None  # communicate() keeps what it was given
                if interrupt is not None:
                    interrupt.check()
    except BaseException:
        _end(process)
        raise
    if process.returncode:
        lines = complaint.decode(errors="replace").splitlines() or [f"it ended with {process.returncode}"]
        raise ToolError(one_line(f"{name} failed: {lines[0].removeprefix(f'{name}: error: ')}"))
    return written


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM first: pg_dump then cancels its query, which its server would else go on with."""
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@contextmanager
def way_to(session: Session) -> Iterator[tuple[str, dict[str, str]]]:
    """A conninfo string for the session's server, which holds no secret, and the environment to run with.

    All that libpq was told is said in the string, TLS options among it, wherever it came from; so the
    variables that libpq reads are left out. A password goes by PGPASSWORD; other secrets have no variable,
    and go by a service file that only we can read, as long as the body runs.
    """
    connection = session.connection
    secrets = {option.keyword: option for option in connection.pgconn.info if option.dispchar == b"*"}
    parameters = {
        name: value
        for name, value in connection.info.get_parameters().items()
        if name not in ("service", "servicefile") and name.encode() not in secrets
    }
    parameters["application_name"] = APPLICATION_NAME
    variables = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    if connection.info.password:
        environment["PGPASSWORD"] = connection.info.password
    lines = [name + b"=" + option.val for name, option in secrets.items() if option.val and not option.envvar]
    with tempfile.TemporaryDirectory(prefix="copypump-") as home:
        if lines:
            file = Path(home) / "service"
            file.touch(mode=0o600)
            file.write_bytes(b"\n".join([b"[copypump]", *lines, b""]))
            environment["PGSERVICEFILE"] = str(file)
            parameters["service"] = "copypump"
        yield make_conninfo("", **parameters), environment
