from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiormq
import asyncpg
import pytest

from localmesh.prometheus import RULES

if TYPE_CHECKING:
    from tools.localmesh.tests.conftest import Checkout

pytestmark = pytest.mark.xdist_group("up")


def env_of(mesh: Checkout, service: str) -> dict[str, str]:
    env: dict[str, str] = json.loads((mesh.root / f"{service}.env").read_text())
    return env


def test_status_shows_every_program_healthy(mesh: Checkout) -> None:
    code, output = mesh.call("status")
    assert code == 0
    names = [line.split()[0] for line in output.splitlines()[1:]]
    assert names == [
        *("postgres", "rabbitmq", "auth", "catalog", "recommender", "recommender-1"),
        *("worker-0", "worker-1", "prometheus"),
    ]
    metrics = [line.split()[2] for line in output.splitlines()[1:]]
    assert metrics == [
        *("-", f"127.0.0.1:{55692 + mesh.offset}"),
        *(f"127.0.0.1:{port + mesh.offset}" for port in (50071, 50072, 50073, 50074)),
        *(f"127.0.0.1:{port + mesh.offset}" for port in (50080, 50081)),
        "-",
    ]


def test_second_start_leaves_the_first_alone(mesh: Checkout) -> None:
    before = mesh.state()["pid"]
    code, output = mesh.call("up", "--workers", "2")
    assert code == 0
    assert f"already running (process {before})" in output
    assert "it has 2 recommenders; for 1: " in output
    assert mesh.state()["pid"] == before


def test_exec_uses_the_mesh_that_runs(mesh: Checkout) -> None:
    code, output = mesh.call("exec", "--", "sh", "-c", "echo $RECMESH_AUTH_TARGET; exit 7")
    assert code == 7
    assert output.splitlines()[-1] == f"127.0.0.1:{50051 + mesh.offset}"
    assert mesh.call("status")[0] == 0


def test_migrations_ran(mesh: Checkout) -> None:
    done = {path.stem for path in mesh.root.glob("*.migrated")}
    assert done == {"auth", "catalog", "recommender"}


def test_service_sees_only_what_it_needs(mesh: Checkout) -> None:
    env = env_of(mesh, "catalog")
    assert set(env) - {"LC_CTYPE", "PWD", "SHLVL", "_"} == {
        *("PATH", "HOME", "LANG", "PYTHONUNBUFFERED", "DATABASE_URL", "AMQP_URL"),
        *("RECMESH_LISTEN", "RECMESH_AUTH_TARGET", "RECMESH_CATALOG_TARGET", "RECMESH_SHARE_PORT"),
        *("RECMESH_PORT_OFFSET", "RECMESH_LOG_LEVEL", "RECMESH_METRICS_LISTEN"),
    }


def test_no_secret_of_one_service_is_told_to_another(mesh: Checkout) -> None:
    envs = {name: env_of(mesh, name) for name in ("auth", "catalog", "recommender", "worker")}
    passwords = {name: urlsplit(env["DATABASE_URL"]).password for name, env in envs.items()}
    for name, env in envs.items():
        others = {password for other, password in passwords.items() if other != name}
        assert not [value for value in env.values() if any(str(o) in value for o in others)]


def test_auth_knows_the_hashes_of_the_keys(mesh: Checkout) -> None:
    hashes = json.loads(env_of(mesh, "auth")["RECMESH_SERVICE_KEY_HASHES"])
    assert set(hashes) == {"recommender", "worker"}
    assert env_of(mesh, "worker")["RECMESH_SERVICE_KEY"].startswith("rmk_worker_")
    assert env_of(mesh, "worker")["RECMESH_SERVICE_KEY"] not in str(env_of(mesh, "auth"))


