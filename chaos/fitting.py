"""Whether an answer is one to what was asked, and what it is known by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from chaos.asking import PARENT, Asked, item_name
from recmesh.events.v1.job_events_pb2 import Answer
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Reason, Recommendation
from recmesh_jobs.job import VERSION

FIRST_YEAR = 1930
"""What the filter of `chaos.asking` lets through."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the items that do not change.

    Attributes:
        by_title: Title, in lower case, to the id of its item.
        years: Id to release year.
    """

    by_title: Mapping[str, str]
    years: Mapping[str, int]


def misfits(asked: Asked, owner: str, told: Recommendation, facts: Facts) -> list[str]:
    """In which ways a recommendation cannot be the one that was asked for; empty when it fits.

    Args:
        asked: What was asked.
        owner: For whom: the id of the user.
        told: What a caller was told.
        facts: Of the items.
    """
    found = []
    if not told.name.startswith(f"{PARENT}/recommendations/"):
        found.append(f"it is {told.name}")
    if told.user != owner:
        found.append(f"it is for {told.user}, not {owner}")
    if told.session != asked.session:
        found.append(f"it is of {told.session}, not {asked.session}")
    if told.query != asked.query:
        found.append("it answers another query")
    if told.state == Recommendation.STATE_SUCCEEDED:
        found += _wrong_results(asked.query, told, facts)
    elif told.results:
        found.append("it has results without having succeeded")
    return found


def _wrong_results(query: Query, told: Recommendation, facts: Facts) -> Iterator[str]:
    seed = query.WhichOneof("seed")
    meant = ""
    if seed == "item":
        meant = query.item
    elif seed == "title":
        meant = item_name(facts.by_title[query.title.lower()])
    if meant and told.resolved_item != meant:
        yield f"{meant} was asked for, and {told.resolved_item or 'nothing'} was understood"
    if not told.results:
        yield "it succeeded without results"
    results = [result.item for result in told.results]
    if len(results) > query.limit:
        yield f"{len(results)} results, not {query.limit}"
    if len(set(results)) < len(results):
        yield "an item is there twice"
    basket = {meant} if meant else set(query.items.items)
    for item in results:
        if item in query.exclude_items or item in basket:
            yield f"{item} was excluded"
        year = facts.years.get(item.rpartition("/")[2])
        if query.filter and year is not None and year < FIRST_YEAR:
            yield f"{item} is of {year}, which the filter excludes"
    for result in told.results:
        for reason in result.reasons:
            if basket and reason.type == Reason.TYPE_SIMILAR_TO and reason.item not in basket:
                yield f"{result.item} is said to be like {reason.item}, which was not asked for"


def end_of_told(told: Recommendation) -> bytes:
    """What the end of a job is known by: a digest of all that belongs to it."""
    answer = Answer(
        version=VERSION,
        results=told.results,
        resolved_item=told.resolved_item,
        resolved_title=told.resolved_title,
        resolve_confidence=told.resolve_confidence,
        fallback=told.fallback,
        filter_relaxed=told.filter_relaxed,
        model=told.model,
        variant=told.variant,
    )
    if told.HasField("timings"):
        answer.timings.CopyFrom(told.timings)
    return end(
        told.state,
        answer if told.state == Recommendation.STATE_SUCCEEDED else None,
        (told.error.reason, told.error.message) if told.HasField("error") else None,
        told.attempt_count,
        told.start_time.ToDatetime(dt.UTC) if told.HasField("start_time") else None,
        told.end_time.ToDatetime(dt.UTC) if told.HasField("end_time") else None,
    )


def end(
    state: int,
    answer: Answer | None,
    error: tuple[int, str] | None,
    attempts: int,
    start_time: dt.datetime | None,
    end_time: dt.datetime | None,
) -> bytes:
    """The digest of a job's end: 16 bytes. Two workers that did the same job differ in it, by the times."""
    body = b""
    if answer is not None:
        whole = Answer()
        whole.CopyFrom(answer)
        # Of the end, and told from its times.
        whole.timings.ClearField("total")
        body = whole.SerializeToString(deterministic=True)
    told = (int(state), error, attempts, start_time, end_time)
    return blake2b(repr(told).encode() + body, digest_size=16).digest()
