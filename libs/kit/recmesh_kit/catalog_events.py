"""Where changes of catalogs are told, and the queues of those who keep the read model.

Both ends declare the queues: what is published while nothing is bound to an exchange is lost, and the catalog service
may be up first. What people do has a queue of its own, so that it does not wait for items that are being embedded.
"""

from __future__ import annotations

from recmesh_kit.topology import Exchange, Queue, Topology

CATALOG_EVENTS = Exchange("catalog.events", "topic")
INDEX = Queue(
    "index",
    "quorum",
    bindings=((CATALOG_EVENTS.name, "item.#"), (CATALOG_EVENTS.name, "catalog.#")),
)
HISTORY = Queue(
    "history",
    "quorum",
    bindings=((CATALOG_EVENTS.name, "interaction.#"), (CATALOG_EVENTS.name, "catalog.#")),
)
TOPOLOGY = Topology(exchanges=(CATALOG_EVENTS,), queues=(INDEX, HISTORY))
