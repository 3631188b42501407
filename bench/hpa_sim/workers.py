"""Pods of workers: asked for, starting, working, gone."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.hpa_sim.scraping import Sample, rate
from bench.hpa_sim.world import World


@dataclass
class _Pod:
    asked_at: float
    since: float | None = None
    """What each worker had taken of the processor when this one began to work."""
    samples: list[Sample] = field(default_factory=list)


class Workers:
    """All of them.

    Args:
        world: What they are like.
        count: Those that are there at the beginning, and work.
    """

    def __init__(self, world: World, count: int) -> None:
        self._world = world
        self._until_ready = world.pod_seconds + world.start_seconds
        self._pods = [_Pod(-3600.0) for _ in range(count)]
        self._gone: list[_Pod] = []
        self._each = 0.0
        """Processor seconds that one has taken that has worked from the beginning: they share evenly."""

    @property
    def count(self) -> int:
        """Those that there are to be."""
        return len(self._pods)

    def scale(self, now: float, wanted: int) -> None:
        """There are to be so many. The youngest go, as with a ReplicaSet's pods: first those that do not work yet."""
        while len(self._pods) < wanted:
            self._pods.append(_Pod(now))
        while len(self._pods) > wanted:
            self._gone.append(self._pods.pop())

    def working(self, now: float) -> int:
        """Those that take jobs."""
        count = len(self._pods)
        # They stand in the order in which they were asked for.
        while count and now - self._pods[count - 1].asked_at < self._until_ready:
            count -= 1
        return count

    def use(self, now: float, step: float, seconds: float, jobs: float) -> None:
        """In a step they did jobs, which took so many processor seconds, in equal parts."""
        world, working = self._world, self.working(now)
        for pod in reversed(self._pods[:working]):
            if pod.since is not None:
                break
            pod.since = self._each
        count = max(1, working)
        batches = min(jobs / count * world.batch_seconds, step * world.batch_share)
        own = seconds / count + batches + step * world.idle_cores
        self._each += min(own, step * world.cores)

    def scrape(self, now: float) -> None:
        """Prometheus asks those whose process runs."""
        for pod in self._pods:
            if now - pod.asked_at >= self._world.pod_seconds:
                pod.samples = [*pod.samples[-12:], (now, self._used(pod, now))]

    def _used(self, pod: _Pod, now: float) -> float:
        """Processor seconds, since its start."""
        world = self._world
        if pod.since is not None:
            return world.start_cpu_seconds + self._each - pod.since
        return world.start_cpu_seconds * min(
            1.0, (now - pod.asked_at - world.pod_seconds) / world.start_seconds
        )

    def measured(self, now: float, window: float) -> tuple[float, int]:
        """The processor seconds a second that are known to be taken, and how many workers tell. Those that are gone
        stand in the window for as long as it is."""
        rates = [rate(pod.samples, now, window) for pod in (*self._pods, *self._gone)]
        known = [one for one in rates if one is not None]
        self._gone = [pod for pod in self._gone if rate(pod.samples, now, window) is not None]
        return sum(known), len(known)
