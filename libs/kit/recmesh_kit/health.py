"""Health as a state machine, told over `grpc.health.v1`.

    STARTING -> SERVING <-> NOT_SERVING -> DRAINING (for good)

A server serves while every component that it named is up. Further subjects (a worker's "text" queries) have a state
of their own. The subject "liveness" is one apart: it says SERVING from the first moment and through a drain, and falls
only when the process is stuck.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recmesh_kit.liveness import LIVENESS, Stuck
from recmesh_kit.tasks import Background

log = structlog.get_logger()

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """What is up and what is not.

    Args:
        components: What the server needs to serve at all, such as "database". Each starts as down.
        subjects: Further names that can be asked for, each with a state of its own that starts as down and is never
            better than the whole.
    """

    def __init__(self, components: Iterable[str], subjects: Iterable[str] = ()) -> None:
        self.servicer = HealthServicer()
        """Tells it over gRPC."""
        self._up = dict.fromkeys(components, False)
        self._subjects = dict.fromkeys(subjects, False)
        self._services: list[str] = [""]
        self._alive = True
        self._draining = False
        self._changed = asyncio.Condition()

    @property
    def serving(self) -> bool:
        """Whether everything needed is up and nobody has asked to stop."""
        return not self._draining and all(self._up.values())

    @property
    def down(self) -> list[str]:
        """The components that are down."""
        return [name for name, up in self._up.items() if not up]

    async def start(self, services: Iterable[str]) -> None:
        """Says NOT_SERVING for the server and each of its services until all components are up."""
        self._services = ["", *services]
        await self._publish()

    async def set(self, name: str, *, up: bool) -> None:
        """Notes that a component or subject is up or down.

        Raises:
            KeyError: No such component or subject.
        """
        states = self._subjects if name in self._subjects else self._up
        if states[name] is up:
            return
        states[name] = up
        log.info("health", component=name, up=up, serving=self.serving)
        await self._publish()

    def probe(
        self,
        background: Background,
        name: str,
        check: Callable[[], Awaitable[None]],
        every: float,
    ) -> None:
        """Keeps a component's state up to date.

        Args:
            background: Owns the loop.
            name: The component.
            check: Raises when the component is away; has a deadline of its own.
            every: Seconds between two checks.
        """

        async def look() -> None:
            try:
                await check()
            except Exception as error:
                log.warning("probe failed", component=name, error=str(error))
                await self.set(name, up=False)
            else:
                await self.set(name, up=True)

        background.loop(f"probe-{name}", look, every)

    def watch_liveness(
        self,
        background: Background,
        stuck: Mapping[str, Stuck],
        *,
        most_seconds: float,
        every: float,
    ) -> None:
        """Keeps the subject "liveness" up to date.

        Args:
            background: Owns the loop.
            stuck: By name, what must go on.
            most_seconds: How long something may be stuck.
            every: Seconds between two looks. Two in a row must find it so: a process that was paused looks first, and
                then goes on.
        """
        found: set[str] = set()

        async def look() -> None:
            nonlocal found
            now = {name for name, seconds in stuck.items() if seconds() > most_seconds}
            both, found = now & found, now
            if self._alive is bool(both):
                self._alive = not both
                if both:
                    log.error("not alive", stuck=sorted(both), seconds=most_seconds)
                else:
                    log.info("alive again")
                await self._publish()

        background.loop(LIVENESS, look, every)

    async def wait_serving(self) -> None:
        """Returns once the server serves."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.serving)

    async def drain(self) -> None:
        """NOT_SERVING from now on, whatever comes up."""
        self._draining = True
        await self._publish()

    async def _publish(self) -> None:
        whole = SERVING if self.serving else NOT_SERVING
        states = dict.fromkeys(self._services, whole)
        states |= {name: whole if up else NOT_SERVING for name, up in self._subjects.items()}
        states[LIVENESS] = SERVING if self._alive else NOT_SERVING
        await self.servicer.publish(states, final=self._draining)
        async with self._changed:
            self._changed.notify_all()


class HealthServicer(health_pb2_grpc.HealthServicer):
    """`grpc.health.v1.Health`. Unlike the one of the library it ends its watches when the server stops: they would
    hold up the end of the server for as long as it may take.
    """

    def __init__(self) -> None:
        self._states: Mapping[str, int] = {"": NOT_SERVING, LIVENESS: SERVING}
        self._final = False
        self._changed = asyncio.Condition()

    async def publish(self, states: Mapping[str, int], *, final: bool) -> None:
        """Tells the states of all that can be asked for; `final`: for the last time."""
        async with self._changed:
            self._states, self._final = states, final
            self._changed.notify_all()

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """How it stands now; NOT_FOUND for what is not served here."""
        state = self._states.get(request.service)
        if state is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        return health_pb2.HealthCheckResponse(status=state)

    async def Watch(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """How it stands now, and again at each change."""
        told = None
        while True:
            state = self._of(request)
            if state != told:
                yield health_pb2.HealthCheckResponse(status=state)
                told = state
            async with self._changed:
                while self._of(request) == told:
                    if self._final:
                        return
                    await self._changed.wait()

    def _of(self, request: health_pb2.HealthCheckRequest) -> int:
        return self._states.get(request.service, SERVICE_UNKNOWN)
