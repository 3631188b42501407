import asyncio
import threading
import time

from argon2 import extract_parameters

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


async def test_at_most_two_are_computed_at_a_time() -> None:
    async with Passwords() as passwords:
        await asyncio.gather(*(passwords.hash("password") for _ in range(8)))
        assert sum(thread.name.startswith("argon2") for thread in threading.enumerate()) == 2


async def test_the_decoy_cannot_be_guessed() -> None:
    async with Passwords() as passwords:
        assert not await passwords.matches(None, "")
