"""The secrets of a deployment in containers, as files: compose mounts them, kustomize makes Secrets of them.

A folder for each program, in it a file for each variable (`RECMESH_SECRETS_DIR` of `recmesh_kit.settings`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localmesh.definitions import definitions
from localmesh.environment import KEY_HOLDERS, admin_account, key_hashes
from localmesh.paths import private_dir
from localmesh.servers import AMQP_ROLES, DATABASE, VHOST, broker_users
from localmesh.vault import Vault, role_passwords
from recmesh_kit.provision import role_urls

_READABLE, _SEARCHABLE = 0o644, 0o755
"""Of files and folders. Containers run as another user; nobody else gets through the folder above."""
_ADMIN = "postgres"


@dataclass(frozen=True)
class Servers:
    """Where a deployment finds them, `host:port`."""

    postgres: str = "postgres:5432"
    rabbitmq: str = "rabbitmq:5672"


def make_secrets(folder: Path, servers: Servers) -> int:
    """Make them, and say what is new. Returns 0."""
    new = write_secrets(folder, servers)
    print(f"{folder}: {len(new)} new files" if new else f"{folder}: nothing is missing")
    return 0


def write_secrets(folder: Path, servers: Servers) -> list[Path]:
    """Make what is missing of the secrets below `folder`, and return the files that are new.

    What is there stays, so that a value may be one's own. (What others are made from, as a URL is from a password, is
    in the folder `made`: one's own has to stand there, before that is made.)
    """
    vault = Vault(private_dir(folder) / "made")
    wanted = dict(_files(vault, servers))
    if not any(folder.glob("signing/*.pem")):
        # Only when there is none: old keys are deleted in time, and are not to come back.
        first = min(vault.signing_keys().glob("*.pem"))
        # By a name that is known, since kustomize wants each file by its name. Later ones are named by their time, or
        # on from here: they come after it.
        wanted["signing/0001.pem"] = first.read_text()
    missing = {folder / path: content for path, content in wanted.items()}
    missing = {file: content for file, content in missing.items() if not file.exists()}
    for file, content in missing.items():
        file.parent.mkdir(exist_ok=True)
        file.parent.chmod(_SEARCHABLE)
        # Whole or not at all: half a file would stay.
        new = file.with_name(f".{file.name}.new")
        new.write_text(content)
        new.chmod(_READABLE)
        new.replace(file)
    return list(missing)


def _files(vault: Vault, servers: Servers) -> Iterator[tuple[str, str]]:
    """Path below the folder, content."""
    admin_password = vault.password("postgres")
    admin_url = f"postgresql://{_ADMIN}:{admin_password}@{servers.postgres}/{DATABASE}"
    passwords = role_passwords(vault)
    users = broker_users(vault)
    yield "postgres/POSTGRES_PASSWORD", admin_password
    yield "rabbitmq/definitions.json", json.dumps(definitions(users, (VHOST,)))
    yield "grafana/GF_ADMIN_PASSWORD", vault.password("grafana")
    yield "provision/DATABASE_URL", admin_url
    yield "provision/RECMESH_ROLE_PASSWORDS", json.dumps(passwords)
    for role, url in role_urls(admin_url, passwords).items():
        service = role.removeprefix("recmesh_")
        yield f"{service}/DATABASE_URL", url
        if role in AMQP_ROLES:
            amqp_url = f"amqp://{role}:{users[role].password}@{servers.rabbitmq}/{VHOST}"
            yield f"{service}/AMQP_URL", amqp_url
    for service in KEY_HOLDERS:
        yield f"{service}/RECMESH_SERVICE_KEY", vault.api_key(service)
    for name, value in (key_hashes(vault) | admin_account(vault)).items():
        yield f"auth/{name}", value
