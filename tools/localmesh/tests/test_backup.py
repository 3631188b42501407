from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from localmesh import backup, commands
from localmesh.archive import opened, restore_secrets, secrets_of
from localmesh.databases import PostgresServer
from localmesh.errors import MeshError
from localmesh.plan import Plan
from localmesh.ports import Ports
from localmesh.servers import Database as MeshDatabase
from recmesh_jobs.intake import Submission, store
from recmesh_jobs.job import Job
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_kit.migrations import is_current, migrate
from recmesh_kit.provision import SCHEMAS

PACKAGES = {"auth": "recmesh_auth", "catalog": "recmesh_catalog", "recommender": "recmesh_jobs"}
USER = """
    INSERT INTO auth.users (id, email, email_key, password_hash, display_name, create_time, update_time)
    VALUES ($1, $1 || '@example.com', $1 || '@example.com', 'hash', 'Ada', now(), now())
"""
CATALOG = """
    INSERT INTO catalog.catalogs (id, display_name, description, public, revision) VALUES ($1, '', '', true, 3)
"""
OUTBOX = "INSERT INTO catalog.outbox (routing_key, body) VALUES ('item.films', '\\x00ff')"
ITEM = """
    INSERT INTO recommender.item_likes (catalog, item, user_id, write_time)
    VALUES ('films', $1, E'line\\nbreak \\\\. tab\\t', now())
"""
WORKER = "worker-1"
LEASE_SECONDS = 600
MANIFEST = "manifest.json"


@pytest.fixture
async def url(postgres: PostgresServer, database_name: str) -> AsyncIterator[str]:
    """The admin's URL of a database whose tables are empty, as the services make them."""

    async def build(urls: dict[str, str]) -> None:
        for role, schema in SCHEMAS.items():
            await migrate(urls[role], PACKAGES[schema], schema)

    name = f"{database_name}_backup"
    template = await postgres.template(f"{name}_template", build)
    await postgres.create_database(name, template)
    yield postgres.admin_url_of(name)
    await postgres.drop_database(name)


@pytest.fixture
def plan(url: str, postgres: PostgresServer, tmp_path: Path) -> Plan:
    """A mesh on that server, with keys."""
    made = Plan(tmp_path / "mesh", Ports(), 1, {"DATABASE_URL": url})
    for role, password in postgres.passwords.items():
        # The server is shared: the roles keep their passwords.
        file = made.vault.password_file(role)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(password)
    made.vault.password("admin")
    made.vault.api_key("worker")
    made.vault.signing_keys()
    return made


async def run(url: str, *statements: str) -> list[object]:
    """What the last statement answers."""
    connection = await asyncpg.connect(url)
    try:
        rows = [await connection.fetch(statement) for statement in statements]
        return [row[0] for row in rows[-1]]
    finally:
        await connection.close()


async def fill(url: str) -> dict[str, Job]:
    """Rows of each service: an account, a catalog with an event that is not sent yet, jobs in each state."""
    now = dt.datetime.now(dt.UTC)
    jobs = {
        name: Job(
            id=uuid7(now),
            catalog="films",
            user="ada",
            session="",
            lane=Lane.INTERACTIVE,
            query=b"query",
            deadline=now + dt.timedelta(days=1),
            create_time=now,
            expire_time=now + dt.timedelta(days=7),
        )
        for name in ("queued", "running", "spent", "answered")
    }
    async with opened_as(url) as database, database.driver() as connection:
        await connection.execute(USER, "ada")
        await connection.execute(CATALOG, "films")
        await connection.execute(OUTBOX)
        for number in range(500):
            await connection.execute(ITEM, f"item-{number}")
        await store(connection, [Submission(job, None, b"") for job in jobs.values()])
        leases = LeaseRepository(connection, WORKER)
        ids = [job.id for name, job in jobs.items() if name != "queued"]
        claims = (await leases.claim(ids, LEASE_SECONDS)).claims
        await leases.succeed([(claims[jobs["answered"].id], b"answer")])
        await connection.execute(
            "UPDATE recommender.jobs SET attempts = 5 WHERE id = $1", jobs["spent"].id
        )
    return jobs


