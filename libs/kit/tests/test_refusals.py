"""When those may come back who are turned away."""

from recmesh_kit.refusals import LONGEST_SECONDS, SHORTEST_SECONDS, WELCOME_PER_SECOND, Refusals


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pauses(refusals: Refusals, clock: Clock, rate: float, seconds: int) -> list[float]:
    """What callers are told who come at this rate, second by second."""
    told = []
    for _ in range(int(rate * seconds)):
        clock.now += 1 / rate
        told.append(refusals.another())
    return told[:: int(rate)]


def test_a_few_come_back_soon() -> None:
    clock = Clock()

    assert set(pauses(Refusals(clock), clock, WELCOME_PER_SECOND / 2, 5)) == {SHORTEST_SECONDS}


def test_the_more_there_are_the_later_they_come_back_up_to_a_limit() -> None:
    clock = Clock()

    told = pauses(Refusals(clock), clock, 10 * WELCOME_PER_SECOND, 10)

    assert told[0] == SHORTEST_SECONDS
    assert told == sorted(told)
    assert told[-1] == LONGEST_SECONDS


def test_callers_who_come_back_when_told_are_about_as_many_as_are_welcome() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    waiting = 4 * WELCOME_PER_SECOND
    for _ in range(20):
        pauses(refusals, clock, waiting / refusals.pause, 2)

    assert WELCOME_PER_SECOND / 2 < waiting / refusals.pause < WELCOME_PER_SECOND * 2


def test_when_it_is_over_they_come_back_soon_again() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    pauses(refusals, clock, 10 * WELCOME_PER_SECOND, 10)
    for _ in range(10):
        clock.now += 60
        last = refusals.another()

    assert last == SHORTEST_SECONDS
