"""The switch that ends every wait: set once, by anyone, seen by whoever waits for a server.

Every wait of this package polls its socket together with `Interrupt.fd`, so a run that fails on one thread
wakes the others at once, whatever server they wait for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class Aborted(Exception):  # noqa: N818 - not an error of its own: who set the switch has the error to tell
    """Another part of the run has set the switch; what it knows is the reason."""


class Interrupt:
    """A thread-safe one-way switch that `poll()` can wait for.

    `fd` becomes readable when the switch is set, and stays so. `close()` when nobody waits any more. There is
    no `__del__` for it: Ctrl-C that comes within one is ignored by Python, and the run would go on.
    """

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._reader, self._writer = os.pipe()
        self._lock = threading.Lock()
        self._closed = False
        self._then: list[Callable[[], object]] = []

    @property
    def fd(self) -> int:
        """The end to poll for reading."""
        return self._reader

    def set(self) -> None:
        """Wake everyone, for good; more than once, or after `close()`, is harmless."""
        with self._lock:
            if not self._flag.is_set():
                self._flag.set()
                if not self._closed:
                    os.write(self._writer, b"!")
            then, self._then = self._then, []
        for each in then:
            each()

    def then(self, action: Callable[[], object]) -> None:
        """Have something done when the switch is set, by whoever sets it; at once, if it has been."""
        with self._lock:
            self._then.append(action)
        if self._flag.is_set():
            self.set()

    def is_set(self) -> bool:
        """Whether the switch has been set."""
        return self._flag.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for it, at most so long; whether it has been set."""
        return self._flag.wait(seconds)

    def check(self) -> None:
        """Raise `Aborted` when the switch has been set."""
        if self._flag.is_set():
            raise Aborted

    def close(self) -> None:
        """Give both descriptors back."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                os.close(self._writer)
