"""How much of a pool of connections is in use, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Pool(Protocol):
    """A pool of connections."""

    def size(self) -> int:
        """Most connections open at once."""
        ...

    def checkedout(self) -> int:
        """Those in use."""
        ...


class PoolCollector(Collector):
    """The connections of a process, by pool and whether they are in use.

    Args:
        pools: By name.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        connections = GaugeMetricFamily(
            "recmesh_database_connections",
            "Connections to the database, in use or free to be.",
            labels=["pool", "state"],
        )
        for name, pool in self._pools.items():
            in_use = pool.checkedout()
            connections.add_metric([name, "in_use"], in_use)
            connections.add_metric([name, "free"], max(0, pool.size() - in_use))
        yield connections
