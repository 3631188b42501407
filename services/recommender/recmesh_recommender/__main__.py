"""`python -m recmesh_recommender`: the recommender. With the argument `migrate`: brings its tables up to date."""

from __future__ import annotations

from contextlib import AsyncExitStack

from recmesh.auth.v1 import auth_service_pb2
from recmesh.catalog.v1 import catalog_service_pb2, interaction_service_pb2
from recmesh_jobs.models import SCHEMA
from recmesh_kit import bootstrap
from recmesh_kit.broker import Broker
from recmesh_kit.channel import connect
from recmesh_kit.database import Database
from recmesh_kit.health import Health
from recmesh_kit.identity import Identity
from recmesh_kit.readiness import Tables
from recmesh_kit.server import serve
from recmesh_kit.tasks import Background
from recmesh_kit.telemetry.telemetry import telemetry_of
from recmesh_recommender.assembly import Recommender
from recmesh_recommender.catalog_client import CatalogClient
from recmesh_recommender.servicer import services
from recmesh_recommender.settings import RecommenderSettings
from recmesh_recommender.verify.catalog_source import ExportSource
from recmesh_recommender.verify.repairs import Repairs
from recmesh_recommender.verify.service import Verifier
from recmesh_recommender.verify.servicer import index_service

NAME = "recmesh_recommender"
PACKAGE = "recmesh_jobs"
"""The package that has the migrations."""
CALL_SECONDS = 5.0
"""Deadline of a call to another service."""


async def run(settings: RecommenderSettings) -> None:
    """Serves until told to stop."""
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
                [
                    catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
                    interaction_service_pb2.DESCRIPTOR.services_by_name["InteractionService"],
                ],
                timeout_seconds=CALL_SECONDS,
                credentials=identity.credentials,
                tracing=telemetry.tracing,
            )
        )
        background = await stack.enter_async_context(Background())
        catalog = CatalogClient(channel)
        recommender = await stack.enter_async_context(
            Recommender(settings, database, broker, catalog.is_public, background, telemetry)
        )
        verifier = Verifier(database, ExportSource(channel), Repairs(broker))
        # Jobs are accepted without the broker, at a start too: it is no reason to turn callers away.
        health = Health(("database", "keys"))
        every = settings.probe_interval_seconds
        tables = Tables(database, PACKAGE, SCHEMA, recommender.start)
        health.probe(background, "database", tables.check, every)
        identity.watch(background, health, every)
        health.watch_liveness(
            background,
            {"consumers": broker.stalled},
            most_seconds=settings.liveness_seconds,
            every=every,
        )
        await serve(
            settings,
            [*services(recommender), index_service(verifier)],
            verifier=identity.verifier,
            health=health,
            telemetry=telemetry,
            before_drain=recommender.room.close,
        )


if __name__ == "__main__":
    bootstrap.main("recommender", RecommenderSettings, run, migrate=(PACKAGE, SCHEMA))
