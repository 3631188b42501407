"""The catalog service, as those need it who keep the read model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import grpc

from recmesh.catalog.v1 import catalog_service_pb2 as pb
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit import names
from recmesh_kit.channel import calling
from recmesh_kit.errors import Unavailable


class CatalogItems:
    """Reads catalogs and items from the catalog service.

    Args:
        channel: To that service, signed in.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = CatalogServiceStub(channel)

    async def create_time(self, catalog: str) -> datetime | None:
        """When this catalog was made; None when there is no such catalog.

        Raises:
            Unavailable: The service does not answer, or does not let us in.
        """
        request = pb.GetCatalogRequest(name=names.join("catalogs", catalog))
        try:
            async with calling("catalog"):
                return (await self._stub.GetCatalog(request)).create_time.ToDatetime(UTC)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise Unavailable(f"The catalog service says {error.code().name}.") from error

    async def items(self, catalog: str, ids: Sequence[str]) -> Sequence[Item] | None:
        """Those of these items that are there; None when there is no such catalog.

        Raises:
            Unavailable: The service does not answer, or does not let us in.
            grpc.aio.AioRpcError: INVALID_ARGUMENT for what cannot be an id.
        """
        request = pb.BatchGetItemsRequest(
            parent=names.join("catalogs", catalog),
            names=[names.join("catalogs", catalog, "items", item) for item in ids],
            allow_missing=True,
        )
        try:
            async with calling("catalog"):
                return (await self._stub.BatchGetItems(request)).items
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise
            # What is wrong with us or with the service is not the items' fault: they are not given up for it.
            raise Unavailable(f"The catalog service says {error.code().name}.") from error
        except Unavailable as error:
            half = len(ids) // 2
            cause = error.__cause__
            if not half or not _is_too_much(cause):
                raise
        first, second = await self.items(catalog, ids[:half]), await self.items(catalog, ids[half:])
        return None if first is None or second is None else [*first, *second]


def _is_too_much(error: BaseException | None) -> bool:
    """Whether an answer was larger than a message may be (or the service too busy, when less is better, too)."""
    return (
        isinstance(error, grpc.aio.AioRpcError)
        and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    )
