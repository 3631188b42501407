import asyncio
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from recmesh_kit import tasks
from recmesh_kit.errors import Unavailable
from recmesh_kit.tasks import Background, Comeback, backoff


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


def test_what_ends_soon_is_begun_anew_later_and_later() -> None:
    comeback = Comeback(first=1, most=8, steady=1000)
    pauses = []
    for _ in range(20):
        comeback.began()
        pauses.append(comeback.pause())
    assert comeback.failures == 20
    assert pauses[0] <= 1
    assert all(4 <= pause <= 8 for pause in pauses[3:])


def test_what_had_gone_well_is_begun_anew_soon() -> None:
    comeback = Comeback(first=1, most=8, steady=0)
    for _ in range(5):
        comeback.pause()
    comeback.began()
    assert comeback.pause() <= 1
    assert comeback.failures == 1


def test_of_several_places_each_is_tried_before_the_pause_grows() -> None:
    comeback = Comeback(first=1, most=8, steady=1000)
    pauses = [comeback.pause(3) for _ in range(12)]
    assert all(pause <= 1 for pause in pauses[:5])
    assert all(pause >= 4 for pause in pauses[11:])


async def test_a_loop_outlives_what_was_cancelled_beneath_it() -> None:
    called, again = 0, asyncio.Event()

    async def work() -> None:
        nonlocal called
        called += 1
        if called == 1:
            raise asyncio.CancelledError
        again.set()

    async with Background() as background, asyncio.timeout(60):
        background.loop("work", work, 0.001)
        await again.wait()


@pytest.mark.parametrize("says", [True, False])
async def test_a_loop_ends_though_its_work_hides_that_it_was_cancelled(*, says: bool) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As a database does that hangs, whose connection is given up; and whoever takes that for an answer.
            if says:
                raise Unavailable("It is away.") from None

    background = Background()
    task = background.loop("work", work, 3600)
    await begun.wait()
    async with asyncio.timeout(60):
        await background.aclose()
    assert task.cancelled()


async def test_what_loses_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.01)
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    background = Background()
    task = background.spawn("work", work())
    await begun.wait()
    async with asyncio.timeout(60):
        await background.aclose()
    assert task.cancelled()
