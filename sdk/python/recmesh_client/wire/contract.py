"""What the contract says about repeats."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from recmesh.auth.v1 import api_key_service_pb2, auth_service_pb2, user_service_pb2
from recmesh.catalog.v1 import catalog_service_pb2, interaction_service_pb2
from recmesh.recommender.v1 import (
    index_service_pb2,
    model_service_pb2,
    queue_service_pb2,
    recommender_service_pb2,
    serving_config_service_pb2,
)


def services() -> list[ServiceDescriptor]:
    """Every service of the contract."""
    files = (
        auth_service_pb2,
        user_service_pb2,
        api_key_service_pb2,
        catalog_service_pb2,
        interaction_service_pb2,
        recommender_service_pb2,
        model_service_pb2,
        serving_config_service_pb2,
        queue_service_pb2,
        index_service_pb2,
    )
    return [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]


def repeatable(request: Message) -> bool:
    """Whether a call may be made again when nobody knows what became of it: its method is marked as free of side
    effects or idempotent, or the request carries an id by which the server knows it again.
    """
    if request.DESCRIPTOR.full_name in _idempotent():
        return True
    if isinstance(request, auth_service_pb2.LoginRequest):
        return True  # Nothing comes of a lost answer but a token that runs out.
    if isinstance(request, recommender_service_pb2.BatchCreateRecommendationsRequest):
        return all(row.request_id for row in request.requests)
    if isinstance(request, interaction_service_pb2.WriteInteractionRequest):
        return bool(request.interaction_id)
    return bool(getattr(request, "request_id", ""))


@cache
def _idempotent() -> frozenset[str]:
    """The request types of idempotent methods; each method has a request type of its own."""
    return frozenset(
        method.input_type.full_name
        for service in services()
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    )
