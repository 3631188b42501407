"""Every exchange and queue of the mesh, and who declares, feeds and reads them: the one place.

What is published while nothing is bound to an exchange is lost, and any process may be up first. So each declares the
queues of what it publishes as well as those that it reads. A queue's properties cannot be changed once it is there:
`amqp.declare` says how to migrate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from recmesh_kit.topology import Argument, Exchange, Permissions, Queue, Topology

RoleName = Literal["catalog", "recommender", "worker"]

JOBS = Exchange("recommender.jobs", "direct")
"""Jobs to workers; the routing key is the queue's name."""
CATALOG_EVENTS = Exchange("catalog.events", "topic")
"""What changed in a catalog (`item.{catalog}`, `interaction.{catalog}`, `catalog.{catalog}`), for others to listen to,
too."""
RECOMMENDER_EVENTS = Exchange("recommender.events", "topic")
"""Jobs that have ended (`recommendation.{catalog}`) and indexes that have changed (`index.{catalog}`), for others to
listen to."""
REPAIRS = Exchange("recommender.repairs", "topic")
"""What the read model was found to lack, told once more, as `catalog.events` tells it."""

MOST_MESSAGES = 100_000
"""Of a queue. A job that finds its queue full waits in its row; a change of a catalog waits in the outbox."""
# Rows count the attempts of jobs, and a change of a catalog waits for as long as it takes: by its own limit, 20 in
# RabbitMQ 4, the broker would throw messages away.
_CONSUMED: dict[str, Argument] = {"x-delivery-limit": 1_000_000}


def _consumed(name: str, *bindings: tuple[Exchange, str]) -> Queue:
    return Queue(
        name,
        bindings=tuple((exchange.name, key) for exchange, key in bindings),
        max_length=MOST_MESSAGES,
        arguments=_CONSUMED,
    )


INTERACTIVE = _consumed("jobs.interactive", (JOBS, "jobs.interactive"))
"""Jobs that somebody waits for."""
BULK = _consumed("jobs.bulk", (JOBS, "jobs.bulk"))
"""Jobs that nobody waits for."""
SUSPECT = _consumed("jobs.suspect", (JOBS, "jobs.suspect"))
"""Jobs whose attempt ended without a word, taken one at a time."""
TRAINING = _consumed("jobs.training", (JOBS, "jobs.training"))
"""Trainings."""
INDEX = _consumed(
    "index", (CATALOG_EVENTS, "item.#"), (CATALOG_EVENTS, "catalog.#"), (REPAIRS, "item.#")
)
"""Changes of items, for those who keep the read model."""
# Of its own, so that what people do does not wait for items that are being embedded.
HISTORY = _consumed(
    "history",
    (CATALOG_EVENTS, "interaction.#"),
    (CATALOG_EVENTS, "catalog.#"),
    (REPAIRS, "interaction.#"),
)
"""What people do, for those who keep the read model."""
# It says how things stand, and is told again now and then. So nobody needs more than the latest: when it is not read it
# loses its oldest messages, and what was told while there was no queue is missed for a minute at most.
INDEX_PROGRESS = Queue(
    "index-progress",
    bindings=((RECOMMENDER_EVENTS.name, "index.#"),),
    max_length=10_000,
    arguments={"x-overflow": "drop-head"},
)
"""How far the index is, for those who show it."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Where a message waits for a fixed time, after which it goes to `JOBS` with the routing key that it came with. A
    queue per time: of messages with times of their own, one at the head would hold up those behind it.

    Attributes:
        seconds: How long.
    """

    seconds: int

    @property
    def exchange(self) -> Exchange:
        """Where to publish."""
        return Exchange(f"recommender.delay.{self.seconds}s", "fanout")

    @property
    def queue(self) -> Queue:
        """Where it waits. The broker lets go of a message once the next queue has it: at least once."""
        return Queue(
            f"jobs.delay.{self.seconds}s",
            bindings=((self.exchange.name, ""),),
            max_length=MOST_MESSAGES,
            arguments={
                "x-message-ttl": self.seconds * 1000,
                "x-dead-letter-exchange": JOBS.name,
                "x-dead-letter-strategy": "at-least-once",
            },
        )


