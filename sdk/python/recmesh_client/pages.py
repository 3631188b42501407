"""Lists that are fetched page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class AsyncPages(Generic[T]):
    """Entries of a list: `async for` over it, as often as you like. Pages are fetched as they are needed.

    Args:
        fetch: Given a page token (empty for the first), fetches the entries and the token of the next page (empty at
            the end).
    """

    def __init__(self, fetch: Callable[[str], Awaitable[tuple[tuple[T, ...], str]]]) -> None:
        self._fetch = fetch

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for entry in page:
                yield entry

    async def pages(self) -> AsyncIterator[tuple[T, ...]]:
        """The same, a page at a time. Pages may be empty."""
        token = ""
        while True:
            page, token = await self._fetch(token)
            yield page
            if not token:
                return
