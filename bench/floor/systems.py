"""The floor as systems of the harness."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from bench.harness.calling import answers_grpc
from bench.harness.data import Data
from bench.harness.servers import Servers
from bench.harness.system import Process, System, peer_environment

NAME = "floor"
WATCH_NAME = "floor create+watch"


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the floor's.

    Attributes:
        name: Of the system.
        module: Of the server, in `bench.floor`.
        calls: How the load generator calls it.
    """

    name: str
    module: str
    calls: str

    @property
    def queue(self) -> str:
        """Where its jobs go."""
        return f"bench.floor.{self.module}"

    def system(self, *, database_url: str, amqp_url: str, data: Data, port: int) -> System:
        """One server and one worker."""
        env = peer_environment(
            database_url=database_url, amqp_url=amqp_url, data=data.folder, port=port
        )
        env["BENCH_QUEUE"] = self.queue
        target = f"127.0.0.1:{port}"
        python = (sys.executable, "-m")
        return System(
            name=self.name,
            protocol="grpc",
            load=(*python, "bench.harness.load", "--target", target, "--shape", self.calls),
            ready=answers_grpc(target, data.ids[0], self.calls),
            processes=(
                Process("server", (*python, f"bench.floor.{self.module}"), env),
                Process("worker", (*python, "bench.floor.worker"), env),
            ),
        )


RECOMMEND = Shape(NAME, "server", "recommend")
CREATE_WATCH = Shape(WATCH_NAME, "watch_server", "create-watch")


async def floor(servers: Servers, data: Data) -> System:
    """`Recommend` by hand."""
    return await _beside(RECOMMEND, servers, data)


async def floor_watch(servers: Servers, data: Data) -> System:
    """`CreateRecommendation` and `WatchRecommendation` by hand."""
    return await _beside(CREATE_WATCH, servers, data)


async def _beside(shape: Shape, servers: Servers, data: Data) -> System:
    """On the mesh's servers, with an empty database and queue of its own."""
    await servers.drop_queues(shape.queue)
    return shape.system(
        database_url=await servers.database(f"bench_floor_{shape.module}"),
        amqp_url=servers.amqp_url,
        data=data,
        port=servers.port(),
    )
