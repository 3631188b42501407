"""The resource names that this service gives."""

from __future__ import annotations

from recmesh_kit.names import join


def catalog_name(catalog: str) -> str:
    """`catalogs/{catalog}`."""
    return join("catalogs", catalog)


def item_name(catalog: str, item: str) -> str:
    """`catalogs/{catalog}/items/{item}`."""
    return join("catalogs", catalog, "items", item)


def interaction_name(catalog: str, interaction: str) -> str:
    """`catalogs/{catalog}/interactions/{interaction}`."""
    return join("catalogs", catalog, "interactions", interaction)
