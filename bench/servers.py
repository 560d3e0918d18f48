"""The two servers that rows go between: the user's, or two embedded ones for as long as the bench runs."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.compare import connect
from bench.making import Connection, execute

# What a target without durability is set to: an embedded one lives for minutes, and the disk is not measured.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
}


class Pair(NamedTuple):
    """The DSNs of both sides, and whether the bench started the servers itself."""

    src: str
    dst: str
    embedded: bool


@contextlib.contextmanager
def servers(src: str | None, dst: str | None) -> Iterator[Pair]:
    """The user's two, or embedded ones where neither is named (ValueError: one is missing, or both are one)."""
    if src and dst:
        with connect(src) as source, connect(dst) as target:
            if identity(source) == identity(target):
                raise ValueError("source and target are the same database, whose tables would collide")
        yield Pair(src, dst, embedded=False)
    elif src or dst:
        raise ValueError("name both servers, --src and --dst, or neither")
    else:
        from copypump.cli import demo_servers

        with demo_servers.servers() as (source_dsn, target_dsn):
            for dsn in (source_dsn, target_dsn):
                with connect(dsn) as connection:
                    for name, value in SETTINGS.items():
                        execute(connection, f"ALTER SYSTEM SET {name} = '{value}'")
                    execute(connection, "SELECT pg_reload_conf()")
            yield Pair(source_dsn, target_dsn, embedded=True)


def identity(connection: Connection) -> object:
    """What two connections to one database have in common."""
    query = "SELECT pg_postmaster_start_time(), current_database()"
    return execute(connection, query).fetchone()


def uri(dsn: str) -> str:
    """A DSN as the URI that some peers insist on."""
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    user, host = quote(parts.pop("user", "")), parts.pop("host", "localhost")
    port, database = parts.pop("port", "5432"), quote(parts.pop("dbname", "postgres"), safe="")
    if "password" in parts:
        user += ":" + quote(parts.pop("password"), safe="")
    place = f"{quote(host, safe='')}:{port}"  # a socket's folder stands there too, its slashes hidden
    options = "&".join(f"{name}={quote(value, safe='')}" for name, value in parts.items())
    return f"postgresql://{user + '@' if user else ''}{place}/{database}{'?' + options if options else ''}"


def address(dsn: str) -> tuple[str, int]:
    """Where a DSN leads: a host, or the folder of a Unix socket; and a port."""
    with connect(dsn) as connection:
        return connection.info.host, connection.info.port


def moved(dsn: str, port: int, **others: str) -> str:
    """The same by way of a proxy on this machine's `port`."""
    return make_conninfo(dsn, host="127.0.0.1", port=port, **others)


def machine() -> dict[str, str]:
    """What the figures were made on."""
    model, memory = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    with contextlib.suppress(OSError, ValueError):
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = f"{size / 2**30:.0f} GB"
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": memory,
        "system": f"{platform.system()} {platform.release()}",
    }


def described(dsn: str) -> dict[str, str]:
    """A server's version, its way here, and the settings that speed hangs on."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        wanted = ("server_version", "fsync", "synchronous_commit", "wal_level", "shared_buffers")
        facts = {name: str(setting(connection, name)) for name in wanted}
        host = connection.info.host
    facts["way"] = "Unix socket" if host.startswith("/") else "loopback TCP" if host in LOOPBACK else "TCP"
    return facts


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def setting(connection: Connection, name: str) -> object:
    """One setting's value."""
    row = execute(connection, f"SHOW {name}").fetchone()
    assert row is not None
    return row[0]
