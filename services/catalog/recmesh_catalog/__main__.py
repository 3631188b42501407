"""`python -m recmesh_catalog`: the catalog service. With the argument `migrate`: brings its tables up to date."""

from __future__ import annotations

from contextlib import AsyncExitStack

from recmesh.auth.v1 import auth_service_pb2
from recmesh_catalog.catalogs.progress import Progress
from recmesh_catalog.models import SCHEMA
from recmesh_catalog.outbox.age import LOOK_SECONDS, Age
from recmesh_catalog.outbox.outbox import Outbox
from recmesh_catalog.outbox.relay import Relay
from recmesh_catalog.servicer import services
from recmesh_catalog.settings import CatalogSettings
from recmesh_kit import bootstrap
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.health import Health
from recmesh_kit.identity import Identity
from recmesh_kit.layout import INDEX_PROGRESS, topology_of
from recmesh_kit.readiness import Tables
from recmesh_kit.server import serve
from recmesh_kit.tasks import Background, steadily
from recmesh_kit.telemetry.telemetry import telemetry_of

PACKAGE = "recmesh_catalog"
RELAY_SECONDS = 1.0
"""How often the outbox is looked at when nobody says that there is something in it."""
PREFETCH = 100
"""Most messages about indexes in hand."""
DRAIN_SECONDS = 5.0
"""How long what is in hand has at the end."""
AUTH_SECONDS = 5.0
"""Deadline of a call to the auth service."""


async def run(settings: CatalogSettings) -> None:
    """Serves until told to stop."""
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(telemetry_of(settings, PACKAGE))
        database = await stack.enter_async_context(Database.of(settings, PACKAGE))
        telemetry.watch(database.engines)
        broker = await stack.enter_async_context(Broker.of(settings, PACKAGE))
        telemetry.watch_channels(lambda: broker.channels)
        await broker.declare(topology_of("catalog"))
        auth = auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"]
        identity = await stack.enter_async_context(
            Identity(settings.auth_target, auth, timeout_seconds=AUTH_SECONDS)
        )
        background = await stack.enter_async_context(Background())
        # What changes waits in the outbox for the broker: that is no reason to turn callers away, at a start either.
        health = Health(("database", "keys"))
        every = settings.probe_interval_seconds
        health.probe(background, "database", Tables(database, PACKAGE, SCHEMA).check, every)
        identity.watch(background, health, every)
        outbox = Outbox(database)
        relay = Relay(database, broker)
        background.loop("relay", steadily(relay.send_waiting), RELAY_SECONDS, wake=outbox.wake)
        progress = await broker.consume(
            INDEX_PROGRESS.name, Progress(database).handle, prefetch=PREFETCH
        )
        stack.push_async_callback(progress.drain, DRAIN_SECONDS)
        if telemetry.instruments.recording:
            age = Age(database, telemetry.instruments)
            background.loop("outbox age", steadily(age.look), LOOK_SECONDS)
        health.watch_liveness(
            background,
            {"consumers": broker.stalled},
            most_seconds=settings.liveness_seconds,
            every=every,
        )
        await serve(
            settings,
            services(database, outbox),
            verifier=identity.verifier,
            health=health,
            telemetry=telemetry,
        )


if __name__ == "__main__":
    bootstrap.main("catalog", CatalogSettings, run, migrate=(PACKAGE, SCHEMA))
