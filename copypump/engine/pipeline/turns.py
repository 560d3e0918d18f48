"""Whose turn it is: blocks pass the pipeline's stages in their order, one at a time in each."""

from __future__ import annotations

import threading
import time

from copypump.postgres.interrupt import Aborted


class Turns:
    """The stages 0, 1, ... of one pipeline, for threads that each carry one block through all of them.

    A thread draws a block's number with `draw()`, then enters and leaves one stage after the other. `idle`
    counts the seconds in which nobody was in a stage, from its first block to its last one.
    """

    def __init__(self, stages: int) -> None:
        self.idle = [0.0] * stages
        self._drawn = 0
        self._next = [0] * stages  # the block whose turn it is
        self._left = [0.0] * stages  # when the one before it left
        self._aborted = False
        self._changed = threading.Condition(threading.Lock())

    def draw(self) -> int:
        """Give the number of the next block that will be read; the first is 0."""
        with self._changed:
            self._drawn += 1
            return self._drawn - 1

    def enter(self, stage: int, block: int) -> None:
        """Wait until all blocks before this one have left the stage; Aborted if that is not to be."""
        with self._changed:
            while self._next[stage] != block and not self._aborted:
                self._changed.wait()
            if self._aborted:
                raise Aborted
            if block:
                self.idle[stage] += time.perf_counter() - self._left[stage]

    def leave(self, stage: int) -> None:
        """Let the next block in."""
        with self._changed:
            self._next[stage] += 1
            self._left[stage] = time.perf_counter()
            self._changed.notify_all()

    def abort(self) -> None:
        """Let nobody in any more: whoever waits, or comes, gets Aborted."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()
