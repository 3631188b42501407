import asyncio

from recmesh_worker.company import Company


async def test_who_is_alone_has_nobody_beside_before_or_after_its_turn() -> None:
    company, seen = Company(), list[str]()
    first_done, alone_done = asyncio.Event(), asyncio.Event()

    async def together(name: str, done: asyncio.Event) -> None:
        async with company.together():
            seen.append(f"{name} in")
            await done.wait()
            seen.append(f"{name} out")

    async def alone(name: str, done: asyncio.Event) -> None:
        async with company.alone():
            seen.append(f"{name} in")
            await done.wait()
            seen.append(f"{name} out")

    over = asyncio.Event()
    over.set()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(together("a", first_done))
        tasks.create_task(together("b", first_done))
        await _turns()
        tasks.create_task(alone("suspect", alone_done))
        await _turns()
        # Whoever comes later waits, though the suspect waits still: it has its turn some day.
        tasks.create_task(together("c", over))
        tasks.create_task(alone("next", over))
        tasks.create_task(together("d", over))
        await _turns()
        assert seen == ["a in", "b in"]
        first_done.set()
        await _turns()
        assert seen[4:] == ["suspect in"]
        alone_done.set()
    assert seen[5:] == ["suspect out", "c in", "c out", "next in", "next out", "d in", "d out"]


async def test_one_that_breaks_off_leaves_room() -> None:
    company = Company()

    async def waiting() -> None:
        async with company.alone():
            raise AssertionError("it was cancelled before")

    async with asyncio.timeout(30):
        async with company.together():
            task = asyncio.create_task(waiting())
            await _turns()
            task.cancel()
            await asyncio.wait([task])
            async with company.together():
                pass
        async with company.alone():
            pass


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
