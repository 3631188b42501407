"""The dispatcher's two lines, over a broker that takes bulk jobs slowly."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import cast
from uuid import UUID

import pytest

from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane, State
from recmesh_kit.broker import Broker, Outgoing, Refused
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.ids import uuid7
from recmesh_kit.layout import BULK, INTERACTIVE, SUSPECT
from recmesh_kit.proxy import Proxy
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_recommender import dispatch
from recmesh_recommender.dispatch import PATIENT, PROMPT, Dispatcher
from recmesh_recommender.metrics import JobMetrics
from recmesh_recommender.upkeep import Upkeep
from services.recommender.tests.conftest import until


class SlowBroker:
    """Takes bulk jobs when the gate opens, and others at once."""

    reply_to = None

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.away = False
        self.lost: set[str | None] = set()
        self.refused: set[str | None] = set()
        self.offered: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    async def publish_all(
        self, messages: Sequence[Outgoing], *, confirm: bool = True
    ) -> list[Unavailable | None]:
        self.offered.update(message.routing_key for message in messages)
        if BULK.name in (message.routing_key for message in messages):
            await self.gate.wait()
        if self.away:
            raise Unavailable("It is away.")
        self.taken.update(message.routing_key for message in messages)
        return [self._outcome(message) for message in messages]

    def _outcome(self, message: Outgoing) -> Unavailable | None:
        if message.message_id in self.refused:
            return Refused("It is full.")
        return Unavailable("Nobody knows.") if message.message_id in self.lost else None


@asynccontextmanager
async def dispatching() -> AsyncIterator[tuple[Dispatcher, SlowBroker]]:
    broker = SlowBroker()
    dispatcher = Dispatcher(cast("Broker", broker))
    running = asyncio.ensure_future(dispatcher.run())
    yield dispatcher, broker
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def job(lane: Lane, state: State = State.QUEUED) -> Job:
    now = dt.datetime.now(dt.UTC)
    return Job(uuid7(now), "films", "ann", "", lane, b"", now, now, now, state=state)


async def test_bulk_jobs_hold_up_no_others() -> None:
    async with dispatching() as (dispatcher, broker):
        for _ in range(1000):
            dispatcher.dispatch(job(Lane.BULK), None)
        await until(lambda: broker.offered[BULK.name])
        for lane in (Lane.INTERACTIVE, Lane.SUSPECT):
            dispatcher.dispatch(job(lane), None)
        await until(lambda: broker.taken[INTERACTIVE.name] and broker.taken[SUSPECT.name])
        assert broker.taken[BULK.name] == 0
        # Few are on their way at once.
        assert broker.offered[BULK.name] < 100
        broker.gate.set()
        await dispatcher.drain(30)
    assert broker.taken[BULK.name] == 1000


async def test_none_waits_for_those_before_to_be_confirmed() -> None:
    async with dispatching() as (dispatcher, broker):
        dispatcher.dispatch(job(Lane.BULK), None)
        await until(lambda: broker.offered[BULK.name] == 1)
        dispatcher.dispatch(job(Lane.BULK), None)
        await until(lambda: broker.offered[BULK.name] == 2)
        assert broker.taken[BULK.name] == 0


async def test_what_the_broker_does_not_take_is_unsent() -> None:
    async with dispatching() as (dispatcher, broker):
        jobs = [job(Lane.INTERACTIVE) for _ in range(4)]
        # This one cannot even be written down.
        jobs[1] = replace(jobs[1], query=b"\xff")
        broker.lost = {str(jobs[2].id)}
        for one in jobs:
            dispatcher.dispatch(one, None)
        await dispatcher.drain(30)
        assert set(dispatcher.take_unsent(PROMPT)) == {jobs[1].id, jobs[2].id}
        assert broker.taken[INTERACTIVE.name] == 3
        broker.away = True
        dispatcher.dispatch(jobs[0], None)
        dispatcher.announce([job(Lane.INTERACTIVE, State.CANCELLED)])
        await dispatcher.drain(30)
        assert dispatcher.take_unsent(PROMPT) == [jobs[0].id]
        assert dispatcher.take_unsent(PATIENT) == []


async def test_what_a_full_queue_refuses_waits_until_its_row_is_due() -> None:
    async with dispatching() as (dispatcher, broker):
        jobs = [job(Lane.INTERACTIVE) for _ in range(3)]
        broker.refused = {str(jobs[1].id)}
        for one in jobs:
            dispatcher.dispatch(one, None)
        await dispatcher.drain(30)
        assert dispatcher.take_unsent(PROMPT) == []


async def test_what_the_relay_could_not_look_up_stays_unsent(
    database: Database, database_url: str, amqp_url: str
) -> None:
    sent: list[UUID] = [uuid7(), uuid7()]
    async with (
        Proxy.to(database_url) as proxy,
        Database(proxy.url, pool_size=1, timeout_seconds=60, application_name="test") as cut,
        Broker(amqp_url, name="test", timeout_seconds=60) as broker,
    ):
        dispatcher = Dispatcher(broker)
        upkeep = Upkeep(
            cut,
            broker,
            dispatcher,
            attempt_limit=5,
            keep_days=8,
            metrics=JobMetrics(Instruments()),
        )
        await proxy.close()
        dispatcher.keep_unsent(PROMPT, sent)
        with pytest.raises(Unavailable):
            await upkeep.relay(PROMPT)
        assert sorted(dispatcher.take_unsent(PROMPT)) == sorted(sent)


async def test_news_of_the_end_of_jobs_hold_up_no_job() -> None:
    async with dispatching() as (dispatcher, broker):
        for _ in range(100):
            dispatcher.dispatch(job(Lane.BULK), None)
        await until(lambda: broker.offered[BULK.name])
        dispatcher.announce([job(Lane.INTERACTIVE, State.CANCELLED)])
        dispatcher.dispatch(job(Lane.INTERACTIVE), None)
        await until(lambda: broker.taken[INTERACTIVE.name])
        assert broker.offered["recommendation.films"] == 0
        broker.gate.set()
        await until(lambda: broker.taken["recommendation.films"])


async def test_what_is_too_many_is_unsent_in_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_WAITING", 2)
    dispatcher = Dispatcher(cast("Broker", SlowBroker()))
    bulk = [job(Lane.BULK) for _ in range(4)]
    prompt = [job(Lane.INTERACTIVE) for _ in range(3)]
    for one in (*bulk, *prompt):
        dispatcher.dispatch(one, None)
    assert dispatcher.take_unsent(PROMPT) == [prompt[2].id]
    assert dispatcher.take_unsent(PATIENT) == [bulk[2].id, bulk[3].id]
    assert dispatcher.take_unsent(PATIENT) == []
