"""Keys that programs sign in with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from recmesh.auth.v1 import api_key_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import timestamp
from recmesh_client.convert.user import from_api_key, to_grants
from recmesh_client.data.user import ApiKeyInfo, RoleGrant
from recmesh_client.pages import AsyncPages


class ApiKeys(Api):
    """Methods about API keys; for admins of the deployment."""

    async def create_api_key(
        self,
        display_name: str,
        grants: Iterable[RoleGrant],
        *,
        expire_time: datetime | None = None,
        timeout: float | None = None,
    ) -> ApiKeyInfo:
        """Makes a key. The answer is the only place where it can be read. Raises PermissionDenied."""
        key = pb.ApiKey(
            display_name=display_name, grants=to_grants(grants), expire_time=timestamp(expire_time)
        )
        request = pb.CreateApiKeyRequest(api_key=key)
        return from_api_key(await self._call(self._wire.api_keys.CreateApiKey, request, timeout))

    def list_api_keys(
        self, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncPages[ApiKeyInfo]:
        """The keys, without the keys themselves, the oldest first. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[ApiKeyInfo, ...], str]:
            request = pb.ListApiKeysRequest(page_size=page_size, page_token=token)
            page = await self._call(self._wire.api_keys.ListApiKeys, request, timeout)
            return tuple(map(from_api_key, page.api_keys)), page.next_page_token

        return AsyncPages(fetch)

    async def revoke_api_key(self, api_key: str, *, timeout: float | None = None) -> ApiKeyInfo:
        """Revokes the key with this id for good. Raises NotFound."""
        request = pb.RevokeApiKeyRequest(name=f"apiKeys/{api_key}")
        return from_api_key(await self._call(self._wire.api_keys.RevokeApiKey, request, timeout))
