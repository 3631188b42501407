import datetime as dt
from uuid import uuid4

from prometheus_client import CollectorRegistry

from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.job import Claim, Ended
from recmesh_jobs.messages import Dispatched
from recmesh_jobs.states import State
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_worker.engine.query import Answer, Fallback
from recmesh_worker.metrics import MOST_MODELS, UNSURE, JobInstruments
from recmesh_worker.outcome import BROKEN

BEGAN = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def job() -> Dispatched:
    return Dispatched(uuid4(), "films", "ada", Query(), BEGAN + dt.timedelta(hours=1), BEGAN)


def ended(state: State, seconds: float) -> Ended:
    return Ended(uuid4(), state, 1, BEGAN, BEGAN + dt.timedelta(seconds=seconds))


def answer(
    model: str, fallback: Fallback = Fallback.NONE, confidence: float = 1.0, relaxed: bool = False
) -> Answer:
    return Answer((), None, confidence, fallback, model, relaxed)


def test_a_job_from_admission_to_its_end() -> None:
    registry = CollectorRegistry()
    metrics = JobInstruments(Instruments(registry)).of(bulk=True)
    for attempt, waited in ((1, 2.0), (7, -1.0)):
        began = BEGAN + dt.timedelta(seconds=waited)
        metrics.claimed(job(), "title", Claim(uuid4(), attempt, began))
    metrics.ended(job(), "title", ended(State.SUCCEEDED, 3), answer("content"))
    metrics.ended(job(), "text", ended(State.FAILED, 4), failure=BROKEN)
    value = registry.get_sample_value
    labels = {"lane": "bulk", "kind": "title"}
    assert value("recmesh_job_queue_seconds_sum", labels) == 2
    assert value("recmesh_job_attempts_total", {"lane": "bulk", "attempt": "1"}) == 1
    assert value("recmesh_job_attempts_total", {"lane": "bulk", "attempt": "4+"}) == 1
    labels |= {"model": "content", "state": "succeeded"}
    assert value("recmesh_job_seconds_sum", labels) == 3
    name = "recmesh_dead_letters_total"
    assert value(name, {"reason": "ERROR_REASON_INTERNAL"}) == 1
    # Known before it happens: an increase can be seen only from a value that was there.
    assert value(name, {"reason": "ERROR_REASON_ATTEMPTS_EXHAUSTED"}) == 0


def test_what_was_answered_instead_of_what_was_asked() -> None:
    registry = CollectorRegistry()
    metrics = JobInstruments(Instruments(registry)).of(bulk=False)
    found = (
        *(answer("content"), answer("content", confidence=UNSURE)),
        *(answer("popular", Fallback.POPULAR, 0.0), answer("content", relaxed=True)),
    )
    for one in found:
        metrics.ended(job(), "title", ended(State.SUCCEEDED, 1), one)
    # Computed, and not stored.
    metrics.ended(job(), "title", ended(State.FAILED, 1), answer("content"), BROKEN)

    def value(fallback: str, relaxed: str, unsure: str) -> float | None:
        labels = {"kind": "title", "fallback": fallback, "filter_relaxed": relaxed}
        return registry.get_sample_value("recmesh_answers_total", {**labels, "unsure": unsure})

    assert value("none", "false", "false") == 2
    assert value("popular", "false", "true") == 1
    assert value("none", "true", "false") == 1


def test_models_that_come_and_go_do_not_add_up() -> None:
    registry = CollectorRegistry()
    metrics = JobInstruments(Instruments(registry)).of(bulk=False)
    for number in range(MOST_MODELS + 5):
        metrics.ended(job(), "item", ended(State.SUCCEEDED, 1), answer(f"model-{number}"))
    labels = {"lane": "interactive", "kind": "item", "model": "other", "state": "succeeded"}
    assert registry.get_sample_value("recmesh_job_seconds_count", labels) == 5
