"""`recmesh.recommender.v1.RecommenderService`: convert, call, convert."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

from google.protobuf.empty_pb2 import Empty

from recmesh.recommender.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    queue_service_pb2,
    serving_config_service_pb2,
    serving_config_service_pb2_grpc,
)
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceServicer
from recmesh_kit import names, paging
from recmesh_kit.server import Service
from recmesh_recommender import converters, rows
from recmesh_recommender.assembly import Recommender
from recmesh_recommender.queues.servicer import QueueServicer
from recmesh_recommender.service import RecommendationService

MAX_PAGE_BYTES = 2 * 1024 * 1024
"""A page of long answers ends before it is too long for a message; one job is always on it."""


class RecommenderServicer(RecommenderServiceServicer):
    """What is not here is part of the contract and answers UNIMPLEMENTED."""

    def __init__(self, service: RecommendationService) -> None:
        self._service = service

    async def CreateRecommendation(  # noqa: N802
        self, request: pb.CreateRecommendationRequest, context: object
    ) -> Recommendation:
        """Stores a job."""
        return converters.recommendation(await self._service.create(converters.order(request)))

    async def Recommend(  # noqa: N802
        self, request: pb.RecommendRequest, context: object
    ) -> Recommendation:
        """Stores a job and waits for it."""
        return converters.recommendation(await self._service.recommend(converters.order(request)))

    async def GetRecommendation(  # noqa: N802
        self, request: pb.GetRecommendationRequest, context: object
    ) -> Recommendation:
        """Reads a job."""
        return converters.recommendation(await self._service.get(*names.ids(request.name)))

    async def ListRecommendations(  # noqa: N802
        self, request: pb.ListRecommendationsRequest, context: object
    ) -> pb.ListRecommendationsResponse:
        """Lists jobs."""
        (catalog,) = names.ids(request.parent)
        size = paging.page_size(request.page_size)
        scope = ("ListRecommendations", catalog, request.user, request.session)
        cursor = paging.decode(request.page_token, *scope)
        jobs = await self._service.page(
            catalog,
            user=request.user,
            session=request.session,
            before=_id(cursor[0]) if cursor else None,
            limit=size + 1,
            most_bytes=MAX_PAGE_BYTES,
        )
        answer = pb.ListRecommendationsResponse()
        length = 0
        for job in jobs[:size]:
            message = converters.recommendation(job)
            length += message.ByteSize()
            if answer.recommendations and length > MAX_PAGE_BYTES:
                break
            answer.recommendations.append(message)
            # A page of long answers takes a while: other calls have their turn.
            await asyncio.sleep(0)
        listed = len(answer.recommendations)
        if listed < len(jobs):
            answer.next_page_token = paging.encode([str(jobs[listed - 1].id)], *scope)
        return answer

    async def WatchRecommendation(  # noqa: N802
        self, request: pb.WatchRecommendationRequest, context: object
    ) -> AsyncIterator[Recommendation]:
        """Streams a job to its end."""
        # Closed here and now when the caller goes away: it waits no more.
        async with aclosing(self._service.watch(*names.ids(request.name))) as jobs:
            async for job in jobs:
                yield converters.recommendation(job)

    async def ContinueRecommendation(  # noqa: N802
        self, request: pb.ContinueRecommendationRequest, context: object
    ) -> Recommendation:
        """Stores a job that continues another."""
        job = await self._service.continue_from(converters.continuation(request))
        return converters.recommendation(job)

    async def CancelRecommendation(  # noqa: N802
        self, request: pb.CancelRecommendationRequest, context: object
    ) -> Recommendation:
        """Cancels a job."""
        return converters.recommendation(await self._service.cancel(*names.ids(request.name)))

    async def DeleteRecommendation(  # noqa: N802
        self, request: pb.DeleteRecommendationRequest, context: object
    ) -> Empty:
        """Deletes a job."""
        await self._service.delete(*names.ids(request.name))
        return Empty()

    async def BatchCreateRecommendations(  # noqa: N802
        self, request: pb.BatchCreateRecommendationsRequest, context: object
    ) -> pb.BatchCreateRecommendationsResponse:
        """Stores several jobs."""
        (catalog,) = names.ids(request.parent)
        # A thousand rows take a while to check and to answer: other calls go on meanwhile.
        sorted_out = await asyncio.to_thread(rows.sort_out, request)
        outcomes = await self._service.create_run(catalog, sorted_out.orders)
        return await asyncio.to_thread(rows.answer, sorted_out, outcomes)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise paging.invalid_token() from None


def services(recommender: Recommender) -> list[Service]:
    """The services of the contract, with who answers for them. What nobody answers for yet is listed all the same."""
    return [
        Service(
            pb.DESCRIPTOR.services_by_name["RecommenderService"],
            RecommenderServicer(recommender.service),
        ),
        Service(
            model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
            model_service_pb2_grpc.ModelServiceServicer(),
        ),
        Service(
            serving_config_service_pb2.DESCRIPTOR.services_by_name["ServingConfigService"],
            serving_config_service_pb2_grpc.ServingConfigServiceServicer(),
        ),
        Service(
            queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"],
            QueueServicer(recommender.queues),
        ),
    ]
