"""Password hashes: Argon2id (RFC 9106), computed in threads, because one takes tens of milliseconds and 19 MiB."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

AT_A_TIME = 2
"""Hashes that are computed at the same time: it bounds memory and cores. The others wait their turn."""


class Passwords:
    """Makes and checks password hashes. An async context manager."""

    def __init__(self) -> None:
        # OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_A_TIME, "argon2")
        self._decoy = ""

    async def __aenter__(self) -> Passwords:
        self._decoy = await self.hash(secrets.token_urlsafe())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A thread holds a hash for milliseconds; what has not begun is dropped.
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The hash to keep, with its parameters and salt in it (PHC string format)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hasher.hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether `kept` is a hash of `password`. For None the answer is no, and takes as long."""
        loop = asyncio.get_running_loop()
        same = await loop.run_in_executor(
            self._threads, self._verify, kept or self._decoy, password
        )
        return same and kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except VerificationError:
            return False
