"""Who goes first: jobs that somebody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PATIENCE_SECONDS = 0.1
"""How long one piece of bulk work gives way, so that some of it is done on the busiest day too."""


class Precedence:
    """Keeps bulk work from beginning a piece while urgent work is in hand: the two share processor and interpreter, so
    that to take turns on a thread is not enough.

    Args:
        patience_seconds: How long one piece gives way.
    """

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._urgent = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Marks a time in which urgent work is in hand."""
        self._urgent += 1
        self._free.clear()
        try:
            yield
        finally:
            self._urgent -= 1
            if not self._urgent:
                self._free.set()

    async def give_way(self) -> None:
        """Returns when no urgent work is in hand, or patience is at its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self._free.wait()
