"""The ports of the local mesh, and whether they are free."""

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from localmesh.errors import MeshError

HOST = "127.0.0.1"
OFFSET_VARIABLE = "RECMESH_PORT_OFFSET"
_BELOW_EPHEMERAL = range(20_000, 32_000)
MOST_RECOMMENDERS = 7
"""As many as have ports."""
MOST_BROKERS = 7
_NEAR = 10
"""Workers whose ports lie close to the others', so that small meshes may lie close to each other."""


@dataclass(frozen=True)
class Ports:
    """Every port that the mesh of this checkout listens on, all moved by one offset."""

    offset: int = 0

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "Ports":
        """The ports that `RECMESH_PORT_OFFSET` asks for. Raises MeshError if it is no offset."""
        text = env.get(OFFSET_VARIABLE, "") or "0"
        try:
            offset = int(text)
        except ValueError:
            msg = f"{OFFSET_VARIABLE} is not a whole number: {text!r}"
            raise MeshError(msg) from None
        if not -40_000 <= offset <= 9_000:
            msg = f"{OFFSET_VARIABLE} must be from -40000 to 9000, not {offset}"
            raise MeshError(msg)
        return cls(offset)

    @property
    def auth(self) -> int:
        """The auth service's."""
        return 50051 + self.offset

    @property
    def catalog(self) -> int:
        """The catalog service's."""
        return 50052 + self.offset

    @property
    def recommender(self) -> int:
        """The (first) recommender service's."""
        return self.recommender_at(0)

    def recommender_at(self, index: int) -> int:
        """That of recommender number `index`, counted from 0."""
        return 50053 + index + self.offset

    def worker(self, index: int) -> int:
        """The health port of worker number `index`, counted from 0."""
        return (50060 if index < _NEAR else 50100) + index + self.offset

    @property
    def auth_metrics(self) -> int:
        """That of the auth service's metrics."""
        return 50071 + self.offset

    @property
    def catalog_metrics(self) -> int:
        """That of the catalog service's metrics."""
        return 50072 + self.offset

    @property
    def recommender_metrics(self) -> int:
        """That of the (first) recommender service's metrics."""
        return self.recommender_metrics_at(0)

    def recommender_metrics_at(self, index: int) -> int:
        """That of the metrics of recommender number `index`, counted from 0."""
        return 50073 + index + self.offset

    def worker_metrics(self, index: int) -> int:
        """That of the metrics of worker number `index`, counted from 0."""
        return (50080 if index < _NEAR else 50200) + index + self.offset

    @property
    def postgres(self) -> int:
        """PostgreSQL's."""
        return 55432 + self.offset

    @property
    def rabbitmq(self) -> int:
        """RabbitMQ's (that of the first node), for AMQP."""
        return self.rabbitmq_at(0)

    def rabbitmq_at(self, index: int) -> int:
        """That of RabbitMQ's node number `index`, counted from 0, for AMQP."""
        return (55672 if index == 0 else 55673) + index + self.offset

    def rabbitmq_metrics_at(self, index: int) -> int:
        """That of the metrics of RabbitMQ's node number `index`, counted from 0."""
        return 55692 + index + self.offset

    @property
    def prometheus(self) -> int:
        """Prometheus's."""
        return 55690 + self.offset

    @property
    def rabbitmq_nodes(self) -> int:
        """RabbitMQ's, for its own tools and other nodes: each has it at an address of its own."""
        return 55673 + self.offset


def address(port: int) -> str:
    """The address of a port on this machine, `host:port`."""
    return f"{HOST}:{port}"


def require_free(wanted: Mapping[str, int]) -> None:
    """Raise MeshError that names each port of `wanted` (who -> port) that is taken."""
    taken = [f"port {port}, which {who} needs" for who, port in wanted.items() if not _free(port)]
    if taken:
        msg = (
            f"already in use: {'; '.join(taken)}. "
            f"Stop what listens there, or set {OFFSET_VARIABLE} (1000, say) to move all ports"
        )
        raise MeshError(msg)


def free_ports(count: int) -> list[int]:
    """Different ports that are free now, below those that the kernel gives to connections."""
    found: list[int] = []
    for port in random.sample(_BELOW_EPHEMERAL, len(_BELOW_EPHEMERAL)):
        if len(found) == count:
            return found
        if _free(port):
            found.append(port)
    msg = f"no {count} free ports between 20000 and 32000"
    raise MeshError(msg)


def _free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
    return True
