import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import aio_pika

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh.events.v1.job_events_pb2 import Answer as AnswerMessage
from recmesh.events.v1.job_events_pb2 import IndexAdvanced
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.states import Lane, State
from recmesh_kit import layout
from recmesh_kit.database import Database
from recmesh_kit.proxy import Proxy
from recmesh_worker.encoder import DEFAULT_SOURCE, Encoder
from recmesh_worker.encoder.source import folder
from services.worker.tests.conftest import Asking, eventually, history_of, indexed, written
from services.worker.tests.processes import FILMS, LIMIT, living


async def test_from_start_to_stop(
    environment: dict[str, str],
    jobs: Asking,
    database: Database,
    catalog: str,
    tmp_path: Path,
) -> None:
    encoder = Encoder()
    encoder.identify()
    async with database.transaction() as session:
        items = [indexed(catalog, name, vector=None) for name in ("alien", "heat")]
        await IndexRepository(session, encoder.id).upsert(catalog, items)
    fresh = f"{catalog}-fresh"
    exchange = await jobs.channel.get_exchange(layout.CATALOG_EVENTS.name)
    await exchange.publish(_message(fresh, list(FILMS)), f"item.{fresh}")
    _, liked = written(
        fresh,
        Interaction(user="ada", item=f"catalogs/{fresh}/items/whale", type=Interaction.TYPE_LIKE),
    )
    await exchange.publish(aio_pika.Message(liked), f"interaction.{fresh}")
    progress = await jobs.channel.declare_queue(f"progress-{fresh}", durable=True)
    await progress.bind(layout.RECOMMENDER_EVENTS.name, layout.index_key(fresh))
    # They wait when it starts.
    text = await jobs.ask(catalog, Query(text="a monster hunts a crew"))
    title = await jobs.ask(catalog, Query(title="alien"))
    bulk = await replace(jobs, queue=layout.BULK.name).ask(
        catalog, Query(title="heat"), lane=Lane.BULK
    )
    async with living(environment, tmp_path / "log") as life:
        await life.until_serving()
        await life.until_serving("text")
        for job in (text, title, bulk):
            await jobs.heard(job)
            assert (await jobs.read(job)).state is State.SUCCEEDED

        async def indexed_by_now() -> bool:
            found = await jobs.ask(fresh, Query(text="steal a secret from a dream", limit=1))
            await jobs.heard(found)
            answer = AnswerMessage.FromString((await jobs.read(found)).answer or b"")
            return [result.title for result in answer.results] == ["The Dream Job"]

        await eventually(indexed_by_now, LIMIT)

        async def told_how_far_it_is() -> bool:
            message = await progress.get(fail=False, no_ack=True)
            if message is None:
                return False
            return IndexAdvanced.FromString(message.body).searchable_item_count == len(FILMS)

        await eventually(told_how_far_it_is, LIMIT)
        await progress.delete(if_unused=False, if_empty=False)

        async def known_what_she_did() -> bool:
            async with database.transaction() as session:
                found = await history_of(session, fresh, "ada")
            return [event.item for event in found] == ["whale"]

        await eventually(known_what_she_did, LIMIT)

        many = [await jobs.store(catalog, Query(title="alien")) for _ in range(300)]
        sending = asyncio.create_task(jobs.send(*many))
        await jobs.heard(many[0])
        life.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            code = await life.end()
        await sending
    assert code == 0, (tmp_path / "log").read_text()
    read = [await jobs.read(job) for job in many]
    assert {job.state for job in read} <= {State.QUEUED, State.SUCCEEDED}
    # To be stopped is no attempt, and what was not done is not acknowledged (FastStream #1648).
    queued = [job for job in read if job.state is State.QUEUED]
    assert {job.attempts for job in queued} <= {0}
    await jobs.waits(len(queued))


async def test_a_worker_whose_encoder_cannot_be_loaded_ends(
    environment: dict[str, str], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in folder(DEFAULT_SOURCE).iterdir():
        if path.name != "model.safetensors":
            (model / path.name).symlink_to(path)
    # Without a single weight.
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    log = tmp_path / "log"
    async with living(environment | {"RECMESH_ENCODER": str(model)}, log) as life:
        assert await life.end() == 1
    assert "the encoder cannot be loaded" in log.read_text()


async def test_a_worker_ends_in_time_though_all_that_it_needs_hangs(
    environment: dict[str, str], jobs: Asking, catalog: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with (
        Proxy.to(environment["DATABASE_URL"]) as database,
        Proxy.to(environment["AMQP_URL"]) as broker,
        living(
            environment
            | {
                "DATABASE_URL": database.url,
                "AMQP_URL": broker.url,
                "RECMESH_DRAIN_SECONDS": "1",
                "RECMESH_DATABASE_TIMEOUT_SECONDS": "2",
                "RECMESH_BROKER_TIMEOUT_SECONDS": "2",
            },
            log,
        ) as life,
    ):
        await life.until_serving()
        database.hang()
        job = await jobs.ask(catalog, Query(title="alien"))
        await jobs.waits(0)
        broker.hang()
        life.process.send_signal(signal.SIGTERM)
        assert await life.end() >= 0, log.read_text()
    # It is somebody's still: nobody has said that it is done.
    await jobs.waits(1)
    assert (await jobs.read(job)).state in (State.QUEUED, State.RUNNING)


def _message(catalog: str, items: list[str]) -> aio_pika.Message:
    changes = [events.ItemChange(item=item, revision=1) for item in items]
    changed = events.ItemsChanged(version=1, catalog=catalog, changes=changes)
    return aio_pika.Message(changed.SerializeToString())
