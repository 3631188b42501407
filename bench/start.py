"""`make bench-start`: a worker with 10,000 items in its read model, from exec to its first answers.

Promised: half of the starts take less than 4 s from exec to the first answered `Recommend` (health
says SERVING before). Text queries come when health says SERVING for the subject `text`; when, is said, too. Needs a
mesh without workers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import grpc
import psutil
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

from bench.harness.calling import CATALOG, LIMIT
from bench.harness.data import Data, make
from bench.harness.ours import seed
from bench.harness.servers import Servers
from localmesh.environment import Environment
from localmesh.paths import Paths
from localmesh.plan import Plan
from localmesh.ports import Ports, address
from localmesh.servers import Broker, Database
from localmesh.state import running_state
from recmesh_client import AsyncClient, Password, Targets

STARTS = 5
MOST_SECONDS = 4.0
LIMIT_SECONDS = 120.0
POLL_SECONDS = 0.02
IMPORTS = 8
_TEXT = "text"
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


async def main(root: Path | None, starts: int) -> bool:
    """Starts workers one after the other, prints; says whether what is promised holds."""
    servers = Servers.of(root)
    if "worker" in servers.members(shared=False):
        sys.exit("the mesh has a worker: `localmesh exec --workers 0 -- …`")
    data = make(servers.local / "data")
    environment, port = _worker(servers)
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    async with AsyncClient.connect(Targets.from_environment(), credentials=admin) as client:
        await seed(servers, client, data)
        log = servers.local / "start.log"
        found = [await _start(client, data, environment, port, log) for _ in range(starts)]
    _print(found, _imports())
    return median(one["first_answer_s"] for one in found) < MOST_SECONDS


def _worker(servers: Servers) -> tuple[dict[str, str], int]:
    """What a worker of the mesh is told, and the port of its health."""
    state = running_state(Paths(servers.root / ".local"))
    ports = Ports(state.port_offset if state else 0)
    plan = Plan(root=servers.root, ports=ports, workers=1, person=os.environ)
    made = Environment(
        os.environ, plan.vault, ports, Database(plan).urls, Broker(plan).urls
    ).worker(0)
    return made, ports.worker(0)


async def _start(
    client: AsyncClient, data: Data, environment: dict[str, str], port: int, log: Path
) -> dict[str, float]:
    """One life of a worker: seconds from exec to each state, and what it takes."""
    with log.open("wb") as output:
        began = perf_counter()
        child = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            (sys.executable, "-m", "recmesh_worker"), env=environment, stdout=output, stderr=output
        )
    process = psutil.Process(child.pid)
    try:
        # Another channel would back off while nobody listens.
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]
        async with grpc.aio.insecure_channel(address(port), options=options) as channel:
            warm = asyncio.create_task(_serving(channel, _TEXT, child, began))
            serving = await _serving(channel, "", child, began)
            cpu = process.cpu_times()
            answer = await client.recommend(CATALOG, item=data.ids[0], limit=LIMIT)
            answered = perf_counter() - began
            text = await warm
        assert len(answer.results) == LIMIT
        await client.recommend(CATALOG, text="a heist inside a dream", limit=LIMIT)
        rss = process.memory_info().rss
    finally:
        child.send_signal(signal.SIGTERM)
        await asyncio.to_thread(child.wait, LIMIT_SECONDS)
    return {
        "serving_s": round(serving, 2),
        "first_answer_s": round(answered, 2),
        "text_s": round(text, 2),
        "cpu_to_serving_s": round(cpu.user + cpu.system, 2),
        "rss_mb": rss // 2**20,
    }


async def _serving(
    channel: grpc.aio.Channel, subject: str, child: subprocess.Popen[bytes], began: float
) -> float:
    """Seconds from `began` until health says SERVING."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=subject)
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            try:
                state = await stub.Check(request, timeout=LIMIT_SECONDS)
            except grpc.RpcError:
                state = health_pb2.HealthCheckResponse()
            if state.status == health_pb2.HealthCheckResponse.SERVING:
                return perf_counter() - began
            if child.poll() is not None:
                sys.exit(f"the worker ended with {child.returncode}")
            await asyncio.sleep(POLL_SECONDS)


def _imports() -> Counter[str]:
    """Seconds that a worker's imports take, by package, without what each imports in turn."""
    command = (sys.executable, "-X", "importtime", "-c", "import recmesh_worker.__main__")
    out = subprocess.run(command, capture_output=True, text=True, check=True).stderr  # noqa: S603
    found: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(out):
        found[module.partition(".")[0]] += int(microseconds)
    return found


def _print(found: list[dict[str, float]], imports: Counter[str]) -> None:
    console = Console(width=100)
    table = Table("start", "serving s", "first answer s", "text s", "CPU to serving s", "RSS MB")
    for number, one in enumerate(found, 1):
        table.add_row(str(number), *(f"{value:g}" for value in one.values()))
    console.print(table)
    drawn = Table("imports", "seconds")
    drawn.add_row("all", f"{imports.total() / 1e6:.2f}")
    for package, microseconds in imports.most_common(IMPORTS):
        drawn.add_row(package, f"{microseconds / 1e6:.2f}")
    console.print(drawn)
    summary: dict[str, object] = {
        "benchmark": "start",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "starts": len(found),
        **{name: median(one[name] for one in found) for name in found[0]},
        "longest_s": max(one["first_answer_s"] for one in found),
        "imports_s": round(imports.total() / 1e6, 2),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="From exec to a worker's first answers.")
    parser.add_argument("--root", type=Path, help="of the mesh; default: this checkout")
    parser.add_argument("--starts", type=int, default=STARTS)
    given = parser.parse_args()
    sys.exit(0 if uvloop.run(main(given.root, given.starts)) else 1)
