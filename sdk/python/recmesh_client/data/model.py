"""Models of a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto

from recmesh_client.data.recommendation import JobError


class ModelState(StrEnum):
    """Where a model stands."""

    UNKNOWN = auto()
    TRAINING = auto()
    READY = auto()
    ACTIVE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Model:
    """A model of one catalog.

    Attributes:
        catalog: The catalog's id.
        id: Made by the server.
        algorithm: The kind of model, such as "content".
        parameters: What the training was told.
        state: Where the model stands.
        metrics: Measures on held-out data, by name; 0 to 1 each.
        artifact_uri: Where the artifact lies.
        artifact_sha256: SHA-256 of the artifact, in hexadecimal.
        error: Why the training failed.
        create_time: When the training was asked for.
        end_time: When it ended.
    """

    catalog: str
    id: str
    algorithm: str
    parameters: Mapping[str, float]
    state: ModelState
    metrics: Mapping[str, float]
    artifact_uri: str
    artifact_sha256: str
    error: JobError | None
    create_time: datetime | None
    end_time: datetime | None
