"""Messages that are put off, come back, or end."""

import datetime as dt

import aio_pika
import pytest

from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs import messages
from recmesh_jobs.lanes import DELAYS_HEADER
from recmesh_jobs.states import State
from recmesh_kit.amqp import REQUEST_ID_HEADER
from recmesh_kit.broker import Broker, Outgoing
from recmesh_kit.errors import Unavailable
from recmesh_worker import delays as delays_module
from recmesh_worker.delays import Delays
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.returns import SUSPICIOUS
from services.worker.tests.conftest import Asking, come, do, results
from services.worker.tests.working import MOST_DELAYS, Worker


class Deaf:
    """A broker that takes nothing."""

    async def publish_all(self, messages: list[Outgoing]) -> list[Unavailable | None]:
        raise Unavailable("The broker is away.")


async def test_a_job_that_cannot_be_claimed_is_put_off_and_that_is_no_attempt(
    worker: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(title="alien"))
    worker.flaky.away = 2
    async with asking.taken(1) as deliveries:
        for delays in (1, 2):
            await worker.jobs.handle([deliveries[-1]])
            assert deliveries[-1].settled
            await come(deliveries, delays + 1)
            assert deliveries[-1].headers[DELAYS_HEADER] == delays
        await worker.jobs.handle([deliveries[-1]])
    await asking.waits(0)
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.SUCCEEDED, 1)


async def test_a_job_whose_catalog_cannot_be_loaded_is_put_off_and_that_is_no_attempt(
    worker: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(f"{films}-other", Query(title="alien"))
    load = worker.read_model.load
    errors: list[Exception] = [Unavailable("The database is away.")]

    async def not_at_once(catalog: str) -> CatalogMemory:
        if errors:
            raise errors.pop()
        return await load(catalog)

    worker.read_model.load = not_at_once  # type: ignore[method-assign]
    async with asking.taken(1) as deliveries:
        await worker.jobs.handle(deliveries)
        await come(deliveries, 2)
        await worker.jobs.handle([deliveries[1]])
        await asking.heard(job)
    await asking.waits(0)
    assert (await asking.read(job)).attempts == 1


async def test_a_job_that_can_neither_be_claimed_nor_put_off_goes_back_to_its_queue(
    worker: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(title="alien"))
    worker.flaky.away = 1
    broker = worker.delays._broker
    worker.delays._broker = Deaf()  # type: ignore[assignment]
    async with asking.taken(1) as deliveries:
        with pytest.raises(Unavailable):
            await worker.jobs.handle(deliveries)
    worker.delays._broker = broker
    await asking.waits(1)
    await do(worker, asking, 1)
    assert (await asking.read(job)).attempts == 1


async def test_a_message_that_always_breaks_its_handler_ends(
    worker: Worker, asking: Asking, films: str
) -> None:
    """taskiq-aio-pika #35: a message that its handler cannot take came back for ever."""
    job = await asking.ask(films, Query(title="alien"))
    worker.flaky.error = ValueError("a defect")
    async with asking.taken(1) as deliveries:
        for handled in range(1, MOST_DELAYS + 1):
            await worker.jobs.handle([deliveries[-1]])
            await come(deliveries, handled + 1)
        await worker.jobs.handle([deliveries[-1]])
        assert deliveries[-1].settled
    await asking.waits(0)
    # Its row says so still, and is dispatched anew or ended as EXPIRED.
    worker.flaky.error = None
    assert (await asking.read(job)).state is State.QUEUED


@pytest.mark.parametrize("minutes", [-1, 1])
async def test_a_worker_whose_clock_is_a_minute_off_drops_no_message_that_counts(
    asking: Asking, broker: Broker, films: str, minutes: int
) -> None:
    def off() -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)

    delays = Delays(broker, MOST_DELAYS, off)
    job = await asking.ask(films, Query(title="alien"))
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    urgent = await asking.ask(films, Query(title="heat"), deadline=soon)
    over = dt.datetime.now(dt.UTC) - delays_module.CLOCKS_APART - dt.timedelta(minutes=2)
    late = await asking.ask(films, Query(title="ronin"), deadline=over)
    async with asking.taken(3) as deliveries:
        told = [(one, messages.decode_job(one.body)) for one in deliveries]
        assert await delays.put_off(told, Unavailable("The database is away.")) == []
        assert all(one.settled for one in deliveries)
        await come(deliveries, 5)
        back = [messages.decode_job(one.body).id for one in deliveries[3:]]
        for one in deliveries[3:]:
            await one.ack()
    assert sorted(back) == sorted([job.id, urgent.id])
    assert late.id not in back
    await asking.waits(0)