def test_secrets_are_for_their_owner_only(mesh: Checkout) -> None:
    secrets = mesh.root / ".local/secrets"
    assert secrets.stat().st_mode & 0o777 == 0o700
    files = [path for path in secrets.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


async def test_worker_role_reads_the_recommenders_tables_only(mesh: Checkout) -> None:
    urls = {name: env_of(mesh, name)["DATABASE_URL"] for name in ("catalog", "recommender")}
    for url in urls.values():
        owner = await asyncpg.connect(url)
        await owner.execute("CREATE TABLE IF NOT EXISTS seen_by_worker (id int)")
        await owner.close()
    worker = await asyncpg.connect(env_of(mesh, "worker")["DATABASE_URL"])
    try:
        await worker.execute("INSERT INTO recommender.seen_by_worker VALUES (1)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.fetch("SELECT * FROM catalog.seen_by_worker")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute("CREATE TABLE recommender.made_by_worker (id int)")
    finally:
        await worker.close()


async def test_postgres_wants_the_password(mesh: Checkout) -> None:
    url = env_of(mesh, "catalog")["DATABASE_URL"]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password="not it")


async def test_postgres_knows_no_other_way_in(mesh: Checkout) -> None:
    password = (mesh.root / ".local/secrets/postgres_password").read_text()
    url = f"postgresql://postgres:{password}@127.0.0.1:{55432 + mesh.offset}/recmesh"
    admin = await asyncpg.connect(url)
    methods = await admin.fetch("SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert [row["auth_method"] for row in methods] == ["scram-sha-256"]
    assert await admin.fetchval("SHOW unix_socket_directories") == ""
    await admin.close()


async def test_rabbitmq_takes_each_services_user(mesh: Checkout) -> None:
    for service in ("catalog", "recommender", "worker"):
        connection = await aiormq.connect(env_of(mesh, service)["AMQP_URL"])
        await connection.close()
    assert "AMQP_URL" not in env_of(mesh, "auth")


async def test_rabbitmq_refuses_guest(mesh: Checkout) -> None:
    server = env_of(mesh, "worker")["AMQP_URL"].rpartition("@")[2]
    with pytest.raises(aiormq.exceptions.AMQPConnectionError):
        await aiormq.connect(f"amqp://guest:guest@{server}")


def test_servers_listen_on_loopback_only(mesh: Checkout) -> None:
    with socket.socket() as outside:
        # Any address of this machine but the loopback one.
        outside.bind(("127.0.0.2", 0))
        for port in (55432, 55672, 55673, 55690, 55692):
            assert outside.connect_ex(("127.0.0.2", port + mesh.offset)) != 0


def test_prometheus_looks_at_every_program_by_the_shipped_rules(mesh: Checkout) -> None:
    def told(what: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{55690 + mesh.offset}/api/v1/{what}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
        return found

    def targets() -> set[tuple[str, str]]:
        labels = [target["labels"] for target in told("targets")["activeTargets"]]
        return {(found["job"], found["instance"]) for found in labels}

    def files() -> set[str]:
        return {Path(group["file"]).name for group in told("rules")["groups"]}

    expected = {
        *(("auth", "auth"), ("catalog", "catalog")),
        *(("rabbitmq", "rabbitmq"), ("rabbitmq-queues", "rabbitmq")),
        *(("recommender", "recommender"), ("recommender", "recommender-1")),
        *(("worker", "worker-0"), ("worker", "worker-1")),
    }
    rules = {path.name for path in RULES.glob("*.yaml")}
    # It is ready before it has read its own lists, and reads them one by one.
    mesh.until(lambda: len(targets()) >= len(expected) and len(files()) >= len(rules))
    assert targets() == expected
    assert files() == rules


def test_child_that_dies_is_started_again(mesh: Checkout) -> None:
    first = mesh.pid("worker-1")
    os.kill(first, signal.SIGKILL)
    mesh.until(lambda: mesh.member("worker-1")["restarts"] > 0)
    assert mesh.pid("worker-1") != first
    log = (mesh.root / ".local/logs/supervisor.log").read_text()
    assert "worker-1 ended with -9" in log


def test_database_that_dies_is_started_again(mesh: Checkout) -> None:
    first = mesh.pid("postgres")
    os.kill(first, signal.SIGKILL)
    # More than once where what the first one left behind still held its memory.
    mesh.until(lambda: mesh.member("postgres")["restarts"] > 0)
    assert mesh.pid("postgres") != first
