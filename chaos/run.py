"""One run: the mesh, its load and its disturbances, the settling and the audit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic

import asyncpg

from chaos import roll_call, rows, settling
from chaos.asking import steps
from chaos.audit import audit
from chaos.breaking import draw
from chaos.calls import CALM_SECONDS, GaveUp, Recommenders, Refused
from chaos.harm import Harm
from chaos.ledger import Ledger
from chaos.load import Load
from chaos.outcome import Outcome
from chaos.read_model import stale
from chaos.world import World, facts, make
from chaos.writing import Writing
from localmesh.environment import admin_account
from localmesh.plan import Plan
from localmesh.ports import address
from localmesh.postgres import ADMIN
from localmesh.servers import DATABASE, Broker
from recmesh_client import Targets
from recmesh_kit.proxy import Proxy

ATTEMPT_LIMIT = 5
"""As the mesh is told."""
JOB_DEADLINE_SECONDS = 100
"""As the mesh is told: what cannot be done in time ends as EXPIRED before the audit."""
SETTINGS = {
    "RECMESH_ATTEMPT_LIMIT": str(ATTEMPT_LIMIT),
    "RECMESH_JOB_DEADLINE_SECONDS": str(JOB_DEADLINE_SECONDS),
    "RECMESH_METRICS_LISTEN": "off",
}
"""What the mesh is told beside what it is told anyway."""


@dataclass(frozen=True)
class Wish:
    """What a run is to be.

    Attributes:
        seed: By which all is drawn.
        seconds: How long jobs are asked for, and things broken.
        rate: Jobs a second.
        calm: Break nothing.
    """

    seed: int
    seconds: float
    rate: float
    calm: bool = False


@dataclass(frozen=True)
class _Parts:
    """What takes part in a run, once the mesh is up."""

    world: World
    ledger: Ledger
    recommenders: Recommenders
    load: Load
    writing: Writing


class Run:
    """A run.

    Args:
        wish: What it is to be.
        plan: Of the mesh.
        links: The detours, by the names of the servers.
        say: Gets a line about each event.
    """

    def __init__(
        self, wish: Wish, plan: Plan, links: Mapping[str, Proxy], say: Callable[[str], None]
    ) -> None:
        self._wish = wish
        self._plan = plan
        self._say = say
        self._harm = Harm(plan.paths, links, say)
        self.outcome: Outcome | None = None
        """What came of it, once it is over."""

    async def work(self) -> int:
        """While the mesh is up."""
        async with AsyncExitStack() as stack:
            parts = await self._parts(stack)
            # A crash of the database is to be one of this run, not of what came before.
            await asyncio.to_thread(os.sync)
            self._say("the mesh is up: load from now on")
            over = monotonic() + self._wish.seconds
            ill = await self._strain(parts)
            self._say("waiting for the jobs to end")
            connection = await rows.connect(self._admin_url)
            stack.push_async_callback(connection.close)
            self.outcome = await self._settle(parts, connection, ill, over)
        return 0

    async def _parts(self, stack: AsyncExitStack) -> _Parts:
        ports, seed = self._plan.ports, self._wish.seed
        replicas = [address(ports.recommender_at(n)) for n in range(self._plan.recommenders)]
        targets = Targets(address(ports.auth), address(ports.catalog), replicas[0])
        world = await make(stack, targets, admin_account(self._plan.vault), seed)
        ledger = Ledger(facts(world.fixed, world.changing))
        recommenders = Recommenders(replicas, ledger, self._say)
        await stack.enter_async_context(recommenders)
        load = Load(recommenders, world.principals, ledger)
        return _Parts(world, ledger, recommenders, load, Writing(world, seed))

    async def _strain(self, parts: _Parts) -> list[str]:
        """Load and disturbances, to the moment when all callers know where they are. Returns who did not come back."""
        wish = self._wish
        ill: list[str] = []

        async def well() -> bool:
            ill[:] = await settling.ill(self._plan.paths)
            return not ill

        async with asyncio.TaskGroup() as group:
            asked = steps(wish.seed, wish.seconds, wish.rate, parts.world.known)
            group.create_task(parts.load.run(asked, wish.seconds), name="load")
            group.create_task(parts.writing.run(wish.seconds), name="write")
            try:
                plan = [] if wish.calm else draw(wish.seed, wish.seconds)
                await self._harm.run(plan, wish.seconds)
            finally:
                await self._harm.undo()
            self._say("nothing is broken any more; waiting for all to come back")
            parts.recommenders.try_seconds = CALM_SECONDS
            until = monotonic() + settling.JOBS_SECONDS
            parts.recommenders.until = parts.writing.until = until
            await settling.until(well, settling.MEMBERS_SECONDS)
        return ill

    async def _settle(
        self, parts: _Parts, connection: asyncpg.Connection, ill: list[str], over: float
    ) -> Outcome:
        """Waits for what is in hand, and audits."""
        await settling.until(lambda: _none_unfinished(connection), settling.JOBS_SECONDS)
        settled = monotonic() - over
        self._say("waiting for queues and read model")
        waiting, behind = await self._drained(connection, Broker(self._plan).admin_urls)
        parts.recommenders.until = monotonic() + settling.JOBS_SECONDS
        try:
            listed = await roll_call.call(parts.recommenders, parts.world.principals, parts.ledger)
        except (GaveUp, Refused) as error:
            self._say(f"the jobs cannot be listed: {error!r}")
            listed = None
        self._say("comparing what is stored with what callers were told")
        return Outcome(
            seed=self._wish.seed,
            seconds=self._wish.seconds,
            findings=audit(parts.ledger, await rows.read(connection), ATTEMPT_LIMIT),
            stale=behind,
            ill=ill,
            waiting=waiting,
            listed=listed,
            kills=self._harm.kills,
            disturbances=self._harm.done,
            skipped=self._harm.skipped,
            errors=parts.ledger.errors + parts.writing.errors,
            writes=parts.writing.done,
            latest=parts.load.latest,
            settled=settled,
        )

    @property
    def _admin_url(self) -> str:
        """The superuser's of the mesh's database, without a detour."""
        password = self._plan.vault.password("postgres")
        return f"postgresql://{ADMIN}:{password}@{address(self._plan.ports.postgres)}/{DATABASE}"

    @staticmethod
    async def _drained(
        connection: asyncpg.Connection, urls: list[str]
    ) -> tuple[dict[str, int], list[str]]:
        """What is left in the queues, and in which ways the read model is behind, after a while."""
        waiting: dict[str, int] = {}
        behind: list[str] = []

        async def drained() -> bool:
            nonlocal waiting
            waiting = await settling.waiting(urls)
            return not waiting

        async def agrees() -> bool:
            nonlocal behind
            behind = await stale(connection)
            return not behind

        await settling.until(drained, settling.QUEUES_SECONDS)
        await settling.until(agrees, settling.READ_MODEL_SECONDS)
        return waiting, behind


async def _none_unfinished(connection: asyncpg.Connection) -> bool:
    return await rows.count_unfinished(connection) == 0
