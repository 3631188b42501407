"""The floor's other server, `python -m bench.floor.watch_server`: `CreateRecommendation` answers once the job is
committed, `WatchRecommendation` streams its states to the end. The worker is the same.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import grpc
import uvloop

from bench.floor import rows
from bench.floor.server import Context, Jobs, main
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1 import recommender_service_pb2_grpc as pb_grpc
from recmesh.recommender.v1.recommendation_pb2 import Recommendation

POLL_SECONDS = 0.05


class WatchServer(pb_grpc.RecommenderServiceServicer):
    """Stores and publishes; whoever watches is told."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._publishing: set[asyncio.Task[None]] = set()

    async def CreateRecommendation(  # noqa: N802
        self, request: pb.CreateRecommendationRequest, context: Context
    ) -> Recommendation:
        """Answers when the job is committed; the publish follows."""
        job, body = await self.jobs.store(request.recommendation.query)
        task = asyncio.create_task(self.jobs.publish(job, body), name="publish")
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)
        return Recommendation(name=job.hex, state=Recommendation.STATE_QUEUED)

    async def WatchRecommendation(  # noqa: N802
        self, request: pb.WatchRecommendationRequest, context: Context
    ) -> AsyncIterator[Recommendation]:
        """Tells what is known of a job, then its end: by the worker's reply, or for one that this process does not
        wait for by its row."""
        job = UUID(request.name)
        ended = self.jobs.ended.get(job)
        if ended is None:
            yield await self._read(job, context)
        else:
            yield Recommendation(name=request.name, state=Recommendation.STATE_QUEUED)
            yield await ended

    async def _read(self, job: UUID, context: Context) -> Recommendation:
        while (row := await self.jobs.pool.fetchrow(rows.READ, job)) is not None:
            if row["answer"] is not None:
                return Recommendation.FromString(row["answer"])
            await asyncio.sleep(POLL_SECONDS)
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such job")
        raise AssertionError


if __name__ == "__main__":
    uvloop.run(main(WatchServer))
