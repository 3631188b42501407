"""Calls of the recommenders that are repeated until their outcome is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc import StatusCode

from chaos.ledger import Ledger
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from recmesh_client import RecmeshError
from recmesh_kit.testing import reason_of, status_of

if TYPE_CHECKING:
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

T = TypeVar("T")
Metadata = tuple[tuple[str, str | bytes], ...]
TRY_SECONDS = 4.0
"""What a call may take while things are being broken; a recommender that is stopped answers nobody."""
CALM_SECONDS = 20.0
"""The same, once nothing is broken any more."""
FAILED = (grpc.aio.AioRpcError, RecmeshError)
"""What a try may fail with: the call's own, or that of the SDK, which renews the token."""
_LONGEST_PAUSE = 1.0
_FINAL = {
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.PERMISSION_DENIED,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.ALREADY_EXISTS,
    StatusCode.UNIMPLEMENTED,
}
"""Codes of which a repetition changes nothing."""
_PASSING = (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED)
_STRANGE = (
    StatusCode.INTERNAL,
    StatusCode.UNKNOWN,
    StatusCode.CANCELLED,
    StatusCode.UNAUTHENTICATED,
)
_SHOWN = 5
"""Errors of one kind that are printed."""
_CHANNEL = (
    ("grpc.enable_http_proxy", 0),
    # One that was killed is back soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


if TYPE_CHECKING:
    Call = Callable[[RecommenderServiceAsyncStub, Metadata, float], Awaitable[T]]
    """One try: at a replica, as somebody, within so many seconds."""


class GaveUp(Exception):
    """The time is over, and the outcome is not known."""


class Refused(Exception):
    """The call was refused for good.

    Args:
        code: The status.
        reason: That of the `ErrorInfo`.
    """

    def __init__(self, code: StatusCode, reason: str) -> None:
        super().__init__(f"{code.name} {reason}".strip())
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who calls.

    Attributes:
        id: The account's.
        metadata: Goes along with each call.
    """

    id: str
    metadata: Callable[[], Awaitable[Metadata]]


class Recommenders:
    """Channels to all replicas of the recommender.

    Args:
        targets: `host:port` of each.
        ledger: Takes note of errors.
        say: Gets a line about each strange one.
    """

    def __init__(self, targets: Sequence[str], ledger: Ledger, say: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._say = say
        self._channels = [grpc.aio.insecure_channel(target, _CHANNEL) for target in targets]
        self._stubs: list[RecommenderServiceAsyncStub] = [
            RecommenderServiceStub(channel) for channel in self._channels
        ]
        self._chance = Random()  # noqa: S311 - only for pauses
        self.until = float("inf")
        """From when on nothing is tried any more, by the monotonic clock."""
        self.try_seconds = TRY_SECONDS

    async def __aenter__(self) -> Recommenders:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def stub(self, number: int) -> RecommenderServiceAsyncStub:
        """Whom call number so and so goes to: they take turns."""
        return self._stubs[number % len(self._stubs)]

    async def persist(self, first: int, who: Principal, call: Call[T]) -> T:
        """Makes a call, each time at the next replica, until it is answered.

        Raises:
            Refused: It was refused for good.
            GaveUp: It is too late.
        """
        pause = 0.05
        number = first
        while monotonic() < self.until:
            try:
                return await call(self.stub(number), await who.metadata(), self.try_seconds)
            except FAILED as error:
                self.note(error)
                wait = pause
                if isinstance(error, grpc.aio.AioRpcError):
                    if error.code() in _FINAL:
                        raise Refused(error.code(), reason_of(error)) from None
                    wait = max(pause, retry_after(error))
            number += 1
            await asyncio.sleep(wait * self._chance.uniform(0.7, 1.3))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise GaveUp

    def note(self, error: Exception) -> None:
        """Counts an error that a call, or the renewal of a token for it, was answered with."""
        if not isinstance(error, grpc.aio.AioRpcError):
            self._ledger.errors[f"sign-in: {type(error).__name__}"] += 1
            return
        reason = reason_of(error)
        what = f"{error.code().name} {reason or 'by the transport'}"
        if reason and error.code() in _PASSING and not _retry_info(error):
            what += " without RetryInfo"
        self._ledger.errors[what] += 1
        if error.code() in _STRANGE and self._ledger.errors[what] <= _SHOWN:
            self._say(f"--- {what}: {error.details()}")


def retry_after(error: grpc.aio.AioRpcError) -> float:
    """Seconds that the answer asks to wait; 0 when it does not say."""
    info = _retry_info(error)
    return float(info.retry_delay.ToTimedelta().total_seconds()) if info else 0.0


def _retry_info(error: grpc.aio.AioRpcError) -> error_details_pb2.RetryInfo | None:
    for detail in status_of(error).details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info
    return None


def metadata_of(error: grpc.aio.AioRpcError) -> Mapping[str, str]:
    """The metadata of the `ErrorInfo`."""
    for detail in status_of(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return dict(info.metadata)
    return {}
