"""Waiting, by a clock that stands still while the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120.0

# Seconds in which Ctrl-C is obeyed, and after which no process and no session of a run is left.
PROMPT = 10.0

# The most seconds that one look at the clock counts: if more have passed, nobody could do anything.
_LOOK = 1.0

T = TypeVar("T")


class Patience:
    """It is over after so many seconds, as long as it is asked every now and then."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self._left = seconds
        self._last = time.monotonic()

    def over(self) -> bool:
        now = time.monotonic()
        self._left -= min(now - self._last, _LOOK)
        self._last = now
        return self._left < 0


def wait_until(true: Callable[[], T], what: str, seconds: float = PATIENCE, pause: float = 0.02) -> T:
    """Wait until something is true, and give it; AssertionError, which says `what` is not, after so long."""
    patience = Patience(seconds)
    while not (found := true()):
        assert not patience.over(), what
        time.sleep(pause)
    return found
