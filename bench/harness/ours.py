"""The mesh as a system of the harness, with the items that all systems have."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import cast

from bench.harness.calling import CATALOG, answers_grpc
from bench.harness.data import Data
from bench.harness.processes import BrokenSystem, Usage
from bench.harness.servers import Servers
from bench.harness.system import System
from recmesh_client import AlreadyExists, AsyncClient
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.items import IndexedItem
from recmesh_kit.database import Database
from recmesh_worker.encoder import Encoder, Precision
from recmesh_worker.settings import WorkerSettings

NAME = "recmesh"
WATCH_NAME = "recmesh create+watch"
CHUNK = 500
_TIMEOUT_SECONDS = 60.0
_AT_REST = 0.15
"""Of a core: what a mesh uses that nobody calls is less."""
_LOOK_SECONDS = 2.0
_REST_SECONDS = 1800.0


async def seed(servers: Servers, client: AsyncClient, data: Data) -> None:
    """Makes the catalog, and its items in the read model, as if they had been indexed: no text is embedded. What is
    there already stays.
    """
    with suppress(AlreadyExists):
        await client.create_catalog(CATALOG, display_name="Benchmarks")
    encoder = _encoder().identify()
    rows = [
        IndexedItem(catalog=CATALOG, item=item, revision=1, seq=0, title=title, vector=vector)
        for item, title, vector in zip(data.ids, data.titles, data.vectors, strict=True)
    ]
    database = Database(
        servers.admin_url,
        pool_size=1,
        timeout_seconds=_TIMEOUT_SECONDS,
        application_name="bench",
    )
    async with database:
        for start in range(0, len(rows), CHUNK):
            async with database.transaction() as session:
                await IndexRepository(session, encoder).upsert(CATALOG, rows[start : start + CHUNK])


async def rest(servers: Servers) -> None:
    """Waits until the mesh rests: its worker may have items to embed that were imported before.

    Raises:
        BrokenSystem: It does not come to rest.
    """
    until = time.monotonic() + _REST_SECONDS
    told = False
    while time.monotonic() < until:
        pids = [pid for some in servers.members(shared=False).values() for pid in some]
        before = Usage().of(pids)
        await asyncio.sleep(_LOOK_SECONDS)
        if (Usage().of(pids) - before) / _LOOK_SECONDS < _AT_REST:
            return
        if not told:
            told = True
            print("the mesh is at work (items to embed?): waiting for it to rest", file=sys.stderr)
    raise BrokenSystem("the mesh does not come to rest")


def _encoder() -> Encoder:
    """The one that the mesh's workers have, from the variables that they get too."""
    fields = WorkerSettings.model_fields
    return Encoder(
        os.environ.get("RECMESH_ENCODER", fields["encoder"].default),
        precision=cast(
            "Precision",
            os.environ.get("RECMESH_ENCODER_PRECISION", fields["encoder_precision"].default),
        ),
    )


def recommend(servers: Servers, client: AsyncClient, target: str, data: Data) -> System:
    """`Recommend` of the mesh that runs."""
    return _system(servers, client, target, data, NAME, "recommend")


def create_watch(servers: Servers, client: AsyncClient, target: str, data: Data) -> System:
    """`CreateRecommendation` and `WatchRecommendation` of the mesh that runs."""
    return _system(servers, client, target, data, WATCH_NAME, "create-watch")


def _system(
    servers: Servers, client: AsyncClient, target: str, data: Data, name: str, shape: str
) -> System:
    async def token() -> str:
        return (await client.token()).access_token

    async def environment() -> Mapping[str, str]:
        return {"BENCH_TOKEN": await token()}

    return System(
        name=name,
        protocol="grpc",
        load=(sys.executable, "-m", "bench.harness.load", "--target", target, "--shape", shape),
        load_env=environment,
        ready=answers_grpc(target, data.ids[0], shape, token),
        running=partial(servers.members, shared=False),
    )
