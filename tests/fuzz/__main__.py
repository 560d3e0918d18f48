"""python -m tests.fuzz [--seconds N] [--seed S] [--record FILE | --replay FILE]: fuzz the codec, long."""

from __future__ import annotations

import argparse
import faulthandler
import random
import time
from pathlib import Path

import pyarrow as pa

from tests.fuzz import fuzzer

arrows_own = pa.allocate_buffer


def exact_buffer(size: int, pool: pa.MemoryPool | None = None, *, resizable: bool = False) -> pa.Buffer:
    """Allocate as Arrow does, which rounds up to 64 bytes: no step into those is seen by a sanitizer."""
    return arrows_own(size, pool, resizable=True) if resizable else pa.py_buffer(bytearray(size))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the codec.")
    parser.add_argument("--seconds", type=float, default=600, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, default=None, help="of the random numbers (default: any)")
    parser.add_argument("--record", type=Path, help="write each step here before it is taken")
    parser.add_argument("--replay", type=Path, help="take the one step that is recorded here")
    parser.add_argument(
        "--exact", action="store_true", help="allocate exact sizes, for AddressSanitizer to see one byte more"
    )
    options = parser.parse_args()
    faulthandler.enable()
    if options.exact:
        pa.allocate_buffer = exact_buffer
    if options.replay:
        fuzzer.replay(options.replay)
        return
    seed = random.randrange(2**32) if options.seed is None else options.seed
    guided = "guided by coverage" if fuzzer.coverage() else "without coverage"
    print(f"seed {seed}, {guided}", flush=True)
    run = fuzzer.Fuzzer(seed, options.record)
    end = time.monotonic() + options.seconds
    slowest, what = 0.0, None
    while (now := time.monotonic()) < end:
        seed_tried = run.step()
        if (took := time.monotonic() - now) > slowest:
            slowest, what = took, seed_tried
    print(f"{dict(run.counts)}, the slowest step took {slowest:.2f} s: {what}")


if __name__ == "__main__":
    main()
