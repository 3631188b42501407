"""`recmesh.recommender.v1.IndexService`: convert, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from recmesh.recommender.v1 import index_service_pb2 as pb
from recmesh.recommender.v1.index_service_pb2_grpc import IndexServiceServicer
from recmesh_kit import names
from recmesh_kit.server import Service
from recmesh_recommender.verify.findings import Finding, Progress
from recmesh_recommender.verify.service import Verifier


class IndexServicer(IndexServiceServicer):
    """Answers for the read model."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def VerifyIndex(  # noqa: N802 - the method has the name of the contract
        self, request: pb.VerifyIndexRequest, context: object
    ) -> AsyncIterator[pb.VerifyIndexResponse]:
        """Streams how far a comparison is, to its end."""
        (catalog,) = names.ids(request.parent)
        # Closed here and now when the caller goes away: the next may begin.
        async with aclosing(self._verifier.verify(catalog, repair=request.repair)) as seen:
            async for progress in seen:
                yield _message(progress)


def _message(progress: Progress) -> pb.VerifyIndexResponse:
    return pb.VerifyIndexResponse(
        items=_finding(progress.items),
        interactions=_finding(progress.interactions),
        done=progress.done,
    )


def _finding(finding: Finding) -> pb.VerifyIndexResponse.Finding:
    return pb.VerifyIndexResponse.Finding(
        checked_count=finding.checked,
        missing_count=finding.missing,
        stale_count=finding.stale,
        surplus_count=finding.surplus,
        repaired_count=finding.repaired,
        samples=finding.samples,
    )


def index_service(verifier: Verifier) -> Service:
    """The service of the contract, with who answers for it."""
    return Service(pb.DESCRIPTOR.services_by_name["IndexService"], IndexServicer(verifier))
