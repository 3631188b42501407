"""What the recommender must know of catalogs: whether they are there, and who may read them."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from recmesh_kit.errors import Exhausted, NotFound, Unavailable
from recmesh_kit.names import join
from recmesh_kit.principal import Principal
from recmesh_kit.telemetry import place

log = structlog.get_logger()

FRESH_SECONDS = 5.0
"""How long an answer is believed: as long as a change of a catalog's visibility may take to count."""
STALE_SECONDS = 600.0
"""How long an answer serves while the catalog service is away."""
PATIENCE_SECONDS = 0.25
"""How long the catalog service has to answer anew before the last answer serves."""
MAX_CATALOGS = 10_000
MAX_ASKING = 1_000


@dataclass(slots=True)
class _Known:
    """A catalog that was there when we asked; times are of `time.monotonic()`.

    Attributes:
        public: Whether everybody who is signed in may read it.
        at: When the catalog service said so.
        ask_at: When to ask again.
    """

    public: bool
    at: float
    ask_at: float


class Catalogs:
    """The catalogs, asked of the catalog service once in a while and not once a job.

    Args:
        fetch: Asks the catalog service: True for a public catalog, False for a private one, None for none. Raises
            Unavailable, after a limit of its own.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[bool | None]]) -> None:
        self._fetch = fetch
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[bool | None]] = {}

    async def check_readable(self, catalog: str, principal: Principal) -> None:
        """Lets a caller pass who may read the catalog.

        Raises:
            NotFound: There is none, or not for this caller.
            Unavailable: The catalog service is away, and nothing is known.
            Exhausted: Too many catalogs are being asked for.
        """
        public = await self._look_up(catalog)
        if public is None or not principal.may_read(catalog, public=public):
            raise NotFound(join("catalogs", catalog))

    async def aclose(self) -> None:
        """Gives up the questions that are on their way."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)

    async def _look_up(self, catalog: str) -> bool | None:
        now = time.monotonic()
        known = self._known.get(catalog)
        if known is not None and now < known.ask_at:
            return known.public
        asking = self._asking.get(catalog) or self._ask(catalog)
        if known is None or now - known.at > STALE_SECONDS:
            # A caller that goes away leaves the question to the others.
            return await asyncio.shield(asking)
        await asyncio.wait([asking], timeout=PATIENCE_SECONDS)
        if asking.done() and not asking.cancelled() and asking.exception() is None:
            return asking.result()
        known.ask_at = time.monotonic() + FRESH_SECONDS
        return known.public

    def _ask(self, catalog: str) -> asyncio.Task[bool | None]:
        """One question for all who wait, in a context of its own: one caller's deadline is not the others'. It is
        part of the trace of the first of them."""
        if len(self._asking) >= MAX_ASKING:
            raise Exhausted("Too many catalogs are being asked for: come back soon.")
        alone = contextvars.Context()
        alone.run(place.enter, place.current_place())
        task = asyncio.create_task(
            self._fetch_one(catalog), name=f"catalog {catalog}", context=alone
        )
        self._asking[catalog] = task
        task.add_done_callback(lambda done: self._answered(catalog, done))
        return task

    async def _fetch_one(self, catalog: str) -> bool | None:
        public = await self._fetch(catalog)
        if public is None:
            # Not remembered: it may be made at any time.
            self._known.pop(catalog, None)
            return None
        now = time.monotonic()
        self._known[catalog] = _Known(public, now, now + FRESH_SECONDS)
        self._known.move_to_end(catalog)
        if len(self._known) > MAX_CATALOGS:
            self._known.popitem(last=False)
        return public

    def _answered(self, catalog: str, task: asyncio.Task[bool | None]) -> None:
        del self._asking[catalog]
        if task.cancelled():
            return
        # Looked at here: those who asked may be gone, or be served with what was known.
        error = task.exception()
        if error is not None and not isinstance(error, Unavailable):
            log.error("catalog not asked", catalog=catalog, exc_info=error)
