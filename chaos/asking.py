"""What is asked of the mesh: drawn from the seed, so that the same seed asks the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from recmesh.recommender.v1.query_pb2 import HistorySeed, ItemsSeed, Query

CATALOG = "chaos"
PARENT = f"catalogs/{CATALOG}"
PEOPLE = 60
"""Ids without an account for whom the admin asks."""
ACCOUNTS = 6
"""People with an account, who ask for themselves."""
ADMIN = 0
"""The caller who may act for anybody; the others are the accounts, from 1 on."""
BATCH = (20, 60)
_BATCH_DEADLINE = (40.0, 90.0)
"""Seconds. A long run leaves time for jobs whose message was lost to be dispatched again; a short one ends sooner."""
SHORT_DEADLINE = (0.05, 2.0)
"""Seconds."""
_LIMITS = (1, 3, 5, 10)
_FILTER = "release_year >= 1930"
_TEXTS = (
    "a heist inside a dream",
    "a quiet love story in Tokyo",
    "war and its long shadow",
    "a detective in the rain",
)


class Way(StrEnum):
    """How a job is asked for, and what is done with it then."""

    BATCH = "batch"
    """`BatchCreateRecommendations`, for people without accounts."""
    TWIN_BATCHES = "twin-batches"
    """The same at both recommenders at once."""
    CREATE = "create"
    """`CreateRecommendation`."""
    GET = "get"
    """The same, and `GetRecommendation` at the other recommender a little later."""
    WATCH = "watch"
    """The same, and `WatchRecommendation` at the other recommender to the end."""
    CANCEL = "cancel"
    """The same, and `CancelRecommendation`."""
    SHORT = "short"
    """The same, with a deadline that may well pass."""
    PRY = "pry"
    """The same, and another account asks for it, who must not see it."""
    TWINS = "twins"
    """The same at both recommenders at once, with one request id."""
    RECOMMEND = "recommend"
    """`Recommend`."""
    CONTINUE = "continue"
    """The same, and `ContinueRecommendation` of what it answers."""
    HASTY = "hasty"
    """`Recommend` with little time, and then again."""
    LEAVE = "leave"
    """`Recommend` by a caller who goes away, and comes back."""


_SINGLES = {
    Way.CREATE: 18,
    Way.GET: 12,
    Way.WATCH: 16,
    Way.CANCEL: 6,
    Way.SHORT: 6,
    Way.PRY: 3,
    Way.TWINS: 9,
    Way.RECOMMEND: 16,
    Way.CONTINUE: 4,
    Way.HASTY: 5,
    Way.LEAVE: 5,
}
_ONLY_ACCOUNTS = (Way.PRY,)
BATCHES = (Way.BATCH, Way.TWIN_BATCHES)
_TWINS_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Asked:
    """One job that is asked for, under one request id.

    Attributes:
        request_id: Unique to it.
        caller: `ADMIN`, or the number of an account.
        user: For whom; empty for the caller.
        session: The visit: of this request alone, so that an answer tells whose it is.
        query: What is asked.
        deadline: Seconds from each try, from when on it is not worth starting; None for the default.
    """

    request_id: str
    caller: int
    user: str
    session: str
    query: Query
    deadline: float | None

    @property
    def is_short(self) -> bool:
        """Whether its deadline may well pass."""
        return self.deadline is not None and self.deadline <= SHORT_DEADLINE[1]


@dataclass(frozen=True, slots=True)
class Step:
    """What one caller does.

    Attributes:
        at: When, in seconds from the beginning.
        way: How.
        asked: The jobs: one, but for a batch.
        first: Which recommender is asked first: an even number for the one, an odd one for the other.
        pause: Seconds before what comes after the first call; for `HASTY` and `LEAVE`, how long the caller has.
    """

    at: float
    way: Way
    asked: tuple[Asked, ...]
    first: int
    pause: float


@dataclass(frozen=True, slots=True)
class Known:
    """An item that does not change during the run."""

    id: str
    title: str


def steps(seed: int, seconds: float, rate: float, items: Sequence[Known]) -> Iterator[Step]:
    """All that is asked in a run.

    Args:
        seed: Of the run.
        seconds: How long jobs are asked for.
        rate: Jobs a second, half of them in batches.
        items: What is asked about.
    """
    chance = Random(f"asking {seed}")  # noqa: S311 - the same each time
    number = 0
    batched = 0
    while (at := number / rate) < seconds:
        is_batch = 2 * batched < number and chance.random() < 0.2
        rows = chance.randint(*BATCH) if is_batch else 1
        deadline: float | None = None
        if is_batch:
            way = Way.TWIN_BATCHES if chance.random() < _TWINS_SHARE else Way.BATCH
            deadline = min(max(2 * seconds, _BATCH_DEADLINE[0]), _BATCH_DEADLINE[1])
        else:
            way = chance.choices(list(_SINGLES), list(_SINGLES.values()))[0]
            if way is Way.SHORT:
                deadline = chance.uniform(*SHORT_DEADLINE)
        asked = tuple(
            _asked(chance, f"{seed}-{number + row}", way, items, deadline) for row in range(rows)
        )
        yield Step(at, way, asked, chance.randrange(2), chance.uniform(0.02, 0.5))
        number += rows
        batched += rows if is_batch else 0


def _asked(
    chance: Random, name: str, way: Way, items: Sequence[Known], deadline: float | None
) -> Asked:
    caller = ADMIN
    if way in _ONLY_ACCOUNTS or (way not in BATCHES and chance.random() < 0.6):
        caller = chance.randint(1, ACCOUNTS)
    return Asked(
        request_id=f"request-{name}",
        caller=caller,
        user=f"person-{chance.randrange(PEOPLE)}" if caller == ADMIN else "",
        session=f"visit-{name}",
        query=_query(chance, items),
        deadline=deadline,
    )


def item_name(item: str) -> str:
    """The resource name of an item."""
    return f"{PARENT}/items/{item}"


def _query(chance: Random, items: Sequence[Known]) -> Query:
    query = Query(limit=chance.choice(_LIMITS), include_seen=chance.random() < 0.3)
    match chance.choices(("item", "title", "items", "history", "text"), (50, 20, 12, 14, 4))[0]:
        case "item":
            query.item = item_name(chance.choice(items).id)
        case "title":
            query.title = _typed(chance, chance.choice(items).title)
        case "items":
            basket = [item_name(one.id) for one in chance.sample(items, chance.randint(1, 4))]
            query.items.CopyFrom(ItemsSeed(items=basket))
        case "history":
            query.history.CopyFrom(HistorySeed())
        case _:
            query.text = chance.choice(_TEXTS)
    if chance.random() < 0.1:
        query.filter, query.strict_filter = _FILTER, True
    if chance.random() < 0.2:
        query.exclude_items.extend(item_name(one.id) for one in chance.sample(items, 3))
    return query


def _typed(chance: Random, title: str) -> str:
    """A title as somebody types it: it means the same item still."""
    return chance.choice((title, title.lower(), title.upper()))
