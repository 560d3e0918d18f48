"""How many rows may be rejected before a run stops: a number, or a share of all rows."""

from __future__ import annotations

import re
import threading
from collections import Counter
from fractions import Fraction

from msgspec import Struct, field

from copypump.errors import TooManyRejectsError, UsageError

# A share means nothing of a few rows: before so many it is not judged, but at the end.
MIN_ROWS = 10_000

_LIMIT = re.compile(r"\s*(\d+|\d+(?:\.\d+)?\s*%)\s*")


class MaxRejects(Struct, frozen=True):
    """`rows` at the most, or `share` of all rows (0 to 1); both None where there is no limit."""

    rows: int | None = None
    share: Fraction | None = None

    @classmethod
    def of(cls, text: str | int | None) -> MaxRejects:
        """Read `1000` or `0.5%` (UsageError)."""
        if text is None:
            return cls()
        found = _LIMIT.fullmatch(str(text))
        if found is None:
            raise UsageError("max_rejects is a number of rows, as 1000, or a share of them, as 0.5%")
        if not found[1].endswith("%"):
            return cls(rows=int(found[1]))
        share = Fraction(found[1].rstrip("% ")) / 100  # 29% of 100 rows are 29, which a float misses
        if share > 1:
            raise UsageError("max_rejects is at most 100%")
        return cls(share=share)


class Count(Struct):
    """What one attempt at a chunk has seen: all rows that were to land, and those of them rejected."""

    rows: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Limit:
    """Counts the rejects of a whole run, whose chunks report from several threads."""

    def __init__(self, most: MaxRejects, rows: int = 0, rejected: int = 0) -> None:
        self._most = most
        self._before = Count(rows, rejected)
        self._chunks: dict[int, Count] = {}
        self._lock = threading.Lock()

    def begin(self, chunk: int) -> None:
        """Forget what an earlier attempt at a chunk has reported."""
        with self._lock:
            self._chunks[chunk] = Count()

    def add(self, chunk: int, rows: int, rejected: int) -> None:
        """Count rows that were to land, and those of them that were rejected.

        Raises:
            TooManyRejectsError: there are too many by now.

        """
        with self._lock:
            count = self._chunks[chunk]
            count.rows += rows
            count.rejected += rejected
            if rejected:
                self._judge(at_end=False)

    def end(self) -> None:
        """Judge the share once more, when all rows are there (TooManyRejectsError)."""
        with self._lock:
            self._judge(at_end=True)

    @property
    def rejected(self) -> int:
        """All of them, so far."""
        with self._lock:
            return self._total().rejected

    def _total(self) -> Count:
        total = Count(self._before.rows, self._before.rejected)
        for count in self._chunks.values():
            total.rows += count.rows
            total.rejected += count.rejected
        return total

    def _judge(self, *, at_end: bool) -> None:
        most, total = self._most, self._total()
        too_many = most.rows is not None and total.rejected > most.rows
        if most.share is not None and (at_end or total.rows >= MIN_ROWS):
            too_many = total.rejected > most.share * total.rows
        if too_many:
            limit = f"{most.rows:,}" if most.rows is not None else f"{float(100 * (most.share or 0)):g}%"
            raise TooManyRejectsError(
                f"{total.rejected:,} of {total.rows:,} rows were rejected, and {limit} may be",
                hint="look at the reasons of a few: with --where or --query and a higher --max-rejects, the"
                " table of rejects keeps them",
            )
