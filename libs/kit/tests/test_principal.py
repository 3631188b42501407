from __future__ import annotations

import pytest

from recmesh.common.v1 import authorization_pb2 as roles
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import PermissionDenied
from recmesh_kit.principal import Principal, role_name, role_set
from recmesh_kit.testing import ADMIN, EDITOR, SERVICE, USER

ANN = Principal("ann", USER)
EVE = Principal("eve", USER, {"films": frozenset({roles.ROLE_EDITOR})})


def test_roles_of_a_catalog_are_added_in_it() -> None:
    assert EVE.roles_in("films") == EDITOR
    assert EVE.roles_in("books") == USER
    assert EVE.roles_in(None) == USER


@pytest.mark.parametrize("granted", [EDITOR, SERVICE, ADMIN])
def test_above_a_user(granted: frozenset[roles.Role.ValueType]) -> None:
    assert Principal("x", granted).is_above_user("films")


def test_a_user_is_not_above_a_user() -> None:
    assert not ANN.is_above_user("films")
    assert EVE.is_above_user("films")
    assert not EVE.is_above_user("books")


@pytest.mark.parametrize(
    ("principal", "public", "expected"),
    [
        (ANN, True, True),
        (ANN, False, False),
        (EVE, False, True),
        (Principal("member", USER, {"films": USER}), False, True),
        (Principal("root", ADMIN), False, True),
    ],
)
def test_who_may_read_a_catalog(principal: Principal, public: bool, expected: bool) -> None:
    assert principal.may_read("films", public=public) is expected


@pytest.mark.parametrize("user", ["", "ann"])
def test_a_user_acts_as_itself(user: str) -> None:
    assert ANN.acting_for(user, "films") == "ann"


def test_a_user_does_not_act_for_another() -> None:
    with pytest.raises(PermissionDenied) as caught:
        ANN.acting_for("bob", "films")
    assert caught.value.reason == reasons.ERROR_REASON_ACTING_FOR_ANOTHER


def test_an_editor_acts_for_any_user_of_its_catalog() -> None:
    assert EVE.acting_for("bob", "films") == "bob"
    with pytest.raises(PermissionDenied):
        EVE.acting_for("bob", "books")


def test_words_of_roles() -> None:
    assert role_name(roles.ROLE_EDITOR) == "editor"
    assert role_set(["editor", "user"]) == EDITOR


@pytest.mark.parametrize("word", ["", "unspecified", "wizard", "ROLE_ADMIN", 7, None])
def test_unknown_words_grant_nothing(word: object) -> None:
    assert role_set([word]) == frozenset()
