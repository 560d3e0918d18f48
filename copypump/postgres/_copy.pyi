"""The native COPY loops; see _copy.pyx."""

MORE: int
END: int
SPOKE: int
LOST: int
STOPPED: int
LATE: int

def drain(
    pgconn: int,
    interrupt: int,
    data: bytearray,
    enough: int,
    most_rows: int,
    *,
    deadline: int = 0,
    pace: float = 0.0,
) -> tuple[int, int, int, float]:
    """Fill `data`; return (status, messages taken, ns waited, pace)."""

def push(
    pgconn: int,
    interrupt: int,
    data: bytes | bytearray | memoryview,
    sent: int,
    *,
    piece: int,
    deadline: int = 0,
) -> tuple[int, int, int]:
    """Return (status, bytes sent in all, ns waited)."""

class CancelRequest:
    """What it takes to cancel a connection's query, even after the connection is gone."""

    def __init__(self, pgconn: int) -> None: ...
    def send(self) -> bool:
        """Ask the server to cancel; blocks, perhaps for long. Return whether it was asked."""
