"""What the launcher says of processes."""

from __future__ import annotations

import sys

import pytest

from bench.measure import FailedError, run


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", script]


def test_a_pipe_runs_through() -> None:
    count = "import sys; sys.exit(sum(len(line) for line in sys.stdin) != 3_000_000)"
    cost = run(python("print('x' * 2_999_999)"), ["cat"], python(count))
    assert cost.wall > 0
    assert cost.cpu > 0


def test_cpu_is_counted_of_children_too() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}], check=True)"
    assert run(python(child)).cpu >= 0.3


def test_peak_memory_is_the_command_s_own() -> None:
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])
    small = run(["true"])
    assert small.memory < 30
    assert 100 < run(python("bytearray(100_000_000)[::4096] = b'x' * 24415")).memory < 150
    del held


def test_memory_is_sampled() -> None:
    cost = run(python("a = b'x' * 50_000_000; import time; time.sleep(0.4)"), interval=0.05)
    assert len(cost.samples) > 3
    assert max(size for _, size in cost.samples) > 50
    assert [at for at, _ in cost.samples] == sorted(at for at, _ in cost.samples)


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ([python("import sys; sys.exit('no such table')")], "failed: no such table"),
        ([["cat"], python("raise SystemExit('broken')")], "broken"),
        ([python("raise SystemExit('early')"), ["cat"]], "early"),
        ([["no-such-program"]], "no-such-program"),
    ],
)
def test_a_failure_says_what_was_said(commands: list[list[str]], words: str) -> None:
    with pytest.raises(FailedError, match=words):
        run(*commands)


def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(FailedError, match=r"not done after 0\.2 s"):
        run(["sleep", "100"], ["cat"], timeout=0.2)


def test_the_environment_is_given() -> None:
    check = "import os, sys; sys.exit(os.environ['OF_OURS'] != 'yes')"
    run(python(check), environment={"OF_OURS": "yes"})


def test_python_may_keep_what_it_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    run([sys.executable, "-c", "import sys; sys.exit(sys.dont_write_bytecode)"])
