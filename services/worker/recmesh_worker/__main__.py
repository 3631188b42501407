"""`python -m recmesh_worker`: a worker. It listens for health checks only."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack

import structlog
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from recmesh.auth.v1 import auth_service_pb2
from recmesh.catalog.v1 import catalog_service_pb2
from recmesh_jobs.models import SCHEMA
from recmesh_kit import bootstrap
from recmesh_kit.broker import Broker
from recmesh_kit.channel import connect
from recmesh_kit.database import Database
from recmesh_kit.health import Health
from recmesh_kit.identity import Identity
from recmesh_kit.layout import topology_of
from recmesh_kit.readiness import Tables
from recmesh_kit.server import serve
from recmesh_kit.tasks import Background, steadily
from recmesh_kit.telemetry.telemetry import telemetry_of
from recmesh_worker import converters
from recmesh_worker.answering import Answering
from recmesh_worker.catalog_items import CatalogItems
from recmesh_worker.company import Company
from recmesh_worker.consumer import JobConsumer
from recmesh_worker.consuming import Consuming
from recmesh_worker.delays import Delays
from recmesh_worker.encoder import Encoder, EncoderThread
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.historian import Historian
from recmesh_worker.indexer import Indexer
from recmesh_worker.job_batch import JobBatch
from recmesh_worker.metrics import JobInstruments, ReadModelMetrics
from recmesh_worker.models.registry import create_model
from recmesh_worker.precedence import Precedence
from recmesh_worker.progress import Progress
from recmesh_worker.read_model import ReadModel
from recmesh_worker.replies import Replies
from recmesh_worker.settings import WorkerSettings

log = structlog.get_logger()

NAME = "recmesh_worker"
PACKAGE = "recmesh_jobs"
"""The package that has the migrations of the tables."""
TEXT = "text"
"""The health subject of text queries: up once the encoder is warm."""
CALL_SECONDS = 10.0
"""Deadline of a call to another service."""
LAST_SECONDS = 10.0
"""How long a worker that has been drained may take to let go of the rest."""
LOOK_SECONDS = 0.5
"""How often it is looked whether every queue is consumed, which costs nothing."""


async def run(settings: WorkerSettings) -> None:
    """Works until told to stop. Exits with 1 when the encoder cannot be loaded."""
    # Idle threads of the matrix library spin, and take the cores of those who wait.
    threadpool_limits(settings.compute_threads, user_api="blas")
    health = Health(("database", "consumer"), subjects=(TEXT,))
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(telemetry_of(settings, NAME))
        database = await stack.enter_async_context(Database.of(settings, NAME))
        telemetry.watch(database.engines)
        broker = await stack.enter_async_context(Broker.of(settings, NAME))
        telemetry.watch_channels(lambda: broker.channels)
        identity = await stack.enter_async_context(
            Identity(
                settings.auth_target,
                auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"],
                service_key=settings.service_key.get_secret_value(),
                timeout_seconds=CALL_SECONDS,
            )
        )
        channel = await stack.enter_async_context(
            connect(
                settings.catalog_target,
                [catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"]],
                timeout_seconds=CALL_SECONDS,
                credentials=identity.credentials,
            )
        )
        encoder = EncoderThread(
            Encoder(
                settings.encoder,
                languages=settings.encoder_languages,
                threads=settings.compute_threads,
                precision=settings.encoder_precision,
            )
        )
        stack.push_async_callback(encoder.aclose)
        # The id is read from the files, so that titles are answered before the encoder is there. The filters' parser is
        # built off the loop, before a filter comes.
        encoder_id, _ = await asyncio.gather(
            asyncio.to_thread(encoder.encoder.identify),
            asyncio.to_thread(converters.read_filter, "release_year > 0"),
        )
        encoder.start()
        read_model = ReadModel(
            database,
            encoder=encoder_id,
            dimensions=encoder.encoder.dimensions,
            limit_bytes=settings.memory_limit_bytes,
            metrics=ReadModelMetrics(telemetry.instruments),
        )
        stack.push_async_callback(read_model.aclose)
        ranker = Ranker(
            create_model("content"), create_model("popularity"), settings.encoder_languages
        )
        replies = Replies(broker)
        delays = Delays(broker, settings.attempt_limit)
        precedence, company = Precedence(), Company()
        job_metrics = JobInstruments(telemetry.instruments)

        def job_consumer(
            most_waiting: int, *, bulk: bool = False, alone: bool = False
        ) -> JobConsumer:
            metrics = job_metrics.of(bulk=bulk)
            answering = Answering(
                read_model, encoder, ranker, precedence, bulk=bulk, metrics=metrics
            )
            batch = JobBatch(
                database,
                answering,
                replies,
                delays,
                worker=settings.worker_name,
                lease_seconds=settings.lease_seconds,
                attempt_limit=settings.attempt_limit,
                company=company,
                alone=alone,
                metrics=metrics,
                tracing=telemetry.tracing,
            )
            return JobConsumer(
                batch, answering, read_model, encoder, delays, most_waiting=most_waiting
            )

        background = await stack.enter_async_context(Background())
        await broker.declare(topology_of("worker"))
        catalogs = CatalogItems(channel)
        consuming = Consuming(
            broker,
            jobs=job_consumer(2 * settings.job_batch),
            suspects=job_consumer(1, alone=True),
            bulk=job_consumer(settings.bulk_batch, bulk=True),
            historian=Historian(database, catalogs, encoder_id),
            indexer=Indexer(database, catalogs, encoder),
            settings=settings,
        )
        stack.push_async_callback(consuming.drain, settings.drain_seconds)
        stack.callback(_end_within, settings.drain_seconds + LAST_SECONDS)
        await read_model.preload(settings.preload_seconds)
        # What was loaded stays: the collector need not walk it again and again.
        gc.freeze()
        await consuming.start()

        broken = asyncio.Event()
        background.spawn("warm", _warm(encoder, health, broken))
        background.loop("follow", steadily(read_model.follow), settings.follow_seconds)
        progress = Progress(database, broker, encoder_id)
        background.loop("progress", steadily(progress.tell), settings.progress_seconds)
        every = settings.probe_interval_seconds
        health.probe(background, "database", Tables(database, PACKAGE, SCHEMA).check, every)
        health.probe(background, "consumer", consuming.check, min(every, LOOK_SECONDS))
        stuck = {
            "consumers": broker.stalled,
            "compute": read_model.pulse.stuck,
            "encoder": encoder.pulse.stuck,
        }
        health.watch_liveness(
            background, stuck, most_seconds=settings.liveness_seconds, every=every
        )
        await serve(settings, [], verifier=identity.verifier, health=health, telemetry=telemetry)
    if broken.is_set():
        sys.exit(1)


def _end_within(seconds: float) -> None:
    """Has the process end by then, whatever holds it up: a thread that never comes back, say. It prints where."""
    faulthandler.dump_traceback_later(seconds, exit=True)


async def _warm(encoder: EncoderThread, health: Health, broken: asyncio.Event) -> None:
    """Says when texts are understood. A worker that never will stops as if it were told to: a new one may do better."""
    try:
        await encoder.wait_ready()
    except Exception:
        log.exception("the encoder cannot be loaded")
        broken.set()
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        await health.set(TEXT, up=True)


if __name__ == "__main__":
    bootstrap.main("worker", WorkerSettings, run)
