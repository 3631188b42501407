"""The dispatcher's two lines, over a broker that takes bulk jobs slowly."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import cast

import pytest

from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane, State
from recmesh_kit.broker import Broker, Outgoing
from recmesh_kit.errors import Unavailable
from recmesh_kit.ids import uuid7
from recmesh_kit.layout import BULK, INTERACTIVE, SUSPECT
from recmesh_recommender import dispatch
from recmesh_recommender.dispatch import PATIENT, PROMPT, Dispatcher
from services.recommender.tests.conftest import until


class SlowBroker:
    """Takes bulk jobs when the gate opens, and others at once."""

    reply_to = None

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.away = False
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
        return [
            Unavailable("It is full.") if message.message_id in self.refused else None
            for message in messages
        ]


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
        broker.refused = {str(jobs[2].id)}
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
