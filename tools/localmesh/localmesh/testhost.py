"""The servers of one test run, started when a test process first asks for them.

Run by the pytest plugin as a child of the controlling pytest:

    python -m localmesh.testhost FOLDER LISTENING_FD VHOSTS

A test process connects, writes a line, `postgres` or `rabbitmq`, and reads one JSON object: what
it needs to know of that server, or `{"error": ...}`.
"""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from localmesh import postgres, rabbitmq
from localmesh.children import Child
from localmesh.errors import MeshError
from localmesh.paths import checkout_paths, private_dir
from localmesh.ports import free_ports
from localmesh.postgres import Postgres
from localmesh.rabbitmq import RabbitMQ
from localmesh.servers import AMQP_ROLES, broker_users
from localmesh.vault import Vault, role_passwords
from recmesh_kit import provision

Facts = dict[str, Any]


class RunServers:
    """At most one PostgreSQL and one RabbitMQ, each started once."""

    def __init__(self, folder: Path, vhosts: int) -> None:
        self._folder = folder
        self._vhosts = vhosts
        self._vault = Vault(folder / "secrets")
        self._given: set[int] = set()
        self._children: list[Child] = []
        self._tasks: dict[str, asyncio.Task[Facts]] = {}

    async def facts(self, server: str) -> Facts:
        """Start `server` if nobody has yet, and say how to reach it."""
        makers: dict[str, Callable[[], Awaitable[Facts]]] = {
            "postgres": self._postgres,
            "rabbitmq": self._rabbitmq,
        }
        if server not in self._tasks:
            attempt = self._attempt(makers[server])
            self._tasks[server] = asyncio.create_task(attempt, name=f"start {server}")
        return await asyncio.shield(self._tasks[server])

    async def stop(self) -> None:
        """Stop what runs."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self._children))

    async def _attempt(self, make: Callable[[], Awaitable[Facts]]) -> Facts:
        """Twice: a port that was free may be taken while the server starts, by whatever else runs here."""
        try:
            try:
                return await make()
            except MeshError as error:
                print(f"once more, by other ports: {error}", flush=True)
                return await make()
        except (MeshError, OSError) as error:
            return {"error": str(error)}

    def _ports(self, count: int) -> list[int]:
        """Ports that are free now and that no other server here was given: they may start at the same time."""
        found = [port for port in free_ports(count + len(self._given)) if port not in self._given]
        self._given.update(found[:count])
        return found[:count]

    async def _start(self, server: Postgres | RabbitMQ, limit: float) -> None:
        child = Child(await server.prepare())
        self._children.append(child)
        child.start()
        try:
            await child.become_ready(server.ready, limit)
        except MeshError:
            await child.stop()
            raise

    async def _postgres(self) -> Facts:
        if admin_url := os.environ.get("DATABASE_URL"):
            passwords = role_passwords(Vault(checkout_paths().secrets))
        else:
            [port] = self._ports(1)
            server = Postgres(
                folder=self._folder / f"postgres-{port}",
                port=port,
                password=self._vault.password("postgres"),
                log=self._folder / "postgres.log",
                lasting=False,
            )
            await self._start(server, postgres.START_LIMIT)
            admin_url = server.admin_url
            passwords = role_passwords(self._vault)
        await provision.provision_roles(admin_url, passwords)
        return {"admin_url": admin_url, "passwords": passwords}

    async def _rabbitmq(self) -> Facts:
        port, nodes_port = self._ports(2)
        node = RabbitMQ(
            folder=self._folder / f"rabbitmq-{port}",
            port=port,
            nodes_port=nodes_port,
            users=broker_users(self._vault),
            vhosts=tuple(f"test-{index}" for index in range(self._vhosts)),
            log=self._folder / "rabbitmq.log",
        )
        await self._start(node, rabbitmq.START_LIMIT)
        return {
            "urls": [node.url(rabbitmq.ADMIN, vhost) for vhost in node.vhosts],
            "role_urls": [
                {role: node.url(user, vhost) for user, role in AMQP_ROLES.items()}
                for vhost in node.vhosts
            ],
        }


def claim(folder: Path) -> int:
    """Make the run's folder, locked for as long as this process lives; sweep those of dead runs.

    Returns the descriptor that holds the lock.
    """
    runs = private_dir(folder.parent)
    with (runs / "sweep.lock").open("w") as sweeping:
        fcntl.flock(sweeping, fcntl.LOCK_EX)
        for other in runs.iterdir():
            if other.is_dir() and not _in_use(other):
                shutil.rmtree(other, ignore_errors=True)
        lock = os.open(private_dir(folder) / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _in_use(folder: Path) -> bool:
    try:
        with (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _peer(writer: asyncio.StreamWriter) -> int:
    """The user at the other end: an abstract socket has no file mode that would keep others out."""
    sock = writer.get_extra_info("socket")
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


async def serve(folder: Path, listener: socket.socket, vhosts: int) -> None:
    """Answer until SIGTERM; then stop the servers and remove the folder."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    lock = claim(folder)
    servers = RunServers(folder, vhosts)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _peer(writer) != os.getuid():
                return
            question = (await reader.readline()).decode().strip()
            # Cancelled when the run ends before the answer: then nobody waits for it.
            with suppress(asyncio.CancelledError):
                writer.write(json.dumps(await servers.facts(question)).encode())
                await writer.drain()
        finally:
            writer.close()

    endpoint = await asyncio.start_unix_server(answer, sock=listener)
    await stopping.wait()
    endpoint.close()
    await servers.stop()
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])))
