"""Waiting for what comes true."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

WAIT_SECONDS = 60.0


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = WAIT_SECONDS) -> None:
    """Returns once `check` says True; asks again and again."""
    until = time.monotonic() + seconds
    while not await check():
        if time.monotonic() > until:
            pytest.fail("it did not come true in time")
        await asyncio.sleep(0.01)
