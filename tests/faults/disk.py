"""A small disk of its own, which can be full: a tmpfs on which a tablespace lies.

Mounting wants root, or a sudo that does not ask; where neither is there, that is an error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers import SystemServer

# A new database takes 8 MB, a run of the fault suite a few more.
SIZE = "32M"
NAME = "tight"


class Disk:
    """`fill` leaves no byte free, `relieve` takes that back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._balloon = path / "balloon"

    def fill(self) -> None:
        with self._balloon.open("wb", buffering=0) as balloon, contextlib.suppress(OSError):
            while balloon.write(bytes(4096)):
                pass

    def relieve(self) -> None:
        self._balloon.unlink(missing_ok=True)


@contextlib.contextmanager
def tablespace(server: SystemServer) -> Iterator[Disk]:
    """Make the tablespace `NAME` on a disk of its own."""
    path = Path(tempfile.mkdtemp(prefix="copypump-disk-"))
    _as_root("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", path)
    try:
        home = path / "postgres"
        _as_root("mkdir", home)
        _as_root("chown", "postgres" if os.geteuid() == 0 else str(os.getuid()), home)
        _as_root("chown", str(os.getuid()), path)
        server.execute(f"CREATE TABLESPACE {NAME} LOCATION '{home}'")
        try:
            yield Disk(path)
        finally:
            server.execute(f"DROP TABLESPACE {NAME}")
    finally:
        _as_root("umount", path)
        shutil.rmtree(path)


def _as_root(*command: str | Path) -> None:
    words = [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *map(str, command)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"a disk that can be full has to be mounted, and `{' '.join(words)}` failed: {done.stdout}"
        )
