from __future__ import annotations

import math
import re

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from libs.kit.tests.calls import declare
from recmesh.auth.v1.api_key_service_pb2 import ApiKey, CreateApiKeyRequest
from recmesh.auth.v1.auth_service_pb2 import RegisterRequest
from recmesh.auth.v1.user_pb2 import RoleGrant
from recmesh.auth.v1.user_service_pb2 import GetUserRequest, SetUserRolesRequest
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    BatchCreateItemsRequest,
    BatchGetItemsRequest,
    CreateCatalogRequest,
    CreateItemRequest,
    GetCatalogRequest,
    ImportItemsRequest,
    ListItemsRequest,
    UpdateCatalogRequest,
    UpdateItemRequest,
)
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import WriteInteractionRequest
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.common.v1.authorization_pb2 import ROLE_EDITOR
from recmesh.recommender.v1 import serving_config_service_pb2
from recmesh.recommender.v1.model_service_pb2 import Model, TrainModelRequest
from recmesh.recommender.v1.query_pb2 import HistorySeed, ItemsSeed, Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import (
    BatchCreateRecommendationsRequest,
    CreateRecommendationRequest,
)
from recmesh_kit.errors import InvalidArgument
from recmesh_kit.validation import compile_checks, validate, violations

FILMS = "catalogs/films"
ALIEN = "catalogs/films/items/alien"


def fields(message: Message, *, row: bool = False) -> list[str]:
    return [violation.field for violation in violations(message, row=row)]


def said(message: Message) -> str:
    [violation] = violations(message)
    return violation.message


def create(**item: object) -> CreateItemRequest:
    content = Item(**{"title": "Alien", **item})  # type: ignore[arg-type]
    return CreateItemRequest(parent=FILMS, item_id="alien", item=content)


def ask(query: Query) -> CreateRecommendationRequest:
    # A query may name a serving config, of whose file its own knows nothing.
    assert serving_config_service_pb2.DESCRIPTOR.package == "recmesh.recommender.v1"
    return CreateRecommendationRequest(parent=FILMS, recommendation=Recommendation(query=query))


def update(*paths: str, allow_missing: bool = False, **item: object) -> UpdateItemRequest:
    return UpdateItemRequest(
        item=Item(**{"name": ALIEN, **item}),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=paths),
        allow_missing=allow_missing,
    )


def test_every_field_at_fault_is_named() -> None:
    request = CreateItemRequest(parent="films", item=Item(release_year=3, language="?"))
    with pytest.raises(InvalidArgument) as caught:
        validate(request)
    assert [violation.field for violation in caught.value.violations] == [
        "parent",
        "item_id",
        "item.title",
        "item.release_year",
        "item.language",
    ]


def test_a_good_request_passes() -> None:
    validate(create(genres=["Horror"], labels={"shelf": "3"}, average_rating=8.5))


def test_a_field_is_named_once() -> None:
    assert fields(RegisterRequest(email="a" * 300 + "\0", password="12345678")) == ["email"]


def test_the_number_of_violations_is_bounded() -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate(BatchGetItemsRequest(parent=FILMS, names=["bad"] * 1000))
    assert len(caught.value.violations) == 50


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (GetCatalogRequest(), "name"),
        (CreateItemRequest(parent=FILMS, item_id="a"), "item"),
        (BatchGetItemsRequest(parent=FILMS), "names"),
        (SetUserRolesRequest(name="users/a", grants=[RoleGrant()]), "grants[0].role"),
        (
            WriteInteractionRequest(parent=FILMS, interaction=Interaction(item=ALIEN)),
            "interaction.type",
        ),
    ],
)
def test_required(request_: Message, field: str) -> None:
    assert fields(request_) == [field]


@pytest.mark.parametrize(
    ("password", "good"),
    [("1234567", False), ("12345678", True), ("я" * 128, True), ("я" * 129, False)],
)
def test_length_in_code_points(password: str, good: bool) -> None:
    assert (fields(RegisterRequest(email="a@b", password=password)) == []) is good


def test_length_of_each_string_of_a_list() -> None:
    assert fields(create(genres=["Drama", "", "x" * 65])) == ["item.genres[1]", "item.genres[2]"]


@pytest.mark.parametrize("email", ["ann", "ann@", "@b", "a b@c", "a@b\n"])
def test_pattern_holds_for_the_whole(email: str) -> None:
    assert fields(RegisterRequest(email=email, password="12345678")) == ["email"]


@pytest.mark.parametrize(
    ("year", "good"), [(999, False), (1000, True), (3000, True), (3001, False)]
)
def test_range(year: int, good: bool) -> None:
    assert (fields(create(release_year=year)) == []) is good


def test_zero_is_no_value() -> None:
    assert fields(create(release_year=0)) == []


