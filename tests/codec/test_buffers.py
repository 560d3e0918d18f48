"""Buffers that are used again, and never while anybody can still see their bytes."""

from __future__ import annotations

from copypump.codec._buffers import Buffers

MOST, LARGE = 16, 16 << 20  # of _buffers.pyx


def test_a_dropped_buffer_comes_again() -> None:
    buffers = Buffers()
    buffer = buffers.take()
    buffer += b"some bytes"
    first = id(buffer)
    del buffer
    again = buffers.take()
    assert id(again) == first
    assert again == b"some bytes"  # as it was left: whoever takes it fills it


def test_a_buffer_in_use_does_not() -> None:
    buffers = Buffers()
    one = buffers.take()
    other = buffers.take()
    assert one is not other
    one += b"abc"
    view = memoryview(one)[1:]
    where = id(one)
    del one
    assert id(buffers.take()) != where
    assert view == b"bc"
    view.release()
    del view
    assert id(buffers.take()) == where


def test_large_and_many_buffers_are_not_kept() -> None:
    buffers = Buffers()
    buffer = buffers.take()
    buffer += bytes(LARGE + 1)
    del buffer
    assert len(buffers.take()) == 0
    held = [buffers.take() for _ in range(3 * MOST)]
    assert len({id(buffer) for buffer in held}) == 3 * MOST
    del held
    held = [buffers.take() for _ in range(3 * MOST)]
    assert len({id(buffer) for buffer in held}) == 3 * MOST
