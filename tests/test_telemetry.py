"""What can be seen of the mesh from outside: traces that are only logged, and the numbers of all programs."""

import asyncio
import secrets
import time

import grpc
import pytest

from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import RecommendRequest
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from recmesh_client import AsyncClient
from recmesh_kit.telemetry.testing import Collector, Metrics, scrape, total
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")

WAIT_SECONDS = 60.0
PARENT = "catalogs/films"


async def recommend(mesh: LocalMesh, user: AsyncClient, flags: str) -> str:
    """Asks as a caller that is in a trace; returns its id."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    token = (await user.token()).access_token
    metadata = (
        ("authorization", f"Bearer {token}"),
        ("traceparent", f"00-{trace_id}-{span_id}-{flags}"),
    )
    query = Recommendation(query=Query(title="Alien", limit=3))
    async with grpc.aio.insecure_channel(mesh.targets.recommender) as channel:
        stub = RecommenderServiceStub(channel)
        request = RecommendRequest(parent=PARENT, recommendation=query)
        answer = await stub.Recommend(request, metadata=metadata, timeout=WAIT_SECONDS)
    assert len(answer.results) == 3
    return trace_id


async def test_a_trace_that_its_caller_does_not_record_is_logged_only(
    local_mesh: LocalMesh, user: AsyncClient, collector: Collector
) -> None:
    trace_id = await recommend(local_mesh, user, "00")
    await logged(local_mesh, trace_id)
    # Told later than this one would have been.
    other = await recommend(local_mesh, user, "01")
    until = time.monotonic() + WAIT_SECONDS
    while not {"recmesh_recommender", "recmesh_worker"} <= {s for s, _ in collector.trace(other)}:
        assert time.monotonic() < until
        await asyncio.sleep(0.1)
    assert not collector.trace(trace_id)


async def logged(mesh: LocalMesh, trace_id: str) -> None:
    """Returns once a line of the recommender's log is in this trace."""
    until = time.monotonic() + WAIT_SECONDS
    while f'"trace_id": "{trace_id}"' not in mesh.log("recommender"):
        assert time.monotonic() < until
        await asyncio.sleep(0.1)


async def test_every_program_serves_its_metrics(local_mesh: LocalMesh, user: AsyncClient) -> None:
    await user.recommend("films", title="Alien")
    until = time.monotonic() + WAIT_SECONDS
    # A job is answered before all of it is counted, and gauges are read now and then.
    while left := missing(told := await scraped(local_mesh)):
        assert time.monotonic() < until, left
        await asyncio.sleep(0.2)
    assert told.keys() == {"auth", "catalog", "recommender", "worker-0", "worker-1"}


CALLS = "recmesh_grpc_call_seconds_count"
EVERYWHERE: list[tuple[str, dict[str, str]]] = [
    ("process_resident_memory_bytes", {}),
    ("recmesh_database_connections", {"state": "free"}),
    ("recmesh_event_loop_lag_seconds_count", {}),
]
COUNTED: list[tuple[str, str, dict[str, str]]] = [
    ("auth", CALLS, {"method": "Login", "code": "OK"}),
    ("catalog", CALLS, {"method": "ImportItems", "code": "OK"}),
    ("recommender", CALLS, {"method": "Recommend", "code": "OK"}),
    ("recommender", "recmesh_queue_consumers", {}),
    ("recommender", "recmesh_intake_batch_size_sum", {}),
    ("recommender", "recmesh_intake_step_seconds_count", {"step": "publish"}),
    ("worker", "recmesh_job_seconds_count", {"kind": "title", "state": "succeeded"}),
    ("worker", "recmesh_job_queue_seconds_count", {"lane": "interactive", "kind": "title"}),
    ("worker", "recmesh_job_attempts_total", {"attempt": "1"}),
    *(
        ("worker", "recmesh_job_stage_seconds_count", {"stage": stage})
        for stage in ("history", "claim", "rank", "write", "reply")
    ),
]
NAMED = [
    ("recommender", "recmesh_jobs_unfinished"),
    ("recommender", "recmesh_queue_messages"),
    ("worker-0", "recmesh_read_model_lag_items"),
    ("worker-0", "recmesh_read_model_age_seconds"),
    ("catalog", "recmesh_outbox_oldest_seconds"),
]


def missing(told: dict[str, Metrics]) -> list[object]:
    """What is not told that is to be."""

    def of(member: str, name: str, labels: dict[str, str]) -> float:
        return sum(
            total(metrics, name, **labels)
            for program, metrics in told.items()
            if program.startswith(member)
        )

    return [
        *((program, *one) for program in told for one in EVERYWHERE if not of(program, *one)),
        *(one for one in COUNTED if not of(*one)),
        *(one for one in NAMED if one[1] not in {name for name, _ in told[one[0]]}),
    ]


async def scraped(mesh: LocalMesh) -> dict[str, Metrics]:
    """What each program of ours tells."""
    return {
        member.name: await asyncio.to_thread(scrape, member.metrics)
        for member in mesh.members()
        if member.metrics and member.name != "rabbitmq"
    }
