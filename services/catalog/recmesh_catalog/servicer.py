"""What the server answers for. `CatalogService` is made of the methods about catalogs and those about items."""

from __future__ import annotations

from recmesh.catalog.v1 import catalog_service_pb2, interaction_service_pb2
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer
from recmesh_catalog.catalogs.service import CatalogService
from recmesh_catalog.catalogs.servicer import CatalogMethods
from recmesh_catalog.interactions.service import InteractionService
from recmesh_catalog.interactions.servicer import InteractionServicer
from recmesh_catalog.items.exporting import ExportMethods
from recmesh_catalog.items.importing import ImportMethods
from recmesh_catalog.items.service import ItemService
from recmesh_catalog.items.servicer import ItemMethods
from recmesh_catalog.outbox.outbox import Outbox
from recmesh_catalog.search.service import SearchService
from recmesh_catalog.search.servicer import SearchMethods
from recmesh_kit.database import Database
from recmesh_kit.server import Service


class CatalogServicer(
    CatalogMethods, ItemMethods, ImportMethods, ExportMethods, SearchMethods, CatalogServiceServicer
):
    """Everything that `CatalogService` does."""

    def __init__(self, catalogs: CatalogService, items: ItemService, search: SearchService) -> None:
        CatalogMethods.__init__(self, catalogs)
        ItemMethods.__init__(self, items)
        ImportMethods.__init__(self, items)
        ExportMethods.__init__(self, items)
        SearchMethods.__init__(self, search)


def services(database: Database, outbox: Outbox) -> list[Service]:
    """The services of the contract that live here."""
    catalogs = CatalogService(database, outbox)
    items = ItemService(database, outbox)
    interactions = InteractionService(database, outbox)
    return [
        Service(
            catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
            CatalogServicer(catalogs, items, SearchService(database)),
        ),
        Service(
            interaction_service_pb2.DESCRIPTOR.services_by_name["InteractionService"],
            InteractionServicer(interactions),
        ),
    ]
