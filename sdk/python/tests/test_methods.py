"""Every method of the contract has one in the clients, and both clients have the same."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from sdk.python.tests.fake import Failure, Fake

from recmesh_client import (
    AsyncClient,
    AsyncPages,
    Catalog,
    Client,
    Interaction,
    InteractionType,
    Item,
    Order,
    Query,
    Role,
    RoleGrant,
    ServingConfig,
    Unimplemented,
    User,
)
from recmesh_client.wire import contract

JOB = "catalogs/films/recommendations/1"
SESSION = {"Login", "RefreshToken", "Logout", "ExchangeApiKey"}
"""Called by `sign_in`, `sign_out` and whenever a token ends."""

CALLS: dict[str, Callable[[AsyncClient], Any]] = {
    "Register": lambda c: c.register("ada@example.org", "correct horse"),
    "GetJwks": lambda c: c.get_jwks(),
    "ExchangeExternalIdentity": lambda c: c.exchange_external_identity("telegram", "1"),
    "GetUser": lambda c: c.get_user(),
    "ListUsers": lambda c: c.list_users(),
    "UpdateUser": lambda c: c.update_user(User("me", display_name="Ada")),
    "SetUserRoles": lambda c: c.set_user_roles("1", [RoleGrant(Role.EDITOR, "films")]),
    "DeleteUser": lambda c: c.delete_user("me"),
    "ExportUserData": lambda c: c.export_user_data(),
    "CreateApiKey": lambda c: c.create_api_key("loader", [RoleGrant(Role.EDITOR)]),
    "ListApiKeys": lambda c: c.list_api_keys(),
    "RevokeApiKey": lambda c: c.revoke_api_key("1"),
    "CreateCatalog": lambda c: c.create_catalog("films"),
    "GetCatalog": lambda c: c.get_catalog("films"),
    "ListCatalogs": lambda c: c.list_catalogs(),
    "UpdateCatalog": lambda c: c.update_catalog(Catalog("films"), fields=["display_name"]),
    "DeleteCatalog": lambda c: c.delete_catalog("films"),
    "CreateItem": lambda c: c.create_item("films", Item("1", "Alien")),
    "BatchCreateItems": lambda c: c.batch_create_items("films", [Item("1", "Alien")]),
    "GetItem": lambda c: c.get_item("films", "1"),
    "BatchGetItems": lambda c: c.batch_get_items("films", ["1"]),
    "ListItems": lambda c: c.list_items("films"),
    "UpdateItem": lambda c: c.update_item("films", Item("1", "Aliens"), fields=["title"]),
    "DeleteItem": lambda c: c.delete_item("films", "1"),
    "ImportItems": lambda c: c.import_items("films", [Item("1", "Alien")]),
    "SearchItems": lambda c: c.search_items("films", "alien"),
    "ExportItems": lambda c: c.export_items("films"),
    "WriteInteraction": lambda c: c.write_interaction(
        "films", Interaction("1", InteractionType.LIKE)
    ),
    "ImportInteractions": lambda c: c.import_interactions(
        "films", [Interaction("1", InteractionType.LIKE)]
    ),
    "ListInteractions": lambda c: c.list_interactions("films"),
    "ExportInteractions": lambda c: c.export_interactions("films"),
    "PurgeInteractions": lambda c: c.purge_interactions("films", "*"),
    "CreateRecommendation": lambda c: c.create_recommendation("films", title="Alien"),
    "Recommend": lambda c: c.recommend("films", title="Alien"),
    "GetRecommendation": lambda c: c.get_recommendation(JOB),
    "ListRecommendations": lambda c: c.list_recommendations("films"),
    "WatchRecommendation": lambda c: c.watch(JOB),
    "ContinueRecommendation": lambda c: c.continue_recommendation(JOB),
    "CancelRecommendation": lambda c: c.cancel_recommendation(JOB),
    "DeleteRecommendation": lambda c: c.delete_recommendation(JOB),
    "BatchCreateRecommendations": lambda c: c.batch_create_recommendations(
        "films", [Order(Query(text="x"))]
    ),
    "TrainModel": lambda c: c.train_model("films", "content"),
    "ListModels": lambda c: c.list_models("films"),
    "GetModel": lambda c: c.get_model("films", "1"),
    "ActivateModel": lambda c: c.activate_model("films", "1"),
    "DeleteModel": lambda c: c.delete_model("films", "1"),
    "CreateServingConfig": lambda c: c.create_serving_config("films", ServingConfig("default")),
    "GetServingConfig": lambda c: c.get_serving_config("films", "default"),
    "ListServingConfigs": lambda c: c.list_serving_configs("films"),
    "UpdateServingConfig": lambda c: c.update_serving_config("films", ServingConfig("default")),
    "DeleteServingConfig": lambda c: c.delete_serving_config("films", "default"),
    "GetQueueStats": lambda c: c.get_queue_stats(),
    "ListDeadLetters": lambda c: c.list_dead_letters(catalog="films"),
    "VerifyIndex": lambda c: c.verify_index("films", repair=True),
    "RedriveDeadLetters": lambda c: c.redrive_dead_letters([JOB], dry_run=True),
}
METHODS = {method.name: method for service in contract.services() for method in service.methods}
DATA_MODULE = "recmesh_client.data."


def test_every_method_of_the_contract_is_there() -> None:
    assert set(CALLS) | SESSION == set(METHODS)


async def outcome(answer: Any) -> Any:
    if isinstance(answer, AsyncPages | AsyncIterator):
        return [one async for one in answer]
    return await answer


@pytest.mark.parametrize("name", CALLS)
async def test_a_method_that_is_not_served_yet_says_so(
    client: AsyncClient, fake: Fake, name: str
) -> None:
    fake.script(name, Failure(grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED"))
    with pytest.raises(Unimplemented):
        await outcome(CALLS[name](client))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "Recommend"])
async def test_an_answer_is_plain(client: AsyncClient, fake: Fake, name: str) -> None:
    empty: Any = GetMessageClass(METHODS[name].output_type)()
    fake.script(name, [empty] if METHODS[name].server_streaming else empty)
    answer = await outcome(CALLS[name](client))
    for one in answer if isinstance(answer, list | tuple) else [answer]:
        assert one is None or type(one) is int or type(one).__module__.startswith(DATA_MODULE)


def public(kind: type) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(kind) if name[0] != "_"}


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    waits, does_not = public(Client), public(AsyncClient)
    assert set(waits) == set(does_not)
    for name, method in waits.items():
        own, other = (inspect.signature(one).parameters for one in (method, does_not[name]))
        assert list(own) == list(other), name


def test_no_type_of_the_transport_is_in_a_signature() -> None:
    for name, method in public(AsyncClient).items():
        said = str(inspect.signature(method))
        assert "pb" not in said, name
        assert "grpc" not in said, name