async def time_passes(url: str) -> None:
    """A restoration comes later than leases last, and than queued jobs wait to be dispatched again."""
    past = "now() - interval '1 s'"
    await run(
        url,
        f"UPDATE recommender.jobs SET lease_until = {past} WHERE state = 2",  # noqa: S608
        f"UPDATE recommender.jobs SET dispatch_time = {past} WHERE state = 1",  # noqa: S608
    )


def command(plan: Plan, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - a list, no shell
        [sys.executable, "-m", "localmesh", "--root", str(plan.root), *words],
        env={**plan.person, "PYTHONPATH": str(Path(__file__).parents[1])},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )


async def test_all_is_there_again_on_a_fresh_server(
    plan: Plan, url: str, tmp_path: Path, free_offset: Callable[[], int]
) -> None:
    jobs = await fill(url)
    await time_passes(url)
    file = tmp_path / "all.backup"
    await asyncio.to_thread(backup.backup, plan, file)
    assert file.stat().st_mode & 0o777 == 0o600
    offset = free_offset()
    fresh = Plan(
        tmp_path / "fresh", Ports(offset), 1, {"PATH": "/bin", "RECMESH_PORT_OFFSET": str(offset)}
    )
    fresh.root.mkdir()
    done = await asyncio.to_thread(command, fresh, "restore", str(file))
    assert done.returncode == 0, done.stderr
    assert "recmesh admin verify" in done.stdout
    assert fresh.vault.password("admin") == plan.vault.password("admin")
    assert fresh.vault.api_key("worker") == plan.vault.api_key("worker")
    keys = [file.read_bytes() for file in plan.vault.signing_keys().iterdir()]
    assert [file.read_bytes() for file in fresh.vault.signing_keys().iterdir()] == keys
    async with backup._served(fresh) as served:
        for role, schema in SCHEMAS.items():
            async with opened_as(served.urls[role]) as database:
                assert await is_current(database, PACKAGES[schema], schema)
        await check_rows(served.urls)
        async with opened_as(served.urls["recmesh_recommender"]) as database:
            await check_jobs(database, jobs)
        # And of that a backup again: it is the same.
        again = tmp_path / "again.backup"
        async with asyncio.timeout(300):
            await asyncio.to_thread(
                backup.backup,
                replace(plan, person={"DATABASE_URL": served.admin_url}, root=fresh.root / "x"),
                again,
            )
    with opened(again) as (_, then), opened(file) as (_, now):
        assert then.rows == {**now.rows, "recommender.dead_letters": 1}


def opened_as(url: str) -> Database:
    return Database(url, pool_size=2, timeout_seconds=60, application_name="test")


async def check_rows(urls: dict[str, str]) -> None:
    assert await run(urls["recmesh_auth"], "SELECT display_name FROM users") == ["Ada"]
    assert await run(urls["recmesh_catalog"], "SELECT body FROM outbox") == [b"\x00\xff"]
    # What was not sent then is sent now, and the next event comes after it.
    assert await run(urls["recmesh_catalog"], OUTBOX, "SELECT max(id) - min(id) FROM outbox") == [1]
    worker = urls["recmesh_worker"]
    likes = "SELECT DISTINCT user_id FROM item_likes"
    assert await run(worker, likes) == ["line\nbreak \\. tab\t"]
    assert await run(worker, "SELECT count(*) FROM item_likes") == [500]
    for url, others in ((worker, "auth.users"), (urls["recmesh_auth"], "recommender.jobs")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await run(url, f"SELECT * FROM {others}")  # noqa: S608
    await run(urls["recmesh_recommender"], "CREATE TABLE later (id int)")
    assert await run(worker, "SELECT * FROM later") == []
    await run(urls["recmesh_recommender"], "DROP TABLE later")
    await run(urls["recmesh_catalog"], "DELETE FROM outbox WHERE id > 1")


async def check_jobs(database: Database, jobs: dict[str, Job]) -> None:
    """Their messages are gone with the broker, and who had claimed them is, too: each is found by its row."""
    async with database.transaction() as session:
        answered = await JobRepository(session).with_shown(jobs["answered"].id)
        assert answered is not None
        assert (answered.state, answered.answer) == (State.SUCCEEDED, b"answer")
        sweep = SweepRepository(session)
        assert [job.id for job in await sweep.due([Lane.INTERACTIVE], 10)] == [jobs["queued"].id]
        assert [job.id for job in await sweep.give_up_lost(5)] == [jobs["spent"].id]
        assert [job.id for job in await sweep.requeue_lost(5, 10)] == [jobs["running"].id]
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "worker-2")
        ids = [jobs["queued"].id, jobs["running"].id]
        claims = (await leases.claim(ids, LEASE_SECONDS)).claims
        assert sorted(claim.attempt for claim in claims.values()) == [1, 2]
        assert len(await leases.succeed([(claim, b"late") for claim in claims.values()])) == 2


