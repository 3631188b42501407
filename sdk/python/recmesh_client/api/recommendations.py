"""Recommendations."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Unpack

from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import catalog_name
from recmesh_client.convert.recommendation import (
    from_batch,
    from_recommendation,
    job_name,
    to_recommendation,
)
from recmesh_client.data.query import Order, Query, QueryFields
from recmesh_client.data.recommendation import Batch, Job, Recommendation, State
from recmesh_client.errors import Cancelled, DeadlineExceeded, JobFailed
from recmesh_client.pages import AsyncPages
from recmesh_client.reasons import ErrorReason
from recmesh_client.wire.retry import Deadline


class Recommendations(Api):
    """Methods about recommendations. A job is given as itself or as its name."""

    async def recommend(
        self,
        catalog: str,
        *,
        user: str = "",
        session: str = "",
        deadline: datetime | timedelta | None = None,
        request_id: str = "",
        timeout: float | None = None,
        **query: Unpack[QueryFields],
    ) -> Recommendation:
        """Asks and waits for the answer.

        Args:
            catalog: The catalog's id.
            user: For whom: an opaque id. Default: the caller.
            session: The visit that it belongs to: an opaque id.
            deadline: From when on the job is not worth starting, or how long from now; default 5 minutes.
            request_id: Makes a repeat harmless; default one that is made here.
            timeout: Seconds; default the client's.
            query: The fields of `Query`: exactly one of `title`, `item`, `text`, `history` and `items`, and what else
                is wanted.

        Raises:
            DeadlineExceeded: No answer in time. With reason JOB_NOT_FINISHED the job lives on: `error.recommendation`
                is its name.
            JobFailed: The job ended without an answer.
            TooManyJobs: The deployment is full, and was until the timeout.
            NotFound: There is no such catalog.
            InvalidArgument: `fields` says why.
            ValueError: Not exactly one seed.
        """
        order = Order(Query(**query), user, session, deadline, request_id)
        create = _create(order, catalog)
        request = pb.RecommendRequest(
            parent=create.parent,
            recommendation=create.recommendation,
            request_id=create.request_id,
        )
        answer = await self._call(self._wire.recommender.Recommend, request, timeout)
        return _succeeded(from_recommendation(answer))

    async def create_recommendation(
        self,
        catalog: str,
        *,
        user: str = "",
        session: str = "",
        deadline: datetime | timedelta | None = None,
        request_id: str = "",
        timeout: float | None = None,
        **query: Unpack[QueryFields],
    ) -> Recommendation:
        """Asks and does not wait: `wait_for` or `watch` the job for its answer. Arguments and errors as of `recommend`,
        but for those of the job's end.
        """
        order = Order(Query(**query), user, session, deadline, request_id)
        method = self._wire.recommender.CreateRecommendation
        return from_recommendation(await self._call(method, _create(order, catalog), timeout))

    async def batch_create_recommendations(
        self, catalog: str, orders: Iterable[Order], *, timeout: float | None = None
    ) -> Batch:
        """Stores up to 1,000 jobs, which wait behind those that a person waits for. Bad rows are reported. Raises
        NotFound, TooManyJobs.
        """
        request = pb.BatchCreateRecommendationsRequest(
            parent=catalog_name(catalog), requests=[_create(order, catalog) for order in orders]
        )
        method = self._wire.recommender.BatchCreateRecommendations
        return from_batch(await self._call(method, request, timeout))

    async def get_recommendation(self, job: Job, *, timeout: float | None = None) -> Recommendation:
        """Reads a job, with its results once it has succeeded. Raises NotFound."""
        request = pb.GetRecommendationRequest(name=job_name(job))
        method = self._wire.recommender.GetRecommendation
        return from_recommendation(await self._call(method, request, timeout))

    def list_recommendations(
        self,
        catalog: str,
        *,
        user: str = "",
        session: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncPages[Recommendation]:
        """Jobs with their results, the newest first: all, or of one user or visit. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[Recommendation, ...], str]:
            request = pb.ListRecommendationsRequest(
                parent=catalog_name(catalog),
                user=user,
                session=session,
                page_size=page_size,
                page_token=token,
            )
            page = await self._call(self._wire.recommender.ListRecommendations, request, timeout)
            found = tuple(map(from_recommendation, page.recommendations))
            return found, page.next_page_token

        return AsyncPages(fetch)

    async def watch(
        self, job: Job, *, timeout: float | None = None
    ) -> AsyncIterator[Recommendation]:
        """A job as it stands now, then each change of it that is seen, up to its end state. A broken connection is made
        anew.

        Raises:
            DeadlineExceeded: It has not ended within `timeout` seconds (default the client's for streams).
            NotFound: There is no such job.
        """
        request = pb.WatchRecommendationRequest(name=job_name(job))
        method = self._wire.recommender.WatchRecommendation
        last: Recommendation | None = None
        async for message in self._stream(method, lambda: request, timeout):
            now = from_recommendation(message)
            # A connection that was made anew says again what is known.
            if now != last:
                yield now
            last = now

    async def wait_for(self, job: Job, *, timeout: float | None = None) -> Recommendation:
        """The answer of a job that was created, continued or left behind: watches it to its end. Raises as `recommend`
        does.
        """
        return await self._end(job, Deadline(self._wire.timeout if timeout is None else timeout))

    async def recommend_again(
        self,
        job: Job,
        *,
        limit: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> Recommendation:
        """Again, without what was shown, and waits for the answer: `continue_recommendation` and `wait_for` in one.
        At the end of the catalog there are no results.

        Args:
            job: A job that has succeeded.
            limit: How many results; 0: as before.
            request_id: Makes a repeat harmless; default one that is made here.
            timeout: Seconds; default the client's.

        Raises:
            NotFound: There is no such job.
            FailedPrecondition: It has not succeeded.
            RecmeshError: What else `recommend` raises.
        """
        deadline = Deadline(self._wire.timeout if timeout is None else timeout)
        again = await self.continue_recommendation(
            job, limit=limit, request_id=request_id, timeout=deadline.seconds()
        )
        return await self._end(again, deadline)

    async def _end(self, job: Job, deadline: Deadline) -> Recommendation:
        last: Recommendation | None = None
        try:
            async for seen in self.watch(job, timeout=deadline.seconds()):
                last = seen
        except DeadlineExceeded as error:
            request_id = error.request_id
        else:
            assert last is not None, "a watch ends with an end state"
            return _succeeded(last)
        raise DeadlineExceeded(
            "The job has not ended in time; it lives on.",
            reason=ErrorReason.JOB_NOT_FINISHED,
            metadata={"recommendation": job_name(job)},
            request_id=request_id,
        )

    async def continue_recommendation(
        self,
        job: Job,
        *,
        limit: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> Recommendation:
        """Again, without what was shown: a new job with the same query, whose results repeat none of the chain that it
        continues. Wait for or watch it for its answer. Raises NotFound, FailedPrecondition when the job has not
        succeeded, TooManyJobs.
        """
        request = pb.ContinueRecommendationRequest(
            name=job_name(job), limit=limit, request_id=request_id or str(uuid.uuid4())
        )
        method = self._wire.recommender.ContinueRecommendation
        return from_recommendation(await self._call(method, request, timeout))

    async def cancel_recommendation(
        self, job: Job, *, timeout: float | None = None
    ) -> Recommendation:
        """Ends an unfinished job. Raises NotFound, FailedPrecondition when it has ended otherwise."""
        request = pb.CancelRecommendationRequest(name=job_name(job))
        method = self._wire.recommender.CancelRecommendation
        return from_recommendation(await self._call(method, request, timeout))

    async def delete_recommendation(self, job: Job, *, timeout: float | None = None) -> None:
        """Deletes a job and its results. Raises NotFound."""
        request = pb.DeleteRecommendationRequest(name=job_name(job))
        await self._call(self._wire.recommender.DeleteRecommendation, request, timeout)


def _create(order: Order, catalog: str) -> pb.CreateRecommendationRequest:
    return pb.CreateRecommendationRequest(
        parent=catalog_name(catalog),
        recommendation=to_recommendation(order, catalog),
        request_id=order.request_id or str(uuid.uuid4()),
    )


def _succeeded(job: Recommendation) -> Recommendation:
    """The same job. Raises what it ended with, when it has no answer."""
    if job.state is State.SUCCEEDED:
        return job
    facts = {"recommendation": job.name}
    if job.state is State.CANCELLED:
        raise Cancelled("The job was cancelled.", reason=ErrorReason.CANCELLED, metadata=facts)
    reason = job.error.reason if job.error else ErrorReason.UNKNOWN
    message = job.error.message if job.error else f"The job ended as {job.state.name}."
    raise JobFailed(message, reason=reason, metadata=facts)
