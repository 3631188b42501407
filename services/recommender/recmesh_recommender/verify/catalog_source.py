"""The catalog service, read as a whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import grpc

from recmesh.catalog.v1 import catalog_service_pb2 as items_pb
from recmesh.catalog.v1 import interaction_service_pb2 as interactions_pb
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from recmesh.catalog.v1.interaction_service_pb2_grpc import InteractionServiceStub
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_jobs.happenings import happened
from recmesh_kit import names
from recmesh_kit.channel import calling
from recmesh_kit.errors import NotFound, Unavailable
from recmesh_recommender.verify.findings import CatalogItem, Deed, ItemPage

STREAM_SECONDS = 300.0
"""Deadline of a stream. One that takes longer, or breaks, is opened anew where it was, if it has brought something."""

M = TypeVar("M")
Stream: TypeAlias = "grpc.aio.UnaryStreamCall[Any, M]"


class ExportSource:
    """Reads with the recommender's own sign-in, which sees every catalog.

    Args:
        channel: To the catalog service.
        stream_seconds: Deadline of a stream.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, stream_seconds: float = STREAM_SECONDS
    ) -> None:
        self._catalog = CatalogServiceStub(channel)
        self._interactions = InteractionServiceStub(channel)
        self._stream_seconds = stream_seconds

    async def all_items(self, catalog: str) -> AsyncGenerator[ItemPage]:
        """All items, in the order of their revisions.

        Raises:
            NotFound: There is no such catalog.
            Unavailable: The catalog service does not answer, or does not let us in.
        """
        request = items_pb.ExportItemsRequest(parent=names.join("catalogs", catalog))

        def opened() -> Stream[items_pb.ExportItemsResponse]:
            return self._catalog.ExportItems(request, timeout=self._stream_seconds)

        async with aclosing(_resumed(catalog, opened)) as messages:
            async for message in messages:
                request.after_revision = message.revision
                yield ItemPage([_item(item) for item in message.items], message.revision)

    async def all_interactions(self, catalog: str) -> AsyncGenerator[Sequence[Deed]]:
        """All interactions, in the order of writing.

        Raises:
            NotFound: There is no such catalog.
            Unavailable: The catalog service does not answer, or does not let us in.
        """
        request = interactions_pb.ExportInteractionsRequest(parent=names.join("catalogs", catalog))

        def opened() -> Stream[interactions_pb.ExportInteractionsResponse]:
            return self._interactions.ExportInteractions(request, timeout=self._stream_seconds)

        async with aclosing(_resumed(catalog, opened)) as messages:
            async for message in messages:
                request.resume_token = message.resume_token
                yield [
                    Deed(names.ids(one.name)[-1], happened(one), one.SerializeToString())
                    for one in message.interactions
                ]

    async def items(self, catalog: str, ids: Collection[str]) -> Mapping[str, CatalogItem]:
        """Those of these items that are in the catalog, by id.

        Raises:
            NotFound: There is no such catalog.
            Unavailable: The catalog service does not answer, or does not let us in.
        """
        found: dict[str, CatalogItem] = {}
        waiting = [list(ids)] if ids else []
        while waiting:
            some = waiting.pop()
            request = items_pb.BatchGetItemsRequest(
                parent=names.join("catalogs", catalog),
                names=[names.join("catalogs", catalog, "items", item) for item in some],
                allow_missing=True,
            )
            try:
                async with _asking(catalog):
                    answer = await self._catalog.BatchGetItems(request)
            except Unavailable as error:
                half = len(some) // 2
                if not half or not _is_too_much(error):
                    raise
                waiting += [some[:half], some[half:]]
            else:
                found |= {item.id: item for item in map(_item, answer.items)}
        return found


async def _resumed(catalog: str, opened: Callable[[], Stream[M]]) -> AsyncGenerator[M]:
    """The messages of a stream that is opened anew when it breaks after it has brought something.

    Args:
        catalog: Id of the catalog.
        opened: Opens it where it was.
    """
    while True:
        moved = False
        try:
            async with _asking(catalog):
                stream = opened()
                try:
                    async for message in stream:
                        moved = True
                        yield message
                finally:
                    stream.cancel()
        except Unavailable:
            if not moved:
                raise
        else:
            return


@asynccontextmanager
async def _asking(catalog: str) -> AsyncIterator[None]:
    """Around a call: its errors become ours."""
    try:
        async with calling("catalog"):
            yield
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise NotFound(names.join("catalogs", catalog)) from error
        raise Unavailable(
            f"The catalog service says {error.code().name}.", metadata={"dependency": "catalog"}
        ) from error


def _is_too_much(error: Unavailable) -> bool:
    """Whether an answer was larger than a message may be (or the service too busy, when less is better, too)."""
    cause = error.__cause__
    return (
        isinstance(cause, grpc.aio.AioRpcError)
        and cause.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    )


def _item(item: Item) -> CatalogItem:
    return CatalogItem(
        names.ids(item.name)[-1], item.revision, item.update_time.ToNanoseconds() / 1e9
    )
