"""python -m tests.fuzz.sanitize [--seconds N] [--tests]: the codec under AddressSanitizer and UBSan.

Builds the extensions for both (COPYPUMP_SANITIZE=1, with gcc's coverage calls) into a directory of its own, then
runs there the codec's tests that need no server, if asked, and the fuzzer. Fails on the first finding; a step
of the fuzzer that crashed is kept, with the command that takes it again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ["test_decoder.py", "test_encoder.py", "test_casts.py", "test_framing.py", "test_roundtrip.py"]


def build(home: Path) -> dict[str, str]:
    """Build into `home`, and give the environment in which to run there."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    source = home / "source"
    without = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "copypump", source / "copypump", ignore=without)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "tests", home / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", home)
    _keep_c_files(source)
    # Without pip, whose build environment would have to be made first.
    _run(
        [*(sys.executable, "setup.py", "-q", "build", "--build-lib", home / "built")],
        {**os.environ, "COPYPUMP_SANITIZE": "1", "CFLAGS": "-fsanitize-coverage=trace-pc"},
        source,
    )
    counter = home / "coverage.so"
    _run(["gcc", "-O2", "-shared", "-fPIC", "-o", counter, ROOT / "tests/fuzz/coverage.c"], dict(os.environ))
    environment = {
        **os.environ,
        "PYTHONPATH": str(home / "built"),
        "PYTHONMALLOC": "malloc",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "LD_PRELOAD": f"{_library('libasan.so')} {_library('libubsan.so')} {counter}",
    }
    where = "import copypump.codec._decode as module; print(module.__file__)"
    found = subprocess.check_output([sys.executable, "-c", where], cwd=home, env=environment, text=True)
    if not found.startswith(str(home)):
        raise SystemExit(f"the sanitized build is not what is imported, but {found}")
    return environment


def _keep_c_files(source: Path) -> None:
    """Let the ordinary build's C be taken where it is younger than all that it was made of.

    Cython would make it anew, because its own files, the same ones, may have been installed after it.
    """
    given = [path for kind in ("pyx", "pxd", "h") for path in source.rglob(f"*.{kind}")]
    youngest = max(path.stat().st_mtime for path in (*given, ROOT / "setup.py"))
    for path in source.rglob("*.c"):
        if path.stat().st_mtime > youngest:
            path.touch()


def _library(name: str) -> str:
    return subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()


def _run(command: list[str | Path], environment: dict[str, str], cwd: Path | None = None) -> None:
    done = subprocess.run(list(map(str, command)), env=environment, cwd=cwd, check=False)
    if done.returncode:
        raise SystemExit(f"failed with {done.returncode}: {' '.join(map(str, command))}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.sanitize", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long to fuzz (default: 600)")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's random numbers (default: 1)")
    parser.add_argument("--tests", action="store_true", help="run the codec's tests first")
    parser.add_argument("--home", type=Path, default=ROOT / "build" / "sanitized", help="where to build")
    options = parser.parse_args()
    home = options.home.resolve()
    environment = build(home)
    if options.tests:
        tests = [f"tests/codec/{name}" for name in TESTS]
        _run([sys.executable, "-m", "pytest", "-q", "-x", "--timeout=0", *tests], environment, home)
    step = home / "step.pickle"
    fuzz: list[str | Path] = [sys.executable, "-m", "tests.fuzz", "--exact"]
    try:
        settings = ["--seconds", str(options.seconds), "--seed", str(options.seed), "--record", step]
        _run([*fuzz, *settings], environment, home)
    except SystemExit:
        preload = " ".join(f"{name}='{environment[name]}'" for name in environment if name not in os.environ)
        print(
            f"the step again: cd {home} && {preload} {sys.executable} -m tests.fuzz --exact --replay {step}"
        )
        raise


if __name__ == "__main__":
    main()
