"""What is broken and when: drawn from the seed, so that the same seed breaks the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random

WORKERS = ("worker-0", "worker-1")
RECOMMENDERS = ("recommender", "recommender-1")
BROKERS = ("rabbitmq", "rabbitmq-1", "rabbitmq-2")
DATABASE = "postgres"
BROKER = "broker"
"""All nodes at once, as the services see it."""
LINKS = (DATABASE, *BROKERS, "auth", "catalog")
"""Servers that the services reach by a detour."""
EVERY = 3.0
"""Seconds from one disturbance to the next, on average; more often in a short run."""
LEAST = 8
_BEGIN, _END = 1.5, 1.0
"""Seconds at the beginning and at the end in which nothing is broken."""
_RECOVERY = {DATABASE: 10.0, **dict.fromkeys(BROKERS, 10.0)}
_USUAL_RECOVERY = 7.0
"""Seconds that a member is left alone after a disturbance."""


class Kind(StrEnum):
    """Ways of breaking things."""

    KILL = "kill"
    """SIGKILL."""
    TERMINATE = "terminate"
    """SIGTERM: it drains."""
    RESTART = "restart"
    """A fast shutdown of the database, by SIGINT."""
    CRASH = "crash"
    """An immediate end of the database, by SIGQUIT or SIGKILL: it has to recover."""
    PAUSE = "pause"
    """SIGSTOP, and SIGCONT later."""
    CUT = "cut"
    """The connections of a link are reset."""
    CLOSE = "close"
    """The same, and further ones refused."""
    HANG = "hang"
    """Nothing is passed on, and nobody is told."""
    DELAY = "delay"
    """All comes later, in each direction."""


ENDS = (Kind.KILL, Kind.TERMINATE, Kind.RESTART, Kind.CRASH)
"""Those after which a process is a new one."""
_PROCESSES = (*ENDS, Kind.PAUSE)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that is broken.

    Attributes:
        at: When, in seconds from the beginning.
        kind: How.
        target: A member of the mesh, a link, or `BROKER`.
        seconds: For how long, where it is for some time.
        amount: Of a delay, seconds; else a number from 0 to 1, for what else is to choose.
    """

    at: float
    kind: Kind
    target: str
    seconds: float
    amount: float

    @property
    def label(self) -> str:
        """What it is, in words without numbers: `kill worker`."""
        return f"{self.kind} {_sort(self.target)}{'' if self.kind in _PROCESSES else ' link'}"


@dataclass(frozen=True, slots=True)
class _Choice:
    """A kind of disturbance, its targets, how long it lasts, and how often it is chosen."""

    kind: Kind
    targets: tuple[str, ...]
    seconds: tuple[float, float] = (0.0, 0.0)
    weight: int = 2


# Each comes once before any comes twice, these in turn.
_CHOICES = (
    _Choice(Kind.KILL, WORKERS, weight=5),
    _Choice(Kind.KILL, RECOMMENDERS, weight=5),
    _Choice(Kind.KILL, BROKERS, weight=3),
    _Choice(Kind.CRASH, (DATABASE,), weight=2),
    _Choice(Kind.PAUSE, WORKERS, (16.0, 20.0), weight=2),
    _Choice(Kind.CUT, LINKS, weight=4),
    _Choice(Kind.DELAY, LINKS, (2.0, 10.0), weight=4),
    _Choice(Kind.HANG, LINKS, (1.0, 12.0), weight=3),
    _Choice(Kind.TERMINATE, WORKERS),
    _Choice(Kind.TERMINATE, RECOMMENDERS),
    _Choice(Kind.RESTART, (DATABASE,)),
    _Choice(Kind.CLOSE, (BROKER,), (2.0, 8.0), weight=1),
    _Choice(Kind.PAUSE, RECOMMENDERS, (1.0, 12.0)),
    _Choice(Kind.PAUSE, BROKERS, (1.0, 15.0)),
    _Choice(Kind.PAUSE, (DATABASE,), (1.0, 6.0), weight=1),
    _Choice(Kind.CLOSE, LINKS, (1.0, 8.0)),
    _Choice(Kind.PAUSE, WORKERS, (1.0, 8.0)),
    _Choice(Kind.HANG, (BROKER,), (2.0, 6.0), weight=1),
)


def draw(seed: int, seconds: float) -> list[Disturbance]:
    """All that is broken in a run, in the order of its times. Several things may be broken at once, but of one member
    one at a time.

    Args:
        seed: Of the run.
        seconds: How long it is. What lasts beyond is cut short.
    """
    chance = Random(f"breaking {seed}")  # noqa: S311 - the same each time
    count = max(LEAST, round(seconds / EVERY))
    times = sorted(chance.uniform(_BEGIN, seconds - _END) for _ in range(count))
    # The first ones come in any order; a short run has those alone.
    pending = chance.sample(_CHOICES[:LEAST], LEAST) + list(_CHOICES[LEAST:])
    busy: dict[str, float] = {}
    found = []
    for at in times:
        possible = [choice for choice in _CHOICES if _free(choice, at, busy)]
        if not possible:
            continue
        chosen = next((choice for choice in pending if choice in possible), None)
        if chosen is None:
            weights = [choice.weight for choice in possible]
            chosen = chance.choices(possible, weights)[0]
        else:
            pending.remove(chosen)
        free = _free(chosen, at, busy)
        target = chance.choice(free)
        lasting = min(chance.uniform(*chosen.seconds), max(0.5, seconds - _END - at))
        amount = chance.uniform(0.05, 0.5) if chosen.kind is Kind.DELAY else chance.random()
        for member in BROKERS if target == BROKER else (target,):
            busy[member] = at + lasting + _RECOVERY.get(member, _USUAL_RECOVERY)
        found.append(Disturbance(at, chosen.kind, target, lasting, amount))
    return found


def _free(choice: _Choice, at: float, busy: Mapping[str, float]) -> list[str]:
    """The targets that are left alone by then."""
    return [
        target
        for target in choice.targets
        if all(busy.get(node, 0.0) <= at for node in (BROKERS if target == BROKER else (target,)))
    ]


def _sort(target: str) -> str:
    return target.partition("-")[0]
