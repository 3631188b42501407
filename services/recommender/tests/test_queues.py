from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.recommender.v1 import queue_service_pb2 as pb
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.queue_service_pb2_grpc import QueueServiceStub
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import CreateRecommendationRequest
from recmesh_jobs.job import Failure
from recmesh_jobs.leases import LeaseRepository
from recmesh_kit.database import Database
from recmesh_kit.proxy import Proxy
from recmesh_recommender.queues import figures, service, servicer
from services.recommender.tests.conftest import (
    ADMIN,
    ANN,
    EDITOR,
    FILMS,
    SECRET,
    Metadata,
    Replica,
    error_of,
    failure,
    replica_of,
    sql,
    state,
    until,
    until_state,
)
from services.recommender.tests.standin import working

if TYPE_CHECKING:
    from recmesh.recommender.v1.queue_service_pb2_grpc import QueueServiceAsyncStub

BROKEN = Failure(reasons.ERROR_REASON_MODEL_UNAVAILABLE, "No model.")


@dataclass
class Queues:
    """The way to call them."""

    stub: QueueServiceAsyncStub

    @classmethod
    def of(cls, replica: Replica) -> Queues:
        return cls(QueueServiceStub(replica.channel))

    async def stats(self, metadata: Metadata = ADMIN) -> pb.QueueStats:
        return await self.stub.GetQueueStats(
            pb.GetQueueStatsRequest(), metadata=metadata, timeout=60
        )

    async def page(
        self, *, parent: str = "", size: int = 0, token: str = "", metadata: Metadata = ADMIN
    ) -> pb.ListDeadLettersResponse:
        request = pb.ListDeadLettersRequest(parent=parent, page_size=size, page_token=token)
        return await self.stub.ListDeadLetters(request, metadata=metadata, timeout=60)

    async def redrive(
        self,
        *names: str,
        filter_: str = "",
        dry_run: bool = False,
        metadata: Metadata = ADMIN,
    ) -> int:
        request = pb.RedriveDeadLettersRequest(names=names, filter=filter_, dry_run=dry_run)
        answer = await self.stub.RedriveDeadLetters(request, metadata=metadata, timeout=60)
        return answer.redriven_count


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker may be slow to say how its queues stand."""
    monkeypatch.setattr(figures, "BROKER_SECONDS", 60.0)


@pytest.fixture
def queues(replica: Replica) -> Queues:
    return Queues.of(replica)


async def given_up(
    replica: Replica,
    database: Database,
    many: int = 1,
    *,
    parent: str = FILMS,
    failure: Failure = BROKEN,
) -> list[Recommendation]:
    """Jobs that were given up. Their messages are still there: the queue has more than the rows."""
    jobs = [
        await replica.create(Query(title=f"No. {n}"), parent=parent, metadata=EDITOR)
        for n in range(many)
    ]
    ids = [UUID(job.name.rpartition("/")[2]) for job in jobs]
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claims = (await leases.claim(ids, 30)).claims
        await leases.fail([(claims[id_], failure) for id_ in ids])
    return jobs


async def test_the_figures_say_how_the_queues_stand(
    queues: Queues, replica: Replica, database: Database, amqp_url: str
) -> None:
    await given_up(replica, database)
    async with working(database, amqp_url, held=True) as worker:
        for _ in range(3):
            await replica.create()
        await replica.batch(
            [
                CreateRecommendationRequest(
                    parent=FILMS, recommendation=Recommendation(query=Query(title="Ran"))
                )
            ]
        )
        await until(lambda: len({queue for queue, _ in worker.taken}) == 2)
        await sql(
            database,
            "UPDATE recommender.jobs SET create_time = create_time - interval '1 h' WHERE lane = 2",
        )
        found = await queues.stats()
        async with asyncio.timeout(60):
            # Of a queue that does not answer within a quarter of a second the broker says that nobody consumes it.
            while sum(queue.consumer_count for queue in found.queues) < 3:
                found = await queues.stats()
        worker.gate.set()
    by_id = {queue.id: queue for queue in found.queues}
    assert list(by_id) == [
        "interactive",
        "bulk",
        "suspect",
        "training",
        "index",
        "history",
        "delay.1s",
        "delay.10s",
        "delay.60s",
    ]
    assert found.broker_reachable
    assert (found.unfinished_count, found.admission_limit) == (4, 10_000)
    assert found.dead_letter_count == 1
    assert by_id["interactive"].consumer_count == by_id["bulk"].consumer_count == 1
    # The stand-in takes one after the other.
    assert by_id["interactive"].unacknowledged_count >= 1
    assert by_id["bulk"].unacknowledged_count == 1
    assert 3600 <= by_id["bulk"].oldest_age.seconds < 7200
    assert by_id["interactive"].oldest_age.seconds < 3600
    assert not by_id["suspect"].HasField("oldest_age")
    assert not by_id["index"].HasField("oldest_age")


async def test_what_waits_at_the_broker_is_counted(queues: Queues, replica: Replica) -> None:
    for _ in range(3):
        await replica.create()
    async with asyncio.timeout(60):
        while (
            next(q for q in (await queues.stats()).queues if q.id == "interactive").ready_count < 3
        ):
            pass


@pytest.mark.parametrize("hangs", [False, True])
async def test_without_the_broker_the_rows_tell_their_part(
    database: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    monkeypatch.setattr(figures, "BROKER_SECONDS", 0.2)
    async with replica_of(database, proxy.url) as replica:
        if hangs:
            proxy.hang()
        else:
            await proxy.close()
            await until(lambda: not replica.broker.connected)
        await replica.create()
        found = await Queues.of(replica).stats()
        proxy.resume()
    assert not found.broker_reachable
    assert found.unfinished_count == 1
    assert {queue.ready_count for queue in found.queues} == {0}
    assert len(found.queues) == 9


async def test_letters_are_listed_by_the_page_from_the_newest_on(
    queues: Queues, replica: Replica, database: Database
) -> None:
    jobs = [(await given_up(replica, database))[0] for _ in range(3)]
    jobs += await given_up(replica, database, parent=SECRET)
    names, token = [], ""
    while True:
        page = await queues.page(size=3, token=token)
        names += [letter.recommendation.name for letter in page.dead_letters]
        if not (token := page.next_page_token):
            break
    assert names == [job.name for job in reversed(jobs)]
    (secret,) = (await queues.page(parent=SECRET)).dead_letters
    assert secret.recommendation.name == jobs[-1].name
    assert secret.recommendation.query.title == "No. 0"
    assert secret.recommendation.error.reason == reasons.ERROR_REASON_MODEL_UNAVAILABLE
    assert secret.recommendation.error.message == "No model."
    assert secret.recommendation.attempt_count == 1
    assert state(secret.recommendation) == "FAILED"
    assert secret.HasField("create_time")
    assert not secret.HasField("redrive_time")
    wrong = (await queues.page(size=1)).next_page_token
    bad = "INVALID_ARGUMENT INVALID_PAGE_TOKEN"
    assert await failure(queues.page(parent=SECRET, token=wrong)) == bad


async def test_a_page_of_long_queries_fits_into_a_message(
    queues: Queues, replica: Replica, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "MAX_PAGE_BYTES", 1)
    await given_up(replica, database, 2)
    page = await queues.page()
    assert len(page.dead_letters) == 1
    assert len((await queues.page(token=page.next_page_token)).dead_letters) == 1


async def test_what_is_put_back_is_answered(
    queues: Queues, replica: Replica, database: Database, amqp_url: str
) -> None:
    first, second = await given_up(replica, database, 2)
    assert await queues.redrive(first.name, dry_run=True) == 1
    assert state(await replica.get(first.name, EDITOR)) == "FAILED"
    assert await queues.redrive(first.name) == 1
    async with working(database, amqp_url):
        done = await until_state(replica, first.name, "SUCCEEDED")
    assert (done.attempt_count, done.error.reason) == (1, 0)
    assert state(await replica.get(second.name, EDITOR)) == "FAILED"
    # It is not put back twice, and says so still.
    assert await queues.redrive(first.name) == 0
    letters = {x.recommendation.name: x for x in (await queues.page()).dead_letters}
    assert letters[first.name].HasField("redrive_time")
    assert state(letters[first.name].recommendation) == "SUCCEEDED"
    assert letters[first.name].recommendation.error.message == "No model."
    assert (await queues.stats()).dead_letter_count == 1


async def test_a_filter_puts_back_what_it_selects_more_than_a_page_of_them(
    queues: Queues,
    replica: Replica,
    database: Database,
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "AT_ONCE", 2)
    jobs = await given_up(replica, database, 5)
    (other,) = await given_up(
        replica, database, failure=Failure(reasons.ERROR_REASON_INTERNAL, "Broken.")
    )
    wanted = "reason = ERROR_REASON_MODEL_UNAVAILABLE AND catalog = catalogs/films"
    assert await queues.redrive(filter_=wanted, dry_run=True) == 5
    # Two admins at once put each back once.
    both = await asyncio.gather(*(queues.redrive(filter_=wanted) for _ in range(2)))
    assert sum(both) == 5
    async with working(database, amqp_url):
        for job in jobs:
            await until_state(replica, job.name, "SUCCEEDED")
    assert state(await replica.get(other.name, EDITOR)) == "FAILED"
    assert await queues.redrive(filter_="*") == 1


async def test_a_name_that_is_no_dead_letter_and_none_is_put_back(
    queues: Queues, replica: Replica, database: Database
) -> None:
    (job,) = await given_up(replica, database)
    alive = await replica.create()
    id_ = job.name.rpartition("/")[2]
    for wrong in (
        alive.name,
        f"{FILMS}/recommendations/nothing",
        f"{FILMS}/recommendations/{id_.upper()}",
        f"{SECRET}/recommendations/{id_}",
    ):
        for dry_run in (True, False):
            call = queues.redrive(job.name, wrong, dry_run=dry_run)
            assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND", wrong
    assert state(await replica.get(job.name, EDITOR)) == "FAILED"


async def test_what_is_asked_badly(queues: Queues, replica: Replica, database: Database) -> None:
    (job,) = await given_up(replica, database)
    bad = "INVALID_ARGUMENT INVALID_FIELD filter"
    assert await failure(queues.redrive()) == bad
    assert await failure(queues.redrive(filter_="  ")) == bad
    assert await failure(queues.redrive(job.name, filter_="*")) == bad
    none = "INVALID_ARGUMENT INVALID_FILTER filter"
    assert await failure(queues.redrive(filter_="user = ann")) == none
    assert await failure(queues.redrive(filter_="reason = BAD_LUCK")) == none
    assert await failure(queues.redrive(filter_="catalog = films")) == none
    assert state(await replica.get(job.name, EDITOR)) == "FAILED"


@pytest.mark.usefixtures("counted_once")
async def test_no_more_are_put_back_than_there_is_room_for(
    database: Database, amqp_url: str
) -> None:
    async with replica_of(database, amqp_url, admission_limit=5, bulk_share=0.8) as replica:
        queues = Queues.of(replica)
        await replica.recommender._admission.refresh()
        await given_up(replica, database, 5)
        await replica.recommender._admission.refresh()
        # One place is kept for people.
        assert await queues.redrive(filter_="*", dry_run=True) == 5
        assert await queues.redrive(filter_="*") == 4
        error = await error_of(queues.redrive(filter_="*"))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await replica.create()


async def test_it_is_for_admins_of_the_deployment(queues: Queues) -> None:
    for metadata in (ANN, EDITOR):
        for call in (
            queues.stats(metadata),
            queues.page(metadata=metadata),
            queues.redrive(filter_="*", metadata=metadata),
        ):
            assert await failure(call) == "PERMISSION_DENIED ROLE_REQUIRED"