@pytest.mark.parametrize("minutes", [-1, 1])
async def test_a_job_whose_recommender_has_another_time_is_done_as_any_other(
    worker: Worker, asking: Asking, films: str, minutes: int
) -> None:
    theirs = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    job = await asking.ask(
        films, Query(title="alien"), create_time=theirs, deadline=theirs + dt.timedelta(minutes=5)
    )
    await do(worker, asking, 1)
    assert results(await asking.read(job))


async def test_a_copy_says_what_the_message_said(
    asking: Asking, worker: Worker, films: str
) -> None:
    job = await asking.store(films, Query(title="alien"))
    message = aio_pika.Message(
        messages.encode_job(job),
        headers={REQUEST_ID_HEADER: "r1", messages.VERSION_HEADER: 1, "traceparent": "00-1-2-01"},
        message_id=str(job.id),
        reply_to="replies",
    )
    await asking.channel.default_exchange.publish(message, asking.queue)
    worker.flaky.away = 1
    async with asking.taken(1) as deliveries:
        await worker.jobs.handle(deliveries)
        await come(deliveries, 2)
        again = deliveries[1]
        own = {name: v for name, v in again.headers.items() if not name.startswith("x-d")}
        assert {
            name: v for name, v in own.items() if not name.startswith(("x-first", "x-last"))
        } == {
            REQUEST_ID_HEADER: "r1",
            messages.VERSION_HEADER: 1,
            "traceparent": "00-1-2-01",
            DELAYS_HEADER: 1,
        }
        assert (again.message_id, again.reply_to) == (str(job.id), "replies")
        assert again.body == message.body
        await again.ack()


@pytest.mark.parametrize("count", [SUSPICIOUS - 1, SUSPICIOUS])
async def test_a_message_that_nobody_got_as_far_as_to_claim_ends_with_its_job(
    worker: Worker, asking: Asking, films: str, count: int
) -> None:
    """taskiq-aio-pika #35, of a message that kills whoever takes it before its attempt is counted."""
    over = dt.datetime.now(dt.UTC) - delays_module.CLOCKS_APART - dt.timedelta(seconds=1)
    job = await asking.ask(films, Query(title="alien"), deadline=over)
    async with asking.taken(1) as deliveries:
        deliveries[0].redelivered = True
        deliveries[0].__dict__["headers"] = {"x-delivery-count": count}
        await worker.jobs.handle(deliveries)
    await asking.waits(0)
    # The sweep ends the one that was dropped.
    assert (await asking.read(job)).state.ended is (count < SUSPICIOUS)


async def test_a_message_that_came_back_with_headers_that_are_none_holds_up_no_neighbour(
    worker: Worker, asking: Asking, films: str
) -> None:
    jobs = [await asking.ask(films, Query(title=title)) for title in ("alien", "heat")]
    async with asking.taken(2) as deliveries:
        deliveries[0].redelivered = True
        # A table with one entry, whose name is no text.
        deliveries[0]._headers = b"\x00\x00\x00\x03\x01\xff" + b"V"
        await worker.jobs.handle(deliveries)
    await asking.waits(0)
    assert [(await asking.read(job)).state for job in jobs] == [State.SUCCEEDED] * 2
