import asyncio
import threading
import time

import pytest
from argon2 import PasswordHasher, extract_parameters

from recmesh_auth.sign_ins.passwords import Passwords


async def processor_seconds(passwords: Passwords, kept: str | None) -> float:
    """What one check costs, whatever else the machine does."""
    began = time.process_time()
    assert not await passwords.matches(kept, "wrong")
    return time.process_time() - began


async def test_no_hash_takes_as_long_as_a_wrong_password() -> None:
    async with Passwords() as passwords:
        kept = await passwords.hash("right")
        wrong, unknown = [], []
        for _ in range(15):
            wrong.append(await processor_seconds(passwords, kept))
            unknown.append(await processor_seconds(passwords, None))
        # What is not computed costs a thousandth. The bounds leave room for the machine's caches.
        assert 0.2 < min(unknown) / min(wrong) < 5
        assert extract_parameters(passwords._decoy) == extract_parameters(kept)


async def test_at_most_two_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, end = threading.Semaphore(0), threading.Event()

    def hold(_: PasswordHasher, password: str) -> str:
        begun.release()
        assert end.wait(60)
        return password

    async with Passwords() as passwords:
        monkeypatch.setattr(PasswordHasher, "hash", hold)
        hashes = [asyncio.create_task(passwords.hash(f"password {n}")) for n in range(8)]
        try:
            for _ in range(2):
                assert await asyncio.to_thread(begun.acquire, timeout=60)
            # All eight have been handed over by now: each would have a thread if it could.
            assert sum(thread.name.startswith("argon2") for thread in threading.enumerate()) == 2
        finally:
            end.set()
        assert len(set(await asyncio.gather(*hashes))) == 8


async def test_the_decoy_cannot_be_guessed() -> None:
    async with Passwords() as passwords:
        assert not await passwords.matches(None, "")
