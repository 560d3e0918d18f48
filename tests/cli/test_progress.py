"""What a run shows of itself while it goes on: on a terminal, in a log, as JSON."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from copypump.cli.output import Face
from copypump.cli.progress import Display, describe, display
from copypump.engine.report import Progress
from tests.cli.conftest import environment
from tests.conftest import Pair
from tests.servers import sql

SLOW = """
import time

def slow(batch):
    time.sleep(0.06)
    return batch
"""
ROWS = 6000


def moment(seconds: float, rows: int = 0, **more: Any) -> Progress:
    return Progress(rows, rows, rows * 100, rows * 90, seconds, "source", **more)


def test_a_line_of_progress() -> None:
    assert describe(moment(2, 1000), moment(4, 5000)) == (
        "5,000 rows in 4 s, 2,000 rows/s, 0.2 MB/s, waiting for source"
    )
    first = moment(2, 1000)
    assert "500 rows/s" in describe(first, first)
    assert len(describe(first, Progress(10**9, 0, 10**11, 0, 999.0, "transform"))) <= 80


def test_rates_are_of_the_last_seconds() -> None:
    lines: list[str] = []
    shown = Display(lambda text, _: lines.append(text), 0.5)
    for second in range(1, 11):
        shown(moment(second, second * 100))
    for second in range(11, 21):
        shown(moment(second, 1000 + (second - 10) * 1000))
    assert "100 rows/s" in lines[9]
    assert "1,000 rows/s" in lines[-1]
    assert shown.last == moment(20, 11000)


def test_elsewhere_a_line_every_10_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with display(Face(), wanted=True) as shown:
        for tenth in range(1, 251):
            shown(moment(tenth / 10, tenth))
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_name_that_was_made_up_is_told_once_and_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with display(Face(), wanted=True) as shown:
        for tenth in range(1, 50):
            shown(moment(tenth / 10, tenth, chunks=9, run="r1"))
    assert capsys.readouterr().err == "run r1 (copypump resume r1, should it end early)\n"


def test_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with display(Face(), wanted=False) as shown:
        shown(moment(30, 3))
    assert not capsys.readouterr().err
    assert shown.last == moment(30, 3)


def test_on_a_terminal_a_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with display(Face(), wanted=True) as shown:
        shown(moment(1, 1234))
        shown(moment(2, 5678))
    text = terminal.getvalue()
    assert "5,678 rows in 2 s" in text
    assert "\x1b[2K" in text  # the line is erased
    assert "\x1b[3" not in text  # and was never coloured


def test_a_display_that_cannot_show_does_not_end_the_run() -> None:
    def broken(_text: str, _progress: Progress) -> None:
        raise BrokenPipeError

    Display(broken, 0.5)(moment(1, 1))


def test_a_line_of_a_run_of_chunks() -> None:
    now = moment(4, 5000, chunks=18, chunks_done=3, workers=2, snapshot_age=4.0)
    assert describe(moment(2, 1000), now) == (
        "3 of 18 chunks, 5,000 rows in 4 s, 2,000 rows/s, 0.2 MB/s, waiting for source, 2 workers, snapshot 4 s old"
    )
    apart = moment(4, 5000, chunks=18, chunks_done=3, workers=1)
    assert describe(moment(2, 1000), apart).endswith(", waiting for source, 1 worker")
    assert ", 1 retry, " in describe(now, moment(4, 1, chunks=2, retries=1))
    phase = moment(9, 5000, chunks=18, chunks_done=18, phase="indexes")
    assert describe(now, phase) == "18 of 18 chunks, 5,000 rows in 9 s, now: indexes"


def test_a_phase_is_told_of_at_once() -> None:
    lines: list[str] = []
    shown = Display(lambda text, _: lines.append(text), 10.0)
    for progress in (
        moment(10),
        moment(11),
        moment(12, phase="indexes"),
        moment(12, phase="swap"),
        moment(13),
    ):
        shown(progress)
    assert [line.rpartition("now: ")[2] for line in lines[1:3]] == ["indexes", "swap"]
    assert len(lines) == 4


class Terminal:
    """A process with its stderr on a terminal of so many columns, and its stdout in a file."""

    def __init__(self, directory: Path, columns: int, *words: str, **env: str) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with (directory / "stdout").open("w+") as stdout:
            process = subprocess.Popen(
                [sys.executable, "-m", "copypump", *words],
                cwd=directory, env=environment(TERM="xterm", COLUMNS="", **env),  # the terminal tells its own
                stdin=theirs, stdout=stdout, stderr=theirs,
            )  # fmt: skip
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # nobody has the other end open any more
                break
        os.close(ours)
        self.code = process.wait()
        self.stdout = (directory / "stdout").read_text()
        self.stderr = seen.decode()
        self.lines = [
            re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", self.stderr)
        ]


@pytest.fixture
def words(pair: Pair, tmp_path: Path) -> list[str]:
    """A run that takes a second or two, of one transaction."""
    (tmp_path / "cp_slow.py").write_text(SLOW)
    sql(pair.src, "CREATE TABLE t (id int PRIMARY KEY, filler text)")
    sql(pair.src, f"INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, {ROWS}) AS i")
    return [
        "run", "--src", pair.src, "--dst", pair.dst, "--table", "t", "--create", "--transform", "cp_slow:slow",
        "--batch-rows", "100", "--analyze",
    ]  # fmt: skip


def test_a_terminal_of_few_columns(words: list[str], tmp_path: Path) -> None:
    seen = Terminal(tmp_path, 44, *words)
    assert seen.code == 0, seen.stderr
    assert re.search(r"^[\d,]+ rows in \d s, [\d,]+ rows/s, .*…$", "\n".join(seen.lines), re.MULTILINE)
    assert max(map(len, seen.lines)) <= 44
    assert seen.stderr.endswith("\x1b[1A\x1b[2K")  # the line is gone
    assert seen.stdout.startswith("done: public.t -> public.t, 6,000 rows")
    assert "done" not in seen.stderr


def test_a_terminal_and_chunks(words: list[str], tmp_path: Path) -> None:
    many = ["--jobs", "2", "--chunk-bytes", "200kB", "--report", "-"]
    seen = Terminal(tmp_path, 200, *words, *many)
    assert seen.code == 0, seen.stderr
    chunks = re.findall(
        r"(\d+) of (\d+) chunks, .* 2 workers, snapshot \d+ s old$", "\n".join(seen.lines), re.MULTILINE
    )
    assert chunks
    assert {int(count) for _, count in chunks} != {1}
    name = json.loads(seen.stdout)["run"]
    assert f"run {name} (copypump resume {name}, should it end early)" in seen.lines
    assert "\x1b[3" not in seen.stderr  # no colours
    quiet = Terminal(tmp_path, 80, *words, "--mode", "append", "--no-progress")
    assert (quiet.code, quiet.stderr) == (0, "")
