"""polars: read_database_uri and write_database, both by ADBC, the whole table as one frame between them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from bench.peers.job import told

MONEY = pl.Decimal(15, 2)


def people(frame: pl.DataFrame) -> pl.DataFrame:
    """W1."""
    age = (pl.col("age") + 1).cast(pl.Int32)
    return frame.select("id", "name", age, (pl.col("salary") * 0.8).alias("salary_after_tax"))


def lineitem(frame: pl.DataFrame) -> pl.DataFrame:
    """W2."""
    # A product has no more places than its factors: those of cents would be rounded, and to even.
    price = pl.col("l_extendedprice").cast(pl.Decimal(38, 4)) * (1 - pl.col("l_discount"))
    return frame.with_columns(price.round(2, mode="half_away_from_zero").cast(MONEY).alias("l_extendedprice"))


def rebuild(frame: pl.DataFrame) -> pl.DataFrame:
    """W3 - W6: every row gathered."""
    return frame.select(pl.all().gather(pl.int_range(pl.len())))


TRANSFORMS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    function.__name__: function for function in (people, lineitem, rebuild)
}


def main() -> None:
    """Read, transform and write."""
    job = told()
    frame = pl.read_database_uri(job.query, job.src, engine="adbc")
    # Numerics arrive as text of an extension type: nobody computes with that, nor does the target take it.
    frame = frame.with_columns(
        pl.col(name).ext.storage().cast(MONEY) for name in job.workload.of_type("numeric")
    )
    made = TRANSFORMS[job.workload.function](frame)
    made.write_database(job.into, job.dst, engine="adbc", if_table_exists="append")


if __name__ == "__main__":
    main()
