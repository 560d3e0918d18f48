"""The queue between two stages of the pipeline: bounded in bytes, and closing it wakes both ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

from copypump.postgres.interrupt import Aborted

T = TypeVar("T")


class ByteQueue(Generic[T]):
    """First in, first out, for one producer and one consumer.

    Holds at most `limit` bytes, but always takes one item: a row may be larger than any limit.
    `put_wait` and `get_wait` are the seconds that the two ends stood still.
    """

    def __init__(self, limit: int) -> None:
        self.put_wait = 0.0
        self.get_wait = 0.0
        self._limit = limit
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._ended = False
        self._aborted = False
        self._changed = threading.Condition(threading.Lock())

    def put(self, item: T, size: int) -> None:
        """Add `item` of `size` bytes, waiting for room; Aborted if the queue is aborted meanwhile."""
        with self._changed:
            if self._items and self._bytes + size > self._limit and not self._aborted:
                start = time.perf_counter()
                while self._items and self._bytes + size > self._limit and not self._aborted:
                    self._changed.wait()
                self.put_wait += time.perf_counter() - start
            if self._aborted:
                raise Aborted
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify()

    def get(self) -> T | None:
        """Take the next item, waiting for it; None after the last. Aborted if the queue is aborted."""
        with self._changed:
            if not self._items and not self._ended and not self._aborted:
                start = time.perf_counter()
                while not self._items and not self._ended and not self._aborted:
                    self._changed.wait()
                self.get_wait += time.perf_counter() - start
            if self._aborted:
                raise Aborted
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._bytes -= size
            self._changed.notify()
            return item

    def end(self) -> None:
        """Say that no item follows."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake both ends with Aborted and drop what is held."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()
