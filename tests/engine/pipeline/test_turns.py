"""Turns of the pipeline's stages: in order, one at a time, and nobody waits for a dead one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from copypump.engine.pipeline import turns as turns_module
from copypump.engine.pipeline.turns import Turns
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


def test_numbers_are_drawn_from_zero() -> None:
    turns = Turns(1)
    assert [turns.draw() for _ in range(3)] == [0, 1, 2]


def test_a_block_waits_until_the_one_before_it_has_left(elsewhere: Callable[..., Future[Any]]) -> None:
    turns = Turns(2)
    turns.enter(0, 0)
    call = elsewhere(turns.enter, 0, 1)
    assert waits(call)
    turns.leave(0)
    call.result(5)


def test_a_block_that_comes_early_waits_for_the_one_before_it(
    elsewhere: Callable[..., Future[Any]],
) -> None:
    turns = Turns(2)
    call = elsewhere(turns.enter, 1, 1)
    assert waits(call)
    turns.enter(1, 0)
    assert waits(call)
    turns.leave(1)
    call.result(5)


def test_stages_do_not_wait_for_each_other(elsewhere: Callable[..., Future[Any]]) -> None:
    turns = Turns(2)
    turns.enter(0, 0)
    turns.leave(0)
    turns.enter(1, 0)
    elsewhere(turns.enter, 0, 1).result(5)


def test_all_blocks_pass_all_stages_in_order() -> None:
    stages, blocks, threads = 3, 300, 4
    turns = Turns(stages)
    passed: list[list[int]] = [[] for _ in range(stages)]
    within = [0] * stages

    def carry(seed: int) -> None:
        rest = random.Random(seed)
        while (block := turns.draw()) < blocks:
            for stage in range(stages):
                turns.enter(stage, block)
                within[stage] += 1
                assert within[stage] == 1
                time.sleep(rest.random() / 5000)
                passed[stage].append(block)
                within[stage] -= 1
                turns.leave(stage)

    with ThreadPoolExecutor(threads) as executor:
        for call in [executor.submit(carry, seed) for seed in range(threads)]:
            call.result(60)
    assert passed == [list(range(blocks))] * stages


@pytest.mark.parametrize("early", [False, True])
def test_abort_wakes_all_who_wait_and_lets_nobody_in(
    elsewhere: Callable[..., Future[Any]], early: bool
) -> None:
    turns = Turns(2)
    turns.enter(0, 0)
    calls = [] if early else [elsewhere(turns.enter, 0, 1), elsewhere(turns.enter, 1, 2)]
    assert all(waits(call) for call in calls)
    turns.abort()
    calls.append(elsewhere(turns.enter, 1, 0))  # whose turn it would be
    for call in calls:
        with pytest.raises(Aborted):
            call.result(5)


def test_idle_is_the_time_without_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(turns_module, "time", SimpleNamespace(perf_counter=lambda: now))
    turns = Turns(2)
    turns.enter(0, 0)
    now += 7  # at work
    turns.leave(0)
    turns.enter(0, 1)
    assert turns.idle == [0, 0]
    turns.leave(0)
    now += 3
    turns.enter(0, 2)
    assert turns.idle == [3, 0]