def test_optional_zero_is_a_value() -> None:
    assert fields(create(average_rating=0.0)) == []
    assert fields(create(average_rating=-0.5)) == ["item.average_rating"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(number: float) -> None:
    assert said(create(average_rating=number)) == "must be a finite number"


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_of_a_map_are_finite(number: float) -> None:
    model = Model(algorithm="content", parameters={"a": 1.0, "b": number})
    assert fields(TrainModelRequest(parent=FILMS, model=model)) == ["model.parameters['b']"]


def test_values_of_an_enum_are_known() -> None:
    catalog = Catalog()
    catalog.visibility = 77  # type: ignore[assignment]
    assert fields(CreateCatalogRequest(catalog_id="films", catalog=catalog)) == [
        "catalog.visibility"
    ]


def test_values_of_an_enum_in_a_list_are_known() -> None:
    grant = RoleGrant(role=99)  # type: ignore[arg-type]
    request = SetUserRolesRequest(name="users/a", grants=[RoleGrant(role=ROLE_EDITOR), grant])
    assert fields(request) == ["grants[1].role"]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"title": "a\0"}, "item.title"),
        ({"description": "\0"}, "item.description"),
        ({"cast": ["a", "b\0"]}, "item.cast[1]"),
        ({"labels": {"a\0": "b"}}, "item.labels['a\\x00'] key"),
        ({"labels": {"a": "b\0"}}, "item.labels['a']"),
    ],
)
def test_no_text_has_u_0000(content: dict[str, object], field: str) -> None:
    assert fields(create(**content)) == [field]


def test_keys_of_a_map_of_numbers_are_text() -> None:
    model = Model(algorithm="content", parameters={"a\0": 1.0})
    assert fields(TrainModelRequest(parent=FILMS, model=model)) == [
        "model.parameters['a\\x00'] key"
    ]


@pytest.mark.parametrize(
    ("seconds", "nanos", "good"),
    [
        (0, 0, True),
        (-62_135_596_800, 0, True),
        (-62_135_596_801, 0, False),
        (253_402_300_799, 999_999_999, True),
        (253_402_300_800, 0, False),
        (2**63 - 1, 0, False),
        (0, -1, False),
        (0, 1_000_000_000, False),
        (0, 2**31 - 1, False),
    ],
)
def test_timestamps(seconds: int, nanos: int, good: bool) -> None:
    time = Timestamp(seconds=seconds, nanos=nanos)
    key = ApiKey(display_name="k", grants=[RoleGrant(role=ROLE_EDITOR)], expire_time=time)
    assert (fields(CreateApiKeyRequest(api_key=key)) == []) is good
    if good:
        time.ToDatetime()


def test_lists_that_are_too_long() -> None:
    assert said(create(tags=["t"] * 129)) == "has 129 entries, at most 128 are allowed"


def test_maps_that_are_too_long() -> None:
    assert fields(create(labels={str(n): "" for n in range(65)})) == ["item.labels"]


def test_a_required_field_of_a_oneof_counts_when_it_is_chosen() -> None:
    assert fields(ask(Query(title=""))) == ["recommendation.query.title"]
    assert fields(ask(Query(text="a heist"))) == []


def test_a_required_oneof() -> None:
    assert fields(ask(Query(limit=3))) == ["recommendation.query.seed"]
    assert fields(ask(Query(history=HistorySeed()))) == []


def test_what_is_within_a_oneof_is_checked() -> None:
    assert fields(ask(Query(items=ItemsSeed()))) == ["recommendation.query.items.items"]
    assert fields(ask(Query(item="alien"))) == ["recommendation.query.item"]


@pytest.mark.parametrize(
    "name",
    [
        "films",
        "catalogs/",
        "catalogs/films/",
        "catalogs/films/items",
        "/catalogs/films",
        "catalogs/films\n",
        "catalogs/a\x7f",
        "catalogs/" + "x" * 129,
    ],
)
def test_resource_names(name: str) -> None:
    assert fields(GetCatalogRequest(name=name)) == ["name"]


def test_a_resource_name_says_its_shape() -> None:
    assert said(GetCatalogRequest(name="films")) == "must be a name like catalogs/{catalog}"


def test_resource_names_in_a_list() -> None:
    request = BatchGetItemsRequest(parent=FILMS, names=[ALIEN, "", FILMS])
    assert fields(request) == ["names[1]", "names[2]"]


def test_a_resource_type_of_another_package() -> None:
    grants = [RoleGrant(role=ROLE_EDITOR, catalog="films")]
    assert fields(SetUserRolesRequest(name="users/a", grants=grants)) == ["grants[0].catalog"]
    assert fields(GetUserRequest(name="users/me")) == []


def test_rows_are_not_checked_inside() -> None:
    assert fields(ImportItemsRequest(parent=FILMS, items=[Item(title="\0")])) == []
    requests = [CreateRecommendationRequest(parent="?")]
    assert fields(BatchCreateRecommendationsRequest(parent=FILMS, requests=requests)) == []


def test_rows_are_counted() -> None:
    assert fields(ImportItemsRequest(parent=FILMS, items=[Item()] * 1001)) == ["items"]


