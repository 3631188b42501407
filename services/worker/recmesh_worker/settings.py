"""What a worker reads from its environment."""

from __future__ import annotations

import os
import socket

from pydantic import Field, SecretStr

from recmesh_jobs.job import ATTEMPT_LIMIT
from recmesh_kit.settings import BrokerSettings, DatabaseSettings, ServiceSettings
from recmesh_worker.encoder import DEFAULT_SOURCE, Precision


def _own_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class WorkerSettings(ServiceSettings, DatabaseSettings, BrokerSettings):
    """Settings of a worker. It listens for health checks only."""

    auth_target: str = Field(description="host:port of the auth service.")
    catalog_target: str = Field(description="host:port of the catalog service.")
    service_key: SecretStr = Field(description="The API key that it signs in with, as `worker`.")
    worker_name: str = Field(
        default_factory=_own_name, description="Who holds its leases; unique to the process."
    )
    encoder: str = Field(
        DEFAULT_SOURCE,
        description="The text encoder: `package:NAME`, a folder, or the id of a model on a hub.",
    )
    encoder_languages: list[str] = Field(
        ["en"], description="The languages that the encoder understands, ISO 639-1."
    )
    encoder_precision: Precision = Field(
        "float32",
        description="`int8` is faster, and its neighbours differ a little. A change embeds all items anew.",
    )
    compute_threads: int = Field(
        1,
        ge=1,
        description="Threads that the encoder computes with, and as many for ranking; more if cores are free.",
    )
    job_batch: int = Field(
        64, ge=1, le=1000, description="Jobs that are taken and ranked together."
    )
    bulk_batch: int = Field(
        16,
        ge=1,
        le=64,
        description="Bulk jobs that are taken together; few, so that workers share what one caller sends.",
    )
    index_batch: int = Field(
        8,
        ge=1,
        le=100,
        description="Change messages handled together, of up to 500 items each; few, so that workers share an import.",
    )
    history_batch: int = Field(
        20,
        ge=1,
        le=100,
        description="Messages of what people did handled together, of up to 500 interactions each.",
    )
    lease_seconds: float = Field(
        15,
        gt=0,
        description="How long a claimed job is left to this worker, unless it says that it is at it still.",
    )
    attempt_limit: int = Field(
        ATTEMPT_LIMIT,
        ge=1,
        le=100,
        description="Attempts after which a job is given up that fails for a passing reason; the recommender's, too.",
    )
    preload_seconds: float = Field(
        10.0,
        ge=0,
        description="How long catalogs are loaded before the first job is taken; the rest when asked for.",
    )
    follow_seconds: float = Field(
        0.5, gt=0, description="How often the read model is looked at for changes."
    )
    progress_seconds: float = Field(
        1.0, gt=0, description="How often it is looked whether there is news of an index to tell."
    )
    memory_limit_bytes: int = Field(
        2 * 1024**3, gt=0, description="Memory for catalogs; the least used one goes first."
    )
