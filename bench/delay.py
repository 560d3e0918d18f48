"""A wire with a delay: a proxy that hands bytes on some time after they came, without slowing their flow.

    python -m bench.delay HOST PORT SECONDS       HOST may be the folder of a Unix socket; prints its own port

At most `WINDOW` bytes are on their way in each direction, as TCP's windows allow on a long wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

WINDOW = 4 << 20
PIECE = 256 << 10


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """One direction, to its end."""
    way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    room, flying = asyncio.Event(), 0
    room.set()

    async def arrive() -> None:
        nonlocal flying
        while True:
            due, data = await way.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not data:
                return
            writer.write(data)
            await writer.drain()
            flying -= len(data)
            if flying < WINDOW:
                room.set()

    arriving = asyncio.create_task(arrive())
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(PIECE):
            flying += len(data)
            way.put_nowait((time.monotonic() + delay, data))
            if flying >= WINDOW:
                room.clear()
                await room.wait()
    way.put_nowait((time.monotonic() + delay, b""))
    with contextlib.suppress(ConnectionError):
        await arriving
    writer.close()


async def serve(host: str, port: int, delay: float) -> None:
    """Accept until killed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}", limit=PIECE)
        else:
            there = await asyncio.open_connection(host, port, limit=PIECE)
        await asyncio.gather(carry(reader, there[1], delay), carry(there[0], writer, delay))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=PIECE)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def delayed(host: str, port: int, seconds: float) -> Iterator[int]:
    """Run one as a process, and give its port."""
    command = [sys.executable, "-m", "bench.delay", host, str(port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
