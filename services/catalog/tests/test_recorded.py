"""What version 1 wrote, read by the catalog of today: how far indexes are, and where pages ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    CreateCatalogRequest,
    DeleteCatalogRequest,
    ListItemsRequest,
)
from recmesh.catalog.v1.interaction_service_pb2 import ListInteractionsRequest
from recmesh_catalog.catalogs import progress
from recmesh_kit.broker import Delivery
from services.catalog.tests.conftest import ADMIN, Mesh
from tests.recorded import VERSION_1, recorded

OLD = recorded(VERSION_1)
INDEX = OLD["message index advanced"]
UNKNOWN = b"\xba\x3e\x03new"
"""A field, number 999, as a newer version may have added."""


@dataclass
class Told:
    """What counts of a delivery."""

    body: bytes
    routing_key: str = "index.films"


def understood(body: bytes) -> dict[str, tuple[int, int]]:
    newest = progress._newest([cast("Delivery", Told(body))])
    return {key: (told.sequence, told.searchable_item_count) for key, told in newest.items()}


@pytest.mark.parametrize("more", [b"", UNKNOWN])
def test_how_far_an_index_is(more: bytes) -> None:
    assert understood(INDEX + more) == {"films": (2**40, 9_999)}


def test_a_newer_version_is_left_alone() -> None:
    first, version, *rest = INDEX
    assert (first, version) == (0x08, 1)
    assert understood(bytes([first, version + 1, *rest])) == {}


async def test_a_walk_through_pages_goes_on(mesh: Mesh) -> None:
    """A caller holds a token while the version changes."""
    request = CreateCatalogRequest(
        catalog_id="recorded", catalog=Catalog(visibility=Catalog.VISIBILITY_PRIVATE)
    )
    parent = (await mesh.catalogs.CreateCatalog(request, metadata=ADMIN)).name
    try:
        for item in ("alien", "ran", "stalker"):
            await mesh.create(parent, item)
        items = await mesh.catalogs.ListItems(
            ListItemsRequest(parent=parent, page_token=OLD["page items"].decode()), metadata=ADMIN
        )
        await mesh.interactions.ListInteractions(
            ListInteractionsRequest(
                parent=parent, user="ada", page_token=OLD["page interactions"].decode()
            ),
            metadata=ADMIN,
        )
    finally:
        await mesh.catalogs.DeleteCatalog(
            DeleteCatalogRequest(name=parent, force=True), metadata=ADMIN
        )
    assert [item.name for item in items.items] == [f"{parent}/items/stalker"]
