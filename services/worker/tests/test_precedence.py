import asyncio

from recmesh_worker.precedence import Precedence


async def test_bulk_work_waits_until_nothing_urgent_is_in_hand() -> None:
    precedence = Precedence(patience_seconds=60)
    await precedence.give_way()
    with precedence.urgent():
        with precedence.urgent():
            waiting = asyncio.create_task(precedence.give_way())
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    async with asyncio.timeout(30):
        await waiting


async def test_bulk_work_does_not_wait_for_ever() -> None:
    precedence = Precedence(patience_seconds=0.01)
    with precedence.urgent():
        async with asyncio.timeout(30):
            await precedence.give_way()
