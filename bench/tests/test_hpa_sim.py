"""The simulation: no work is lost or made, and it is what a cluster with the shipped numbers would do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.hpa_sim import shipped
from bench.hpa_sim.candidates import counted
from bench.hpa_sim.curves import Curve, catalog_import, steady, step
from bench.hpa_sim.drawing import draw
from bench.hpa_sim.figures import figures, turns
from bench.hpa_sim.scraping import rate
from bench.hpa_sim.simulate import Run, simulate
from bench.hpa_sim.work import Line
from bench.hpa_sim.workers import Workers
from bench.hpa_sim.world import World

WORLD = World()


def play(curve: Curve, world: World = WORLD, seed: int = 1) -> Run:
    return simulate(curve, shipped.shape(), shipped.demand(), world, seed)


moves = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), max_size=50)


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(moves, st.floats(1, 2e4))
def test_a_line_loses_and_makes_nothing(given: list[tuple[float, float]], limit: float) -> None:
    line, came = Line(limit), 0.0
    for now, (jobs, most) in enumerate(given):
        line.come(float(now), jobs)
        came += jobs
        assert line.waiting <= limit * (1 + 1e-9)
        line.take(float(now), most)
        assert came == pytest.approx(line.done + line.waiting + line.refused, abs=1e-6)
    assert sum(jobs for _, _, jobs in line.waits) == pytest.approx(line.done, abs=1e-6)
    assert all(wait >= 0 for _, wait, _ in line.waits)


def test_a_line_is_served_in_turn() -> None:
    line = Line()
    line.come(0, 2)
    line.come(1, 2)
    assert line.take(2, 3) == 3
    assert line.waits == [(2, 2, 2), (2, 1, 1)]
    assert line.waiting == 1


@settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    st.lists(st.floats(0, 12), min_size=1, max_size=6),
    st.integers(0, 300),
    st.sampled_from([0.0007, 0.0024, 0.02]),
    st.integers(0, 2**32 - 1),
)
def test_a_run_loses_and_makes_nothing(
    levels: list[float], messages: int, job_seconds: float, seed: int
) -> None:
    curve = Curve(
        "any",
        300.0,
        lambda t: levels[int(t * len(levels) / 300) % len(levels)],
        changes={30.0: messages},
    )
    world = replace(WORLD, job_seconds=job_seconds)
    run = play(curve, world, seed)
    jobs, changes = run.jobs, run.changes
    accounted = jobs.done + jobs.waiting + jobs.refused
    assert run.came == pytest.approx(accounted, rel=1e-9, abs=1e-6)
    assert messages == pytest.approx(changes.done + changes.waiting, rel=1e-9, abs=1e-6)
    # No more was done than those who were paid for can do.
    work = jobs.done * job_seconds + changes.done * world.message_seconds
    assert work <= run.pod_seconds * world.cores * (1 + 1e-9)
    shape = shipped.shape()
    assert set(run.replicas) <= set(range(shape.least, shape.most + 1))


def test_the_same_seed_makes_the_same(tmp_path: Path) -> None:
    curve = replace(step(5), seconds=600)
    files = [
        draw("step", {"one": play(curve), "other": play(curve, seed=2)}, tmp_path / name)
        for name in "ab"
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert play(curve).waiting != play(curve, seed=2).waiting


def test_a_step_is_answered_and_taken_back() -> None:
    run = play(replace(step(5), seconds=1200))
    assert max(run.waiting) > 1000
    assert max(run.replicas) > 5
    assert run.waiting[-1] < 100
    assert figures(run, WORLD).calm_after <= 120


def test_under_a_steady_load_workers_come_and_do_not_go() -> None:
    assert figures(play(steady(3)), WORLD).turns <= 1


def test_counting_jobs_alone_has_workers_come_and_go() -> None:
    shape, demand = counted(shipped.shape(), 1000)
    assert figures(simulate(steady(3), shape, demand, WORLD), WORLD).turns > 5


def test_an_import_calls_workers_and_ends() -> None:
    run = play(replace(catalog_import(1000), seconds=1800))
    assert max(run.replicas) > shipped.shape().least
    assert run.changes.waiting == 0


def test_new_workers_start_before_they_work_and_the_youngest_go() -> None:
    workers = Workers(WORLD, 1)
    workers.scale(0, 3)
    ready = WORLD.pod_seconds + WORLD.start_seconds
    assert (workers.count, workers.working(ready - 1), workers.working(ready)) == (3, 1, 3)
    workers.scale(ready, 4)
    workers.scale(ready, 3)
    assert workers.working(ready) == 3


def test_what_workers_take_is_measured() -> None:
    workers = Workers(WORLD, 1)
    workers.scale(10, 2)
    for half in range(361):
        now = half / 2
        workers.use(now, 0.5, 0.3, 0)
        if now % 15 == 0:
            workers.scrape(now)
    # Of the later one what it took to start is long over; of what there is to do it has its half.
    taken, told = workers.measured(180, 60)
    assert told == 2
    assert taken == pytest.approx(0.6 + 2 * WORLD.idle_cores)


def test_a_rate_is_prometheuss() -> None:
    samples = [(float(at), at * 0.5) for at in range(0, 121, 15)]
    assert rate(samples, 120, 60) == pytest.approx(0.5)
    assert rate(samples[:1], 10, 60) is None
    # Of a counter that began 30 s ago, nothing is made up for the time before.
    young = [(90.0, 0.0), (105.0, 7.5), (120.0, 15.0)]
    assert rate(young, 120, 60) == pytest.approx(15.0 / 60)


def test_turns() -> None:
    assert turns([2, 2, 4, 4, 6, 5, 5, 4, 6]) == 2
    assert turns([2, 4, 6]) == turns([3]) == turns([]) == 0
