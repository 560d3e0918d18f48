"""The progress of a run on stderr: one line that changes on a terminal, a new line every 10 s elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from copypump.cli import logs, output

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from copypump.engine.report import Progress

TERMINAL_INTERVAL = 0.5
PLAIN_INTERVAL = 10.0
# Rates are of the last few seconds: long enough to be steady, short enough to show a change.
WINDOW = 5.0


class Display:
    """What a run is given: call it with each `Progress`, every `interval` seconds. Keeps the last one."""

    def __init__(
        self,
        show: Callable[[str, Progress], None],
        interval: float,
        tell: Callable[[str, Progress], None] | None = None,
    ) -> None:
        self.interval = interval
        self.last: Progress | None = None
        self._show = show
        self._tell = tell  # what stays
        self._shown = 0.0
        self._phase = ""
        self._seen: deque[Progress] = deque()

    def __call__(self, progress: Progress) -> None:
        """Show a moment of the run; never fails, for a run must not end because nobody watches it."""
        if progress.run and self._tell is not None and (self.last is None or not self.last.run):
            name = progress.run
            with contextlib.suppress(OSError, ValueError):
                self._tell(f"run {name} (copypump resume {name}, should it end early)", progress)
        self.last = progress
        self._seen.append(progress)
        while len(self._seen) > 2 and self._seen[1].seconds <= progress.seconds - WINDOW:
            self._seen.popleft()
        # The last moment of a run comes when it comes, and is of no interest; a phase is told of once.
        if progress.phase == self._phase and progress.seconds - self._shown < 0.9 * self.interval:
            return
        self._shown, self._phase = progress.seconds, progress.phase
        with contextlib.suppress(OSError, ValueError):
            self._show(describe(self._seen[0], progress), progress)


def describe(earlier: Progress, now: Progress) -> str:
    """Say in one line: totals, rates since `earlier` (the start, where both are one), what holds it up.

    What matters most comes first, for a narrow terminal shows no more than it has room for.
    """
    chunks = f"{now.chunks_done:,} of {now.chunks:,} chunks, " if now.chunks else ""
    total = f"{now.rows_read:,} rows in {now.seconds:.0f} s"
    if now.phase:  # all rows are there, and no rate says anything
        return f"{chunks}{total}, now: {now.phase}"
    if earlier is now:
        seconds, rows, size = now.seconds, now.rows_read, now.bytes_read
    else:
        seconds = now.seconds - earlier.seconds
        rows, size = now.rows_read - earlier.rows_read, now.bytes_read - earlier.bytes_read
    seconds = max(seconds, 1e-3)
    parts = [
        f"{chunks}{total}, {rows / seconds:,.0f} rows/s, {output.megabytes(size / seconds)}/s",
        *([output.counted(now.retries, "retry", "retries")] if now.retries else []),
        f"waiting for {now.bottleneck}",
        *([_workers(now)] if now.chunks else []),
    ]
    return ", ".join(parts)


def _workers(now: Progress) -> str:
    """Who is at work in a run of chunks, and for how long the source has kept what they see."""
    age = f", snapshot {now.snapshot_age:.0f} s old" if now.snapshot_age else ""
    return f"{output.counted(now.workers, 'worker', 'workers')}{age}"


@contextlib.contextmanager
def display(face: output.Face, wanted: bool) -> Iterator[Display]:
    """Give the display that suits where stderr goes; its line is gone when the block is left."""
    if not wanted:
        yield Display(lambda _text, _progress: None, PLAIN_INTERVAL)
    elif face.json:
        yield Display(_logged, PLAIN_INTERVAL, _logged)
    elif _is_terminal():
        line = _Line()
        try:
            yield Display(line.show, TERMINAL_INTERVAL, _noted)
        finally:
            line.close()
    else:
        yield Display(_noted, PLAIN_INTERVAL, _noted)


def _logged(text: str, progress: Progress) -> None:
    logs.progressed(text, asdict(progress))


def _noted(text: str, _progress: Progress) -> None:
    output.note(text)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Line:
    """One line of text, as long as the terminal is wide; what is logged meanwhile goes above it.

    stdout stays what it is: rich would send to the terminal what was meant for a file or a pipe. rich is
    imported with the first text: a short run never needs it.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._text = ""
        self._phase = ""
        self._since = 0.0

    def show(self, text: str, progress: Progress) -> None:
        self._text = text
        if progress.phase != self._phase:
            self._phase, self._since = progress.phase, time.monotonic()
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True, highlight=False),
                get_renderable=self._rendered,
                transient=True,
                redirect_stdout=False,
            )
            self._live.start()

    def _rendered(self) -> Text:
        """Make the line of this moment: nobody calls `show` while a phase goes on."""
        from rich.text import Text

        lasting = f", for {time.monotonic() - self._since:.0f} s" if self._phase else ""
        return Text(self._text + lasting, no_wrap=True, overflow="ellipsis")

    def close(self) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
