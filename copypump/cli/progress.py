"""The progress of a run on stderr: one line that changes on a terminal, a new line every 10 s elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from copypump.cli import logs, output

if TYPE_CHECKING:
    from rich.status import Status

    from copypump.engine.report import Progress

TERMINAL_INTERVAL = 0.5
PLAIN_INTERVAL = 10.0
# Rates are of the last few seconds: long enough to be steady, short enough to show a change.
WINDOW = 5.0


class Display:
    """What a run is given: call it with each `Progress`, every `interval` seconds. Keeps the last one."""

    def __init__(self, show: Callable[[str, Progress], None], interval: float) -> None:
        self.interval = interval
        self.last: Progress | None = None
        self._show = show
        self._shown = 0.0
        self._seen: deque[Progress] = deque()

    def __call__(self, progress: Progress) -> None:
        """Show a moment of the run; never fails, for a run must not end because nobody watches it."""
        self.last = progress
        self._seen.append(progress)
        while len(self._seen) > 2 and self._seen[1].seconds <= progress.seconds - WINDOW:
            self._seen.popleft()
        if (
            progress.seconds - self._shown < 0.9 * self.interval
        ):  # the last moment of a run comes when it comes
            return
        self._shown = progress.seconds
        with contextlib.suppress(OSError, ValueError):
            self._show(describe(self._seen[0], progress), progress)


def describe(earlier: Progress, now: Progress) -> str:
    """Say in one line: totals, rates since `earlier` (the start, where both are one), what holds it up."""
    if earlier is now:
        seconds, rows, size = now.seconds, now.rows_read, now.bytes_read
    else:
        seconds = now.seconds - earlier.seconds
        rows, size = now.rows_read - earlier.rows_read, now.bytes_read - earlier.bytes_read
    seconds = max(seconds, 1e-3)
    return (
        f"{now.rows_read:,} rows in {now.seconds:.0f} s, {rows / seconds:,.0f} rows/s,"
        f" {output.megabytes(size / seconds)}/s, {_where(now)}"
    )


def _where(now: Progress) -> str:
    """Say what holds the rows up, or, in a run of chunks, how far it is."""
    waiting = f"waiting for {now.bottleneck}"
    if not now.chunks:
        return waiting
    parts = [
        f"chunk {now.chunks_done:,} of {now.chunks:,}",
        f"{now.workers} workers",
        f"snapshot {now.snapshot_age:.0f} s old",
        *([f"{now.retries:,} retries"] if now.retries else []),
        now.phase or waiting,
    ]
    return ", ".join(parts)


@contextlib.contextmanager
def display(face: output.Face, wanted: bool) -> Iterator[Display]:
    """Give the display that suits where stderr goes; its line is gone when the block is left."""
    if not wanted:
        yield Display(lambda _text, _progress: None, PLAIN_INTERVAL)
    elif face.json:
        yield Display(lambda text, progress: logs.progressed(text, asdict(progress)), PLAIN_INTERVAL)
    elif _is_terminal():
        line = _Line()
        try:
            yield Display(line.show, TERMINAL_INTERVAL)
        finally:
            line.close()
    else:
        yield Display(lambda text, _progress: output.note(text), PLAIN_INTERVAL)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Line:
    """A spinner and one line of text. rich is imported with the first text: a short run never needs it."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def show(self, text: str, _progress: Progress) -> None:
        if self._status is None:
            from rich.console import Console
            from rich.status import Status

            self._status = Status("", console=Console(stderr=True, highlight=False))
            self._status.start()
        from rich.text import Text

        self._status.update(Text(text, no_wrap=True, overflow="ellipsis"))

    def close(self) -> None:
        if self._status is not None:
            with contextlib.suppress(OSError, ValueError):
                self._status.stop()
