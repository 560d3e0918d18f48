"""The queue between two stages: bounded in bytes, in order, and nobody waits for a dead end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from copypump.engine.queue import ByteQueue
from copypump.postgres.interrupt import Aborted

# Seconds after which a call that has not returned is taken to wait.
STILL = 0.05


@pytest.fixture
def elsewhere() -> Iterator[Callable[..., Future[Any]]]:
    """`elsewhere(function, *arguments)`: the call, in a thread of its own."""
    with ThreadPoolExecutor(4) as executor:
        yield executor.submit


def waits(call: Future[Any]) -> bool:
    time.sleep(STILL)
    return not call.done()


def test_first_in_first_out_and_none_after_the_end() -> None:
    queue: ByteQueue[str] = ByteQueue(100)
    for word in "abc":
        queue.put(word, 1)
    queue.end()
    assert [queue.get() for _ in range(5)] == ["a", "b", "c", None, None]
    assert queue.put_wait == queue.get_wait == 0


def test_a_full_queue_makes_the_producer_wait(elsewhere: Callable[..., Future[Any]]) -> None:
    queue: ByteQueue[str] = ByteQueue(100)
    queue.put("a", 60)
    queue.put("b", 40)  # to the brim
    call = elsewhere(queue.put, "c", 1)
    assert waits(call)
    assert queue.get() == "a"
    call.result(5)
    assert queue.put_wait >= STILL
    assert (queue.get(), queue.get()) == ("b", "c")


def test_room_is_counted_in_bytes_not_in_items(elsewhere: Callable[..., Future[Any]]) -> None:
    queue: ByteQueue[int] = ByteQueue(100)
    for number in range(100):
        queue.put(number, 1)
    call = elsewhere(queue.put, 100, 50)
    for number in range(49):
        assert queue.get() == number
    assert waits(call)  # 51 of 100 bytes are taken
    assert queue.get() == 49
    call.result(5)


def test_items_without_bytes_pass() -> None:
    queue: ByteQueue[int] = ByteQueue(10)
    queue.put(0, 10)
    queue.put(1, 0)
    assert (queue.get(), queue.get()) == (0, 1)


def test_one_item_larger_than_the_limit_passes_alone(elsewhere: Callable[..., Future[Any]]) -> None:
    queue: ByteQueue[str] = ByteQueue(10)
    queue.put("huge", 1000)
    call = elsewhere(queue.put, "small", 1)
    assert waits(call)
    assert queue.get() == "huge"
    call.result(5)
    call = elsewhere(queue.put, "huge again", 1000)
    assert waits(call)
    assert queue.get() == "small"
    call.result(5)
    assert queue.get() == "huge again"


def test_an_empty_queue_makes_the_consumer_wait(elsewhere: Callable[..., Future[Any]]) -> None:
    queue: ByteQueue[str] = ByteQueue(10)
    call = elsewhere(queue.get)
    assert waits(call)
    queue.put("a", 1)
    assert call.result(5) == "a"
    assert queue.get_wait >= STILL
    call = elsewhere(queue.get)
    assert waits(call)
    queue.end()
    assert call.result(5) is None


def test_abort_wakes_both_ends_and_drops_what_is_held(elsewhere: Callable[..., Future[Any]]) -> None:
    full: ByteQueue[str] = ByteQueue(10)
    empty: ByteQueue[str] = ByteQueue(10)
    full.put("a", 10)
    calls = [elsewhere(full.put, "b", 1), elsewhere(empty.get)]
    assert all(waits(call) for call in calls)
    full.abort()
    empty.abort()
    for call in calls:
        with pytest.raises(Aborted):
            call.result(5)
    for queue in (full, empty):
        queue.abort()  # again is harmless
        with pytest.raises(Aborted):
            queue.put("c", 1)
        with pytest.raises(Aborted):
            queue.get()


def test_abort_outweighs_the_end() -> None:
    queue: ByteQueue[str] = ByteQueue(10)
    queue.put("a", 1)
    queue.end()
    queue.abort()
    with pytest.raises(Aborted):
        queue.get()


def test_many_items_through_a_small_queue(elsewhere: Callable[..., Future[Any]]) -> None:
    queue: ByteQueue[int] = ByteQueue(16)
    held = peak = 0
    lock = threading.Lock()

    def produce() -> None:
        nonlocal held, peak
        for number in range(5000):
            queue.put(number, number % 7)
            with lock:
                held += number % 7
                peak = max(peak, held)
        queue.end()

    producer = elsewhere(produce)
    seen = []
    while (number := queue.get()) is not None:
        seen.append(number)
        with lock:
            held -= number % 7
    producer.result(5)
    assert seen == list(range(5000))
    assert 0 < peak <= 16 + 6  # what was taken may not be counted yet
