"""The catalog service, as the recommender needs it."""

from __future__ import annotations

import grpc
import structlog

from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import GetCatalogRequest
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from recmesh_kit.channel import calling
from recmesh_kit.errors import Unavailable
from recmesh_kit.names import join

log = structlog.get_logger()


class CatalogClient:
    """Asks with the recommender's own sign-in, which sees every catalog.

    Args:
        channel: To the catalog service.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = CatalogServiceStub(channel)

    async def is_public(self, catalog: str) -> bool | None:
        """True for a public catalog, False for a private one, None for none.

        Raises:
            Unavailable: The catalog service does not answer, or does not let us ask.
        """
        try:
            async with calling("catalog"):
                found = await self._stub.GetCatalog(
                    GetCatalogRequest(name=join("catalogs", catalog))
                )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            log.error("catalog refuses", code=error.code().name, details=error.details())  # noqa: TRY400
            raise Unavailable(
                "The catalog service cannot be asked for now: try again later.",
                metadata={"dependency": "catalog"},
            ) from error
        return found.visibility == Catalog.VISIBILITY_PUBLIC
