import asyncio
import os
from pathlib import Path

from localmesh.children import Spec
from localmesh.supervisor import Supervisor, Unit


async def test_pauses_grow_no_longer_than_is_wished(tmp_path: Path) -> None:
    spec = Spec("dying", ("/bin/true",), {"PATH": os.defpath}, tmp_path / "log")
    said: list[str] = []
    enough = asyncio.Event()

    async def prepare() -> Spec:
        return spec

    async def ready() -> bool:
        return True

    def say(text: str) -> None:
        said.append(text)
        if sum("starts again" in line for line in said) == 4:
            enough.set()

    unit = Unit("dying", prepare, ready, limit=60)
    supervisor = Supervisor([[unit]], say, lambda: None, longest_pause=0.01)
    try:
        await supervisor.start("dying")
        await asyncio.wait_for(enough.wait(), 60)
    finally:
        await supervisor.stop()
    assert {line for line in said if "again" in line} == {"dying starts again in 0.0 s"}
