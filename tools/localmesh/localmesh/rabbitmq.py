"""A private RabbitMQ node: loopback only, its own users, nothing outside its folder.

The node starts its distribution by itself and on a fixed port, so that no epmd is needed.
"""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from localmesh.children import Spec
from localmesh.errors import MeshError
from localmesh.paths import private_dir
from localmesh.ports import HOST, address

ADMIN = "recmesh_admin"
START_LIMIT = 120.0
NODE = "recmesh@localhost"
MISSING = (
    "RabbitMQ is not installed: run `apt-get install rabbitmq-server`, or set AMQP_URL to a "
    "server of yours, or use `docker compose up`"
)
# The scripts themselves: what Debian puts on the PATH becomes another user first.
_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin")
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"
# Two schedulers that sleep when idle: the machine belongs to the services.
_VM_FLAGS = "+S 2:2 +SDcpu 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass(frozen=True)
class RabbitMQ:
    """One node in `folder`. Each of `users` (name -> password) may do all within each vhost."""

    folder: Path
    port: int
    nodes_port: int
    users: Mapping[str, str] = field(repr=False)
    vhosts: tuple[str, ...]
    log: Path

    def url(self, user: str, vhost: str) -> str:
        """The URL by which `user` reaches `vhost`."""
        return f"amqp://{user}:{self.users[user]}@{address(self.port)}/{quote(vhost, safe='')}"

    async def prepare(self) -> Spec:
        """Write the configuration, and say how to run the node. Raises MeshError when missing."""
        script = server_script()
        private_dir(self.folder)
        if not self._proven.exists() and self._data.exists():
            # Killed in its first start: half a node, and nothing of value in it.
            shutil.rmtree(self._data)
        home = private_dir(self.folder / "home")
        files = {
            "rabbitmq.conf": _configuration(self.port, self.folder / "definitions.json"),
            "definitions.json": json.dumps(_definitions(self.users, self.vhosts)),
            "enabled_plugins": "[].\n",
        }
        for name, text in files.items():
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text)
        return Spec(
            name="rabbitmq",
            argv=(str(script),),
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(home),
                "LANG": "C.UTF-8",
                # Makes the script become the node, so that signals reach it.
                "RUNNING_UNDER_SYSTEMD": "true",
                "RABBITMQ_NODENAME": NODE,
                "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
                "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "none.config"),
                "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none-env.conf"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
                "RABBITMQ_MNESIA_BASE": str(self._data),
                "RABBITMQ_LOG_BASE": str(self.folder / "log"),
                "RABBITMQ_PID_FILE": str(self.folder / "pid"),
                "RABBITMQ_DIST_PORT": str(self.nodes_port),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                    f"-sname {NODE} -erl_epmd_port {self.nodes_port} "
                    f"-kernel inet_dist_use_interface {{127,0,0,1}} {_VM_FLAGS}"
                ),
                # Here, where the node's own helper programs see it too.
                "ERL_FLAGS": "-start_epmd false",
                "ERL_CRASH_DUMP_SECONDS": "0",
            },
            log=self.log,
            address=address(self.port),
            stop_limit=30.0,
            # The virtual machine drops signals while it boots.
            stop_again=1.0,
        )

    async def ready(self) -> bool:
        """Whether the node greets a client."""
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    writer.write(_PROTOCOL_HEADER)
                    greeted = await reader.read(1) == _METHOD_FRAME
                finally:
                    writer.close()
                    await writer.wait_closed()
        except OSError:
            return False
        if greeted:
            self._proven.touch()
        return greeted

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _proven(self) -> Path:
        """There once the node has been ready with its data."""
        return self.folder / "proven"


def server_script() -> Path:
    """The script that runs the node as whoever calls it. Raises MeshError when there is none."""
    path = os.pathsep.join((*_PLACES, os.environ.get("PATH", "")))
    found = shutil.which("rabbitmq-server", path=path)
    if found is None:
        raise MeshError(MISSING)
    return Path(found)


def _configuration(port: int, definitions: Path) -> str:
    return "\n".join(
        (
            f"listeners.tcp.1 = {HOST}:{port}",
            f"load_definitions = {definitions}",
            "log.file = false",
            "log.console = true",
            "log.console.level = warning",
            "vm_memory_high_watermark.absolute = 1GB",
            "",
        )
    )


def _definitions(users: Mapping[str, str], vhosts: Iterable[str]) -> dict[str, object]:
    """Users and vhosts, in the form that the node reads at its start; with them comes no guest."""
    vhosts = tuple(vhosts)
    return {
        "users": [
            {
                "name": name,
                "password_hash": _password_hash(password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "administrator" if name == ADMIN else "",
            }
            for name, password in users.items()
        ],
        "vhosts": [{"name": vhost} for vhost in vhosts],
        "permissions": [
            {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
            for user in users
            for vhost in vhosts
        ],
    }


def _password_hash(password: str) -> str:
    """As https://www.rabbitmq.com/docs/passwords#computing-password-hash says."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
