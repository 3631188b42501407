"""The floor does what the others do, and the harness measures it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc
import numpy as np
import pytest

from bench.floor.rows import READ
from bench.floor.systems import CREATE_WATCH, RECOMMEND, Shape
from bench.harness.calling import PARENT, SHAPES
from bench.harness.data import Data, make
from bench.harness.processes import Running
from bench.harness.rounds import Level, Plan, run
from bench.harness.system import System
from localmesh.databases import PostgresServer
from localmesh.ports import Ports
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make(tmp_path_factory.mktemp("data"), 300)


@pytest.fixture(scope="module")
async def database_url(postgres: PostgresServer, database_name: str) -> AsyncIterator[str]:
    name = f"{database_name}_floor"
    await postgres.create_database(name)
    yield postgres.admin_url_of(name)
    await postgres.drop_database(name)


@pytest.fixture(params=[RECOMMEND, CREATE_WATCH], ids=lambda shape: shape.calls)
def shape(request: pytest.FixtureRequest) -> Shape:
    assert isinstance(request.param, Shape)
    return request.param


@pytest.fixture
def system(
    shape: Shape,
    database_url: str,
    amqp_url: str,
    data: Data,
    free_offset: Callable[[], int],
) -> System:
    port = Ports(free_offset()).recommender
    return shape.system(database_url=database_url, amqp_url=amqp_url, data=data, port=port)


async def test_a_job_is_ranked_and_its_answer_is_in_its_row(
    shape: Shape, system: System, database_url: str, data: Data, tmp_path: Path
) -> None:
    scores = data.vectors @ data.vectors[7]
    scores[7] = -np.inf
    nearest = [f"{PARENT}/items/{data.ids[place]}" for place in np.argsort(-scores)[:10]]
    running = Running(system, tmp_path)
    try:
        await running.start()
        target = system.load[system.load.index("--target") + 1]
        async with grpc.aio.insecure_channel(target) as channel:
            answer = await SHAPES[shape.calls](RecommenderServiceStub(channel), ())(data.ids[7])
    finally:
        await running.stop()

    assert [result.item for result in answer.results] == nearest
    connection = await asyncpg.connect(database_url)
    try:
        stored = await connection.fetchval(READ, UUID(answer.name))
    finally:
        await connection.close()
    assert Recommendation.FromString(stored) == answer


@pytest.mark.parametrize("shape", [RECOMMEND], ids=["recommend"], indirect=True)
async def test_the_harness_measures_it(system: System, data: Data, tmp_path: Path) -> None:
    levels = [Level("2", 2), Level("paced", 4, of="2", share=0.5)]
    plan = Plan(rounds=1, seconds=0.2, warm_up=0.1, first_warm_up=0.1)

    found = await run([system], levels, plan, ids=data.asked, logs=tmp_path, shared={})

    assert list(found.turns) == [(system.name, "2"), (system.name, "paced")]
    for turns in found.turns.values():
        assert len(turns) == plan.rounds
        for turn in turns:
            assert turn.load.calls > 0
            assert turn.load.errors == 0
            assert set(turn.cpu_ms) == {"server", "worker"}
