import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from localmesh import debian
from localmesh.errors import MeshError
from localmesh.secret_files import Servers, write_secrets
from recmesh_kit.provision import ROLES


def test_what_is_made_fits_together_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert write_secrets(folder, Servers())
    content = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "made").stat().st_mode & 0o777 == 0o700
    modes = {folder.joinpath(path).stat().st_mode & 0o777 for path in content}
    # `made` is nobody's to mount.
    assert modes == {0o600, 0o644}
    assert not [path for path in content if path.endswith(".new")]
    password = content["postgres/POSTGRES_PASSWORD"]
    assert content["provision/DATABASE_URL"] == (
        f"postgresql://postgres:{password}@postgres:5432/recmesh"
    )
    passwords = json.loads(content["provision/RECMESH_ROLE_PASSWORDS"])
    assert sorted(passwords) == sorted(ROLES)
    for role, password in passwords.items():
        url = urlsplit(content[f"{role.removeprefix('recmesh_')}/DATABASE_URL"])
        assert (url.username, url.password) == (role, password)
    hashes = json.loads(content["auth/RECMESH_SERVICE_KEY_HASHES"])
    for service, hashed in hashes.items():
        key = content[f"{service}/RECMESH_SERVICE_KEY"]
        assert hashlib.sha256(key.encode()).hexdigest() == hashed
    users = {user["name"] for user in json.loads(content["rabbitmq/definitions.json"])["users"]}
    assert urlsplit(content["worker/AMQP_URL"]).username in users

    (folder / "catalog" / "AMQP_URL").write_text("amqp://of.mine")
    [old] = folder.glob("signing/*.pem")
    (folder / "signing" / "20990101T000000Z.pem").write_text(old.read_text())
    old.unlink()
    (folder / "worker" / "AMQP_URL").unlink()
    again = write_secrets(folder, Servers(rabbitmq="mq:1"))
    assert again == [folder / "worker" / "AMQP_URL"]
    assert urlsplit(again[0].read_text()).hostname == "mq"
    assert (folder / "catalog" / "AMQP_URL").read_text() == "amqp://of.mine"


def test_a_program_of_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "kustomize"
    mine.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.program("kustomize", tmp_path / "tools") == mine
    assert debian.version(mine) == ""


def test_a_program_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeshError, match="kustomize is not installed"):
        debian.program("kustomize", tmp_path / "tools")


def test_a_package_that_cannot_be_unpacked_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, tools = tmp_path / "bin", tmp_path / "tools"
    programs.mkdir()
    for name, script in (
        ("apt-get", 'case "$*" in *download*) : > kustomize_1_all.deb;; esac'),
        ("dpkg-deb", "/bin/mkdir -p $3/usr; echo the disk is full >&2; exit 2"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(MeshError, match="cannot be unpacked: the disk is full"):
        debian.program("kustomize", tools)
    assert not [*tools.iterdir()]
