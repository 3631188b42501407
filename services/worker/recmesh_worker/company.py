"""Who works beside others in this process, and who alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Company:
    """Batches of jobs side by side, or a suspect by itself: should that one kill the process, it takes nobody along,
    and nobody else loses an attempt by it. First come, first served.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._together = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """A time beside others; begins when nobody is alone, or waits to be."""
        # Not waited for where it is free, which it nearly always is.
        async with self._turn:
            self._together += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._together -= 1
            if not self._together:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """A time with nobody beside; begins when all who came before are done."""
        async with self._turn:
            await self._empty.wait()
            yield
