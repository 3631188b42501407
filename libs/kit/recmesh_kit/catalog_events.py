"""Where changes of catalogs are told, and the queue of those who keep the index.

Both ends declare the queue: what is published while nothing is bound to an exchange is lost, and the catalog service
may be up first.
"""

from __future__ import annotations

from recmesh_kit.topology import Exchange, Queue, Topology

CATALOG_EVENTS = Exchange("catalog.events", "topic")
INDEX = Queue(
    "index",
    "quorum",
    bindings=tuple(
        (CATALOG_EVENTS.name, f"{what}.#") for what in ("item", "catalog", "interaction")
    ),
)
TOPOLOGY = Topology(exchanges=(CATALOG_EVENTS,), queues=(INDEX,))
