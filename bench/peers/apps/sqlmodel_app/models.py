"""The table, and how to reach it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, DateTime, Engine
from sqlmodel import Column, Field, SQLModel, create_engine

from bench.peers.apps.settings import Settings

QUEUE = "bench.sqlmodel.jobs"


class Job(SQLModel, table=True):
    """A job and its results."""

    __tablename__ = "recommendations"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    item: str
    limit: int
    state: str = "queued"
    results: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(JSON))
    create_time: datetime = Field(
        default_factory=lambda: datetime.now(UTC), sa_type=DateTime(timezone=True)
    )


def make_engine(settings: Settings, connections: int) -> Engine:
    """An engine with that many connections at most."""
    url = settings.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    return create_engine(url, pool_size=connections, max_overflow=0)
