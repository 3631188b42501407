"""What can go wrong with catalogs, items and interactions."""

from __future__ import annotations

from recmesh_catalog.names import catalog_name, interaction_name, item_name
from recmesh_kit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
)


class CatalogNotFound(NotFound):
    """No such catalog, or none that the caller may read."""

    def __init__(self, catalog: str) -> None:
        super().__init__(catalog_name(catalog))


class CatalogExists(AlreadyExists):
    """The catalog's id is taken."""

    def __init__(self, catalog: str) -> None:
        super().__init__(catalog_name(catalog))


class CatalogHasItems(FailedPrecondition):
    """A catalog that holds items is deleted only when that is asked for."""

    def __init__(self, catalog: str) -> None:
        name = catalog_name(catalog)
        super().__init__(
            f"{name} holds items: delete them first, or set `force` to delete everything.",
            metadata={"resource": name},
        )


class ItemNotFound(NotFound):
    """No such item, or none that the caller may see."""

    def __init__(self, catalog: str, item: str) -> None:
        super().__init__(item_name(catalog, item))


class ItemExists(AlreadyExists):
    """The item's id is taken."""

    def __init__(self, catalog: str, item: str) -> None:
        super().__init__(item_name(catalog, item))


class ItemChanged(Aborted):
    """The item is not what it was when its etag was read."""

    def __init__(self, catalog: str, item: str) -> None:
        name = item_name(catalog, item)
        super().__init__(
            f"{name} has changed since its etag was read: read it again and repeat.",
            metadata={"resource": name},
        )


class InteractionExists(AlreadyExists):
    """The interaction's id stands for something else."""

    def __init__(self, catalog: str, interaction: str) -> None:
        name = interaction_name(catalog, interaction)
        super().__init__(name, f"{name} exists already with another content: take another id.")
