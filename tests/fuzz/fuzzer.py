"""The fuzzer: a seeded mutation fuzzer of our own, guided by coverage where sanitize.py has built for it.

atheris and libFuzzer want the extensions built by clang; this one needs gcc alone, and without coverage gives
the same run for the same seed. Each step can be recorded before it is taken, so that a crash leaves the step
behind that led there.
"""

from __future__ import annotations

import ctypes
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import decoding, encoding, rewriting
from tests.fuzz.seeds import Seed, golden_seeds, random_seed, spoiled_stream

_POOL = 48  # fields that a seed keeps
_SEEDS = 2000  # seeds that a run keeps beside the golden ones


@dataclass
class Step:
    """One thing to try, drawn from `state` of the random numbers."""

    kind: str
    seed: Seed
    pool: list[bytes]
    state: object

    def take(self, rng: Random) -> bytes | None:
        """Try it; give the field that was new. Raises Finding, or whatever else it must not."""
        return _KINDS[self.kind](rng, self.seed, self.pool)


def _decode(rng: Random, seed: Seed, pool: list[bytes]) -> bytes | None:
    data, new = spoiled_stream(rng, pool)
    decoding.check(rng, seed, data)
    return new


def _encode(rng: Random, seed: Seed, _pool: list[bytes]) -> bytes | None:
    array = encoding.arrays(rng, seed)
    for _ in range(4):
        if array is not None and (broken := encoding.broken(rng, array)) is not None:
            encoding.check(rng, seed, broken)
    return None


def _rewrite(rng: Random, seed: Seed, pool: list[bytes]) -> bytes | None:
    data, new = spoiled_stream(rng, pool)
    rewriting.check(rng, seed, data)
    return new


_KINDS: dict[str, Callable[[Random, Seed, list[bytes]], bytes | None]] = {
    "decode": _decode,
    "rewrite": _rewrite,
    "encode": _encode,
}


def coverage() -> Callable[[], int] | None:
    """The counter of steps that are new since it was last asked; None in a build without one."""
    counter = getattr(ctypes.CDLL(None), "copypump_fresh_steps", None)
    if counter is not None:
        counter.restype = ctypes.c_uint32
    return counter


class Fuzzer:
    """Takes one step after the other; `counts` says how many of each kind, and what was kept."""

    def __init__(self, seed: int, record: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._rng = Random(seed)
        self._record = record
        self._fresh = coverage()
        self._seeds = golden_seeds()
        self._pools = [list(each.fields) for each in self._seeds]
        self._golden = len(self._seeds)
        self._turn = 0

    def step(self) -> Seed:
        """Try one seed in every way, and give it; golden seeds in turn, so that each row of the table is met early."""
        rng = self._rng
        if self._turn < self._golden or rng.random() < 0.5:
            place: int | None = self._turn % len(self._seeds)
            self._turn += 1
            seed, pool = self._seeds[place], self._pools[place]
        else:
            place, seed = None, random_seed(rng)
            pool = list(seed.fields)
        for kind in _KINDS:
            step = Step(kind, seed, pool, rng.getstate() if self._record else None)
            if self._record:
                self._record.write_bytes(pickle.dumps(step))
            new = step.take(rng)
            self.counts[kind] += 1
            if self._fresh is not None and self._fresh():
                self._keep(place, seed, pool, new)
        return seed

    def _keep(self, place: int | None, seed: Seed, pool: list[bytes], new: bytes | None) -> None:
        """Keep what led to a step of the code that none before had led to."""
        self.counts["kept"] += 1
        if new is not None and len(new) < 4096:
            pool.append(new)
            del pool[: -_POOL or None]
        if place is None and len(self._seeds) < self._golden + _SEEDS:
            self._seeds.append(seed)
            self._pools.append(pool)


def replay(path: Path) -> None:
    """Take a recorded step again."""
    step: Step = pickle.loads(path.read_bytes())
    rng = Random()
    rng.setstate(step.state)  # type: ignore[arg-type]
    print(f"{step.kind}: {step.seed}")
    step.take(rng)
