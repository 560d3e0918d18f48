"""`python -m tests.faults --schedules 200 --seed 1`: random schedules of faults, a line each."""

from __future__ import annotations

import argparse
import sys
import time

from tests.faults.scene import two_servers
from tests.faults.schedule import at_random, carry_out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="that of the first; the others follow it")
    given = parser.parse_args()
    failed, missed = [], 0
    for seed in range(given.seed, given.seed + given.schedules):
        schedule, start = at_random(seed), time.monotonic()
        with two_servers() as servers:
            try:
                told, late = carry_out(schedule, *servers)
                missed += late
            except AssertionError as error:
                failed.append(seed)
                told = f"FAILED: {error}"
        print(f"{seed}: {schedule}: {told} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"{given.schedules - len(failed)} of {given.schedules} schedules ended with exact tables", end="")
    print(f"; not: {', '.join(map(str, failed))}" if failed else "", end="")
    print(f"; {missed} faults came too late to do anything")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
