"""What is declared at the broker, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Argument = str | int | bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange.

    Attributes:
        name: Its name.
        kind: How it routes.
    """

    name: str
    kind: Literal["direct", "fanout", "topic", "headers"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue.

    Attributes:
        name: Its name.
        kind: `quorum` survives the loss of a broker's node; `classic` does not.
        bindings: (exchange, routing key) pairs that lead to it.
        max_length: Most messages it holds; None for no limit. When full, publishing to it is refused.
        arguments: Further `x-…` arguments.
    """

    name: str
    kind: Literal["quorum", "classic"] = "quorum"
    bindings: tuple[tuple[str, str], ...] = ()
    max_length: int | None = None
    arguments: Mapping[str, Argument] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def all_arguments(self) -> dict[str, Argument]:
        """The arguments that the broker is given."""
        arguments: dict[str, Argument] = {"x-queue-type": self.kind}
        if self.max_length is not None:
            arguments |= {"x-max-length": self.max_length, "x-overflow": "reject-publish"}
        return arguments | dict(self.arguments)


@dataclass(frozen=True, slots=True)
class Topology:
    """What a process needs to be there. Exchanges are declared before queues.

    Attributes:
        exchanges: The exchanges.
        queues: The queues, each with its bindings.
    """

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a user may do in a virtual host: regular expressions of names, as RabbitMQ takes them.

    Attributes:
        configure: What it may declare and delete.
        write: Where it may publish, and which queues it may bind.
        read: What it may consume, and to which exchanges it may bind.
    """

    configure: str
    write: str
    read: str
