"""What might be shipped instead, beside what is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.hpa_sim.curves import Curve, day, spike, steady, step
from bench.hpa_sim.figures import Figures, figures
from bench.hpa_sim.formula import Policy, Shape
from bench.hpa_sim.shipped import Demand
from bench.hpa_sim.simulate import simulate
from bench.hpa_sim.world import World

PEAK = 5.0
"""Workers' work at the highest point of each curve."""
STEADY = (1.0, 2.4, 3.7, 5.0)
"""Workers' work, for two hours each."""
SHIPPED = "as shipped"
COUNTED = "jobs are counted, 1,000 a worker"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A name for what an HPA and its metric might say.

    Attributes:
        name: In tables.
        shape: The HPA.
        demand: The metric.
        cores: That a worker can take at the most, where it is not the world's.
    """

    name: str
    shape: Shape
    demand: Demand
    cores: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a candidate comes to, curve by curve."""

    step: Figures
    spike: Figures
    day: Figures
    steady: Sequence[Figures]

    @property
    def steady_turns(self) -> int:
        """Turns under loads that do not change, all of them together."""
        return sum(one.turns for one in self.steady)


def candidates(shape: Shape, demand: Demand) -> Iterator[Candidate]:
    """What is compared; the first is what is shipped."""
    yield Candidate(SHIPPED, shape, demand)
    for target in (0.5, 0.6, 0.8, 0.9):
        yield Candidate(
            f"target {target:g}", replace(shape, target=target), replace(demand, unseen=target)
        )
    for target in (shape.target, 0.8):
        yield Candidate(
            f"target {target:g}, a worker gets 0.8 of a core",
            replace(shape, target=target),
            replace(demand, unseen=target),
            cores=0.8,
        )
    for jobs in (100, 10_000):
        yield Candidate(f"{jobs:,} jobs are a worker", shape, replace(demand, interactive=jobs))
    yield Candidate(COUNTED, *counted(shape, 1000))
    yield Candidate("jobs are counted, 100 a worker", *counted(shape, 100))
    at_once = [Policy("Percent", 100, 15)]
    yield Candidate(
        "down at once", replace(shape, down=replace(shape.down, window=0, policies=at_once)), demand
    )
    for minutes in (1, 5, 15):
        down = replace(shape.down, window=60 * minutes)
        yield Candidate(f"down after {minutes} min", replace(shape, down=down), demand)
    for seconds in (60, 300):
        name = f"in hand is measured over {seconds} s"
        yield Candidate(name, shape, replace(demand, window=seconds))
    one = [Policy("Pods", 1, 60)]
    yield Candidate(
        "up by one a minute", replace(shape, up=replace(shape.up, policies=one)), demand
    )


def counted(shape: Shape, jobs: int) -> tuple[Shape, Demand]:
    """The usual: so many unfinished jobs for each worker, whatever they take."""
    demand = Demand(in_hand=False, window=60, unseen=0, interactive=1, bulk=10, changes=100 / jobs)
    return replace(shape, target=jobs), demand


def outcome(candidate: Candidate, world: World) -> Outcome:
    """Plays all curves."""
    if candidate.cores is not None:
        world = replace(world, cores=candidate.cores)

    def play(curve: Curve) -> Figures:
        run = simulate(curve, candidate.shape, candidate.demand, world)
        return figures(run, world)

    return Outcome(
        play(step(PEAK)), play(spike(PEAK)), play(day(PEAK)), [play(steady(one)) for one in STEADY]
    )


def columns(found: Outcome) -> Mapping[str, str]:
    """For a table."""
    return {
        "step: calm after s": f"{found.step.calm_after:.0f}",
        "longest wait s": f"{found.step.longest:.1f}",
        "spike: refused": f"{found.spike.refused:.1%}",
        "steady: turns": f"{found.steady_turns}",
        "day: turns": f"{found.day.turns}",
        "day: p99 s": f"{found.day.p99:.1f}",
        "day: pod hours": f"{found.day.pod_hours:.0f}",
    }
