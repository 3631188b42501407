"""`python -m recmesh_kit.provision`, as a container runs it."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from localmesh.databases import PostgresServer
from recmesh_kit.provision import ProvisionSettings, main, role_urls


@pytest.fixture
async def empty(postgres: PostgresServer, database_name: str) -> AsyncIterator[str]:
    """The admin's URL of a database in which nothing is."""
    name = f"{database_name}_provision"
    connection = await asyncpg.connect(postgres.admin_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    yield postgres.admin_url_of(name)
    await postgres.drop_database(name)


def provision(folder: Path, url: str, passwords: object) -> subprocess.CompletedProcess[str]:
    (folder / "DATABASE_URL").write_text(url)
    (folder / "RECMESH_ROLE_PASSWORDS").write_text(json.dumps(passwords))
    return subprocess.run(
        (sys.executable, "-m", "recmesh_kit.provision"),
        env={"PATH": os.defpath, "RECMESH_SECRETS_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_each_role_has_its_schema(
    postgres: PostgresServer, empty: str, tmp_path: Path
) -> None:
    for _ in range(2):
        done = provision(tmp_path, empty, dict(postgres.passwords))
        assert done.returncode == 0, done.stderr
    connection = await asyncpg.connect(role_urls(empty, postgres.passwords)["recmesh_catalog"])
    await connection.execute("CREATE TABLE catalog.things (id int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("CREATE TABLE auth.things (id int)")
    await connection.close()


@pytest.mark.parametrize("names", [[], ["recmesh_auth"], ["recmesh_auth", "postgres"]])
async def test_passwords_of_just_these_roles(empty: str, tmp_path: Path, names: list[str]) -> None:
    done = provision(tmp_path, empty, dict.fromkeys(names, "secret"))
    assert done.returncode == 1
    assert done.stderr.startswith("provision: RECMESH_ROLE_PASSWORDS has to name just these: ")
    assert "secret" not in done.stderr + done.stdout


def test_an_error_without_a_text_is_told_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(_: ProvisionSettings) -> None:
        raise TimeoutError

    (tmp_path / "DATABASE_URL").write_text("postgresql://x@y/z")
    (tmp_path / "RECMESH_ROLE_PASSWORDS").write_text("{}")
    monkeypatch.setenv("RECMESH_SECRETS_DIR", str(tmp_path))
    monkeypatch.setattr("recmesh_kit.provision.provision", slow)
    with pytest.raises(SystemExit, match="provision: TimeoutError"):
        main()


async def test_a_server_that_is_away_is_said_in_a_line(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    done = provision(tmp_path, "postgresql://x:secret@127.0.0.1:1/y", dict(postgres.passwords))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr
