"""psycopg: every piece that `copy()` gives, written as it is; no row is looked at."""

from __future__ import annotations

import psycopg

from bench.peers.job import told


def main() -> None:
    """Copy in binary format."""
    job = told()
    binary = "(FORMAT BINARY)"
    with psycopg.connect(job.src) as source, psycopg.connect(job.dst) as target:
        with (
            source.cursor().copy(f"COPY {job.table} TO STDOUT {binary}") as reading,
            target.cursor().copy(f"COPY {job.into} FROM STDIN {binary}") as writing,
        ):
            for data in reading:
                writing.write(data)
        target.commit()


if __name__ == "__main__":
    main()