def test_a_row_needs_its_name() -> None:
    assert fields(Item(title="Alien"), row=True) == ["name"]
    assert fields(Item(name=ALIEN, title="Alien"), row=True) == []
    assert fields(Item(name="alien"), row=True) == ["name", "title"]


def test_a_name_in_a_create_is_ignored() -> None:
    assert fields(create(name="anything")) == []


def test_what_the_server_sets_is_ignored() -> None:
    assert fields(create(create_time=Timestamp(nanos=-1))) == []


def batch(**row: object) -> BatchCreateItemsRequest:
    request = CreateItemRequest(**{"item_id": "a", "item": Item(title="A"), **row})  # type: ignore[arg-type]
    return BatchCreateItemsRequest(parent=FILMS, requests=[request])


def test_a_batch_hands_down_its_parent() -> None:
    assert fields(batch()) == []
    assert fields(batch(parent=FILMS)) == []


def test_a_batch_does_not_mix_parents() -> None:
    assert fields(batch(parent="catalogs/books")) == ["requests[0].parent"]


def test_an_update_looks_at_what_the_mask_names() -> None:
    assert fields(update("tags", title="x" * 600, tags=["new"])) == []
    assert fields(update("title", title="x" * 600)) == ["item.title"]


def test_an_update_without_a_mask_looks_at_what_is_set() -> None:
    assert fields(update(tags=["new"])) == []
    assert fields(update(tags=[""])) == ["item.tags[0]"]


def test_an_update_of_everything_looks_at_all() -> None:
    assert fields(update("*", tags=["new"])) == ["item.title"]


def test_an_update_does_not_clear_what_is_required() -> None:
    assert fields(update("title")) == ["item.title"]


def test_an_update_that_may_create_needs_a_whole_resource() -> None:
    assert fields(update("tags", allow_missing=True, tags=["new"])) == ["item.title"]
    assert fields(update("tags", allow_missing=True, tags=["new"], title="Alien")) == []


def test_an_update_needs_a_name() -> None:
    assert fields(update("tags", name="")) == ["item.name"]
    assert fields(update("tags", name="alien")) == ["item.name"]


def test_an_update_needs_a_resource() -> None:
    assert fields(UpdateCatalogRequest()) == ["catalog"]


@pytest.mark.parametrize(
    "path", ["nothing", "labels.shelf", "", "Title", "revision", "name", "title,tags"]
)
def test_bad_mask_paths(path: str) -> None:
    assert fields(update("tags", path, tags=["new"])) == ["update_mask"]


def test_a_mask_does_not_name_what_cannot_change() -> None:
    declared = declare("""
        message_type {
          name: "Key"
          field {
            name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL
            options { [recmesh.common.v1.constraint] { identifier: true } }
          }
          field {
            name: "kind" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL
            options { [recmesh.common.v1.constraint] { immutable: true } }
          }
        }
        message_type {
          name: "UpdateKeyRequest"
          field {
            name: "key" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "Key"
            options { [recmesh.common.v1.constraint] { required: true } }
          }
          field {
            name: "update_mask" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL
            type_name: ".google.protobuf.FieldMask"
          }
        }
    """)
    request = GetMessageClass(declared.message_types_by_name["UpdateKeyRequest"])()
    key, mask = request.key, request.update_mask  # type: ignore[attr-defined]
    key.name, key.kind = "keys/a", "b"
    mask.paths.append("kind")
    assert fields(request) == ["update_mask"]


def declared_field(constraint: str, kind: str = "TYPE_STRING", more: str = "") -> Descriptor:
    file = declare(f"""
        message_type {{
          name: "M"
          field {{
            name: "f" number: 1 type: {kind} label: LABEL_OPTIONAL {more}
            options {{ [recmesh.common.v1.constraint] {{ {constraint} }} }}
          }}
          {'oneof_decl { name: "_f" }' if more else ""}
        }}
    """)
    return file.message_types_by_name["M"]


def test_an_optional_field_can_be_required() -> None:
    kind = declared_field("required: true", more="proto3_optional: true oneof_index: 0")
    assert fields(GetMessageClass(kind)()) == ["f"]


@pytest.mark.parametrize(("value", "good"), [(b"a", False), (b"abc", True), (b"abcd", False)])
def test_length_in_bytes(value: bytes, good: bool) -> None:
    kind = declared_field("min_length: 2 max_length: 3", "TYPE_BYTES")
    assert (fields(GetMessageClass(kind)(f=value)) == []) is good


def test_a_resource_type_that_nothing_declares_shows_at_start() -> None:
    with pytest.raises(LookupError, match="no/Where"):
        compile_checks(declared_field('resource_type: "no/Where"'))


def test_a_pattern_that_is_none_shows_at_start() -> None:
    with pytest.raises(re.error):
        compile_checks(declared_field('pattern: "["'))


def test_a_list_request_passes() -> None:
    validate(ListItemsRequest(parent=FILMS, page_size=5000))
    assert fields(ListItemsRequest(parent=FILMS, page_size=-1)) == ["page_size"]
