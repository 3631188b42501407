from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from libs.kit.tests.calls import CATALOGS, catalogs, failure, health_of, until
from recmesh_kit.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, Health
from recmesh_kit.liveness import LIVENESS, Pulse
from recmesh_kit.tasks import Background
from recmesh_kit.testing import running


async def asked(channel: grpc.aio.Channel, name: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=name)
    answer = await health_of(channel).Check(request)
    return int(answer.status)


def watched(channel: grpc.aio.Channel, name: str = "") -> Any:
    request = health_pb2.HealthCheckRequest(service=name)
    return health_of(channel).Watch(request, timeout=60)


async def test_it_serves_once_every_component_is_up() -> None:
    health = Health(("database", "keys"))
    async with running([catalogs()], health=health) as channel:
        seen = [await asked(channel)]
        await health.set("database", up=True)
        seen.append(await asked(channel))
        assert health.down == ["keys"]
        await health.set("keys", up=True)
        seen.append(await asked(channel))
        await health.set("database", up=False)
        seen.append(await asked(channel))
    assert seen == [NOT_SERVING, NOT_SERVING, SERVING, NOT_SERVING]


async def test_a_service_is_as_well_as_the_whole() -> None:
    health = Health(("database",))
    async with running([catalogs()], health=health) as channel:
        assert await asked(channel, CATALOGS.full_name) == NOT_SERVING
        await health.set("database", up=True)
        assert await asked(channel, CATALOGS.full_name) == SERVING


async def test_a_subject_is_never_better_than_the_whole() -> None:
    health = Health(("database",), subjects=("text",))
    async with running([], health=health) as channel:
        await health.set("text", up=True)
        assert await asked(channel, "text") == NOT_SERVING
        await health.set("database", up=True)
        assert await asked(channel, "text") == SERVING
        await health.set("text", up=False)
        assert await asked(channel, "text") == NOT_SERVING
        assert await asked(channel) == SERVING


async def test_what_is_not_served_is_not_found() -> None:
    async with running([]) as channel:
        error = await failure(asked(channel, "nothing"))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_unknown_components() -> None:
    with pytest.raises(KeyError):
        await Health(()).set("nothing", up=True)


async def test_a_watch_tells_each_change() -> None:
    health = Health(("database",))
    async with running([], health=health) as channel:
        watch = watched(channel)
        seen = [(await watch.read()).status]
        for up in (True, False):
            await health.set("database", up=up)
            seen.append((await watch.read()).status)
        watch.cancel()
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_a_watch_of_what_is_not_served() -> None:
    async with running([]) as channel:
        watch = watched(channel, "nothing")
        assert (await watch.read()).status == SERVICE_UNKNOWN
        watch.cancel()


async def test_a_stop_is_told_and_ends_the_watches() -> None:
    health = Health(())
    async with running([], health=health) as channel:
        watch = watched(channel)
        assert (await watch.read()).status == SERVING
        await health.drain()
        assert (await watch.read()).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        assert await asked(channel) == NOT_SERVING


async def test_a_stop_is_for_good() -> None:
    health = Health(("database",))
    async with running([], health=health) as channel:
        await health.drain()
        await health.set("database", up=True)
        assert await asked(channel) == NOT_SERVING
        assert not health.serving


async def test_waiting_until_it_serves() -> None:
    health = Health(("database",))
    waiting = asyncio.create_task(health.wait_serving())
    await asyncio.sleep(0)
    assert not waiting.done()
    await health.set("database", up=True)
    async with asyncio.timeout(60):
        await waiting


class Database:
    """Something that is there or is not."""

    def __init__(self) -> None:
        self.up = True
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        if not self.up:
            raise ConnectionError("away")


async def test_a_probe_follows_its_component() -> None:
    health, database = Health(("database",)), Database()
    async with Background() as background:
        health.probe(background, "database", database.ping, 0.01)
        await until(lambda: health.serving)
        database.up = False
        await until(lambda: not health.serving)
        database.up = True
        await until(lambda: health.serving)


async def test_liveness_is_apart_from_the_rest() -> None:
    health, stuck = Health(("database",)), {"consumers": 0.0, "compute": 0.0}
    async with Background() as background, running([], health=health) as channel:
        assert (await asked(channel), await asked(channel, LIVENESS)) == (NOT_SERVING, SERVING)
        watch = watched(channel, LIVENESS)
        told = [(await watch.read()).status]
        health.watch_liveness(
            background,
            {name: partial(stuck.__getitem__, name) for name in stuck},
            most_seconds=10,
            every=0.001,
        )
        for seconds in (11.0, 9.0):
            stuck["compute"] = seconds
            told.append((await watch.read()).status)
        await health.set("database", up=True)
        assert await asked(channel) == SERVING
        await health.drain()
        assert (await asked(channel), await asked(channel, LIVENESS)) == (NOT_SERVING, SERVING)
    assert told == [SERVING, NOT_SERVING, SERVING]


async def test_what_is_stuck_at_one_look_may_have_been_paused() -> None:
    health, looks = Health(()), 0

    def stuck() -> float:
        nonlocal looks
        looks += 1
        return 100.0 if looks % 2 else 0.0

    async with Background() as background, running([], health=health) as channel:
        health.watch_liveness(background, {"compute": stuck}, most_seconds=10, every=0.001)
        while looks < 10:
            assert await asked(channel, LIVENESS) == SERVING


def test_a_pulse_says_how_long_a_thread_is_at_it() -> None:
    pulse = Pulse()

    def work(limit: float, *, more: float) -> float:
        while pulse.stuck() < limit:
            time.sleep(limit / 10)
        return limit + more

    assert pulse.stuck() == 0
    assert pulse.run(work, 0.01, more=1) == 1.01
    assert pulse.stuck() == 0
    with pytest.raises(ZeroDivisionError):
        pulse.run(lambda: 1 / 0)
    assert pulse.stuck() == 0
