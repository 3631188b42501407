"""A mesh as a caller sees it: stubs of its services, and a sign-in. By the generated stubs alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType

import grpc

from recmesh.auth.v1 import auth_service_pb2, auth_service_pb2_grpc, user_service_pb2_grpc
from recmesh.catalog.v1 import (
    catalog_pb2,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    interaction_service_pb2_grpc,
)
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.recommender.v1 import recommender_service_pb2, recommender_service_pb2_grpc
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation

TIMEOUT_SECONDS = 30.0
IMPORT_ROWS = 200
IN_FLIGHT = 32

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Targets:
    """Where the services are, `host:port` each."""

    auth: str
    catalog: str
    recommender: str

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Targets:
        """As `RECMESH_AUTH_TARGET` and its like say; the local mesh's ports when they say nothing."""
        return cls(
            variables.get("RECMESH_AUTH_TARGET", "localhost:50051"),
            variables.get("RECMESH_CATALOG_TARGET", "localhost:50052"),
            variables.get("RECMESH_RECOMMENDER_TARGET", "localhost:50053"),
        )


class Mesh:
    """Stubs of all services, as one caller.

    Attributes:
        targets: Where the services are.
        metadata: What goes along with each call: the caller's token.
    """

    def __init__(self, targets: Targets, metadata: Metadata = ()) -> None:
        self.targets = targets
        self.metadata = metadata
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)
        self._channels = [
            grpc.aio.insecure_channel(target)
            for target in (targets.auth, targets.catalog, targets.recommender)
        ]
        auth, catalog, recommender = self._channels
        self.auth = auth_service_pb2_grpc.AuthServiceStub(auth)
        self.users = user_service_pb2_grpc.UserServiceStub(auth)
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(catalog)
        self.interactions = interaction_service_pb2_grpc.InteractionServiceStub(catalog)
        self.recommender = recommender_service_pb2_grpc.RecommenderServiceStub(recommender)

    async def __aenter__(self) -> Mesh:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for channel in self._channels:
            await channel.close()

    async def register(self, email: str, password: str) -> None:
        """Opens an account; one that is there already is fine."""
        request = auth_service_pb2.RegisterRequest(email=email, password=password)
        try:
            await self.auth.Register(request, timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise

    async def login(self, email: str, password: str) -> None:
        """Signs in; from now on calls are made as this account."""
        pair = await self.auth.Login(
            auth_service_pb2.LoginRequest(email=email, password=password), timeout=TIMEOUT_SECONDS
        )
        self.metadata = (("authorization", f"Bearer {pair.access_token}"),)

    async def ensure_catalog(self, catalog: str, display_name: str) -> None:
        """Makes a public catalog; one that is there already is fine."""
        request = catalog_service_pb2.CreateCatalogRequest(
            catalog_id=catalog,
            catalog=catalog_pb2.Catalog(
                display_name=display_name, visibility=catalog_pb2.Catalog.VISIBILITY_PUBLIC
            ),
        )
        try:
            await self.catalog.CreateCatalog(
                request, metadata=self.metadata, timeout=TIMEOUT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise

    async def import_items(
        self, catalog: str, items: list[Item]
    ) -> catalog_service_pb2.ImportItemsResponse:
        """Writes items; those that are there and unchanged are left alone."""

        async def rows() -> AsyncIterator[catalog_service_pb2.ImportItemsRequest]:
            for start in range(0, len(items), IMPORT_ROWS):
                yield catalog_service_pb2.ImportItemsRequest(
                    parent=f"catalogs/{catalog}", items=items[start : start + IMPORT_ROWS]
                )

        return await self.catalog.ImportItems(rows(), metadata=self.metadata, timeout=600)

    async def recommend(
        self, catalog: str, query: Query, *, request_id: str = ""
    ) -> Recommendation:
        """Asks, and waits for the answer."""
        return await self.recommender.Recommend(
            recommender_service_pb2.RecommendRequest(
                parent=f"catalogs/{catalog}",
                recommendation=Recommendation(query=query),
                request_id=request_id,
            ),
            metadata=self.metadata,
            timeout=TIMEOUT_SECONDS,
        )

    async def wait_searchable(self, catalog: str, items: list[Item], seconds: float) -> None:
        """Returns once all these items are known to the workers that answer, by asking for each.

        Raises:
            TimeoutError: They are not, after so many seconds.
        """
        waiting = [item.name for item in items]
        async with asyncio.timeout(seconds):
            while waiting:
                known = await asyncio.gather(*(self._is_known(catalog, name) for name in waiting))
                waiting = [name for name, there in zip(waiting, known, strict=True) if not there]

    async def _is_known(self, catalog: str, item: str) -> bool:
        async with self._in_flight:
            return bool((await self.recommend(catalog, Query(item=item, limit=1))).resolved_item)


@asynccontextmanager
async def signed_in(targets: Targets, email: str, password: str) -> AsyncIterator[Mesh]:
    """A mesh as an account that exists."""
    async with Mesh(targets) as mesh:
        await mesh.login(email, password)
        yield mesh
