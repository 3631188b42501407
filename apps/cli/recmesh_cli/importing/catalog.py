"""The catalog that rows go to."""

from __future__ import annotations

from recmesh_client import AlreadyExists, Client, NotFound, Visibility


def ensure(client: Client, catalog: str, *, create: bool) -> None:
    """Makes a catalog when there is none and that is wanted. One that anybody made meanwhile will do.

    Raises:
        NotFound: There is none that the caller may see, and it is not to be made.
    """
    if create:
        try:
            client.create_catalog(catalog, display_name=catalog, visibility=Visibility.PUBLIC)
        except AlreadyExists:
            return
    else:
        try:
            client.get_catalog(catalog)
        except NotFound as error:
            raise NotFound(f"{error.message} --create makes it.", reason=error.reason) from None
