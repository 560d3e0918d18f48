"""What is said when things end well or badly, where, and that saying it can break nothing."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copypump import errors
from copypump.cli import logs, output
from copypump.cli.output import Face
from copypump.cli.progress import display
from copypump.engine.report import Progress, Report, Stage
from copypump.errors import CopypumpError, ExitCode, RefusedError, Side, TargetError, Terminated
from tests.cli.conftest import environment, logging_as_it_was


def raised(error: BaseException) -> BaseException:
    """`error`, with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


REFUSED = TargetError(
    "null value violates not-null",
    side=Side.TARGET,
    table="people",
    column="age",
    row=70123,
    sqlstate="23502",
    state="nothing was committed",
    hint="give it\na default",
)


def test_an_error_is_one_block(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.failed(REFUSED, Face()) == 5
    out, err = capsys.readouterr()
    assert not out
    assert err == (
        'error: target, table people, column "age", row 70,123:'
        " null value violates not-null (SQLSTATE 23502)\n"
        "state: nothing was committed\n"
        "hint:  give it\n       a default\n"
    )


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    output.failed(RefusedError("evil \x1b[2Jname", hint="\x07", state="\x00"), Face())
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\\x1b[2Jname" in err
    assert "\\x07" in err
    assert "\\x00" in err


def test_every_class_has_its_exit_code() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, CopypumpError)]
    assert len(classes) > 5
    for class_ in classes:
        assert output.failed(class_("x"), Face()) == class_.exit_code


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Terminated("safe"), 143)])
def test_interrupts(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert output.failed(error, Face()) == code
    assert ExitCode(code).meaning in capsys.readouterr().err


@pytest.mark.parametrize(
    ("jobs", "retries", "said"),
    [(1, 0, "by 1 worker; snapshot"), (1, 1, "by 1 worker, 1 retry; "), (2, 3, "by 2 workers, 3 retries; ")],
)
def test_a_run_of_chunks_is_counted(jobs: int, retries: int, said: str) -> None:
    report = Report(
        "done", "a", "b", run="r", jobs=jobs, split="ctid", chunks=8, chunks_done=8, retries=retries
    )
    assert f"run r: 8 of 8 chunks (ctid) {said}" in output.summary(report)


def test_a_defect_shows_no_value_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    error = raised(ValueError("row value 4711"))
    assert output.failed(error, Face()) == ExitCode.DEFECT
    err = capsys.readouterr().err
    assert "a defect of copypump: ValueError at test_output.py:" in err
    assert "4711" not in err
    output.failed(error, Face(debug=True))
    assert "Traceback" in (err := capsys.readouterr().err)
    assert "4711" in err


def test_debug_shows_the_user_s_own_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def users_function() -> None:
        raise ZeroDivisionError

    try:
        try:
            users_function()
        except ZeroDivisionError as cause:
            raise errors.TransformError("raised") from cause
    except CopypumpError as error:
        output.failed(error, Face(debug=True))
    assert "in users_function" in capsys.readouterr().err


# JSON -----------------------------------------------------------------------------------------------------


@pytest.fixture
def root_logger() -> Iterator[None]:
    with logging_as_it_was():
        yield


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.usefixtures("root_logger")
def test_with_json_all_of_stderr_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start("warning", "json")
    face = Face(json=True)
    logging.getLogger("copypump.run").info("not wanted")
    logging.getLogger("copypump.run").warning("lock %s", "waits", extra={"seconds": 3})
    with display(face, wanted=True) as shown:
        shown(Progress(10, 5, 100, 50, 10.0, "target"))
    output.failed(REFUSED, face)
    warning, progress, error = records(capsys.readouterr().err)
    assert (
        warning.items()
        >= {"level": "warning", "logger": "copypump.run", "message": "lock waits", "seconds": 3}.items()
    )
    assert progress["rows_read"] == 10
    assert progress["bottleneck"] == "target"
    assert error["level"] == "error"
    assert error["exit_code"] == 5
    assert error["state"] == "nothing was committed"
    assert warning["time"].endswith("Z")


@pytest.mark.usefixtures("root_logger")
def test_logs_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start("debug", "text")
    logging.getLogger("copypump.run").debug("a \x1b name")
    logging.getLogger("someone.else").debug("not wanted")
    err = capsys.readouterr().err
    assert "DEBUG   copypump.run: a \\x1b name" in err
    assert "someone" not in err


# Reports --------------------------------------------------------------------------------------------------

DONE = Report(
    "done",
    "public.people",
    "public.staff",
    rows_read=1000,
    rows_written=900,
    bytes_read=5_000_000,
    bytes_written=4_000_000,
    seconds=2.0,
    stages={"read": Stage(0.5, 1.5)},
    bottleneck="target",
    warnings=["2 infinities"],
)


def test_the_summary() -> None:
    text = output.summary(DONE)
    assert "done: public.people -> public.staff, 1,000 rows read, 900 written in 2.0 s (500 rows/s)" in text
    assert "5.0 MB read, 4.0 MB written (2.5 MB/s); bottleneck: target" in text
    assert "read         0.50 s     1.50 s" in text
    assert text.endswith("warning: 2 infinities")


def test_a_report_of_a_failure_has_the_same_keys_and_the_error() -> None:
    values = output.failure_report(REFUSED, Progress(70, 0, 7000, 0, 3.0, "source"))
    assert values.keys() > DONE.as_dict().keys()
    assert values["status"] == "failed"
    assert values["rows_read"] == 70
    assert values["rows_written"] == 0
    assert values["exit_code"] == 5
    assert values["column"] == "age"
    assert json.loads(json.dumps(values))["side"] == "target"
    assert output.failure_report(errors.OutcomeUnknownError("x"), None)["status"] == "unknown"
    assert output.failure_report(KeyboardInterrupt(), None)["exit_code"] == 130


def test_a_report_that_cannot_be_written_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output.save(str(tmp_path / "report.json"), DONE.as_dict())
    assert json.loads((tmp_path / "report.json").read_text())["rows_read"] == 1000
    output.save(str(tmp_path), DONE.as_dict())
    out, err = capsys.readouterr()
    assert not out
    assert '"rows_read": 1000' in err


CLOSED = """
from copypump.cli import output
output.result("x" * 100_000)
output.result("more")
output.note("said")
"""


@pytest.mark.parametrize("stdout", ["full", "gone", "closed"])
def test_a_stdout_that_takes_nothing_is_said_and_ends_nothing(stdout: str) -> None:
    code = f"import os\nos.close(1)\n{CLOSED}" if stdout == "gone" else CLOSED
    if stdout == "full":
        target: Any = Path("/dev/full").open("w")  # noqa: SIM115 - closed below
    else:
        reader, writer = os.pipe()
        os.close(reader)
        target = os.fdopen(writer, "w")
    with target:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(),
            stdout=target,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("the result could not be written to stdout: ")
    assert last == "said"
    assert "Traceback" not in done.stderr
