"""News of jobs that have ended: to the recommender that waits, and to whoever listens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from recmesh.events.v1 import job_events_pb2 as events
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_jobs import messages
from recmesh_jobs.job import VERSION
from recmesh_jobs.messages import Dispatched, Finished
from recmesh_kit import names
from recmesh_kit.broker import Broker, Outgoing
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import RECOMMENDER_EVENTS

News = tuple[str | None, Dispatched, Finished]
"""Where the reply goes (None: nowhere), the job, and what came of it."""

_HEADERS = {messages.VERSION_HEADER: VERSION}


class Replies:
    """Tells once and forgets: the rows hold the same, and whoever waits looks there too."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def tell(self, news: Sequence[News]) -> None:
        """Sends replies and announcements, as few messages as there are addressees."""
        by_queue: defaultdict[str, list[Finished]] = defaultdict(list)
        by_catalog: defaultdict[str, list[events.FinishedRecommendation]] = defaultdict(list)
        for reply_to, job, finished in news:
            if reply_to:
                by_queue[reply_to].append(finished)
            by_catalog[job.catalog].append(_announcement(job, finished))
        told = [
            _message("", queue, messages.encode_finished(jobs)) for queue, jobs in by_queue.items()
        ]
        for catalog, announced in by_catalog.items():
            message = events.RecommendationsFinished(
                version=VERSION, catalog=catalog, recommendations=announced
            )
            told.append(
                _message(
                    RECOMMENDER_EVENTS.name,
                    f"recommendation.{catalog}",
                    message.SerializeToString(),
                )
            )
        if told:
            # Else whoever waits finds the row.
            with suppress(Unavailable):
                await self._broker.publish_all(told, confirm=False)


def _message(exchange: str, routing_key: str, body: bytes) -> Outgoing:
    return Outgoing(exchange, routing_key, body, headers=_HEADERS, persistent=False)


def _announcement(job: Dispatched, finished: Finished) -> events.FinishedRecommendation:
    return events.FinishedRecommendation(
        name=names.join("catalogs", job.catalog, "recommendations", str(job.id)),
        user=job.user,
        state=Recommendation.State.ValueType(finished.ended.state),
    )
