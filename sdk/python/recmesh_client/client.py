"""The client for programs without an event loop."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from recmesh_client.api.base import Progress
from recmesh_client.api.interactions import open_interaction_import
from recmesh_client.api.items import open_item_import
from recmesh_client.async_client import AsyncClient
from recmesh_client.blocking import Blocking, carry, paged, streamed, waiting
from recmesh_client.credentials import Credentials
from recmesh_client.data.interaction import Interaction
from recmesh_client.data.item import Item
from recmesh_client.data.rows import ImportReport
from recmesh_client.settings import CALL_SECONDS, STREAM_SECONDS, Retry, Targets, Tls
from recmesh_client.wire.blocking import LoopThread
from recmesh_client.wire.caller import Headers
from recmesh_client.wire.wire import Wire


class Client(Blocking):
    """A deployment as one caller sees it: an `AsyncClient` on a thread of its own, with the same methods. Made by
    `connect`; any number of threads may use it at once. Not to be carried over a fork.
    """

    @classmethod
    def connect(
        cls,
        targets: str | Targets | None = None,
        *,
        credentials: Credentials | None = None,
        tls: Tls | None = None,
        timeout: float = CALL_SECONDS,
        stream_timeout: float = STREAM_SECONDS,
        retry: Retry | None = None,
        headers: Headers | None = None,
    ) -> Self:
        """A client. Arguments as of `AsyncClient.connect`."""

        async def connected() -> Wire:
            return Wire(
                targets,
                credentials=credentials,
                tls=tls,
                timeout=timeout,
                stream_timeout=stream_timeout,
                retry=retry,
                headers=headers,
            )

        thread = LoopThread()
        try:
            return cls(thread, thread.run(connected()))
        except BaseException:
            thread.close()
            raise

    create_catalog = waiting(AsyncClient.create_catalog)
    get_catalog = waiting(AsyncClient.get_catalog)
    list_catalogs = paged(AsyncClient.list_catalogs)
    update_catalog = waiting(AsyncClient.update_catalog)
    delete_catalog = waiting(AsyncClient.delete_catalog)

    create_item = waiting(AsyncClient.create_item)
    batch_create_items = waiting(AsyncClient.batch_create_items)
    get_item = waiting(AsyncClient.get_item)
    batch_get_items = waiting(AsyncClient.batch_get_items)
    list_items = paged(AsyncClient.list_items)
    search_items = paged(AsyncClient.search_items)
    update_item = waiting(AsyncClient.update_item)
    delete_item = waiting(AsyncClient.delete_item)
    export_items = streamed(AsyncClient.export_items)

    write_interaction = waiting(AsyncClient.write_interaction)
    list_interactions = paged(AsyncClient.list_interactions)
    export_interactions = streamed(AsyncClient.export_interactions)
    purge_interactions = waiting(AsyncClient.purge_interactions)

    recommend = waiting(AsyncClient.recommend)
    create_recommendation = waiting(AsyncClient.create_recommendation)
    batch_create_recommendations = waiting(AsyncClient.batch_create_recommendations)
    get_recommendation = waiting(AsyncClient.get_recommendation)
    list_recommendations = paged(AsyncClient.list_recommendations)
    watch = streamed(AsyncClient.watch)
    wait_for = waiting(AsyncClient.wait_for)
    recommend_again = waiting(AsyncClient.recommend_again)
    continue_recommendation = waiting(AsyncClient.continue_recommendation)
    cancel_recommendation = waiting(AsyncClient.cancel_recommendation)
    delete_recommendation = waiting(AsyncClient.delete_recommendation)

    register = waiting(AsyncClient.register)
    sign_in = waiting(AsyncClient.sign_in)
    sign_out = waiting(AsyncClient.sign_out)
    token = waiting(AsyncClient.token)
    exchange_external_identity = waiting(AsyncClient.exchange_external_identity)
    get_jwks = waiting(AsyncClient.get_jwks)
    get_user = waiting(AsyncClient.get_user)
    list_users = paged(AsyncClient.list_users)
    update_user = waiting(AsyncClient.update_user)
    set_user_roles = waiting(AsyncClient.set_user_roles)
    delete_user = waiting(AsyncClient.delete_user)
    export_user_data = streamed(AsyncClient.export_user_data)

    create_api_key = waiting(AsyncClient.create_api_key)
    list_api_keys = paged(AsyncClient.list_api_keys)
    revoke_api_key = waiting(AsyncClient.revoke_api_key)

    train_model = waiting(AsyncClient.train_model)
    list_models = paged(AsyncClient.list_models)
    get_model = waiting(AsyncClient.get_model)
    activate_model = waiting(AsyncClient.activate_model)
    delete_model = waiting(AsyncClient.delete_model)

    create_serving_config = waiting(AsyncClient.create_serving_config)
    get_serving_config = waiting(AsyncClient.get_serving_config)
    list_serving_configs = paged(AsyncClient.list_serving_configs)
    update_serving_config = waiting(AsyncClient.update_serving_config)
    delete_serving_config = waiting(AsyncClient.delete_serving_config)

    get_queue_stats = waiting(AsyncClient.get_queue_stats)
    list_dead_letters = paged(AsyncClient.list_dead_letters)
    redrive_dead_letters = waiting(AsyncClient.redrive_dead_letters)

    verify_index = streamed(AsyncClient.verify_index)
    compare_index = waiting(AsyncClient.compare_index)

    def import_items(
        self,
        catalog: str,
        items: Iterable[Item],
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> ImportReport:
        """As `AsyncClient.import_items`; the rows are taken in the thread of the caller."""
        upload = self._thread.run(open_item_import(self._wire, catalog, timeout))
        return carry(self._thread, upload, items, progress)

    def import_interactions(
        self,
        catalog: str,
        interactions: Iterable[Interaction],
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> ImportReport:
        """As `AsyncClient.import_interactions`; the rows are taken in the thread of the caller."""
        upload = self._thread.run(open_interaction_import(self._wire, catalog, timeout))
        return carry(self._thread, upload, interactions, progress)

    def close(self) -> None:
        """Ends the calls in hand, closes the connections and stops the thread. A second time it does nothing."""
        self._thread.close(self._wire.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
