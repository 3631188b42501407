import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import structlog

from recmesh_kit.batcher import Batcher
from recmesh_kit.errors import Exhausted, Unavailable


class Work:
    """Doubles numbers; each batch waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began: asyncio.Queue[None] = asyncio.Queue()
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, items: list[int]) -> Sequence[int | BaseException]:
        self.batches.append(items)
        self.began.put_nowait(None)
        await self.gate.acquire()
        return [ValueError(item) if item < 0 else item * 2 for item in items]

    def let_go(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.gate.release()


def submitted(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(batcher.submit(item)) for item in items]


async def test_what_waits_while_a_batch_runs_is_the_next() -> None:
    work = Work()
    async with Batcher("x", work, max_batch=3, max_waiting=10) as batcher, asyncio.timeout(60):
        tasks = submitted(batcher, 1)
        await work.began.get()
        tasks += submitted(batcher, 2, 3, 4, 5)
        await asyncio.sleep(0)
        work.let_go(3)
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert work.batches == [[1], [2, 3, 4], [5]]


@pytest.mark.parametrize(
    ("seconds", "batches"), [(0.0, [[1], [2, 3, 4]]), (1.0, [[1], [2, 3], [4]])]
)
async def test_what_comes_fast_is_gathered(
    monkeypatch: pytest.MonkeyPatch, seconds: float, batches: list[list[int]]
) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("recmesh_kit.batcher.time", clock)
    pause = asyncio.Event()

    async def sleep(_: float) -> None:
        await pause.wait()

    paused = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    monkeypatch.setattr("recmesh_kit.batcher.asyncio", paused)
    work = Work()
    async with (
        Batcher("x", work, max_batch=3, max_waiting=10, gather_seconds=0.01) as batcher,
        asyncio.timeout(60),
    ):
        [first] = submitted(batcher, 1)
        await work.began.get()
        others = submitted(batcher, 2, 3)
        await asyncio.sleep(0)
        now = seconds
        work.let_go(3)
        # In the very step in which the next batch is put off, or is not.
        await first
        others += submitted(batcher, 4)
        await asyncio.sleep(0)
        pause.set()
        assert await asyncio.gather(*others) == [4, 6, 8]
    assert work.batches == batches


async def test_a_full_batch_is_not_put_off() -> None:
    work = Work()
    work.let_go(2)
    async with (
        Batcher("x", work, max_batch=2, max_waiting=10, gather_seconds=60) as batcher,
        asyncio.timeout(30),
    ):
        first = submitted(batcher, 1)
        await work.began.get()
        assert await asyncio.gather(*first, *submitted(batcher, 2, 3)) == [2, 4, 6]
    assert work.batches == [[1], [2, 3]]


async def test_an_item_after_a_pause_is_done() -> None:
    work = Work()
    work.let_go(1000)
    async with Batcher("x", work, max_batch=3, max_waiting=10) as batcher, asyncio.timeout(60):
        # Submitted in the very step in which the one before came back.
        for item in range(1000):
            assert await batcher.submit(item) == item * 2


async def test_each_item_has_its_own_error() -> None:
    work = Work()
    async with Batcher("x", work, max_batch=3, max_waiting=10) as batcher, asyncio.timeout(60):
        good, bad = submitted(batcher, 1, -1)
        work.let_go()
        assert await good == 2
        with pytest.raises(ValueError, match="-1"):
            await bad


async def test_a_run_that_raises_fails_its_items_and_no_others() -> None:
    async def run(items: list[int]) -> list[int]:
        if 0 in items:
            raise OSError("away")
        return items

    async with Batcher("x", run, max_batch=2, max_waiting=10) as batcher, asyncio.timeout(60):
        results = await asyncio.gather(*submitted(batcher, 0, 1, 2), return_exceptions=True)
    assert [type(result) for result in results] == [OSError, OSError, int]


@pytest.mark.parametrize(("long", "second"), [(0.0, Unavailable), (1000.0, int)])
async def test_who_waited_for_as_long_as_it_took_to_find_something_away_is_told_too(
    monkeypatch: pytest.MonkeyPatch, long: float, second: type
) -> None:
    monkeypatch.setattr("recmesh_kit.batcher._LONG_SECONDS", long)
    work = Work()

    async def run(items: list[int]) -> Sequence[int | BaseException]:
        done = await work(items)
        if 1 in items:
            raise Unavailable("away")
        return done

    async with Batcher("x", run, max_batch=1, max_waiting=10) as batcher, asyncio.timeout(60):
        tasks = submitted(batcher, 1, 2)
        await work.began.get()
        tasks += submitted(batcher, 3)
        await asyncio.sleep(0)
        work.let_go(3)
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, second, int]


async def test_a_run_that_forgets_a_result_fails() -> None:
    async def run(items: list[int]) -> list[int]:
        return items[1:]

    async with Batcher("x", run, max_batch=2, max_waiting=10) as batcher:
        results = await asyncio.gather(*submitted(batcher, 1, 2), return_exceptions=True)
    assert isinstance(results[1], ValueError)


async def test_too_many_are_refused() -> None:
    work = Work()
    async with Batcher("x", work, max_batch=1, max_waiting=1) as batcher, asyncio.timeout(60):
        first = submitted(batcher, 1)
        await work.began.get()
        second = submitted(batcher, 2)
        await asyncio.sleep(0)
        with pytest.raises(Exhausted) as refused:
            await batcher.submit(3)
        assert refused.value.retry_after
        work.let_go(2)
        assert await asyncio.gather(*first, *second) == [2, 4]


async def test_a_caller_that_goes_away_hurts_nobody() -> None:
    work = Work()
    async with Batcher("x", work, max_batch=2, max_waiting=10) as batcher, asyncio.timeout(60):
        running, beside = submitted(batcher, 1, 2)
        await work.began.get()
        [waiting] = submitted(batcher, 3)
        await asyncio.sleep(0)
        running.cancel()
        waiting.cancel()
        work.let_go(2)
        assert await beside == 4
        assert await batcher.submit(4) == 8
    assert work.batches == [[1, 2], [4]]


async def test_workers_run_side_by_side() -> None:
    work = Work()
    async with (
        Batcher("x", work, max_batch=1, max_waiting=10, workers=2) as batcher,
        asyncio.timeout(60),
    ):
        tasks = submitted(batcher, 1, 2, 3)
        await work.began.get()
        await work.began.get()
        assert work.batches == [[1], [2]]
        work.let_go(3)
        assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_closing_finishes_what_was_taken() -> None:
    work = Work()
    async with asyncio.timeout(60):
        batcher = Batcher("x", work, max_batch=1, max_waiting=10)
        tasks = submitted(batcher, 1, 2)
        await work.began.get()
        closing = asyncio.ensure_future(batcher.aclose())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await batcher.submit(3)
        work.let_go(2)
        await closing
        assert [task.result() for task in tasks if task.done()] == [2, 4]


async def test_a_batch_is_nobodys_request() -> None:
    seen: list[object] = []

    async def run(items: list[int]) -> list[int]:
        seen.append(structlog.contextvars.get_contextvars())
        return items

    with structlog.contextvars.bound_contextvars(request_id="r1"):
        async with Batcher("x", run, max_batch=2, max_waiting=10) as batcher:
            await batcher.submit(1)
    assert seen == [{}]


async def test_what_was_broken_off_by_a_library_is_unavailable() -> None:
    runs = 0

    async def run(batch: list[int]) -> list[int]:
        nonlocal runs
        runs += 1
        if runs == 1:
            # As one does to those who wait for what it closes.
            raise asyncio.CancelledError
        return batch

    async with Batcher("test", run, max_batch=1, max_waiting=10) as batcher:
        answers = await asyncio.gather(*map(batcher.submit, (1, 2)), return_exceptions=True)
    assert isinstance(answers[0], Unavailable)
    assert answers[1] == 2
