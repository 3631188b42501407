"""A transport for what is written, where there is no server."""

import asyncio


class Nowhere(asyncio.WriteTransport):
    """Keeps what is written, and leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
