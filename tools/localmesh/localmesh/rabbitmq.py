"""A private RabbitMQ node, alone or in a cluster: loopback only, its own users, nothing outside its folder.

A node starts its distribution by itself and on a fixed port, so that no epmd is needed. Those of a cluster have the
same such port, each at a loopback address of its own.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from localmesh.children import Spec
from localmesh.definitions import User, definitions
from localmesh.errors import MeshError
from localmesh.paths import private_dir
from localmesh.ports import HOST, address

ADMIN = "recmesh_admin"
START_LIMIT = 240.0
MISSING = (
    "RabbitMQ is not installed: run `apt-get install rabbitmq-server`, or set AMQP_URL to a "
    "server of yours, or use `docker compose up`"
)
# The scripts themselves: what Debian puts on the PATH becomes another user first.
_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin")
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"
_PROVEN = "proven"
_METRICS_PLUGIN = "rabbitmq_prometheus"
_CLUSTERED = (
    "cluster_formation.peer_discovery_backend = classic_config",
    # The first node looks in vain for others that have begun; a lock keeps the others waiting meanwhile.
    "cluster_formation.discovery_retry_limit = 1",
    "cluster_formation.discovery_retry_interval = 100",
    # A node that was stopped for so long that the others gave it up restarts itself and knows again what they know.
    # (With `pause_minority` it finds them all there when it goes on, and stays apart in what it knows.)
    "cluster_partition_handling = autoheal",
    # Each keeps several times as much in memory.
    "raft.wal_max_size_bytes = 64000000",
)
# Seconds, give or take a quarter, after which a node that says nothing counts as gone: till then nobody can declare
# anything, and it may come back as if nothing had been.
_TICK = "-kernel net_ticktime 20"
# Two schedulers that sleep when idle: the machine belongs to the services.
_VM_FLAGS = "+S 2:2 +SDcpu 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass(frozen=True)
class Cluster:
    """Which node of how many this one is."""

    index: int
    """From 0."""
    size: int
    folder: Path
    """That of the cluster, with those of the nodes in it."""
    cookie: str = field(repr=False)
    """The word by which the nodes know each other."""

    @property
    def nodes(self) -> list[str]:
        """The names of all nodes."""
        return [_node(_loopback(index)) for index in range(self.size)]

    @property
    def proven(self) -> bool:
        """Whether every node has been ready with its data."""
        return all((self.folder_of(index) / _PROVEN).exists() for index in range(self.size))

    def folder_of(self, index: int) -> Path:
        """Where node number `index` keeps its files."""
        return self.folder / str(index)


@dataclass(frozen=True)
class RabbitMQ:
    """One node in `folder`, with `users` (by name)."""

    folder: Path
    port: int
    nodes_port: int
    users: Mapping[str, User] = field(repr=False)
    vhosts: tuple[str, ...]
    log: Path
    name: str = "rabbitmq"
    cluster: Cluster | None = None
    metrics_port: int | None = None
    """Where it serves its metrics, if it is to."""

    def url(self, user: str, vhost: str, port: int | None = None) -> str:
        """The URL by which `user` reaches `vhost`; at another `port` if something lies in between."""
        server = address(self.port if port is None else port)
        return f"amqp://{user}:{self.users[user].password}@{server}/{quote(vhost, safe='')}"

    async def prepare(self) -> Spec:
        """Write the configuration, and say how to run the node. Raises MeshError when missing."""
        script = server_script()
        private_dir(self.folder)
        proven = self.cluster.proven if self.cluster else self._proven.exists()
        if not proven and self._data.exists():
            # Killed in its first start: half a node, or half a cluster, and nothing of value in it.
            shutil.rmtree(self._data)
            self._proven.unlink(missing_ok=True)
        home = private_dir(self.folder / "home")
        files = {
            "rabbitmq.conf": self._configuration(),
            "definitions.json": json.dumps(definitions(self.users, self.vhosts)),
            "enabled_plugins": f"[{_METRICS_PLUGIN if self.metrics_port else ''}].\n",
        }
        if self.cluster:
            files["home/.erlang.cookie"] = self.cluster.cookie
        for name, text in files.items():
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text)
        return Spec(
            name=self.name,
            argv=(str(script),),
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(home),
                "LANG": "C.UTF-8",
                # Makes the script become the node, so that signals reach it.
                "RUNNING_UNDER_SYSTEMD": "true",
                "RABBITMQ_NODENAME": self._node,
                **({"RABBITMQ_USE_LONGNAME": "true"} if self.cluster else {}),
                "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
                "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "none.config"),
                "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none-env.conf"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
                "RABBITMQ_MNESIA_BASE": str(self._data),
                "RABBITMQ_LOG_BASE": str(self.folder / "log"),
                "RABBITMQ_PID_FILE": str(self.folder / "pid"),
                "RABBITMQ_DIST_PORT": str(self.nodes_port),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                    f"{f'-name {self._node} {_TICK}' if self.cluster else f'-sname {self._node}'} "
                    f"-erl_epmd_port {self.nodes_port} "
                    f"-kernel inet_dist_use_interface {{{self._host.replace('.', ',')}}} {_VM_FLAGS}"
                ),
                # Here, where the node's own helper programs see it too.
                "ERL_FLAGS": "-start_epmd false",
                "ERL_CRASH_DUMP_SECONDS": "0",
            },
            log=self.log,
            address=address(self.port),
            metrics=address(self.metrics_port) if self.metrics_port else "",
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
    def _host(self) -> str:
        """Where it meets other nodes."""
        return _loopback(self.cluster.index) if self.cluster else HOST

    @property
    def _node(self) -> str:
        """Its name. That of a node alone is not bound to an address: it says where its data lie."""
        return _node(self._host) if self.cluster else _node("localhost")

    def _configuration(self) -> str:
        lines = [
            f"listeners.tcp.1 = {HOST}:{self.port}",
            f"load_definitions = {self.folder / 'definitions.json'}",
            "log.file = false",
            "log.console = true",
            "log.console.level = warning",
            "vm_memory_high_watermark.absolute = 1GB",
        ]
        if self.metrics_port:
            lines += [f"prometheus.tcp.ip = {HOST}", f"prometheus.tcp.port = {self.metrics_port}"]
        if self.cluster:
            lines += _CLUSTERED
            lines += [
                f"cluster_formation.classic_config.nodes.{index} = {node}"
                for index, node in enumerate(self.cluster.nodes, start=1)
            ]
        else:
            # What is in the log of the quorum queues is in memory, too; by default up to half a gigabyte.
            lines.append("raft.wal_max_size_bytes = 16777216")
        return "".join(f"{line}\n" for line in lines)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _proven(self) -> Path:
        """There once the node has been ready with its data."""
        return self.folder / _PROVEN


def server_script() -> Path:
    """The script that runs the node as whoever calls it. Raises MeshError when there is none."""
    path = os.pathsep.join((*_PLACES, os.environ.get("PATH", "")))
    found = shutil.which("rabbitmq-server", path=path)
    if found is None:
        raise MeshError(MISSING)
    return Path(found)


def _loopback(index: int) -> str:
    """An address of this machine for each node: all of 127.0.0.0/8 is."""
    return f"127.0.0.{index + 1}"


def _node(host: str) -> str:
    return f"recmesh@{host}"
