"""The door of a server: calls that are one too many are turned away before anything of them is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.rpc import status_pb2

from recmesh_kit.chain import failure
from recmesh_kit.errors import Exhausted

RpcContext = grpc.aio.ServicerContext[Any, Any]


class Door(grpc.GenericRpcHandler):
    """The methods of a service. A call that is turned away here costs less than half of what it costs within the chain:
    a server that is called much too often has time left for those that it has let in.

    Args:
        handlers: Path of each method to its handler.
        is_full: Whether another call is one too many.
        count: Told of each call that is turned away, by its path.
        refuse: Answers such a call.
    """

    def __init__(
        self,
        handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
        is_full: Callable[[], bool],
        count: Callable[[str], None],
        refuse: Callable[[RpcContext], None],
    ) -> None:
        self._handlers = handlers
        self._is_full = is_full
        self._count = count
        self._refuse = refuse
        # Whatever the method, what streams is answered without waiting for what was sent.
        self._closed: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            self._turn_away
        )

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a call; None when the method is none of these."""
        handler = self._handlers.get(handler_call_details.method)
        if handler is None or not self._is_full():
            return handler
        self._count(handler_call_details.method)
        return self._closed

    async def _turn_away(self, stream: object, rpc: RpcContext) -> None:
        self._refuse(rpc)


def full(pause: float) -> status_pb2.Status:
    """What a caller is told who is one too many.

    Args:
        pause: After how many seconds it may come back.
    """
    message = "The server has as many calls in hand as it takes: come back later."
    return failure.status(Exhausted(message, retry_after=pause))
