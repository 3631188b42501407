import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from localmesh.databases import PostgresServer
from recmesh.auth.v1.auth_service_pb2 import LoginRequest, RegisterRequest
from recmesh.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from recmesh.auth.v1.user_pb2 import RoleGrant
from recmesh.auth.v1.user_service_pb2 import GetUserRequest
from recmesh.auth.v1.user_service_pb2_grpc import UserServiceStub
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_auth.models import SCHEMA
from recmesh_kit import migrations
from services.auth.tests.conftest import WORKER_KEY, signed_in

Environment = dict[str, str]
EMAIL = "first-admin@example.com"
PASSWORD = "the-first-password"
LIMIT = 300.0


@pytest.fixture
async def environment(
    postgres: PostgresServer, database_name: str, keys_dir: Path
) -> AsyncIterator[Environment]:
    """What the process is told. Its database is empty."""
    name = f"{database_name}_auth_process"
    urls = await postgres.create_database(name)
    yield {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": urls["recmesh_auth"],
        "RECMESH_DATABASE_TIMEOUT_SECONDS": "60",
        "RECMESH_PROBE_INTERVAL_SECONDS": "0.1",
        "RECMESH_LISTEN": "127.0.0.1:0",
        "RECMESH_LOG_LEVEL": "debug",
        "RECMESH_SIGNING_KEYS_DIR": str(keys_dir),
        "RECMESH_SERVICE_KEY_HASHES": json.dumps({"worker": "ab" * 32}),
        "RECMESH_ADMIN_EMAIL": EMAIL,
        "RECMESH_ADMIN_PASSWORD": PASSWORD,
    }
    await postgres.drop_database(name)


async def begin(environment: Environment, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "recmesh_auth", *arguments, env=environment, stdout=PIPE, stderr=PIPE
    )


async def finish(process: Process) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    async with asyncio.timeout(LIMIT):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def migrate(environment: Environment) -> None:
    """Makes the tables as the program does, without waiting for another to start."""
    await migrations.migrate(environment["DATABASE_URL"], "recmesh_auth", SCHEMA)


async def migrate_by_the_program(environment: Environment) -> None:
    code, _, err = await finish(await begin(environment, "migrate"))
    assert code == 0, err


async def listening(process: Process) -> tuple[str, str]:
    """Waits until it listens. Answers at which address, and its log so far."""
    assert process.stdout is not None
    log = ""
    async with asyncio.timeout(LIMIT):
        async for line in process.stdout:
            log += line.decode()
            entry = json.loads(line)
            if entry["event"] == "listening":
                return f"127.0.0.1:{entry['port']}", log
    raise AssertionError(log)


class Life:
    """One run of the process: a channel while it serves, its output after."""

    channel: grpc.aio.Channel
    output: str


@asynccontextmanager
async def alive(environment: Environment) -> AsyncIterator[Life]:
    """Runs it until the end of the block, then stops it by SIGTERM and expects a clean end."""
    life = Life()
    log = ""
    process = await begin(environment)
    try:
        address, log = await listening(process)
        async with grpc.aio.insecure_channel(address) as life.channel:
            await serving(life.channel, process)
            yield life
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code, out, err = await finish(process)
        life.output = log + out + err
    assert code == 0, life.output


async def serving(channel: grpc.aio.Channel, process: Process) -> None:
    """Returns when it says that it serves."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(LIMIT):
        watch = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        ended = asyncio.create_task(process.wait())
        async for answer in watch:
            assert not ended.done()
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        ended.cancel()
        watch.cancel()


async def tables(environment: Environment) -> list[str]:
    """All rows of the lasting tables, as text."""
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    try:
        return [
            row[0]
            for table in ("users", "role_grants")
            for row in await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")  # noqa: S608
        ]
    finally:
        await connection.close()


async def test_first_start_makes_the_admin_and_the_second_changes_nothing(
    environment: Environment,
) -> None:
    await migrate(environment)
    async with alive(environment) as life:
        login = LoginRequest(email=EMAIL, password=PASSWORD)
        pair = await AuthServiceStub(life.channel).Login(login)
        admin = await UserServiceStub(life.channel).GetUser(
            GetUserRequest(name="users/me"), metadata=signed_in(pair)
        )
        assert list(admin.grants) == [RoleGrant(role=roles.ROLE_ADMIN)]
    before = await tables(environment)
    await migrate_by_the_program(environment)
    async with alive(environment):
        pass
    assert await tables(environment) == before


async def test_log_holds_no_secret_and_no_address(environment: Environment) -> None:
    await migrate(environment)
    async with alive(environment) as life:
        auth = AuthServiceStub(life.channel)
        pair = await auth.Login(LoginRequest(email=EMAIL, password=PASSWORD))
        register = RegisterRequest(email="ada@example.com", password="adas-password")
        await auth.Register(register)
        with pytest.raises(grpc.aio.AioRpcError):
            await auth.Register(register)
    assert '"method": "/recmesh.auth.v1.AuthService/Login"' in life.output
    database_password = environment["DATABASE_URL"].split(":")[2].split("@")[0]
    for secret in (
        *(EMAIL, PASSWORD, "ada@example.com", "adas-password", WORKER_KEY, database_password),
        *(pair.access_token, pair.refresh_token, "$argon2id", "PRIVATE KEY"),
    ):
        assert secret not in life.output


async def test_without_tables_it_waits_and_serves_once_they_are_there(
    environment: Environment,
) -> None:
    process = await begin(environment)
    try:
        address, _ = await listening(process)
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=LIMIT)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
            await migrate_by_the_program(environment)
            await serving(channel, process)
    finally:
        process.terminate()
        await finish(process)


async def test_without_a_signing_key_it_ends_with_one_line(
    environment: Environment, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    process = await begin(environment | {"RECMESH_SIGNING_KEYS_DIR": str(empty)})
    code, _, err = await finish(process)
    assert code == 1
    assert err == f"RECMESH_SIGNING_KEYS_DIR: there is no *.pem file in {empty}\n"


async def test_without_its_settings_it_ends_with_a_line_for_each(environment: Environment) -> None:
    missing = ["DATABASE_URL", "RECMESH_SIGNING_KEYS_DIR"]
    for name in missing:
        del environment[name]
    code, _, err = await finish(await begin(environment))
    assert code == 2
    said = [line.partition(" (")[0] for line in err.splitlines()]
    assert sorted(said) == [f"settings: {name}: Field required" for name in missing]
