"""Models."""

from __future__ import annotations

from recmesh.recommender.v1 import model_service_pb2 as pb
from recmesh_client.convert.basics import first_id, job_error, last_id, time
from recmesh_client.convert.enums import EnumTable
from recmesh_client.data.model import Model, ModelState

STATES = EnumTable(ModelState, pb.Model.State.items(), "STATE_", ModelState.UNKNOWN)


def from_model(message: pb.Model) -> Model:
    """A model out of an answer."""
    return Model(
        catalog=first_id(message.name),
        id=last_id(message.name),
        algorithm=message.algorithm,
        parameters=dict(message.parameters),
        state=STATES.member(message.state),
        metrics=dict(message.metrics),
        artifact_uri=message.artifact_uri,
        artifact_sha256=message.artifact_sha256,
        error=(
            job_error(message.error.reason, message.error.message)
            if message.HasField("error")
            else None
        ),
        create_time=time(message, "create_time"),
        end_time=time(message, "end_time"),
    )
