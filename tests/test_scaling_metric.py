"""What the worker's HPA is told (deploy/k8s/components/queue-hpa) and what KEDA asks (components/keda): the shipped
queries, asked of a real Prometheus that reads a real mesh; and of made-up figures, what it says when some are missing.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aio_pika
import pytest
import yaml

from bench.hpa_sim import shipped
from localmesh.debian import program
from localmesh.ports import Ports, address
from localmesh.rabbitmq import ADMIN
from localmesh.vault import Vault
from recmesh_client import (
    AsyncClient,
    Interaction,
    InteractionType,
    Item,
    Order,
    Password,
    Query,
    Targets,
)
from recmesh_kit.layout import INDEX, INTERACTIVE
from tests.conftest import LocalMesh
from tests.monitoring import Prometheus

KEDA = shipped.FOLDER.parent / "keda" / "scaled-object.yaml"
START_SECONDS = 600
WAIT_SECONDS = 180.0
JOBS, BULK, INTERACTIONS = 40, 50, 3
CHANGES = 2 + 1 + INTERACTIONS
"""Messages: of the catalog, one to each queue; of the items; of each interaction."""
TARGET = shipped.shape().target


def triggers() -> dict[str, dict[str, str]]:
    return {
        one["name"]: one["metadata"] for one in yaml.safe_load(KEDA.read_text())["spec"]["triggers"]
    }


def wanted(jobs: int, bulk: int, changes: int) -> float:
    """By the sentences beside the query."""
    return jobs / 1000 + bulk / 10_000 + changes / 100


@pytest.fixture(scope="module")
def ports(free_offset: Callable[[], int]) -> Ports:
    return Ports(free_offset())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[Path]:
    """A mesh without workers, with two recommenders, and watched."""
    root = tmp_path_factory.mktemp("mesh")
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "AMQP_URL")},
        "RECMESH_PORT_OFFSET": str(ports.offset),
        # Nobody does the jobs, and however long this takes, none is to expire.
        "RECMESH_JOB_DEADLINE_SECONDS": "86400",
    }
    localmesh = [sys.executable, "-m", "localmesh", "--root", str(root)]
    subprocess.run(  # noqa: S603 - a list, no shell
        [*localmesh, "up", "--workers", "0", "--recommenders", "2", "--monitoring=0.5"],
        check=True,
        env=environment,
        timeout=START_SECONDS,
    )
    try:
        yield root
    finally:
        subprocess.run([*localmesh, "down"], check=True, env=environment, timeout=300)  # noqa: S603


@pytest.fixture(scope="module")
async def quiet(root: Path, ports: Ports) -> AsyncIterator[AsyncClient]:
    targets = Targets(address(ports.auth), address(ports.catalog), address(ports.recommender))
    vault = Vault(root / ".local" / "secrets")
    credentials = Password("admin@recmesh.local", vault.password("admin"))
    async with AsyncClient.connect(targets, credentials=credentials) as client:
        yield client


async def becomes(prometheus: Prometheus, query: str, value: float) -> None:
    """Waits until this is the answer: one value, without labels."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        found = prometheus.ask(query)
        if len(found) == 1 and not found[0].labels and found[0].value == pytest.approx(value):
            return
        assert time.monotonic() < until, f"{found} is not {value}: {query}"
        await asyncio.sleep(0.1)


async def test_it_is_the_work_that_there_is(root: Path, ports: Ports, quiet: AsyncClient) -> None:
    prometheus = Prometheus(address(ports.prometheus))
    await quiet.create_catalog("films")
    await quiet.batch_create_items("films", [Item(str(one), "A Film") for one in range(20)])
    for _ in range(INTERACTIONS):
        await quiet.write_interaction("films", Interaction("1", InteractionType.VIEW, user="ada"))
    jobs = await asyncio.gather(
        *(quiet.create_recommendation("films", item="1", user="ada") for _ in range(JOBS))
    )
    orders = [Order(Query(item="1"), user="ada") for _ in range(BULK)]
    assert not (await quiet.batch_create_recommendations("films", orders)).errors

    queries = {shipped.query(), triggers()["demand"]["query"]}
    anything = triggers()["anything"]["query"]
    # Both recommenders tell of all jobs; the answers do not count them twice.
    await becomes(prometheus, f'count(recmesh_jobs_unfinished{{lane="interactive"}} == {JOBS})', 2)
    for query in queries:
        await becomes(prometheus, query, wanted(JOBS, BULK, CHANGES))
    await becomes(prometheus, anything, JOBS + BULK + CHANGES)

    # Somebody who takes jobs, holds them and some changes, and tells nothing of himself.
    password = Vault(root / ".local" / "secrets").password(f"{ADMIN}_amqp")
    url = f"amqp://{ADMIN}:{password}@{address(ports.rabbitmq)}/recmesh"
    async with await aio_pika.connect(url) as connection:
        held: asyncio.Queue[object] = asyncio.Queue()
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=2)
        for queue in (INTERACTIVE, INDEX):
            await (await channel.get_queue(queue.name, ensure=False)).consume(held.put)
        for _ in range(4):
            await asyncio.wait_for(held.get(), WAIT_SECONDS)
        for query in queries:
            await becomes(prometheus, query, TARGET + wanted(JOBS, BULK, CHANGES))
        await becomes(prometheus, anything, JOBS + BULK + CHANGES)

    # The message of a job that is over is still there, and is no work.
    for job in jobs[:10]:
        await quiet.cancel_recommendation(job)
    for query in queries:
        await becomes(prometheus, query, wanted(JOBS - 10, BULK, CHANGES))