async def test_one_moment_is_kept_of_all_schemas(plan: Plan, url: str, tmp_path: Path) -> None:
    """Rows of two services are written together all the while."""
    begun, stop = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        connection = await asyncpg.connect(url)
        try:
            for number in itertools.count():
                async with connection.transaction():
                    await connection.execute(USER, f"u{number}")
                    await connection.execute(ITEM, f"item-{number}")
                begun.set()
                if stop.is_set():
                    return
        finally:
            await connection.close()

    file = tmp_path / "moment.backup"
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        group.create_task(write())
        await begun.wait()
        await asyncio.to_thread(backup.backup, plan, file)
        stop.set()
    with opened(file) as (_, manifest):
        assert manifest.rows["auth.users"] == manifest.rows["recommender.item_likes"] > 0


async def test_what_would_be_lost_is_not_replaced_unasked(
    plan: Plan, url: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    await run(url, USER.replace("$1", "'ada'"))
    file = tmp_path / "all.backup"
    await asyncio.to_thread(backup.backup, plan, file)
    await run(url, USER.replace("$1", "'bob'"))
    users = "SELECT id FROM auth.users ORDER BY id"
    with pytest.raises(MeshError, match="--force"):
        await asyncio.to_thread(backup.restore, plan, file, force=False)
    service = await asyncpg.connect(plan_urls(plan)["recmesh_auth"])
    with pytest.raises(MeshError, match="recmesh_auth"):
        await asyncio.to_thread(backup.restore, plan, file, force=True)
    await service.close()
    assert await run(url, users) == ["ada", "bob"]
    await disconnected(url)
    await asyncio.to_thread(backup.restore, plan, file, force=True)
    assert await run(url, users) == ["ada"]


def plan_urls(plan: Plan) -> dict[str, str]:
    return MeshDatabase(plan).urls


async def disconnected(url: str) -> None:
    """The server notices a little later than the client."""
    async with asyncio.timeout(60):
        while await run(url, GUESTS) != [0]:  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.01)


