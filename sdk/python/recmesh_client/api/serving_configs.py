"""Serving configs."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from recmesh.recommender.v1 import serving_config_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import catalog_name, child_name, strings
from recmesh_client.convert.serving_config import from_serving_config, to_serving_config
from recmesh_client.data.serving_config import ServingConfig
from recmesh_client.pages import AsyncPages

COLLECTION = "servingConfigs"


class ServingConfigs(Api):
    """Methods about serving configs."""

    async def create_serving_config(
        self, catalog: str, config: ServingConfig, *, timeout: float | None = None
    ) -> ServingConfig:
        """Makes a serving config. Raises NotFound, AlreadyExists, InvalidArgument."""
        request = pb.CreateServingConfigRequest(
            parent=catalog_name(catalog),
            serving_config_id=config.id,
            serving_config=to_serving_config(config, catalog),
        )
        method = self._wire.serving_configs.CreateServingConfig
        return from_serving_config(await self._call(method, request, timeout))

    async def get_serving_config(
        self, catalog: str, config: str, *, timeout: float | None = None
    ) -> ServingConfig:
        """Reads a serving config. Raises NotFound."""
        request = pb.GetServingConfigRequest(name=child_name(catalog, COLLECTION, config))
        method = self._wire.serving_configs.GetServingConfig
        return from_serving_config(await self._call(method, request, timeout))

    def list_serving_configs(
        self, catalog: str, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncPages[ServingConfig]:
        """The serving configs of a catalog, by id. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[ServingConfig, ...], str]:
            request = pb.ListServingConfigsRequest(
                parent=catalog_name(catalog), page_size=page_size, page_token=token
            )
            method = self._wire.serving_configs.ListServingConfigs
            page = await self._call(method, request, timeout)
            return tuple(map(from_serving_config, page.serving_configs)), page.next_page_token

        return AsyncPages(fetch)

    async def update_serving_config(
        self,
        catalog: str,
        config: ServingConfig,
        *,
        fields: Sequence[str] = (),
        timeout: float | None = None,
    ) -> ServingConfig:
        """Changes the named fields; without names, all that are set. Raises NotFound, InvalidArgument."""
        request = pb.UpdateServingConfigRequest(
            serving_config=to_serving_config(config, catalog),
            update_mask=FieldMask(paths=strings(fields)),
        )
        method = self._wire.serving_configs.UpdateServingConfig
        return from_serving_config(await self._call(method, request, timeout))

    async def delete_serving_config(
        self, catalog: str, config: str, *, timeout: float | None = None
    ) -> None:
        """Deletes a serving config. Raises NotFound, FailedPrecondition for `default`."""
        request = pb.DeleteServingConfigRequest(name=child_name(catalog, COLLECTION, config))
        await self._call(self._wire.serving_configs.DeleteServingConfig, request, timeout)
