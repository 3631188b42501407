"""What a soak makes of what it has seen."""

from collections.abc import Mapping

from bench.harness.trend import LEAST_MORE
from chaos.measure import Look, Series
from chaos.soak import LEAVE_MB, Audit, Soak
from recmesh_jobs.states import State

PID = 7


def look(at: float, memory: float = 100.0, pid: int = PID, **counts: float) -> Look:
    return Look(at, pid, memory, counts or {"files": 20.0})


def series(*memory: float, pid: int = PID) -> Series:
    looks = [look(10.0 * n, mb, pid) for n, mb in enumerate(memory)]
    return Series(look(-1), looks, look(10.0 * len(memory)))


STEADY = series(*(100.0 + n % 3 for n in range(40)))
RISING = series(*(100.0 + n for n in range(40)))


def found(members: Mapping[str, Series], audit: Audit | None = None) -> dict[str, float]:
    run = Soak(
        capacity=10,
        rate=5,
        done={"recommend": 1},
        errors={},
        skipped=0,
        audit=audit or Audit(1, {State.SUCCEEDED: 1}),
        series=members,
    )
    return {one.name: one.spread.median for one in run.promised()}


def test_a_mesh_that_stays_as_it_is_keeps_all_promises() -> None:
    assert set(found({"auth": STEADY, "worker": STEADY}).values()) == {0}


def test_memory_that_rises_is_a_leak() -> None:
    assert RISING.leaks()
    assert found({"auth": STEADY, "worker": RISING})["leaks"] == 1


def test_memory_that_rose_only_in_the_first_half_was_warming_up() -> None:
    assert not series(*(50.0 + min(n, 15) for n in range(40))).leaks()


def test_some_have_leave_to_rise_by_more() -> None:
    steeper = series(*(100.0 + 2 * n for n in range(40)))

    assert found({f"{name}-0": RISING for name in LEAVE_MB})["leaks"] == 0
    assert found({f"{name}-0": steeper for name in LEAVE_MB})["leaks"] == len(LEAVE_MB)


def test_what_is_open_at_rest_that_was_not_before_has_grown() -> None:
    more = 20.0 + 2 * LEAST_MORE
    grows = Series(
        look(-1, files=20, tasks=9),
        [look(n, files=20 if n < 10 else more, tasks=9) for n in range(30)],
        look(31, files=more, tasks=9),
    )

    assert grows.grown() == ["files"]
    assert found({"worker": grows})["grown"] == 1


def test_a_gauge_that_is_gone_afterwards_has_not_grown() -> None:
    gone = Series(look(-1, files=20, tasks=9), [look(0, files=20)], look(1, files=20))

    assert gone.grown() == []


def test_a_process_that_was_another_one_for_a_while_is_noticed() -> None:
    assert found({"worker": series(*range(100, 110), pid=PID + 1)})["restarted"] == 1


def test_jobs_without_a_row_or_without_an_end_are_lost() -> None:
    states = {State.SUCCEEDED: 4, State.FAILED: 1, State.CANCELLED: 2, State.RUNNING: 1}

    assert Audit(10, states).lost == 3
    assert found({}, Audit(10, states))["lost"] == 3
