"""Every method that is served, asked badly: the right code, a useful detail, and never INTERNAL or UNKNOWN."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from recmesh.auth.v1 import api_key_service_pb2, auth_service_pb2, user_service_pb2
from recmesh.catalog.v1 import catalog_service_pb2, interaction_service_pb2
from recmesh.common.v1 import authorization_pb2
from recmesh.common.v1.authorization_pb2 import Role
from recmesh.recommender.v1 import (
    index_service_pb2,
    model_service_pb2,
    queue_service_pb2,
    recommender_service_pb2,
    serving_config_service_pb2,
)
from recmesh_client import AsyncClient
from recmesh_kit.testing import fields_of, reason_of
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")

SERVICES: dict[str, tuple[ServiceDescriptor, ...]] = {
    "auth": (
        auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"],
        user_service_pb2.DESCRIPTOR.services_by_name["UserService"],
        api_key_service_pb2.DESCRIPTOR.services_by_name["ApiKeyService"],
    ),
    "catalog": (
        catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
        interaction_service_pb2.DESCRIPTOR.services_by_name["InteractionService"],
    ),
    "recommender": (
        recommender_service_pb2.DESCRIPTOR.services_by_name["RecommenderService"],
        model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
        serving_config_service_pb2.DESCRIPTOR.services_by_name["ServingConfigService"],
        queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"],
        index_service_pb2.DESCRIPTOR.services_by_name["IndexService"],
    ),
}
README = Path(__file__).parents[1] / "README.md"
NOWHERE = "catalogs/nowhere"
ITEM = {"title": "X"}
UNKNOWN_RESOURCE: dict[str, dict[str, object]] = {
    "GetUser": {"name": "users/nobody"},
    "SetUserRoles": {"name": "users/nobody"},
    "GetCatalog": {"name": NOWHERE},
    "UpdateCatalog": {"catalog": {"name": NOWHERE, "displayName": "X"}},
    "DeleteCatalog": {"name": NOWHERE},
    "CreateItem": {"parent": NOWHERE, "itemId": "x", "item": ITEM},
    "BatchCreateItems": {"parent": NOWHERE, "requests": [{"itemId": "x", "item": ITEM}]},
    "GetItem": {"name": f"{NOWHERE}/items/x"},
    "BatchGetItems": {"parent": NOWHERE, "names": [f"{NOWHERE}/items/x"]},
    "ListItems": {"parent": NOWHERE},
    "SearchItems": {"parent": NOWHERE, "query": "x"},
    "UpdateItem": {"item": {"name": f"{NOWHERE}/items/x", **ITEM}},
    "DeleteItem": {"name": f"{NOWHERE}/items/x"},
    "ImportItems": {"parent": NOWHERE, "items": [{"name": f"{NOWHERE}/items/x", **ITEM}]},
    "ExportItems": {"parent": NOWHERE},
    "WriteInteraction": {
        "parent": NOWHERE,
        "interaction": {"item": f"{NOWHERE}/items/x", "type": "TYPE_LIKE"},
    },
    "ListInteractions": {"parent": NOWHERE},
    "ExportInteractions": {"parent": NOWHERE},
    "ImportInteractions": {
        "parent": NOWHERE,
        "interactions": [{"item": f"{NOWHERE}/items/x", "type": "TYPE_LIKE"}],
    },
    "CreateRecommendation": {"parent": NOWHERE, "recommendation": {"query": {"title": "x"}}},
    "Recommend": {"parent": NOWHERE, "recommendation": {"query": {"title": "x"}}},
    "GetRecommendation": {"name": f"{NOWHERE}/recommendations/x"},
    "ListRecommendations": {"parent": NOWHERE},
    "WatchRecommendation": {"name": f"{NOWHERE}/recommendations/x"},
    "ContinueRecommendation": {"name": f"{NOWHERE}/recommendations/x"},
    "CancelRecommendation": {"name": f"{NOWHERE}/recommendations/x"},
    "DeleteRecommendation": {"name": f"{NOWHERE}/recommendations/x"},
    "BatchCreateRecommendations": {
        "parent": NOWHERE,
        "requests": [{"recommendation": {"query": {"title": "x"}}}],
    },
    "RedriveDeadLetters": {"names": [f"{NOWHERE}/recommendations/x"]},
    "VerifyIndex": {"parent": NOWHERE},
}
"""A well-formed request about what is not there, for each method that is about something."""
ABOUT_NOTHING = {
    *("Register", "Login", "RefreshToken", "Logout", "GetJwks", "ExchangeApiKey", "ListUsers"),
    *("CreateCatalog", "ListCatalogs"),
    *("GetQueueStats", "ListDeadLetters"),
}


def planned() -> set[str]:
    """The methods that the README lists as planned."""
    section = README.read_text().partition("## Planned")[2].partition("\n## ")[0]
    return set(re.findall(r"`(\w+)`", section))


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    for service, descriptors in SERVICES.items():
        for descriptor in descriptors:
            for method in descriptor.methods:
                yield service, method


ALL = [pytest.param(service, method, id=method.name) for service, method in methods()]
SERVED = [p for p in ALL if p.id not in planned()]
PLANNED = [p for p in ALL if p.id in planned()]


class Raw:
    """Who sends bytes: somebody, or nobody."""

    def __init__(self, mesh: LocalMesh, client: AsyncClient | None = None) -> None:
        self.targets = mesh.targets
        self._client = client

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        if self._client is None:
            return ()
        return (("authorization", f"Bearer {(await self._client.token()).access_token}"),)


@pytest.fixture(scope="module")
def as_admin(local_mesh: LocalMesh, admin: AsyncClient) -> Raw:
    return Raw(local_mesh, admin)


@pytest.fixture(scope="module")
def as_user(local_mesh: LocalMesh, user: AsyncClient) -> Raw:
    return Raw(local_mesh, user)


@pytest.fixture(scope="module")
def as_nobody(local_mesh: LocalMesh) -> Raw:
    return Raw(local_mesh)


async def call(
    caller: Raw, service: str, method: MethodDescriptor, body: bytes
) -> grpc.aio.AioRpcError | None:
    """Sends bytes; the error that came back, None when there was none."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = await caller.metadata()

    async def stream() -> AsyncIterator[bytes]:
        yield body

    target = getattr(caller.targets, service)
    async with grpc.aio.insecure_channel(target) as channel:
        try:
            if method.client_streaming:
                uploading: Any = channel.stream_unary(path)
                await uploading(stream(), metadata=metadata, timeout=60)
            elif method.server_streaming:
                downloading: Any = channel.unary_stream(path)
                async for _ in downloading(body, metadata=metadata, timeout=60):
                    pass
            else:
                unary: Any = channel.unary_unary(path)
                await unary(body, metadata=metadata, timeout=60)
        except grpc.aio.AioRpcError as error:
            return error
    return None


