"""Callers of the overload, and what is made of what they tell."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
import pytest

from bench.harness.calling import LIMIT
from bench.harness.promises import Promise
from bench.overload import Phase, promised
from bench.overload_load import REFUSED, SERVED, Callers, Crowd, Ended
from recmesh.recommender.v1.recommendation_pb2 import Recommendation, Result
from recmesh.recommender.v1.recommender_service_pb2 import RecommendRequest
from recmesh.recommender.v1.recommender_service_pb2_grpc import (
    RecommenderServiceServicer,
    RecommenderServiceStub,
    add_RecommenderServiceServicer_to_server,
)
from recmesh_kit.chain import failure
from recmesh_kit.chain.chain import STATUS_DETAILS_HEADER
from recmesh_kit.errors import Exhausted, RecmeshError

ANSWER = Recommendation(results=[Result(item=f"item-{n}") for n in range(LIMIT)])
PAUSE = 0.2
RATE = 20.0
TIMEOUT_SECONDS = 300
Context = grpc.aio.ServicerContext[Any, Any]


class Mesh(RecommenderServiceServicer):
    """Answers as it is told to.

    Attributes:
        seconds: How long an answer takes.
        refuse: Whether a call, the n-th of its request id, is refused; with what.
        asked: Request ids, in the order of the calls, and when they came.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.refuse: Callable[[int], RecmeshError | None] = lambda _: None
        self.asked: list[tuple[str, float]] = []

    async def Recommend(  # noqa: N802
        self, request: RecommendRequest, context: Context
    ) -> Recommendation:
        before = sum(id_ == request.request_id for id_, _ in self.asked)
        self.asked.append((request.request_id, asyncio.get_running_loop().time()))
        if (error := self.refuse(before)) is not None:
            status = failure.status(error)
            details = ((STATUS_DETAILS_HEADER, status.SerializeToString()),)
            await context.abort(failure.code_of(error), status.message, details)
        await asyncio.sleep(self.seconds)
        return ANSWER


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
async def target(mesh: Mesh) -> AsyncIterator[str]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add: Any = add_RecommenderServiceServicer_to_server
    add(mesh, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def until_ended(target: str, callers: Callers, calls: int) -> Ended:
    """One caller at a time, until so many calls have ended."""
    async with grpc.aio.insecure_channel(target) as channel:
        crowd = Crowd(
            [RecommenderServiceStub(channel)],
            (),
            callers=callers,
            kind="item",
            seeds=["a"],
            timeout=TIMEOUT_SECONDS,
        )
        calling = asyncio.create_task(crowd.keep(1))
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while sum((ended := crowd.ended(1, 0)).outcomes.values()) < calls:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            calling.cancel()
            await asyncio.wait([calling])
        return ended


async def test_answers_are_counted_and_timed(mesh: Mesh, target: str) -> None:
    mesh.seconds = 0.02

    ended = await until_ended(target, "once", 3)

    assert set(ended.outcomes) == {SERVED}
    assert 20 <= ended.served_ms[0] <= ended.served_ms[1]
    assert len({id_ for id_, _ in mesh.asked}) == len(mesh.asked)


async def test_refusals_are_told_from_what_else_goes_wrong(mesh: Mesh, target: str) -> None:
    errors = [
        Exhausted("Full.", retry_after=PAUSE),
        Exhausted("Full, and it does not say when to come back.", retry_after=cast("float", None)),
        RecmeshError("Broken."),
    ]

    def refuse(_: int) -> RecmeshError:
        return errors[(len(mesh.asked) - 1) % len(errors)]

    mesh.refuse = refuse

    ended = await until_ended(target, "once", len(errors))

    assert set(ended.outcomes) == {
        REFUSED,
        "RESOURCE_EXHAUSTED ERROR_REASON_TOO_MANY_CALLS",
        "INTERNAL ERROR_REASON_INTERNAL",
    }
    assert len({id_ for id_, _ in mesh.asked}) == len(mesh.asked)


@pytest.mark.parametrize(("callers", "least"), [("patient", PAUSE), ("hasty", 0.0)])
async def test_who_is_refused_comes_back_with_the_same_request(
    mesh: Mesh, target: str, callers: Callers, least: float
) -> None:
    mesh.refuse = lambda before: None if before else Exhausted("Full.", retry_after=PAUSE)

    ended = await until_ended(target, callers, 2)

    (first, came), (second, came_again) = mesh.asked[:2]
    assert first == second
    assert came_again - came >= least
    assert ended.outcomes[REFUSED] >= 1
    assert ended.outcomes[SERVED] >= 1


async def test_callers_come_as_fast_as_they_should_whatever_becomes_of_them(
    mesh: Mesh, target: str
) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        crowd = Crowd(
            [RecommenderServiceStub(channel)],
            (),
            callers="once",
            kind="text",
            seeds=["a", "b"],
            timeout=TIMEOUT_SECONDS,
        )
        mesh.refuse = lambda _: Exhausted("Full.", retry_after=PAUSE)
        began = asyncio.get_running_loop().time()
        # Faster than a slow machine can take them, there would be ever more.
        coming = asyncio.create_task(crowd.come(RATE))
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while len(mesh.asked) < 8 or not (ended := crowd.ended(1, 0)).outcomes:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            coming.cancel()
            await asyncio.wait([coming])

    # None is early; a busy machine may make them late.
    assert mesh.asked[7][1] - began > 0.5 * 7 / RATE
    assert set(ended.outcomes) == {REFUSED}


def phase(name: str = "once", **fields: Any) -> Phase:
    given: dict[str, Any] = {
        "seconds": 10.0,
        "outcomes": {SERVED: 1000, REFUSED: 3000},
        "offered": 400.0,
        "served_ms": (1.0, 2.0),
        "refused_ms": (1.0, 2.0),
        "late": 0,
        "cpu": {},
        "memory": {"worker-0": [400.0, 401.0, 402.0, 401.0]},
    }
    return Phase(name=name, **{**given, **fields})


def broken(phases: list[Phase], shares: list[float]) -> list[str]:
    found: list[Promise] = promised(phases, shares)
    return [one.name for one in found if not one.holds]


@pytest.mark.parametrize(
    ("phases", "shares", "expected"),
    [
        ([phase("capacity", outcomes={SERVED: 1000}), phase()], [0.95], []),
        ([phase()], [0.7, 0.85, 0.95], ["served_of_capacity"]),
        ([phase(outcomes={SERVED: 1, "UNAVAILABLE": 1})], [1.0], ["neither_served_nor_refused"]),
        ([phase(memory={"auth": [80.0, 80.0, 120.0, 121.0]})], [1.0], ["memory_growth"]),
        # What it takes at the beginning, as many calls wait, it keeps.
        ([phase(memory={"auth": [80.0, 120.0, 120.0, 121.0]})], [1.0], []),
        ([phase("capacity", memory={"auth": [80.0, 160.0]}), phase()], [1.0], []),
        ([phase(late=5)], [1.0], ["late"]),
    ],
)
def test_what_is_promised(phases: list[Phase], shares: list[float], expected: list[str]) -> None:
    assert broken(phases, shares) == expected
