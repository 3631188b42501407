"""Job messages in: understood, sorted into what can be done now and what has to wait, and handed on as a batch.

A job waits unclaimed: for its catalog to be loaded or, if it needs the encoder, for that to be ready. So no lease runs
out meanwhile, nothing counts as an attempt, and jobs that need neither go past it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import structlog

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs import messages
from recmesh_jobs.job import Failure
from recmesh_jobs.messages import Dispatched
from recmesh_kit.broker import Delivery
from recmesh_kit.errors import InvalidArgument
from recmesh_kit.tasks import Background
from recmesh_worker import converters
from recmesh_worker.answering import Answering
from recmesh_worker.asked import Asked
from recmesh_worker.delays import Delays
from recmesh_worker.encoder import EncoderThread
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import EngineQuery
from recmesh_worker.job_batch import JobBatch
from recmesh_worker.outcome import BROKEN
from recmesh_worker.read_model import ReadModel
from recmesh_worker.returns import SUSPICIOUS, returns

log = structlog.get_logger()

GIVE_BACK_SECONDS = 1.0
"""How long a message is held that another worker may do better with, so that it does not go in circles."""
BRAKE_SECONDS = 0.2
"""How long a batch rests before it is put off: what it needs is away."""
UNKNOWN_QUERY = Failure(
    reasons.ERROR_REASON_VERSION_UNSUPPORTED,
    "The query is of a kind that this worker does not know.",
)


class JobConsumer:
    """Handles batches of job messages.

    Args:
        batch: Does jobs.
        answering: Says which need the encoder.
        read_model: Loads catalogs.
        encoder: Is waited for.
        delays: Puts off what can not even be claimed.
        most_waiting: Most messages that are in hand at once: what the consumers prefetch.
    """

    def __init__(
        self,
        batch: JobBatch,
        answering: Answering,
        read_model: ReadModel,
        encoder: EncoderThread,
        delays: Delays,
        *,
        most_waiting: int,
    ) -> None:
        self._batch = batch
        self._answering = answering
        self._read_model = read_model
        self._encoder = encoder
        self._delays = delays
        # One may be given out anew while the task that held it ends.
        self._waiting = Background(limit=2 * most_waiting)
        self._closing = False

    async def handle(self, deliveries: list[Delivery]) -> None:
        """One batch: what can be done now is done, the rest is settled later.

        Raises:
            Exception: What went wrong, and the broker does not take what is to be put off. It goes back to the queue.
        """
        if self._closing:
            await _return(deliveries)
            return
        understood = [await self._understand(delivery) for delivery in deliveries]
        asked = [one for one in understood if one is not None]
        try:
            await self._sort(asked)
        except Exception as error:
            if await self._put_off(asked, error):
                raise

    async def aclose(self) -> None:
        """Gives back what waits, or has waited and is being done now, and takes no more. Other batches go on."""
        self._closing = True
        await self._waiting.aclose()

    async def _understand(self, delivery: Delivery) -> Asked | None:
        try:
            job = messages.decode_job(delivery.body)
        except messages.UnsupportedVersion as error:
            log.warning("job message of a newer version", error=str(error))
            if error.deadline is not None and self._delays.is_over(error.deadline):
                # Where no newer worker comes any more, it would go in circles for ever.
                await delivery.ack()
            else:
                self._waiting.spawn("give back", _give_back([delivery]))
            return None
        except Exception:
            # The row is still there, if there is one: the relay writes a message anew.
            await delivery.ack()
            log.exception("job message that is none", queue=delivery.routing_key)
            return None
        if returns(delivery) >= SUSPICIOUS and self._delays.is_over(job.deadline):
            log.warning("job message dropped", job=str(job.id), returns=returns(delivery))
            await delivery.ack()
            return None
        return Asked(delivery, job, _query(job))

    async def _sort(self, asked: Sequence[Asked]) -> None:
        by_catalog: defaultdict[str, list[Asked]] = defaultdict(list)
        for one in asked:
            by_catalog[one.job.catalog].append(one)
        now: list[Asked] = []
        memories: dict[str, CatalogMemory] = {}
        for catalog, jobs in by_catalog.items():
            memory = self._read_model.loaded(catalog)
            if memory is None:
                self._later(partial(self._read_model.load, catalog), jobs)
                continue
            memories[catalog] = memory
            now += await self._without_encoder(memory, jobs)
        if now:
            await self._batch.do(now, memories)

    async def _without_encoder(self, memory: CatalogMemory, jobs: list[Asked]) -> list[Asked]:
        """The jobs that can be done now. While the encoder is not ready, those that need it are put off."""
        if self._encoder.ready:
            return jobs
        asked = [(one, one.query) for one in jobs if isinstance(one.query, EngineQuery)]
        places = await self._answering.to_encode(memory, [query for _, query in asked])
        slow = [asked[place][0] for place in places]
        if slow:
            self._later(self._encoder.wait_ready, slow)
        return [one for one in jobs if one not in slow]

    def _later(self, ready: Callable[[], Awaitable[object]], asked: Sequence[Asked]) -> None:
        self._waiting.spawn("waiting jobs", self._resume(ready, asked))

    async def _resume(self, ready: Callable[[], Awaitable[object]], asked: Sequence[Asked]) -> None:
        try:
            try:
                await ready()
                await self._sort(asked)
            except Exception as error:
                if left := await self._put_off(asked, error):
                    await _give_back(left)
        except asyncio.CancelledError:
            await _return(one.delivery for one in asked)
            raise

    async def _put_off(self, asked: Sequence[Asked], error: Exception) -> list[Delivery]:
        # As long as they are not settled, no others come: else all that waits would go round by the tiers at once.
        await asyncio.sleep(BRAKE_SECONDS)
        return await self._delays.put_off([(one.delivery, one.job) for one in asked], error)


async def _give_back(deliveries: Iterable[Delivery]) -> None:
    """Returns messages to the queue after a pause; at once when it is cancelled."""
    try:
        await asyncio.sleep(GIVE_BACK_SECONDS)
    finally:
        await _return(deliveries)


async def _return(deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        await delivery.nack(requeue=True)


def _query(job: Dispatched) -> EngineQuery | Failure:
    try:
        return converters.engine_query(job)
    except converters.UnsupportedQuery:
        log.warning("query of an unknown kind", job=str(job.id))
        return UNKNOWN_QUERY
    except InvalidArgument as error:
        # It was admitted: by another version, then.
        log.warning("filter not understood", job=str(job.id), error=error.message)
        return Failure(error.reason, error.message)
    except Exception:
        log.exception("query not understood", job=str(job.id))
        return BROKEN