def request(method: MethodDescriptor, fields: dict[str, object]) -> bytes:
    message: Message = GetMessageClass(method.input_type)()
    return ParseDict(fields, message).SerializeToString()


def rule(method: MethodDescriptor) -> authorization_pb2.AuthorizationRule:
    found: authorization_pb2.AuthorizationRule = method.GetOptions().Extensions[
        authorization_pb2.authorization
    ]
    return found


def test_every_served_method_is_in_the_table() -> None:
    served = {method.name for _, method in methods()} - planned()
    assert served == set(UNKNOWN_RESOURCE) | ABOUT_NOTHING


@pytest.mark.parametrize(("service", "method"), PLANNED)
async def test_a_planned_method_says_so(
    as_admin: Raw, service: str, method: MethodDescriptor
) -> None:
    error = await call(as_admin, service, method, b"")
    assert error is not None
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reason_of(error) == "NOT_IMPLEMENTED"


@pytest.mark.parametrize(("service", "method"), SERVED)
async def test_without_a_token(as_nobody: Raw, service: str, method: MethodDescriptor) -> None:
    body = request(method, UNKNOWN_RESOURCE.get(method.name, {}))
    error = await call(as_nobody, service, method, body)
    if rule(method).public:
        assert error is None or error.code() is not grpc.StatusCode.UNAUTHENTICATED
        return
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(error) == "TOKEN_MISSING"


@pytest.mark.parametrize(("service", "method"), SERVED)
async def test_with_the_wrong_role(as_user: Raw, service: str, method: MethodDescriptor) -> None:
    if rule(method).public or Role.ROLE_USER in rule(method).roles:
        pytest.skip("open to everybody who is signed in")
    error = await call(
        as_user, service, method, request(method, UNKNOWN_RESOURCE.get(method.name, {}))
    )
    assert error is not None
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(error) == "ROLE_REQUIRED"


@pytest.mark.parametrize(("service", "method"), SERVED)
async def test_with_bytes_that_are_no_message(
    as_admin: Raw, service: str, method: MethodDescriptor
) -> None:
    error = await call(as_admin, service, method, b"\xff\xff\xff")
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "MALFORMED_REQUEST"


@pytest.mark.parametrize(("service", "method"), SERVED)
async def test_with_a_bad_field(as_admin: Raw, service: str, method: MethodDescriptor) -> None:
    texts = [
        field.json_name
        for field in method.input_type.fields
        if field.type == field.TYPE_STRING and not field.is_repeated
    ]
    if not texts:
        pytest.skip("no text in it")
    fields = UNKNOWN_RESOURCE.get(method.name, {}) | {texts[0]: "\x00"}
    error = await call(as_admin, service, method, request(method, fields))
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) in ("INVALID_FIELD", "INVALID_PAGE_TOKEN")
    if reason_of(error) == "INVALID_FIELD":
        assert fields_of(error)


@pytest.mark.parametrize(("service", "method"), SERVED)
async def test_about_what_is_not_there(
    as_admin: Raw, service: str, method: MethodDescriptor
) -> None:
    if method.name in ABOUT_NOTHING:
        pytest.skip("about nothing in particular")
    error = await call(as_admin, service, method, request(method, UNKNOWN_RESOURCE[method.name]))
    assert error is not None
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(error) == "RESOURCE_NOT_FOUND"
