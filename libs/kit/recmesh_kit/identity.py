"""How a service knows its callers and is known to others: the auth service's keys, and its own sign-in."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from recmesh_kit.channel import ServiceCredentials, TokenPairMessage, calling, connect
from recmesh_kit.errors import Unavailable
from recmesh_kit.health import Health
from recmesh_kit.tasks import Background
from recmesh_kit.tokens import JwkMessage, RemoteKeys, TokenVerifier

log = structlog.get_logger()

REFRESH_SECONDS = 300.0
"""How old the keys become before they are fetched anew."""


class Identity:
    """The auth service, as another service sees it. Methods are called by the contract's descriptor, so that this
    needs none of auth's stubs.

    Args:
        target: `host:port` of the auth service.
        auth: The descriptor of `recmesh.auth.v1.AuthService`.
        service_key: The service's own API key; None for one that calls nobody.
        timeout_seconds: Deadline of each call.
    """

    def __init__(
        self,
        target: str,
        auth: ServiceDescriptor,
        *,
        timeout_seconds: float,
        service_key: str | None = None,
    ) -> None:
        self._auth = auth
        self._key = service_key
        self._channel = connect(target, [auth], timeout_seconds=timeout_seconds)
        self.keys = RemoteKeys(self._fetch_keys)
        self.verifier = TokenVerifier(self.keys)
        self.credentials = ServiceCredentials(self._sign_in)

    async def __aenter__(self) -> Identity:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    def watch(self, background: Background, health: Health, every: float) -> None:
        """Fetches the keys until they are there (component "keys" is up then), and renews them every few minutes.

        Args:
            background: Owns the loop.
            health: Is told about the component "keys".
            every: Seconds between two tries while auth does not answer.
        """
        due = 0.0

        async def look() -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            try:
                await self.keys.refresh()
            except Unavailable as error:
                log.warning("no keys", error=error.message, ready=self.keys.ready)
            else:
                due = time.monotonic() + REFRESH_SECONDS
            await health.set("keys", up=self.keys.ready)

        background.loop("keys", look, every)

    async def _fetch_keys(self) -> Iterable[JwkMessage]:
        answer: Any = await self._call("GetJwks")
        return list(answer.keys)

    async def _sign_in(self) -> TokenPairMessage:
        answer: Any = await self._call("ExchangeApiKey", api_key=self._key or "")
        pair: TokenPairMessage = answer
        return pair

    async def _call(self, name: str, **fields: str) -> Message:
        method = self._auth.methods_by_name[name]
        call: grpc.aio.UnaryUnaryMultiCallable[Any, Any] = self._channel.unary_unary(
            f"/{self._auth.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        async with calling("auth"):
            answer: Message = await call(GetMessageClass(method.input_type)(**fields))
        return answer
