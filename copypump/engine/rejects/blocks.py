"""Rows go in by blocks, each under a savepoint, and are kept until the server has accepted them.

To the pipeline this is the COPY of the target. A block that is refused is copied into a staging table, and
landed from there (`engine.rejects.landing`). Blocks after one that was refused are staged at once, until one
of them holds no bad row.

A row that even the staging table refuses (json that is none: the bytes of the wire are no value of the type)
is told by the server's count of rows in that COPY, cut out, and shown as we decode it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from psycopg import sql

from copypump.codec.column import Column
from copypump.codec.decoder import Decoder
from copypump.codec.framing import HEADER, TRAILER, Framer
from copypump.engine.rejects.landing import Lander, Statements, is_of_rows
from copypump.engine.rejects.limit import Limit
from copypump.engine.rejects.record import TARGET, RejectedRows, rows_of
from copypump.engine.rejects.table import RejectTable
from copypump.errors import CopypumpError, TargetError
from copypump.postgres.session import Session
from copypump.postgres.target import Target

# Of a block, which is held in memory, and once more where it is refused. A load of 1,000,000 rows (45 MB,
# a primary key, a CHECK; five pairs of runs in turn on a busy machine, PostgreSQL 15) took 0.93 times as long
# by such blocks as by one COPY, in the median, and 0.69 times with a foreign key.
BLOCK_BYTES = 8 << 20

# Records of rejected rows that wait for the end of a block.
_MOST_RECORD_BYTES = 1 << 20

_BACK = "ROLLBACK TO SAVEPOINT copypump_block; RELEASE SAVEPOINT copypump_block"


def in_block(copy: str) -> str:
    """A COPY under its savepoint, as one query: the server goes on to the release when the COPY ends."""
    return f"SAVEPOINT copypump_block; {copy}; RELEASE SAVEPOINT copypump_block"


Data = bytes | bytearray | memoryview


class BlockTarget:
    """Takes the rows of one chunk; written to like a `Target`, by one thread at a time.

    Where COPY does not go into the target (`copy` is None), every block is staged.
    `landed` and `rejected` count rows: those in the target, and all that were rejected, whoever did it.
    """

    def __init__(
        self,
        session: Session,
        copy: sql.Composable | None,
        statements: Statements,
        columns: Sequence[Column],
        table: str,
        rejects: RejectTable,
        run: str,
        chunk: int,
        limit: Limit,
    ) -> None:
        self.landed = 0
        self.rejected = 0
        self.waited_ns = 0
        self._session = session
        self._direct = None if copy is None else in_block(copy.as_string())
        self._staged = statements.copy.as_string()
        self._columns = tuple(columns)
        self._table = table
        self._rejects = rejects
        self._run = run
        self._chunk = chunk
        self._limit = limit
        self._lander = Lander(session, statements, table)
        self._target: Target | None = None  # the COPY of the block, straight into the table
        self._refused = False  # the block was
        self._suspicious = False  # the block before was, so that this one is staged at once
        self._block: list[Data] = []
        self._bytes = 0
        self._records: list[RejectedRows] = []
        self._record_bytes = 0
        self._refused_rows = 0  # by the server
        self._shown = 0  # records of those, which the staging table refused
        limit.begin(chunk)

    def write(self, data: Data) -> None:
        """Take the header, whole rows, the trailer, or records of rejected rows.

        Raises:
            TargetError: the server refuses more than a row.
            TooManyRejectsError: that many may not be.
            Aborted: the session's interrupt was set.

        """
        if isinstance(data, RejectedRows):
            self._records.append(data)
            self._record_bytes += len(data)
            if self._record_bytes >= _MOST_RECORD_BYTES:
                self._end_block()
            return
        if data in (HEADER, TRAILER) or not data:
            return
        self._block.append(data)
        self._bytes += len(data)
        if self._direct is not None and not self._refused and not self._suspicious:
            self._send(data, self._direct)
        if self._bytes >= BLOCK_BYTES:
            self._end_block()

    def finish(self) -> int:
        """End the last block; give how many rows of those written have landed or were refused."""
        self._end_block()
        return self.landed + self._refused_rows

    def _send(self, data: Data, direct: str) -> None:
        """Straight to the table."""
        try:
            if self._target is None:
                self._target = Target(self._session, table=self._table)
                self._target.start(direct)
                self._target.write(HEADER)
            self._target.write(data)
        except TargetError as error:
            self._refuse(error)

    def _refuse(self, error: TargetError) -> None:
        """The block was refused for a row of it; or raise."""
        if not is_of_rows(error):
            raise error
        self._count_wait()
        self._refused = True
        self._execute(_BACK)

    def _count_wait(self) -> None:
        if self._target is not None:
            self.waited_ns += self._target.waited_ns
            self._target = None

    def _execute(self, statement: str) -> None:
        began = time.monotonic_ns()
        self._session.execute(statement)
        self.waited_ns += time.monotonic_ns() - began

    def _end_block(self) -> None:
        landed = refused = 0
        if self._target is not None:
            try:
                self._target.write(TRAILER)
                landed = self._target.finish()
            except TargetError as error:
                self._refuse(error)
            self._count_wait()
        if self._block and (self._refused or self._suspicious or self._direct is None):
            began = time.monotonic_ns()
            landed, refused = self._land()
            self._suspicious = refused > 0
            self.waited_ns += time.monotonic_ns() - began
        self._block.clear()
        self._bytes, self._refused = 0, False
        recorded = self._put_records() - self._shown
        self._shown = 0
        self.landed += landed
        self._refused_rows += refused
        self.rejected += refused + recorded
        self._limit.add(self._chunk, landed + refused + recorded, refused + recorded)

    def _put_records(self) -> int:
        rows = 0
        for each in self._records:
            self._rejects.put(self._session, self._run, self._chunk, each.decode())
            rows += each.rows
        self._records.clear()
        self._record_bytes = 0
        return rows

    # From the staging table

    def _land(self) -> tuple[int, int]:
        """Land the block from the staging table."""
        self._lander.prepare()
        unstaged = self._stage(self._block)
        landed, refused = self._lander.land()
        return landed, refused + unstaged

    def _stage(self, pieces: list[Data]) -> int:
        """Copy rows into the staging table; give how many it does not take, which are put on record."""
        refused = 0
        while pieces:
            error = self._try_stage(pieces)
            if error is None:
                break
            data = b"".join(pieces)
            if error.row is None or error.row < 1:
                raise error
            before, rest = self._cut(data, error.row - 1)
            single, after = self._cut(rest, 1)
            if before:
                # Refused no more, but where a later row of it is, too, under a number of its own.
                refused += self._stage([before])
            self._records.append(self._show(single, error))
            self._shown += 1
            refused += 1
            pieces = [after] if after else []
        return refused

    def _try_stage(self, pieces: list[Data]) -> TargetError | None:
        target = Target(self._session, table=self._table)
        try:
            target.start(in_block(self._staged))
            for piece in (HEADER, *pieces, TRAILER):
                target.write(piece)
            target.finish()
        except TargetError as error:
            if not is_of_rows(error):
                raise
            self._session.execute(_BACK)
            return error
        return None

    def _cut(self, data: bytes, rows: int) -> tuple[bytes, bytes]:
        """The first rows, and what follows them."""
        if rows == 0:
            return b"", data
        framer = Framer(len(self._columns), positions=False, batch_rows=rows)
        block = framer.feed(HEADER + data)[0]
        at = block.end - len(HEADER)
        return data[:at], data[at:]

    def _show(self, single: bytes, error: TargetError) -> RejectedRows:
        """A record of one row by its bytes."""
        framer = Framer(len(self._columns), positions=True, batch_rows=1)
        [block] = framer.feed(HEADER + single + TRAILER)
        try:
            [row] = rows_of(Decoder(self._columns).decode(block))
        except CopypumpError:  # what the server refuses to read, we may not know either
            row = {"wire": "\\x" + single.hex()}
        return RejectedRows(
            [
                {
                    "stage": TARGET,
                    "reason": error.message,
                    "sqlstate": error.sqlstate,
                    "column_name": error.column,
                    "row": row,
                }
            ]
        )
