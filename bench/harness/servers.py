"""PostgreSQL and RabbitMQ of the mesh, for whoever measures beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aio_pika
import asyncpg

from localmesh.paths import Paths, checkout
from localmesh.ports import Ports, address, free_ports
from localmesh.postgres import ADMIN as POSTGRES_ADMIN
from localmesh.rabbitmq import ADMIN as RABBITMQ_ADMIN
from localmesh.servers import DATABASE, VHOST
from localmesh.state import running_state
from localmesh.vault import Vault
from recmesh_kit.provision import with_database

_ROLES = {"auth": "other", "catalog": "other", "recommender": "server", "worker": "worker"}
"""Members of the mesh to the roles that their processor time is counted as."""
SHARED = ("postgres", "rabbitmq")
"""Roles of the members that all systems share."""
_CONNECT_SECONDS = 30.0


class NoMeshError(Exception):
    """There is no mesh that runs, or it is not this one."""


@dataclass(frozen=True)
class Servers:
    """The servers of a mesh that runs: its own, or those that `DATABASE_URL` (an admin's) and `AMQP_URL` name.

    Attributes:
        root: Where the mesh's `.local` lies.
    """

    root: Path

    @classmethod
    def of(cls, root: Path | None) -> Servers:
        """Those of the mesh in `root`; default: this checkout.

        Raises:
            NoMeshError: It does not run.
        """
        found = cls((root or checkout()).resolve())
        if not found.members(shared=False):
            raise NoMeshError(
                f"no mesh runs in {found.root}: `python -m localmesh --root {found.root} exec -- …`"
            )
        return found

    @property
    def local(self) -> Path:
        """Where data and results go."""
        return self.root / ".local" / "bench"

    @property
    def admin_url(self) -> str:
        """The superuser's URL of the mesh's own database."""
        if given := os.environ.get("DATABASE_URL"):
            return given
        password = self._vault.password("postgres")
        return (
            f"postgresql://{POSTGRES_ADMIN}:{password}@{address(self._ports.postgres)}/{DATABASE}"
        )

    @property
    def amqp_url(self) -> str:
        """The admin's URL of the mesh's vhost."""
        if given := os.environ.get("AMQP_URL"):
            return given
        password = self._vault.password(f"{RABBITMQ_ADMIN}_amqp")
        return f"amqp://{RABBITMQ_ADMIN}:{password}@{address(self._ports.rabbitmq)}/{quote(VHOST, safe='')}"

    @property
    def admin_password(self) -> str:
        """Of the mesh's first admin."""
        return self._vault.password("admin")

    def members(self, *, shared: bool) -> dict[str, list[int]]:
        """Role to process ids of the mesh as it runs: `server`, `worker`, `other`; or else `SHARED`."""
        state = running_state(Paths(self.root / ".local"))
        found: dict[str, list[int]] = {}
        for member in state.members if state else ():
            name = member.name.partition("-")[0]
            if member.pid is not None:
                found.setdefault(_ROLES.get(name, name), []).append(member.pid)
        return {role: pids for role, pids in found.items() if (role in SHARED) == shared}

    async def database(self, name: str) -> str:
        """Makes database `name` anew, empty, and returns its URL. Whoever is connected to the old one is cut off."""
        connection = await asyncpg.connect(self.admin_url, timeout=_CONNECT_SECONDS)
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        finally:
            await connection.close()
        return with_database(self.admin_url, name)

    async def drop_queues(self, *names: str) -> None:
        """Deletes queues of an earlier run, whatever is in them."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection, connection.channel() as channel:
            for name in names:
                await channel.queue_delete(name)

    @staticmethod
    def port() -> int:
        """A port that is free now."""
        return free_ports(1)[0]

    @property
    def _vault(self) -> Vault:
        return Vault(self.root / ".local" / "secrets")

    @property
    def _ports(self) -> Ports:
        state = running_state(Paths(self.root / ".local"))
        return Ports(state.port_offset if state else 0)
