"""Every job as the recommenders tell it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaos.asking import ADMIN, PARENT
from chaos.calls import Metadata, Principal, Recommenders
from chaos.ledger import Ledger
from recmesh.recommender.v1 import recommender_service_pb2 as pb

if TYPE_CHECKING:
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

_PAGE = 1000


async def call(recommenders: Recommenders, principals: Sequence[Principal], ledger: Ledger) -> int:
    """Lists all jobs and writes down what is told of each, at both recommenders by turns. Returns how many there are.

    Raises:
        GaveUp, Refused: A page cannot be had.
    """
    by_name = {name: entry for entry in ledger.entries.values() for name in entry.names}
    token, count, page = "", 0, 0
    while page == 0 or token:

        async def listed(
            stub: RecommenderServiceAsyncStub,
            metadata: Metadata,
            seconds: float,
            token: str = token,
        ) -> pb.ListRecommendationsResponse:
            request = pb.ListRecommendationsRequest(
                parent=PARENT, page_size=_PAGE, page_token=token
            )
            return await stub.ListRecommendations(request, metadata=metadata, timeout=seconds)

        told = await recommenders.persist(page, principals[ADMIN], listed)
        for one in told.recommendations:
            if entry := by_name.get(one.name):
                ledger.hear(entry, one)
        count += len(told.recommendations)
        token, page = told.next_page_token, page + 1
    return count