GUESTS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename LIKE 'recmesh%'
"""


@pytest.mark.parametrize("harm", ["cut off", "changed", "short of a row", "nothing of the kind"])
async def test_what_is_damaged_changes_nothing(
    plan: Plan, url: str, tmp_path: Path, harm: str
) -> None:
    await run(url, USER.replace("$1", "'ada'"))
    file = tmp_path / "all.backup"
    await asyncio.to_thread(backup.backup, plan, file)
    await run(url, USER.replace("$1", "'bob'"))
    content = file.read_bytes()
    if harm == "cut off":
        content = content[: len(content) // 2]
    elif harm == "changed":
        place = len(content) // 2
        content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    elif harm == "nothing of the kind":
        content = b"SELECT 1;"
    file.write_bytes(content)
    if harm == "short of a row":
        rewrite(file, b'"auth.users": 1,', b'"auth.users": 2,')
    with pytest.raises(MeshError):
        await asyncio.to_thread(backup.restore, plan, file, force=True)
    assert await run(url, "SELECT id FROM auth.users ORDER BY id") == ["ada", "bob"]
    assert not plan.paths.restoring.exists()


def rewrite(file: Path, old: bytes, new: bytes) -> None:
    """Changes what an archive says that it holds."""
    with zipfile.ZipFile(file) as archive:
        assert old in archive.read(MANIFEST)
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content.replace(old, new) if name == MANIFEST else content)


async def test_what_is_not_a_whole_backup_is_told(tmp_path: Path, plan: Plan) -> None:
    file = tmp_path / "some.zip"
    for manifest in ('{"version": 1}', "[]", '{"version": 9}', '{"time": "", "server": ""'):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(MANIFEST, manifest)
        with pytest.raises(MeshError, match=r"some\.zip"):
            await asyncio.to_thread(backup.restore, plan, file, force=True)


async def test_only_keys_are_laid_and_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "some.zip"
    strange = ("../evil_key", "/evil_key", "signing/../../evil.pem", "recmesh_auth_password", "a/b")
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("worker_key", "signing/20261121T000000Z.pem", *strange):
            archive.writestr(f"secrets/{name}", "x")
    secrets = tmp_path / "mesh" / "secrets"
    with zipfile.ZipFile(file) as archive:
        restore_secrets(secrets_of(archive), secrets)
    laid = [path for path in (tmp_path / "mesh").rglob("*") if path.is_file()]
    assert sorted(path.name for path in laid) == ["20261121T000000Z.pem", "worker_key"]
    assert {path.stat().st_mode & 0o777 for path in laid} == {0o600}
    assert (secrets / "signing").stat().st_mode & 0o777 == 0o700


async def test_one_that_is_broken_off_has_to_be_done_again(
    plan: Plan, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of the backup with keys or messages of now would not fit together."""
    file = tmp_path / "all.backup"
    await asyncio.to_thread(backup.backup, plan, file)
    messages = plan.paths.rabbitmq_of(1) / "data"
    messages.mkdir(parents=True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("localmesh.archive.restore_secrets", full)
        with pytest.raises(MeshError, match=r"No space left on device\. Restore again"):
            await asyncio.to_thread(backup.restore, plan, file, force=True)
    assert not messages.exists()
    for refused in (commands.run, partial(backup.backup, file=tmp_path / "x")):
        with pytest.raises(MeshError, match="broken off"):
            await asyncio.to_thread(refused, plan)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(MeshError):
        await asyncio.to_thread(backup.restore, plan, file, force=True)
    assert plan.paths.restoring.exists()
    file.write_bytes(content)
    await asyncio.to_thread(backup.restore, plan, file, force=True)
    assert not plan.paths.restoring.exists()


async def test_a_full_disk_leaves_the_backup_of_before(
    plan: Plan, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "kept" / "all.backup"
    file.parent.mkdir()
    file.write_text("the one of before")
    words = ("-m", "localmesh", "--root", str(plan.root), "backup", str(file))
    done = await asyncio.to_thread(
        subprocess.run,
        # No file of this process may be longer than 16 blocks.
        ["/bin/sh", "-c", 'ulimit -f 16; exec "$@"', "sh", sys.executable, *words],
        env={
            **plan.person,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            # A compiled module would be cut off without a word, and in the way of all who import it later.
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stdout
    assert "cannot be written: File too large" in done.stderr
    assert [path.name for path in file.parent.iterdir()] == ["all.backup"]
    assert file.read_text() == "the one of before"


async def test_there_may_be_nothing_to_keep(tmp_path: Path) -> None:
    nothing = Plan(tmp_path / "nothing", Ports(), 1, {})
    with pytest.raises(MeshError, match="nothing to back up"):
        await asyncio.to_thread(backup.backup, nothing, tmp_path / "x")
    assert not (tmp_path / "x").exists()
