"""python -m tests.fuzz [--seconds N] [--seed S] [--record FILE | --replay FILE]: fuzz the codec, long."""

from __future__ import annotations

import argparse
import faulthandler
import random
import time
from pathlib import Path

import pyarrow as pa

from tests.fuzz import fuzzer


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
        # Arrow rounds up to 64 bytes, in which a sanitizer sees nothing wrong.
        pa.allocate_buffer = lambda size, **_: pa.py_buffer(bytearray(size))
    if options.replay:
        fuzzer.replay(options.replay)
        return
    seed = random.randrange(2**32) if options.seed is None else options.seed
    guided = "guided by coverage" if fuzzer.coverage() else "without coverage"
    print(f"seed {seed}, {guided}", flush=True)
    run = fuzzer.Fuzzer(seed, options.record)
    end = time.monotonic() + options.seconds
    slowest = 0.0
    while (now := time.monotonic()) < end:
        run.step()
        slowest = max(slowest, time.monotonic() - now)
    print(f"{dict(run.counts)}, the slowest step took {slowest:.2f} s")


if __name__ == "__main__":
    main()