@pytest.mark.xdist_group("mesh")
async def test_what_workers_take_is_in_it(local_mesh: LocalMesh, user: AsyncClient) -> None:
    (member,) = local_mesh.members("prometheus")
    prometheus = Prometheus(member.address)
    taken = 'rate(process_cpu_seconds_total{job="worker"}[2m])'
    # Both workers are measured, so none counts as unseen; the rest of it may be nothing or more.
    whole = f"({shipped.query()}) >= sum({taken}) > 0 and count({taken}) == 2"
    until = time.monotonic() + WAIT_SECONDS
    while not prometheus.ask(whole):
        assert time.monotonic() < until, prometheus.ask(shipped.query())
        await user.recommend("films", title="Alien")


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    """A series of made-up figures, in the words of promtool."""
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{told}}}", "values": values}


def always(value: str) -> str:
    """The same in each of ten minutes. (What promtool has for that does not know NaN.)"""
    return " ".join([value] * 41)


def recommender(name: str, consumers: str = "2", changes: str = "7") -> list[dict[str, str]]:
    """One that tells of 500 jobs and 1,000 bulk jobs."""
    who = {"job": "recommender", "instance": name}
    return [
        series("recmesh_jobs_unfinished", "500x40", lane="interactive", **who),
        series("recmesh_jobs_unfinished", "1000x40", lane="bulk", **who),
        series("recmesh_queue_consumers", always(consumers), queue="jobs.interactive", **who),
        series("recmesh_queue_messages", always(changes), queue="index", **who),
        series("recmesh_queue_messages", always(changes), queue="history", **who),
    ]


def worker(name: str, **labels: str) -> dict[str, str]:
    """One that takes half of a core."""
    labels = {"job": "worker", "instance": name, **labels}
    return series("process_cpu_seconds_total", "0+7.5x40", **labels)


def broker(name: str = "rabbit") -> list[dict[str, str]]:
    """It has 20 messages of items, and 10 of interactions."""
    who = {"job": "rabbitmq-queues", "instance": name, "vhost": "recmesh"}
    metric = "rabbitmq_detailed_queue_messages"
    return [
        series(metric, "20x40", queue="index", **who),
        series(metric, "10x40", queue="history", **who),
        series(metric, "999x40", queue="jobs.interactive", **who),
    ]


WORKERS = [worker("a"), worker("b")]
WAITING = 500 / 1000 + 1000 / 10_000
CASES: dict[str, tuple[list[dict[str, str]], float | None]] = {
    "all is there": (
        [*WORKERS, *recommender("a"), *recommender("b"), *broker()],
        1.0 + WAITING + 0.3,
    ),
    "every node of a cluster tells of every queue": (
        [*WORKERS, *recommender("a"), *broker("one"), *broker("two")],
        1.0 + WAITING + 0.3,
    ),
    "a worker is not measured": (
        [*WORKERS, *recommender("a", consumers="3"), *broker()],
        1.0 + TARGET + WAITING + 0.3,
    ),
    "no worker is measured": ([*recommender("a"), *broker()], 2 * TARGET + WAITING + 0.3),
    "a worker is gone": ([*WORKERS, *recommender("a", consumers="1"), *broker()], 1.9),
    "there is no worker": ([*recommender("a", consumers="0"), *broker()], WAITING + 0.3),
    "the broker's own figures are not read": ([*WORKERS, *recommender("a")], 1.0 + WAITING + 0.14),
    "the broker is away": ([*WORKERS, *recommender("a", "NaN", "NaN")], None),
    "one recommender has lost the broker": (
        [*WORKERS, *recommender("a", "NaN", "NaN"), *recommender("b"), *broker()],
        1.9,
    ),
    "no recommender tells": ([*WORKERS, *broker()], None),
    "nothing is there": ([], None),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_is_not_taken_for_nothing(tmp_path: Path, case: str) -> None:
    given, value = CASES[case]
    query = shipped.query()
    expected = [] if value is None else [{"labels": "{}", "value": round(value * 1000)}]
    promtool(tmp_path, given, f"round(({query}) * 1000)", expected)


def test_one_deployment_of_several(tmp_path: Path) -> None:
    here, there = {"namespace": "here"}, {"namespace": "there"}
    own = [*WORKERS, *recommender("a"), *broker()]
    given = [within(one, **here) for one in own] + [within(one, **there) for one in own]
    query = shipped.query(matchers='namespace="here"')
    promtool(tmp_path, given, f"round(({query}) * 1000)", [{"labels": "{}", "value": 1900}])


def within(one: Mapping[str, str], **labels: str) -> dict[str, str]:
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {**one, "series": one["series"].replace("{", f"{{{told},", 1)}


def promtool(
    folder: Path, given: list[dict[str, str]], query: str, expected: list[dict[str, Any]]
) -> None:
    """Has Prometheus's own test program compare."""
    test = {
        "interval": "15s",
        "input_series": given,
        "promql_expr_test": [{"expr": query, "eval_time": "5m", "exp_samples": expected}],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run(  # noqa: S603 - a list, no shell
        [program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_keda_asks_the_same_and_is_told_the_same() -> None:
    demand, spec = triggers()["demand"], yaml.safe_load(KEDA.read_text())["spec"]
    assert " ".join(demand["query"].split()) == " ".join(shipped.query().replace(",}", "}").split())
    assert float(demand["threshold"]) == TARGET == shipped.demand().unseen
    assert spec["maxReplicaCount"] == shipped.shape().most
    hpa = yaml.safe_load((shipped.FOLDER / "hpa.yaml").read_text())["spec"]
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
