"""The ways that the zoo is pumped, from one server's database to another's, and the raw pipes beside them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from tests.servers import TEST_APPLICATION, Server, is_lost, system_version
from tests.zoo.facts import Home, Yardstick, ZooTable
from tests.zoo.tables import PRELUDE, ZOO

SYSTEM = "system"

# More oids than the two sides' tables can differ by: a view here is a table there.
APART = 1000


@dataclass(frozen=True)
class Way:
    """From one server to another (or to itself): each "system", or the major version of one of the wheel's."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"

    @property
    def servers(self) -> tuple[str, str]:
        return self.source, self.target

    def takes(self, table: ZooTable) -> bool:
        """Whether both servers have what the table needs, and no other way is meant for it."""
        versions = [system_version() if server == SYSTEM else int(server) for server in self.servers]
        homes = [Home.SYSTEM if server == SYSTEM else Home.WHEEL for server in self.servers]
        if self == WITHIN_SYSTEM and table.needs.home is not Home.SYSTEM:
            return False
        home_fits = table.needs.home is Home.ANY or set(homes) == {table.needs.home}
        return home_fits and min(versions) >= table.needs.since


def _upwards(one: str, other: int) -> Way:
    """From the older of two servers to the newer."""
    return Way(one, str(other)) if system_version() <= other else Way(str(other), one)


# Only for what the wheel's servers lack.
WITHIN_SYSTEM = Way(SYSTEM, SYSTEM)
WITHIN_WHEEL = Way("18", "18")
WAYS = (_upwards(SYSTEM, 16), Way("16", "18"), WITHIN_WHEEL, WITHIN_SYSTEM)


class Zoo:
    """The zoo on the two servers of a way: its tables filled on the source, and empty on the target."""

    def __init__(self, way: Way, src: str, dst: str) -> None:
        self.way = way
        self._src, self._dst = src, dst
        self.source, self.target = _connect(src), _connect(dst)
        self._yardsticks: dict[str, bytes] = {}

    def populate(self) -> None:
        """Make the types and tables on both sides, and the source's rows."""
        tables = [table for table in ZOO if self.way.takes(table)]
        self._part_oids()
        for name in {table.needs.extension for table in tables} - {None}:
            self.source.execute(f"CREATE EXTENSION {name}".encode())
            self.target.execute(f"CREATE EXTENSION {name} SCHEMA extensions".encode())
        for connection in (self.source, self.target):
            connection.execute(PRELUDE.encode())
        for table in tables:
            try:
                self.source.execute(f"{table.create}; {table.rows}".encode())
                self.target.execute((table.landing or table.create).encode())
            except psycopg.Error as error:
                error.add_note(f"while {table.name} was made")
                raise

    def _part_oids(self) -> None:
        """Let the target's next oids lie so far from the source's that no type has the same on both sides."""
        source, target = map(_next_oid, (self.source, self.target))
        if abs(target - source) < APART:
            self.target.execute("SELECT lo_create(0) FROM generate_series(1, %s)", [APART + source - target])

    @property
    def versions(self) -> str:
        """The major versions of both servers."""
        return " to ".join(str(side.info.server_version // 10000) for side in (self.source, self.target))

    def close(self) -> None:
        self.source.close()
        self.target.close()

    def reconnect(self) -> None:
        """Replace connections that were lost: in a failed run, or with a server that another test stopped."""
        if is_lost(self.source):
            self.source.close()
            self.source = _connect(self._src)
        if is_lost(self.target):
            self.target.close()
            self.target = _connect(self._dst)

    def clear(self, table: ZooTable) -> None:
        """Empty the target's table."""
        self.target.execute(f"DELETE FROM {table.name}".encode())  # eight times faster than TRUNCATE

    def landed(self, table: ZooTable) -> bytes:
        """All of the target's table, as COPY BINARY sends it."""
        query = f"COPY (SELECT * FROM {table.copied or table.name} ORDER BY {table.order}) TO STDOUT (FORMAT BINARY)"
        with self.target.cursor() as cursor, cursor.copy(query.encode()) as copy:
            return b"".join(bytes(data) for data in copy)

    def is_empty(self, table: ZooTable) -> bool:
        """Whether nothing landed."""
        rows = self.target.execute(f"SELECT FROM {table.name} LIMIT 1".encode())
        return not rows.fetchall()

    def yardstick(self, table: ZooTable) -> bytes:
        """What `landed` gives after a raw pipe, by COPY alone."""
        if table.name not in self._yardsticks:
            self.clear(table)
            self._pipe(table)
            assert self.is_empty(table) is not table.has_rows, f"{table} proves nothing"
            self._yardsticks[table.name] = self.landed(table)
        return self._yardsticks[table.name]

    def _pipe(self, table: ZooTable) -> None:
        form = "BINARY" if table.yardstick is Yardstick.BINARY else "TEXT"
        sent = set(_columns(self.source, table, "true"))
        names = [name for name in _columns(self.target, table, "attgenerated = ''") if name in sent]
        columns = sql.SQL(", ").join(map(sql.Identifier, names)).as_string()
        read = f"COPY (SELECT {columns} FROM {table.copied or table.name}) TO STDOUT (FORMAT {form})"
        write = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT {form})"
        with (
            self.source.cursor() as out,
            self.target.cursor() as into,
            out.copy(read.encode()) as reading,
            into.copy(write.encode()) as writing,
        ):
            for data in reading:
                writing.write(data)

    def own_types(self, connection: psycopg.Connection) -> dict[str, int]:
        """The oids of user-defined types, arrays of them left out."""
        rows = connection.execute(
            """SELECT n.nspname || '.' || t.typname, t.oid
                 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
                WHERE t.oid >= 16384 AND t.typtype IN ('c', 'd', 'e', 'm', 'r') AND c.relkind IS DISTINCT FROM 'r'
                  AND n.nspname !~ '^pg_'"""
        )
        return dict(rows.fetchall())


def _next_oid(connection: psycopg.Connection) -> int:
    """An oid off the counter that new types take theirs from, too."""
    [(oid,)] = connection.execute("SELECT lo_create(0)")
    return int(oid)


def _connect(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, application_name=TEST_APPLICATION)


def _columns(connection: psycopg.Connection, table: ZooTable, condition: str) -> list[str]:
    rows = connection.execute(
        f"""SELECT attname FROM pg_attribute
             WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND {condition}
             ORDER BY attnum""".encode(),
        [table.name],
    )
    return [name for (name,) in rows]


@contextmanager
def open_zoo(way: Way, source: Server, target: Server) -> Iterator[Zoo]:
    """Make the two databases of a way, with the extensions in other schemas; drop them afterwards."""
    # Databases with options of their own are dropped afterwards: cheaper here than emptying them.
    fresh = [functools.partial(server.fresh_database, "ENCODING 'UTF8'") for server in (source, target)]
    with ExitStack() as stack:
        src_name, dst_name = (stack.enter_context(make()) for make in fresh)
        # Money stands for other amounts where lc_monetary differs, and is refused there.
        source.execute(f"ALTER DATABASE {src_name} SET lc_monetary = 'C'")
        target.execute(f"ALTER DATABASE {dst_name} SET lc_monetary = 'C'")
        target.execute(f"ALTER DATABASE {dst_name} SET search_path = public, extensions")
        with psycopg.connect(target.dsn(dst_name), autocommit=True) as connection:
            connection.execute("CREATE SCHEMA extensions")
        zoo = Zoo(way, source.dsn(src_name), target.dsn(dst_name))
        stack.callback(zoo.close)
        zoo.populate()
        yield zoo
