"""Databases for tests: made in milliseconds, as copies of one that was migrated once."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from recmesh_kit.provision import connect, create_database, role_urls, with_database

_TEMPLATE_LOCK = 0x74656D706C617465


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server whose roles exist already."""

    admin_url: str = field(repr=False)
    passwords: Mapping[str, str] = field(repr=False)

    async def create_database(self, name: str, template: str | None = None) -> dict[str, str]:
        """Create database `name`, with schemas and rights, if need be as a copy of `template`.

        Returns role -> URL. The name must be this process's own (`database_name`).
        """
        url = await create_database(self.admin_url, name, template)
        return role_urls(url, self.passwords)

    async def drop_database(self, name: str) -> None:
        """Drop database `name`, if there is one, and whoever is connected to it."""
        connection = await connect(self.admin_url)
        try:
            await connection.execute(
                await connection.fetchval(
                    "SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text)", name
                )
            )
        finally:
            await connection.close()

    async def template(self, name: str, build: Callable[[dict[str, str]], Awaitable[None]]) -> str:
        """Make the template database `name` unless it is there, and return its name.

        `build` gets role -> URL and migrates; it leaves no connection open. Of several test
        processes that ask at the same time one builds and the others wait.
        """
        connection = await connect(self.admin_url)
        try:
            await connection.execute("SET statement_timeout = 0")
            await connection.execute("SELECT pg_advisory_lock($1)", _TEMPLATE_LOCK, timeout=300)
            done = await connection.fetchval(
                "SELECT datistemplate FROM pg_database WHERE datname = $1", name
            )
            if not done:
                await self.drop_database(name)
                await build(await self.create_database(name))
                await connection.execute(
                    await connection.fetchval(
                        "SELECT format('ALTER DATABASE %I IS_TEMPLATE true', $1::text)", name
                    )
                )
        finally:
            await connection.close()
        return name

    def admin_url_of(self, name: str) -> str:
        """The superuser's URL of database `name`."""
        return with_database(self.admin_url, name)
