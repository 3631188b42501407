"""A load curve, played to workers that an autoscaler adds and removes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.hpa_sim.curves import Curve
from bench.hpa_sim.formula import SYNC_SECONDS, Autoscaler, Shape
from bench.hpa_sim.shipped import Demand
from bench.hpa_sim.work import Line
from bench.hpa_sim.workers import Workers
from bench.hpa_sim.world import World

STEP = 0.5
"""Seconds."""
Floats = NDArray[np.float64]


@dataclass
class Run:
    """What became of it; lists have an entry for each sync unless it says otherwise.

    Attributes:
        curve: The load.
        jobs: That somebody waits for.
        changes: Messages of changes.
        came: Jobs that came.
        at: Seconds.
        offered: Workers' work that came in a second.
        replicas: Those that there are to be.
        working: Those that take jobs.
        waiting: Jobs.
        demand: The metric; None where there was none.
        scaled_down: Of each time when workers were taken away: seconds of work that waited for each that was left.
        pod_seconds: That were paid for.
    """

    curve: Curve
    jobs: Line
    changes: Line = field(default_factory=Line)
    came: float = 0.0
    at: list[float] = field(default_factory=list)
    offered: list[float] = field(default_factory=list)
    replicas: list[int] = field(default_factory=list)
    working: list[int] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    demand: list[float] = field(default_factory=list)
    scaled_down: list[float] = field(default_factory=list)
    pod_seconds: float = 0.0


def simulate(curve: Curve, shape: Shape, demand: Demand, world: World, seed: int = 1) -> Run:
    """Plays it. Jobs come at random (Poisson); the same seed makes the same."""
    random = np.random.default_rng(seed)
    run = Run(curve, Line(limit=world.limit))
    workers, autoscaler = Workers(world, shape.least), Autoscaler(shape)
    steps = round(curve.seconds / STEP)
    offered = np.array([curve.workers(index * STEP) for index in range(steps)], float)
    offered *= _ragged(curve, steps, random)
    coming = random.poisson(offered * world.cores * STEP / world.job_seconds).tolist()
    # Where the clocks of Prometheus and of the controller stand to each other is chance.
    scrape_at, sync_at = random.uniform(0, world.scrape_seconds), random.uniform(0, SYNC_SECONDS)
    scraped, told = (0.0, 0.0), 0.0
    for index in range(steps):
        now = index * STEP
        run.came += coming[index]
        run.jobs.come(now, coming[index])
        if now in curve.changes:
            run.changes.come(now, curve.changes[now])
        _work(run, workers, world, now)
        if now % world.broker_seconds == 0:
            told = run.changes.waiting
        if now >= scrape_at:
            scrape_at += world.scrape_seconds
            workers.scrape(now)
            in_hand = offered[index] * world.cores / world.job_seconds * world.latency
            scraped = (run.jobs.waiting + float(in_hand), told)
        run.pod_seconds += workers.count * STEP
        if now < sync_at:
            continue
        sync_at += SYNC_SECONDS
        metric = _metric(demand, workers, scraped, now)
        before = workers.count
        workers.scale(now, autoscaler.sync(now, before, metric))
        if workers.count < before:
            run.scaled_down.append(
                run.jobs.waiting * world.job_seconds / (world.cores * max(1, workers.count))
            )
        run.at.append(now)
        run.offered.append(float(offered[index]))
        run.replicas.append(workers.count)
        run.working.append(workers.working(now))
        run.waiting.append(run.jobs.waiting)
        run.demand.append(metric)
    return run


def _ragged(curve: Curve, steps: int, random: np.random.Generator) -> Floats:
    """The factor of each step."""
    if not curve.raggedness:
        return np.ones(steps)
    shape = curve.raggedness**-2
    minutes = random.gamma(shape, 1 / shape, size=int(curve.seconds // 60) + 1)
    factors: Floats = minutes[(np.arange(steps) * STEP // 60).astype(int)]
    return factors


def _work(run: Run, workers: Workers, world: World, now: float) -> None:
    """A step: jobs that somebody waits for first, then changes, one message a worker at a time."""
    working = workers.working(now)
    room = working * world.cores * STEP
    jobs = run.jobs.take(now, room / world.job_seconds)
    left = room - jobs * world.job_seconds
    # What is left of a worker beside jobs is the batches' share, too.
    left = max(0.0, left - min(jobs * world.batch_seconds, working * STEP * world.batch_share))
    changes = run.changes.take(now, left / world.message_seconds) if run.changes.waiting else 0.0
    used = jobs * world.job_seconds + changes * world.message_seconds
    workers.use(now, STEP, used, jobs)


def _metric(demand: Demand, workers: Workers, scraped: tuple[float, float], now: float) -> float:
    """The metric, as the query of the manifests has it."""
    unfinished, changes = scraped
    waiting = unfinished / demand.interactive + changes / demand.changes
    if not demand.in_hand:
        return waiting
    taken, told = workers.measured(now, demand.window)
    return taken + demand.unseen * max(0, workers.working(now) - told) + waiting
