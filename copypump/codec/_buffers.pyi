"""Bytearrays that are used again; see _buffers.pyx."""

class Buffers:
    """Hands out bytearrays, and the same ones again as soon as nothing refers to them any more."""

    def take(self) -> bytearray:
        """Give a bytearray of any size and content, which the caller resizes and fills."""
