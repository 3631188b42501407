import asyncio

from grpc_health.v1 import health_pb2

from recmesh.recommender.v1.query_pb2 import Query
from recmesh_kit.health import NOT_SERVING, SERVING, Health
from recmesh_kit.liveness import LIVENESS
from recmesh_kit.tasks import Background
from services.worker.tests.conftest import Asking, eventually
from services.worker.tests.working import Worker


async def test_a_worker_whose_compute_thread_is_stuck_is_not_alive_until_it_goes_on(
    worker: Worker, asking: Asking, films: str
) -> None:
    health = Health(())

    async def says(state: int) -> bool:
        request = health_pb2.HealthCheckRequest(service=LIVENESS)
        answer = await health.servicer.Check(request, context=None)  # type: ignore[arg-type]
        return bool(answer.status == state)

    async with Background() as background:
        health.watch_liveness(
            background,
            {"compute": worker.read_model.pulse.stuck, "encoder": worker.thread.pulse.stuck},
            most_seconds=0.05,
            every=0.01,
        )
        assert await says(SERVING)
        await asking.ask(films, Query(title="slow"))
        async with asking.taken(1) as deliveries:
            hand = asyncio.create_task(worker.jobs.handle(deliveries))
            await eventually(lambda: says(NOT_SERVING))
            worker.ranker.gate.set()
            await hand
        await eventually(lambda: says(SERVING))
        worker.encoder.encode_gate.clear()
        encoding = asyncio.create_task(worker.thread.encode(["a text"]))
        await eventually(lambda: says(NOT_SERVING))
        worker.encoder.encode_gate.set()
        await encoding
        await eventually(lambda: says(SERVING))
