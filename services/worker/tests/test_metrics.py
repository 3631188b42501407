import datetime as dt
from uuid import uuid4

from prometheus_client import CollectorRegistry

from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.job import Claim, Ended
from recmesh_jobs.messages import Dispatched
from recmesh_jobs.states import State
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_worker.metrics import MOST_MODELS, JobInstruments

BEGAN = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def job() -> Dispatched:
    return Dispatched(uuid4(), "films", "ada", Query(), BEGAN + dt.timedelta(hours=1), BEGAN)


def ended(state: State, seconds: float) -> Ended:
    return Ended(uuid4(), state, 1, BEGAN, BEGAN + dt.timedelta(seconds=seconds))


def test_a_job_from_admission_to_its_end() -> None:
    registry = CollectorRegistry()
    metrics = JobInstruments(Instruments(registry)).of(bulk=True)
    for attempt, waited in ((1, 2.0), (7, -1.0)):
        began = BEGAN + dt.timedelta(seconds=waited)
        metrics.claimed(job(), "title", Claim(uuid4(), attempt, began))
    metrics.ended(job(), "title", "content", ended(State.SUCCEEDED, 3))
    metrics.ended(job(), "text", "", ended(State.FAILED, 4))
    value = registry.get_sample_value
    labels = {"lane": "bulk", "kind": "title"}
    assert value("recmesh_job_queue_seconds_sum", labels) == 2
    assert value("recmesh_job_attempts_total", {"lane": "bulk", "attempt": "1"}) == 1
    assert value("recmesh_job_attempts_total", {"lane": "bulk", "attempt": "4+"}) == 1
    labels |= {"model": "content", "state": "succeeded"}
    assert value("recmesh_job_seconds_sum", labels) == 3
    assert value("recmesh_dead_letters_total") == 1


def test_models_that_come_and_go_do_not_add_up() -> None:
    registry = CollectorRegistry()
    metrics = JobInstruments(Instruments(registry)).of(bulk=False)
    for number in range(MOST_MODELS + 5):
        metrics.ended(job(), "item", f"model-{number}", ended(State.SUCCEEDED, 1))
    labels = {"lane": "interactive", "kind": "item", "model": "other", "state": "succeeded"}
    assert registry.get_sample_value("recmesh_job_seconds_count", labels) == 5
