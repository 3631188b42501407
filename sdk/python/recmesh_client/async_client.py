"""The client for programs with an event loop."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from recmesh_client.api.api_keys import ApiKeys
from recmesh_client.api.catalogs import Catalogs
from recmesh_client.api.index import Index
from recmesh_client.api.interactions import Interactions
from recmesh_client.api.items import Items
from recmesh_client.api.models import Models
from recmesh_client.api.queues import Queues
from recmesh_client.api.recommendations import Recommendations
from recmesh_client.api.serving_configs import ServingConfigs
from recmesh_client.api.users import Users
from recmesh_client.credentials import Credentials
from recmesh_client.settings import CALL_SECONDS, STREAM_SECONDS, Retry, Targets, Tls
from recmesh_client.wire.caller import Headers
from recmesh_client.wire.wire import Wire


class AsyncClient(
    Catalogs,
    Items,
    Interactions,
    Recommendations,
    Users,
    ApiKeys,
    Models,
    ServingConfigs,
    Queues,
    Index,
):
    """A deployment as one caller sees it. Made by `connect`; any number of tasks may use it at once.

    Every method has a `timeout` in seconds, for all that it does. All raise subclasses of `RecmeshError`.
    """

    @classmethod
    def connect(
        cls,
        targets: str | Targets | None = None,
        *,
        credentials: Credentials | None = None,
        tls: Tls | None = None,
        timeout: float = CALL_SECONDS,
        stream_timeout: float = STREAM_SECONDS,
        retry: Retry | None = None,
        headers: Headers | None = None,
    ) -> Self:
        """A client. Connections and the sign-in are made at the first call. To be called within the event loop.

        Args:
            targets: One address for all services, `host:port`, or one for each; None: as the environment says.
            credentials: How to sign in; None for nobody, until `sign_in`.
            tls: How to secure the connections; None for plain text, fit for this machine and for private networks.
            timeout: Seconds that a call may take when it does not say.
            stream_timeout: The same for imports, exports and `watch`.
            retry: How calls are repeated, where that is safe.
            headers: Asked at each call, in the caller's context, for what goes along, such as the `traceparent` of
                whatever traces your program. Names in lower case.
        """
        return cls(
            Wire(
                targets,
                credentials=credentials,
                tls=tls,
                timeout=timeout,
                stream_timeout=stream_timeout,
                retry=retry,
                headers=headers,
            )
        )

    async def close(self) -> None:
        """Ends the calls in hand and closes the connections. It does not sign out."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
