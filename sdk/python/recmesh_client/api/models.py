"""Models of a catalog."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from recmesh.recommender.v1 import model_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import catalog_name, child_name
from recmesh_client.convert.model import from_model
from recmesh_client.data.model import Model
from recmesh_client.pages import AsyncPages

COLLECTION = "models"


class Models(Api):
    """Methods about models."""

    async def train_model(
        self,
        catalog: str,
        algorithm: str,
        *,
        parameters: Mapping[str, float] | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> Model:
        """Starts to train a model, and answers it in state TRAINING. Raises NotFound, InvalidArgument."""
        request = pb.TrainModelRequest(
            parent=catalog_name(catalog),
            model=pb.Model(algorithm=algorithm, parameters=parameters or {}),
            request_id=request_id or str(uuid.uuid4()),
        )
        return from_model(await self._call(self._wire.models.TrainModel, request, timeout))

    def list_models(
        self, catalog: str, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncPages[Model]:
        """The models of a catalog, the newest first. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[Model, ...], str]:
            request = pb.ListModelsRequest(
                parent=catalog_name(catalog), page_size=page_size, page_token=token
            )
            page = await self._call(self._wire.models.ListModels, request, timeout)
            return tuple(map(from_model, page.models)), page.next_page_token

        return AsyncPages(fetch)

    async def get_model(self, catalog: str, model: str, *, timeout: float | None = None) -> Model:
        """Reads a model, with its metrics. Raises NotFound."""
        request = pb.GetModelRequest(name=child_name(catalog, COLLECTION, model))
        return from_model(await self._call(self._wire.models.GetModel, request, timeout))

    async def activate_model(
        self, catalog: str, model: str, *, timeout: float | None = None
    ) -> Model:
        """Lets a model serve wherever its algorithm is asked for. Raises NotFound, FailedPrecondition."""
        request = pb.ActivateModelRequest(name=child_name(catalog, COLLECTION, model))
        return from_model(await self._call(self._wire.models.ActivateModel, request, timeout))

    async def delete_model(self, catalog: str, model: str, *, timeout: float | None = None) -> None:
        """Deletes a model. Raises NotFound, FailedPrecondition while it serves."""
        request = pb.DeleteModelRequest(name=child_name(catalog, COLLECTION, model))
        await self._call(self._wire.models.DeleteModel, request, timeout)
