"""One call by the generated stub, in either shape: what the load generator makes, and the check of readiness."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import grpc

from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import (
    CreateRecommendationRequest,
    RecommendRequest,
    WatchRecommendationRequest,
)
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub

if TYPE_CHECKING:
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

CATALOG = "bench"
PARENT = f"catalogs/{CATALOG}"
LIMIT = 10
TIMEOUT_SECONDS = 30.0
_READY_SECONDS = 5.0
Metadata = tuple[tuple[str, str | bytes], ...]
Ask = Callable[[str], Awaitable[Recommendation]]


def bearer(token: str | None) -> Metadata:
    """What goes along with a call."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def recommend(stub: RecommenderServiceAsyncStub, metadata: Metadata) -> Ask:
    """One call that waits for its answer."""

    async def ask(item: str) -> Recommendation:
        request = RecommendRequest(
            parent=PARENT, recommendation=_query(item), request_id=str(uuid.uuid4())
        )
        return await stub.Recommend(request, metadata=metadata, timeout=TIMEOUT_SECONDS)

    return ask


def create_watch(stub: RecommenderServiceAsyncStub, metadata: Metadata) -> Ask:
    """A call that stores the job, and one that hears of its end."""

    async def ask(item: str) -> Recommendation:
        request = CreateRecommendationRequest(
            parent=PARENT, recommendation=_query(item), request_id=str(uuid.uuid4())
        )
        seen = await stub.CreateRecommendation(request, metadata=metadata, timeout=TIMEOUT_SECONDS)
        states = stub.WatchRecommendation(
            WatchRecommendationRequest(name=seen.name), metadata=metadata, timeout=TIMEOUT_SECONDS
        )
        async for state in states:
            seen = state
        return seen

    return ask


SHAPES = {"recommend": recommend, "create-watch": create_watch}


def _query(item: str) -> Recommendation:
    return Recommendation(query=Query(item=f"{PARENT}/items/{item}", limit=LIMIT))


def answers_grpc(
    target: str,
    item: str,
    shape: str,
    token: Callable[[], Awaitable[str | None]] | None = None,
) -> Callable[[], Awaitable[bool]]:
    """A check of readiness: whether a call is answered with results."""

    async def ready() -> bool:
        metadata = bearer(await token() if token else None)
        async with grpc.aio.insecure_channel(target) as channel:
            ask = SHAPES[shape](RecommenderServiceStub(channel), metadata)
            try:
                async with asyncio.timeout(_READY_SECONDS):
                    return len((await ask(item)).results) == LIMIT
            except (grpc.RpcError, TimeoutError):
                return False

    return ready
