"""The peers as systems of the harness: which programs each of them is, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.harness.data import Data
from bench.harness.servers import Servers
from bench.harness.system import Process, System, peer_environment
from bench.peers.sanity import over_http
from localmesh.paths import checkout

PYTHON = checkout() / ".local" / "peers" / "bin" / "python"
"""Of the peers' own environment, which `make bench-peers` makes."""
ONE_AT_A_TIME = "sqlmodel"
"""The peer whose worker takes one message at a time."""
_APPS = "bench.peers.apps"


@dataclass(frozen=True, slots=True)
class _Peer:
    """One of them.

    Attributes:
        worker: The arguments of Python that start a worker.
        queues: Those that stay when its programs end.
    """

    worker: tuple[str, ...]
    queues: tuple[str, ...]


_UVICORN = "--host 127.0.0.1 --loop uvloop --http httptools --no-access-log --log-level warning"
_CELERY = "--pool threads --concurrency 2 --without-gossip --without-mingle --without-heartbeat"
_PEERS: Mapping[str, _Peer] = {
    "celery": _Peer(
        worker=(
            *("-m", "celery", "-A", f"{_APPS}.celery_app.tasks", "worker"),
            *("--loglevel", "WARNING", *_CELERY.split()),
        ),
        queues=("bench.celery.jobs",),
    ),
    "faststream": _Peer(
        worker=("-m", f"{_APPS}.faststream_app.worker"),
        queues=("bench.faststream.jobs",),
    ),
    "taskiq": _Peer(
        worker=(
            *("-m", "taskiq", "worker", f"{_APPS}.taskiq_app.tasks:broker"),
            *("--workers", "1", "--max-async-tasks", "64", "--log-level", "WARNING"),
        ),
        queues=("bench.taskiq.jobs", "bench.taskiq.dead"),
    ),
    ONE_AT_A_TIME: _Peer(
        worker=("-m", f"{_APPS}.sqlmodel_app.worker"),
        queues=("bench.sqlmodel.jobs",),
    ),
}
NAMES = tuple(_PEERS)


async def peers(servers: Servers, data: Data, python: Path = PYTHON) -> list[System]:
    """All of them, each with an empty database of its own.

    Args:
        servers: Where they keep their rows and messages.
        data: What they recommend.
        python: Of the environment that has their packages.
    """
    return [await _system(servers, data, name, peer, python) for name, peer in _PEERS.items()]


async def _system(servers: Servers, data: Data, name: str, peer: _Peer, python: Path) -> System:
    port = servers.port()
    env = peer_environment(
        database_url=await servers.database(f"bench_{name}"),
        amqp_url=servers.amqp_url,
        data=data.folder,
        port=port,
    )
    await servers.drop_queues(*peer.queues)
    url = f"http://127.0.0.1:{port}/recommendations"
    web = ("-m", "uvicorn", f"{_APPS}.{name}_app.web:app", "--port", str(port), *_UVICORN.split())
    return System(
        name=name,
        protocol="http",
        load=(str(python), "-m", "bench.peers.load", "--url", url),
        ready=over_http(url, data),
        processes=(
            Process("server", (str(python), *web), env),
            Process("worker", (str(python), *peer.worker), env),
        ),
    )
