"""When to repeat, and after how long."""

from __future__ import annotations

import asyncio
import random
import sys
import time

from recmesh_client.errors import DeadlineExceeded, RecmeshError, ResourceExhausted, Unavailable
from recmesh_client.reasons import ErrorReason
from recmesh_client.settings import Retry

_UNBOUNDED = sys.maxsize


class Deadline:
    """The moment until which a call may take, whatever it takes: sign-in, tries and waits together.

    Args:
        seconds: From now.
    """

    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def seconds(self) -> float:
        """Seconds left; below 0 when it has passed."""
        return self._at - time.monotonic()

    def left(self) -> float:
        """Seconds left. Raises DeadlineExceeded when there are none."""
        seconds = self.seconds()
        if seconds <= 0:
            raise DeadlineExceeded(
                "The call took longer than its timeout allows.",
                reason=ErrorReason.DEADLINE_EXCEEDED,
            )
        return seconds


class Repeats:
    """The repeats of one call.

    Args:
        policy: How to repeat.
        deadline: The call's.
    """

    __slots__ = ("_deadline", "_made", "_most", "_policy")

    def __init__(self, policy: Retry, deadline: Deadline) -> None:
        self._policy = policy
        self._deadline = deadline
        self._made = 0
        self._most = policy.attempts - 1

    def progress(self) -> None:
        """Something came of the last try: from now on only the deadline ends the repeats."""
        self._made = 0
        self._most = _UNBOUNDED

    async def wait(self, error: RecmeshError) -> None:
        """Waits until it is time for the next try.

        Args:
            error: What the last try ended with.

        Raises:
            RecmeshError: `error`: it will not pass, there is no further try, or no time for one.
        """
        if not _passing(error) or self._made >= self._most:
            raise error
        seconds = self._seconds(error.retry_after)
        if seconds >= self._deadline.seconds():
            raise error
        self._made += 1
        await asyncio.sleep(seconds)

    def _seconds(self, asked: float | None) -> float:
        if asked is not None:
            return asked * random.uniform(1, 1.25)  # noqa: S311 - no secret
        most = min(self._policy.base * 2 ** min(self._made, 32), self._policy.limit)
        return random.uniform(0, most)  # noqa: S311 - no secret


def _passing(error: RecmeshError) -> bool:
    """Whether the fault may be gone in a moment."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after is not None
    return isinstance(error, Unavailable)
