"""What the tests of this package share: open sessions, wire bytes, and backends to kill."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from copypump.errors import Side
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.session import Session
from copypump.postgres.source import Source

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


def wire_rows(ids: range, text: bytes = b"") -> bytes:
    """COPY BINARY rows (id bigint, name text)."""
    tail = struct.pack("!i", len(text)) + text
    return b"".join(struct.pack("!hiq", 2, 8, at) + tail for at in ids)


def read_all(source: Source, max_bytes: int = 1 << 16) -> bytes:
    return b"".join(iter(lambda: source.read(max_bytes), None))


@contextlib.contextmanager
def later(seconds: float, do: Callable[[], object]) -> Iterator[None]:
    """Call `do` from another thread after some seconds, while the body runs."""
    timer = threading.Timer(seconds, do)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if the body takes longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.1f} s, not {seconds}"


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Hold a backend still: it neither reads nor writes, as behind a network that is gone."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    switch = Interrupt()
    yield switch
    switch.close()


@pytest.fixture
def source_session(database: str, interrupt: Interrupt) -> Iterator[Session]:
    with Session(database, Side.SOURCE, interrupt=interrupt) as session:
        session.begin_source()
        yield session


@pytest.fixture
def target_session(database: str, interrupt: Interrupt) -> Iterator[Session]:
    with Session(database, Side.TARGET, interrupt=interrupt) as session:
        session.begin_target()
        yield session
