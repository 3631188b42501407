"""Time for what is on its way to arrive, before it counts as missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

YOUNG_SECONDS = 120.0
"""What changed no longer ago may be on its way. It allows for clocks that are a minute apart."""
SETTLE_SECONDS = 3.0
"""How long a group of differences has to settle."""
TOTAL_SECONDS = 60.0
"""How long one comparison waits in all: one that finds everything missing after a large import must end, too."""
LOOK_SECONDS = 0.5


class Patience:
    """What one comparison may wait.

    Args:
        settle_seconds: For a group of differences.
        total_seconds: For all of them.
    """

    def __init__(
        self, settle_seconds: float = SETTLE_SECONDS, total_seconds: float = TOTAL_SECONDS
    ) -> None:
        self._settle = settle_seconds
        self._left = total_seconds

    async def settle(self, look: Callable[[], Awaitable[bool]], newest: float) -> None:
        """Gives differences time to settle: looks now and then, until nothing differs or there is nothing to wait for.

        Args:
            look: Compares once more; says whether anything differs still.
            newest: When the last of the differences came about, in Unix seconds.
        """
        if newest < time.time() - YOUNG_SECONDS:
            return
        began = time.monotonic()
        end = began + min(self._settle, self._left)
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(LOOK_SECONDS, left))
            if not await look():
                break
        self._left -= time.monotonic() - began
