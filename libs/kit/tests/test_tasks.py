import asyncio

import pytest
from structlog.testing import capture_logs

from recmesh_kit.tasks import Background, backoff


async def test_tasks_end_in_reverse_order_and_are_awaited() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async with Background() as background:
        tasks = [background.spawn(name, work(name)) for name in "abc"]
        await asyncio.sleep(0)
    assert ended == ["c", "b", "a"]
    assert [task.get_name() for task in tasks] == ["a", "b", "c"]


async def test_a_task_that_raises_is_logged() -> None:
    async def work() -> None:
        raise ValueError("no")

    with capture_logs() as logs:
        async with Background() as background:
            await asyncio.wait([background.spawn("worker", work())])
    [line] = logs
    assert (line["task"], line["log_level"]) == ("worker", "error")
    assert isinstance(line["exc_info"], ValueError)


async def test_the_number_of_tasks_is_bounded() -> None:
    async with Background(limit=1) as background:
        background.spawn("a", asyncio.Event().wait())  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="too many"):
            background.spawn("b", asyncio.sleep(0))
    with pytest.raises(RuntimeError, match="closed"):
        background.spawn("c", asyncio.sleep(0))


async def test_a_loop_goes_on_after_a_failure() -> None:
    calls = 0
    enough = asyncio.Event()

    async def function() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("away")
        if calls == 3:
            enough.set()

    with capture_logs() as logs:
        async with Background() as background, asyncio.timeout(60):
            background.loop("poll", function, every=0.001)
            await enough.wait()
    [line] = [line for line in logs if line["event"] == "background loop failed"]
    assert (line["task"], line["failures"]) == ("poll", 1)


async def test_an_event_wakes_a_loop() -> None:
    wake = asyncio.Event()
    calls: asyncio.Queue[None] = asyncio.Queue()
    async with Background() as background, asyncio.timeout(60):

        async def function() -> None:
            calls.put_nowait(None)

        background.loop("poll", function, every=3600, wake=wake)
        await calls.get()
        wake.set()
        await calls.get()


async def test_an_event_set_during_a_call_is_not_lost() -> None:
    wake = asyncio.Event()
    calls: asyncio.Queue[None] = asyncio.Queue()

    async def function() -> None:
        if calls.empty():
            wake.set()
        calls.put_nowait(None)

    async with Background() as background, asyncio.timeout(60):
        background.loop("poll", function, every=3600, wake=wake)
        await calls.get()
        await calls.get()


def test_backoff_grows_is_spread_and_bounded() -> None:
    assert 0.25 <= backoff(1) <= 0.5
    assert 1.0 <= backoff(3) <= 2.0
    assert 15.0 <= backoff(10_000) <= 30.0
    assert len({backoff(1) for _ in range(10)}) > 1
