"""What recommendations are made from."""

from __future__ import annotations

from collections.abc import AsyncIterator

from recmesh.recommender.v1 import index_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import catalog_name
from recmesh_client.convert.index import from_comparison
from recmesh_client.data.index import IndexComparison


class Index(Api):
    """Methods about the index; for admins."""

    async def verify_index(
        self, catalog: str, *, repair: bool = False, timeout: float | None = None
    ) -> AsyncIterator[IndexComparison]:
        """Compares the index of a catalog with the catalog, and shows how far that is, up to `done`. A stream that
        breaks is not resumed: do it again.

        Args:
            catalog: Id of the catalog.
            repair: Have repaired what differs: it is told once more, and in the index seconds later. Compare again
                then.
            timeout: Seconds; default the client's for streams.

        Raises:
            NotFound: There is no such catalog.
            PermissionDenied: The caller is no admin.
            TooManyCalls: The service is comparing already; after `retry_after` seconds it may be done.
            Unavailable: The catalog service or, for a repair, the broker is away.
        """
        request = pb.VerifyIndexRequest(parent=catalog_name(catalog), repair=repair)
        method = self._wire.index.VerifyIndex
        async for message in self._stream(method, lambda: request, timeout, resumable=False):
            yield from_comparison(message)

    async def compare_index(
        self, catalog: str, *, repair: bool = False, timeout: float | None = None
    ) -> IndexComparison:
        """The same, to its end: what was found. Arguments and errors as of `verify_index`."""
        last: IndexComparison | None = None
        async for seen in self.verify_index(catalog, repair=repair, timeout=timeout):
            last = seen
        assert last is not None, "a comparison ends with what was found"
        return last
