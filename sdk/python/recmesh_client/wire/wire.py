"""Everything below the methods of a client: channels, stubs, sign-in."""

from __future__ import annotations

from recmesh.auth.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from recmesh.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from recmesh.auth.v1.user_service_pb2_grpc import UserServiceStub
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from recmesh.catalog.v1.interaction_service_pb2_grpc import InteractionServiceStub
from recmesh.recommender.v1.index_service_pb2_grpc import IndexServiceStub
from recmesh.recommender.v1.model_service_pb2_grpc import ModelServiceStub
from recmesh.recommender.v1.queue_service_pb2_grpc import QueueServiceStub
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from recmesh.recommender.v1.serving_config_service_pb2_grpc import ServingConfigServiceStub
from recmesh_client.credentials import Credentials
from recmesh_client.settings import Retry, Targets, Tls
from recmesh_client.wire.caller import Anonymous, Caller, Headers
from recmesh_client.wire.channels import Channels
from recmesh_client.wire.session import Session


class Wire:
    """The services as one caller. To be made within the event loop that it is used in.

    Args:
        targets: One address for all, or one for each; None: as the environment says.
        credentials: How to sign in; None for nobody.
        tls: How to secure the connections; None for plain text.
        timeout: Seconds that a call may take when it does not say.
        stream_timeout: The same for a stream.
        retry: How calls are repeated; None for the default.
        headers: Asked at each call for what goes along; None for nothing.
    """

    def __init__(
        self,
        targets: str | Targets | None,
        *,
        credentials: Credentials | None,
        tls: Tls | None,
        timeout: float,
        stream_timeout: float,
        retry: Retry | None,
        headers: Headers | None = None,
    ) -> None:
        if targets is None:
            targets = Targets.from_environment()
        elif isinstance(targets, str):
            targets = Targets.one(targets)
        retry = retry or Retry()
        self._channels = Channels(targets, tls)
        self.timeout = timeout
        self.stream_timeout = stream_timeout
        auth, catalog = self._channels.auth, self._channels.catalog
        recommender = self._channels.recommender
        self.auth = AuthServiceStub(auth)
        self.users = UserServiceStub(auth)
        self.api_keys = ApiKeyServiceStub(auth)
        self.catalog = CatalogServiceStub(catalog)
        self.interactions = InteractionServiceStub(catalog)
        self.recommender = RecommenderServiceStub(recommender)
        self.models = ModelServiceStub(recommender)
        self.serving_configs = ServingConfigServiceStub(recommender)
        self.queues = QueueServiceStub(recommender)
        self.index = IndexServiceStub(recommender)
        self.anonymous = Caller(Anonymous(), targets, retry, timeout, headers or dict)
        self.session = Session(self.auth, self.anonymous, credentials)
        self.caller = Caller(self.session, targets, retry, timeout, headers or dict)

    async def close(self) -> None:
        """Ends the calls in hand and closes the connections."""
        await self.session.close()
        await self._channels.close()
