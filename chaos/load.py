"""Steady load: each step at its time, and what came of it written into the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

import grpc

from chaos.asking import ADMIN, PARENT, Asked, Step, Way
from chaos.calls import FAILED, GaveUp, Metadata, Principal, Recommenders, Refused, metadata_of
from chaos.ledger import Entry, Ledger
from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_kit.testing import reason_of

if TYPE_CHECKING:
    from chaos.calls import Call
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

IN_HAND = 400
"""Steps at once. More would wait for each other longer than a call may take, once all of them are tried again."""
OVERTIME = 0.25
"""What could not begin in time, because too much was in hand, begins later: within so much of that time again."""
_WATCH_SECONDS = 15.0
_TOO_MANY_PAUSE = 1.0


class Load:
    """Asks.

    Args:
        recommenders: Who is asked.
        principals: The callers, by number.
        ledger: What they were told.
    """

    def __init__(
        self, recommenders: Recommenders, principals: Sequence[Principal], ledger: Ledger
    ) -> None:
        self._recommenders = recommenders
        self._principals = principals
        self._ledger = ledger
        self.latest = 0.0
        """By how many seconds a step began too late, at the most."""

    async def run(self, steps: Iterable[Step], seconds: float) -> None:
        """Begins each step at its time, and returns when all of them are done.

        Args:
            steps: What is to be done; what cannot begin by the end of the overtime does not.
            seconds: How long the steps take, if all begin in time.
        """
        began = monotonic()
        room = asyncio.Semaphore(IN_HAND)

        async def take(step: Step) -> None:
            try:
                await self._take(step)
            finally:
                room.release()

        async with asyncio.TaskGroup() as group:
            for step in steps:
                if (left := began + step.at - monotonic()) > 0:
                    await asyncio.sleep(left)
                await room.acquire()
                if (now := monotonic() - began) > seconds * (1 + OVERTIME):
                    return
                self.latest = max(self.latest, now - step.at)
                group.create_task(take(step), name=f"ask {step.way}")

    async def _take(self, step: Step) -> None:
        entries = [self._open(asked) for asked in step.asked]
        try:
            match step.way:
                case Way.BATCH:
                    await self._batch(entries, step.first)
                case Way.TWIN_BATCHES:
                    await _both(*(self._batch(entries, step.first + n) for n in range(2)))
                case _:
                    await self._one(step, entries[0])
        except Refused as refused:
            for entry in entries:
                entry.refusals.append(str(refused))
        except GaveUp:
            # The ledger shows what is not known of it.
            return

    async def _batch(self, left: list[Entry], first: int) -> None:
        """All rows, and those again for which there was no room."""
        while left:
            told = await self._recommenders.persist(first, self._principals[ADMIN], _batch_of(left))
            refused = {int(error.row): error for error in told.errors}
            stored = iter(told.recommendations)
            again = []
            for row, entry in enumerate(left):
                if row not in refused:
                    self._ledger.hear_row(entry, next(stored))
                elif (reason := _name(refused[row].reason)) == "TOO_MANY_JOBS":
                    again.append(entry)
                else:
                    entry.refusals.append(reason)
            left = again
            if left:
                await asyncio.sleep(_TOO_MANY_PAUSE)

    def _open(self, asked: Asked) -> Entry:
        principal = self._principals[asked.caller]
        return self._ledger.open(asked, principal.id, asked.user or principal.id)

    async def _one(self, step: Step, entry: Entry) -> None:
        match step.way:
            case Way.TWINS:
                await _both(*(self._create(entry, step.first + n) for n in range(2)))
            case Way.RECOMMEND:
                await self._recommend(entry, step.first)
            case Way.HASTY:
                await self._recommend(entry, step.first, step.pause)
            case Way.CONTINUE:
                told = await self._recommend(entry, step.first)
                if told.state == Recommendation.STATE_SUCCEEDED:
                    await self._continue(entry, told, step.first + 1)
            case Way.LEAVE:
                await self._leave(entry, step)
                await self._create(entry, step.first + 1)
            case _:
                told = await self._create(entry, step.first)
                await self._go_on(step, entry, told.name)

    async def _go_on(self, step: Step, entry: Entry, name: str) -> None:
        """What is done with a job once it is there."""
        who = self._principals[step.asked[0].caller]
        other = step.first + 1
        match step.way:
            case Way.WATCH:
                await self._watch(entry, name, other)
            case Way.GET:
                await asyncio.sleep(step.pause)
                began = monotonic()
                told = await self._recommenders.persist(other, who, _get(name))
                self._ledger.hear(entry, told, began)
            case Way.CANCEL:
                await asyncio.sleep(step.pause / 4)
                try:
                    told = await self._recommenders.persist(other, who, _cancel(name))
                except Refused as refused:
                    # It has ended otherwise by now.
                    if refused.reason != "WRONG_STATE":
                        raise
                else:
                    self._ledger.hear(entry, told)
            case Way.PRY:
                others = [p for p in self._principals[ADMIN + 1 :] if p is not who]
                try:
                    told = await self._recommenders.persist(other, others[step.first], _get(name))
                except Refused as refused:
                    if refused.code is not grpc.StatusCode.NOT_FOUND:
                        raise
                else:
                    self._ledger.pried.append(told.name)

    async def _create(self, entry: Entry, first: int) -> Recommendation:
        async def call(
            stub: RecommenderServiceAsyncStub, metadata: Metadata, seconds: float
        ) -> Recommendation:
            request = _request(entry)
            return await stub.CreateRecommendation(request, metadata=metadata, timeout=seconds)

        principal = self._principals[entry.asked.caller]
        told = await self._recommenders.persist(first, principal, call)
        self._ledger.hear(entry, told)
        return told

    async def _recommend(
        self, entry: Entry, first: int, haste: float | None = None
    ) -> Recommendation:
        """Until it is answered with an end; the first call waits only so long as `haste` says, if given."""
        tries = 0

        async def call(
            stub: RecommenderServiceAsyncStub, metadata: Metadata, seconds: float
        ) -> Recommendation:
            nonlocal tries
            tries += 1
            time = haste if haste is not None and tries == 1 else seconds
            try:
                return await stub.Recommend(_awaited(entry), metadata=metadata, timeout=time)
            except grpc.aio.AioRpcError as error:
                if reason_of(error) == "JOB_NOT_FINISHED":
                    entry.names.add(metadata_of(error)["recommendation"])
                raise

        who = self._principals[entry.asked.caller]
        told = await self._recommenders.persist(first, who, call)
        self._ledger.hear(entry, told)
        return told

    async def _continue(self, entry: Entry, before: Recommendation, first: int) -> None:
        """Asks for more of the same: nothing of what was shown may come again."""
        more = self._open(replace(entry.asked, request_id=f"{entry.asked.request_id}-more"))
        request = pb.ContinueRecommendationRequest(
            name=before.name, request_id=more.asked.request_id
        )

        def call(
            stub: RecommenderServiceAsyncStub, metadata: Metadata, seconds: float
        ) -> Awaitable[Recommendation]:
            return stub.ContinueRecommendation(request, metadata=metadata, timeout=seconds)

        who = self._principals[entry.asked.caller]
        told = await self._recommenders.persist(first, who, call)
        self._ledger.hear(more, told)
        more.shown = frozenset(result.item for result in before.results)
        await self._watch(more, told.name, first)

    async def _leave(self, entry: Entry, step: Step) -> None:
        """Asks, and goes away before the answer, if that takes long."""
        stub, seconds = self._recommenders.stub(step.first), self._recommenders.try_seconds
        try:
            metadata = await self._principals[entry.asked.caller].metadata()
            async with asyncio.timeout(step.pause / 8):
                told = await stub.Recommend(_awaited(entry), metadata=metadata, timeout=seconds)
        except TimeoutError:
            return
        except FAILED as error:
            self._recommenders.note(error)
            return
        self._ledger.hear(entry, told)

    async def _watch(self, entry: Entry, name: str, first: int) -> None:
        async def call(stub: RecommenderServiceAsyncStub, metadata: Metadata, _: float) -> None:
            stream = stub.WatchRecommendation(
                pb.WatchRecommendationRequest(name=name), metadata=metadata, timeout=_WATCH_SECONDS
            )
            async for told in stream:
                self._ledger.hear(entry, told)

        await self._recommenders.persist(first, self._principals[entry.asked.caller], call)


async def _both(*calls: Awaitable[object]) -> None:
    """Waits for all of them, and raises what the first of those has raised that did not succeed."""
    for done in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(done, BaseException):
            raise done


def _wanted(asked: Asked) -> Recommendation:
    wanted = Recommendation(user=asked.user, session=asked.session, query=asked.query)
    if asked.deadline is not None:
        wanted.deadline.FromDatetime(datetime.now(UTC) + timedelta(seconds=asked.deadline))
    return wanted


def _request(entry: Entry) -> pb.CreateRecommendationRequest:
    asked = entry.asked
    return pb.CreateRecommendationRequest(
        parent=PARENT, recommendation=_wanted(asked), request_id=asked.request_id
    )


def _awaited(entry: Entry) -> pb.RecommendRequest:
    asked = entry.asked
    return pb.RecommendRequest(
        parent=PARENT, recommendation=_wanted(asked), request_id=asked.request_id
    )


def _batch_of(entries: Sequence[Entry]) -> Call[pb.BatchCreateRecommendationsResponse]:
    async def call(
        stub: RecommenderServiceAsyncStub, metadata: Metadata, seconds: float
    ) -> pb.BatchCreateRecommendationsResponse:
        request = pb.BatchCreateRecommendationsRequest(
            parent=PARENT, requests=[_request(entry) for entry in entries]
        )
        return await stub.BatchCreateRecommendations(request, metadata=metadata, timeout=seconds)

    return call


def _get(name: str) -> Call[Recommendation]:
    def call(
        stub: RecommenderServiceAsyncStub, metadata: Metadata, seconds: float
    ) -> Awaitable[Recommendation]:
        request = pb.GetRecommendationRequest(name=name)
        return stub.GetRecommendation(request, metadata=metadata, timeout=seconds)

    return call


def _cancel(name: str) -> Call[Recommendation]:
    def call(
        stub: RecommenderServiceAsyncStub, metadata: Metadata, seconds: float
    ) -> Awaitable[Recommendation]:
        request = pb.CancelRecommendationRequest(name=name)
        return stub.CancelRecommendation(request, metadata=metadata, timeout=seconds)

    return call


def _name(reason: ErrorReason.ValueType) -> str:
    return ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
