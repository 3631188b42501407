"""What is measured: a system of processes, and how it is called.

All systems work on the same PostgreSQL, the same RabbitMQ and the same items, and are asked the same: ten items similar
to a given one, with ids, titles and scores. The job goes through a durable queue, its row is stored before and its
result row is committed before the caller is answered.

**Environment.** Each process gets `PATH`, `HOME`, `LANG` and what its `Process.env` says, and no more.
`peer_environment` makes the one that systems over HTTP get:

- `DATABASE_URL`: `postgresql://…`, a database of the system's own, empty at the start of a run.
- `AMQP_URL`: `amqp://…`, a vhost that all systems share: names of queues and exchanges begin with `bench.<name>.`.
- `BENCH_DATA`: a folder with `vectors.npy` (float32, (10000, 384), unit length) and `items.json` (a list of
  `{"id", "title"}`, in the order of the vectors).
- `PORT`: where the server listens, on 127.0.0.1.
- `OMP_NUM_THREADS` and `OPENBLAS_NUM_THREADS`: 1.

**HTTP.** `POST /recommendations` with JSON `{"item": "<id>", "limit": 10}` answers 200 and
`{"id": …, "results": [{"item", "title", "score"}, …]}` once the job is done; the caller waits. `GET /health` answers
200 when all that a call needs is up, the workers too if the server can tell.

**Load generators** are commands (`System.load`) to which the harness appends `--in-flight N --seconds S --warm-up S
--ids FILE` (a JSON list of ids to ask for, by turns), and perhaps `--rate R`. One keeps N calls in flight for the
warm-up, lets them end, prints a line `begin`, keeps N in flight for S seconds, lets them end, and prints one line of
JSON, the fields of `Load`. Nothing else goes to stdout. An answer that has not ten results is an error. With a rate, R
calls begin in each second, evenly spaced, however many are in flight (but at most N), and a latency counts from the
moment at which its call was due; a generator that does not offer it has no such option. `bench.harness.load` is the
one for gRPC.

**A run.** `bench.harness.servers.Servers` makes databases and knows the broker, `bench.harness.data.make` writes the
items, `bench.harness.rounds.run` starts a list of systems and measures them by turns, `bench.harness.report` makes
figures and a table of what it found, and `bench.harness.results` prints the record (`header(…) | {…}`) and keeps it for
the plots: with `levels`, what `report.all_figures` gives.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Literal
from urllib.parse import urlsplit

INHERITED = ("PATH", "HOME", "LANG")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""For numpy: idle threads that spin would take the other processes' cores."""
_HEALTH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Process:
    """One program of a system.

    Attributes:
        role: What its share of the processor is counted as: `server`, `worker`.
        argv: The command, run in the root of the checkout.
        env: Its environment, beside what all get.
    """

    role: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class System:
    """A system under test.

    Attributes:
        name: In tables and results.
        protocol: How it is called.
        load: The command of the load generator, but for what the harness appends.
        ready: Whether it takes calls; asked again and again after the start, and for the workers too if it can tell.
        processes: What the harness starts, in this order, and ends in the other; children are counted with them.
        prepare: What is run to its end before, one after the other: migrations, say.
        load_env: Environment of the load generator, beside what all get; asked for before each run, so that a token
            is fresh.
        running: Role to process ids of what runs already and is not the harness's to start or end.
    """

    name: str
    protocol: Literal["grpc", "http"]
    load: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    processes: tuple[Process, ...] = ()
    prepare: tuple[Process, ...] = ()
    load_env: Callable[[], Awaitable[Mapping[str, str]]] | None = None
    running: Callable[[], Mapping[str, Sequence[int]]] = dict


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator says.

    Attributes:
        calls: How many succeeded.
        errors: How many did not.
        seconds: From `begin` to the end of the last call.
        jobs_per_s: `calls / seconds`.
        p50_ms: Latency that half of the calls do not exceed.
        p99_ms: The same of 99 in a hundred.
        cpu_ms: Of the processor, by the generator itself, per call.
    """

    calls: int
    errors: int
    seconds: float
    jobs_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def peer_environment(
    *, database_url: str, amqp_url: str, data: os.PathLike[str], port: int
) -> dict[str, str]:
    """What the processes of a system over HTTP are told."""
    return {
        "DATABASE_URL": database_url,
        "AMQP_URL": amqp_url,
        "BENCH_DATA": os.fspath(data),
        "PORT": str(port),
        **ONE_THREAD,
    }


def base_environment() -> dict[str, str]:
    """What every process gets."""
    return {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        "PYTHONUNBUFFERED": "1",
    }


def answers_http(url: str) -> Callable[[], Awaitable[bool]]:
    """A check of readiness: whether `GET url` answers 200."""
    parts = urlsplit(url)

    def ask() -> bool:
        connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_HEALTH_SECONDS)
        try:
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    async def ready() -> bool:
        return await asyncio.to_thread(ask)

    return ready