TIERS = (Tier(1), Tier(10), Tier(60))
"""After its first, second and each further attempt that failed for a passing reason a job waits so long."""


@dataclass(frozen=True, slots=True)
class _Role:
    """What a service does at the broker.

    Attributes:
        exchanges: It declares.
        queues: It declares, and binds to those of the exchanges.
        publishes: Exchanges that it publishes to.
        consumes: Queues that it reads.
        replies: Whether it has reply queues of its own, `reply.…`.
        answers: Whether it publishes to others' reply queues.
    """

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    publishes: tuple[Exchange, ...]
    consumes: tuple[Queue, ...] = ()
    replies: bool = False
    answers: bool = False


_JOB_QUEUES = (INTERACTIVE, BULK, SUSPECT, TRAINING, *(tier.queue for tier in TIERS))
_DELAYS = tuple(tier.exchange for tier in TIERS)
_ROLES: dict[RoleName, _Role] = {
    "catalog": _Role(
        exchanges=(CATALOG_EVENTS, RECOMMENDER_EVENTS),
        queues=(INDEX, HISTORY, INDEX_PROGRESS),
        publishes=(CATALOG_EVENTS,),
        consumes=(INDEX_PROGRESS,),
    ),
    "recommender": _Role(
        exchanges=(JOBS, *_DELAYS, RECOMMENDER_EVENTS, REPAIRS),
        queues=(*_JOB_QUEUES, INDEX, HISTORY),
        publishes=(JOBS, RECOMMENDER_EVENTS, REPAIRS),
        replies=True,
    ),
    "worker": _Role(
        exchanges=(JOBS, *_DELAYS, RECOMMENDER_EVENTS, CATALOG_EVENTS, REPAIRS),
        queues=(*_JOB_QUEUES, INDEX, HISTORY),
        publishes=(*_DELAYS, RECOMMENDER_EVENTS),
        consumes=(INTERACTIVE, BULK, SUSPECT, TRAINING, INDEX, HISTORY),
        answers=True,
    ),
}
ROLES: tuple[RoleName, ...] = tuple(_ROLES)


def topology_of(role: RoleName) -> Topology:
    """What a service declares."""
    own = _ROLES[role]
    return Topology(own.exchanges, tuple(_bound(queue, own.exchanges) for queue in own.queues))


def permissions(role: RoleName) -> Permissions:
    """What a service's user may do at the broker, and no more (https://www.rabbitmq.com/docs/access-control)."""
    own, declared = _ROLES[role], topology_of(role)
    # To bind takes the right to write the queue and to read the exchange; to name a dead-letter exchange, the right to
    # read the queue and to write the exchange.
    dying = [queue for queue in declared.queues if "x-dead-letter-exchange" in queue.arguments]
    replies = [r"reply\..*"] if own.replies else []
    default = [r"amq\.default"] if own.answers else []
    return Permissions(
        configure=_any_of([*_names(own.exchanges), *_names(own.queues), *replies]),
        write=_any_of(
            [
                *_names(own.publishes),
                *_names(own.queues),
                *(re.escape(str(q.arguments["x-dead-letter-exchange"])) for q in dying),
                *default,
            ]
        ),
        read=_any_of([*_names(own.consumes), *_names(own.exchanges), *_names(dying), *replies]),
    )


def index_key(catalog: str) -> str:
    """With what an `IndexAdvanced` of a catalog is published."""
    return f"index.{catalog}"


def _bound(queue: Queue, exchanges: Iterable[Exchange]) -> Queue:
    known = {exchange.name for exchange in exchanges}
    return replace(queue, bindings=tuple(b for b in queue.bindings if b[0] in known))


def _names(declared: Iterable[Exchange | Queue]) -> list[str]:
    return [re.escape(one.name) for one in declared]


def _any_of(names: Iterable[str]) -> str:
    return f"^({'|'.join(sorted(set(names)))})$"
