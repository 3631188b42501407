"""What the recommender reads from its environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from recmesh_jobs.job import ATTEMPT_LIMIT
from recmesh_kit.settings import BrokerSettings, DatabaseSettings, ServiceSettings
from recmesh_recommender.orders import MAX_DEADLINE


class RecommenderSettings(ServiceSettings, DatabaseSettings, BrokerSettings):
    """Settings of the recommender."""

    auth_target: str = Field(description="host:port of the auth service.")
    catalog_target: str = Field(description="host:port of the catalog service.")
    service_key: SecretStr = Field(
        description="The API key that it signs in with, as `recommender`."
    )
    admission_limit: int = Field(
        10_000,
        ge=1,
        description="Unfinished jobs of the deployment beyond which no more are taken.",
    )
    bulk_share: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Share of the admission limit that bulk jobs may take up; the rest is kept for jobs that somebody "
        "waits for.",
    )
    job_deadline_seconds: float = Field(
        300,
        gt=0,
        le=MAX_DEADLINE.total_seconds(),
        description="From when on a job is not worth starting, when its caller does not say: longer than clocks are "
        "apart, as the database's decides.",
    )
    bulk_deadline_seconds: float = Field(
        MAX_DEADLINE.total_seconds(),
        gt=0,
        le=MAX_DEADLINE.total_seconds(),
        description="The same for bulk jobs.",
    )
    result_ttl_days: int = Field(7, ge=2, le=365, description="How long jobs and results are kept.")
    attempt_limit: int = Field(
        ATTEMPT_LIMIT, ge=1, le=100, description="Attempts after which a job is given up."
    )
    sweep_seconds: float = Field(
        1.0, gt=0, description="How often jobs are looked for that nobody looks after."
    )
    insert_batch: int = Field(128, ge=1, description="Jobs that are stored in one transaction.")
