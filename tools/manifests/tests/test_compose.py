"""Rules of the compose file."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests import compose_rules
from manifests.compose import Compose

GOOD = yaml.safe_load("""
services:
  postgres:
    image: postgres:18
    restart: always
    mem_limit: 1g
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/postgres/POSTGRES_PASSWORD}
    secrets: [postgres]
    volumes: ["data:/var/lib/postgresql", "./init.sql:/init.sql:ro", {type: tmpfs, target: /tmp}]
    networks: [inside]
    healthcheck: {test: [CMD, pg_isready]}
  migrate:
    image: ${RECMESH_IMAGES:-recmesh}/catalog:${RECMESH_TAG:-0.1.0}
    command: [migrate]
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    deploy: {resources: {limits: {memory: 256M}}}
    env_file: [catalog.env]
    environment: [RECMESH_LOG_LEVEL=info]
    secrets: [{source: catalog, target: /run/secrets/recmesh}]
    depends_on: {postgres: {condition: service_healthy}}
  auth:
    image: ${RECMESH_IMAGES:-recmesh}/auth:${RECMESH_TAG:-0.1.0}
    environment:
      RECMESH_LISTEN: 0.0.0.0:50051
      RECMESH_SECRETS_DIR: /run/secrets/recmesh
      RECMESH_SIGNING_KEYS_DIR: /run/secrets/signing
    secrets: [{source: auth, target: /run/secrets/recmesh}]
    ports: ["127.0.0.1:${RECMESH_AUTH_PORT:-50051}:50051"]
    healthcheck: {test: [CMD, python, -m, recmesh_kit.probe, "127.0.0.1:50051"]}
    restart: always
    mem_limit: 1g
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    depends_on: {migrate: {condition: service_completed_successfully}}
networks: {inside: }
volumes: {data: }
secrets:
  postgres: {file: ./deploy/docker/secrets/postgres}
  catalog: {file: ./deploy/docker/secrets/catalog}
  auth: {file: ./deploy/docker/secrets/auth}
""")
SECRETS = {
    "postgres/POSTGRES_PASSWORD": "x",
    "auth/DATABASE_URL": "postgresql://a:b@c/d",
    "catalog/DATABASE_URL": "postgresql://a:b@c/d",
    "catalog/AMQP_URL": "amqp://a:b@c/d",
}
CASES: list[tuple[str, Any, str]] = [
    ("postgres secrets", ["password"], "none of secrets named password"),
    ("postgres networks", ["outside"], "there is no network outside"),
    ("postgres volumes 0", "date:/x", "there is no volume date"),
    ("postgres volumes 1", "./init.sh:/x", "there is no ./init.sh"),
    ("postgres healthcheck", None, "which has no healthcheck"),
    ("auth depends_on", ["migration"], "depends on migration, which is no service"),
    (
        "postgres environment",
        {"POSTGRES_PASSWORD": "x"},
        "POSTGRES_PASSWORD: a secret comes by a file",
    ),
    ("postgres environment", ["PASSWORD=${P:-secret}"], "PASSWORD: a secret comes by a file"),
    ("auth environment", {"URL": "amqp://guest:guest@rabbitmq"}, "URL: a secret comes by a file"),
    ("migrate environment", ["RECMESH_LOG=info"], "RECMESH_LOG is no setting of CatalogSettings"),
    ("migrate environment", ["RECMESH_LOG_LEVEL=loud"], "RECMESH_LOG_LEVEL: Input should be"),
    ("migrate environment", ["RECMESH_AUTH_TARGET=x:1"], "RECMESH_AUTH_TARGET: x is no service"),
    ("migrate environment", ["RECMESH_AUTH_TARGET=auth:1"], "auth does not listen on 1"),
    ("auth ports 0", "50052:50052/tcp", "does not listen on 50052"),
    ("auth healthcheck test 4", "localhost:50050", "does not listen on 50050"),
    ("migrate env_file", "other.env", "there is no other.env"),
    ("migrate env_file", [], "RECMESH_AUTH_TARGET: Field required"),
    ("migrate secrets", [], "DATABASE_URL: Field required"),
    ("migrate secrets 0 target", "/run/secrets/catalog", "AMQP_URL: Field required"),
    ("postgres image", "postgres", "has no tag"),
    ("auth image", "recmesh/auth:${TAG:-latest}", "may be another tomorrow"),
    ("auth read_only", False, "read_only has to be true"),
    ("auth cap_drop", [], "cap_drop has to name ALL"),
    ("auth cap_add", ["CHOWN"], "is given rights"),
    ("auth security_opt", [], "no-new-privileges"),
    ("auth mem_limit", None, "has no limit of memory"),
    ("auth restart", None, "says nothing of restart"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "init.sql").touch()
    (tmp_path / "catalog.env").write_text(
        "# where things are\nRECMESH_SECRETS_DIR=/run/secrets/recmesh\nRECMESH_AUTH_TARGET=auth:50051\n"
    )
    return tmp_path


def said(root: Path, content: Any) -> list[str]:
    read = Compose(root, content, SECRETS)
    return [finding.what for rule in compose_rules.RULES for finding in rule(read)]


def test_nothing_is_said_of_what_is_right(root: Path) -> None:
    assert said(root, GOOD) == []


@pytest.mark.parametrize(("path", "value", "what"), CASES)
def test_finds(root: Path, path: str, value: Any, what: str) -> None:
    content = deepcopy(GOOD)
    here = content["services"]
    *steps, last = [int(step) if step.isdigit() else step for step in path.split()]
    for step in steps:
        here = here[step]
    here[last] = value
    assert any(what in one for one in said(root, content)), said(root, content)


def test_a_secret_that_nobody_makes_is_missing(root: Path) -> None:
    content = deepcopy(GOOD)
    content["secrets"]["catalog"]["file"] = "./deploy/docker/secrets/catalogue"
    assert "there is no ./deploy/docker/secrets/catalogue" in said(root, content)
