"""Roles, schemas and databases: each service sees its own schema and nothing else.

`python -m recmesh_kit.provision` makes them in a server that is there. Everything here may be run again and again; the
passwords given are the ones that hold after it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from pydantic import Field, SecretStr

from recmesh_kit.settings import EnvironmentSettings, load

SCHEMAS = {
    "recmesh_auth": "auth",
    "recmesh_catalog": "catalog",
    "recmesh_recommender": "recommender",
}
"""Role -> the schema that it owns."""
GUESTS = {"recmesh_worker": "recmesh_recommender"}
"""Role without a schema -> the role whose tables it works with."""
ROLES = (*SCHEMAS, *GUESTS)
_CONNECT_SECONDS = 30.0
_SET_SINCE = 16
_LOCK_KEY = 0x7265636D657368
"""Held by whoever provisions: concurrent ALTERs of one role fail in PostgreSQL."""


class ProvisionSettings(EnvironmentSettings):
    """What `python -m recmesh_kit.provision` reads."""

    database_url: SecretStr = Field(
        validation_alias="DATABASE_URL",
        description="`postgresql://admin:password@host:port/database`: of somebody who may create roles, in the "
        "database, which is there, that the services are to use.",
    )
    role_passwords: dict[str, SecretStr] = Field(
        description=f'The password of each role, a JSON object: {{"{ROLES[0]}": "…", …}}.'
    )


def with_database(url: str, database: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))


def role_urls(url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """Role -> the URL by which it reaches the database of the admin's `url`."""
    parts = urlsplit(url)
    server = parts.netloc.rpartition("@")[2]
    return {
        role: urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{server}"))
        for role, password in passwords.items()
    }


async def connect(url: str) -> asyncpg.Connection:
    """One connection, for the caller to close."""
    return await asyncpg.connect(url, timeout=_CONNECT_SECONDS, command_timeout=60)


async def provision_roles(admin_url: str, passwords: Mapping[str, str]) -> None:
    """Create each role that is missing, and set its password."""
    connection = await connect(admin_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
            for role, password in passwords.items():
                known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
                verb = "ALTER" if known else "CREATE"
                statement: str = await connection.fetchval(
                    "SELECT format('%s ROLE %I LOGIN PASSWORD %L', $1::text, $2::text, $3::text)",
                    verb,
                    role,
                    password,
                )
                await connection.execute(statement)
                schema = SCHEMAS[GUESTS.get(role, role)]
                await connection.execute(f"ALTER ROLE {role} SET search_path = {schema}")
    finally:
        await connection.close()


async def provision_database(url: str) -> None:
    """Give each role its schema and its rights in the database of the admin's `url`."""
    connection = await connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
            await connection.execute(await _connect_rights(connection))
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            for role, schema in SCHEMAS.items():
                await _become_member(connection, role)
                await connection.execute(
                    f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}"
                )
            for guest, owner in GUESTS.items():
                await connection.execute(_guest_rights(guest, owner))
    finally:
        await connection.close()


async def create_database(admin_url: str, name: str, template: str | None = None) -> str:
    """Create database `name`, provisioned, unless it exists. Returns the admin's URL of it.

    From a `template`, a provisioned database that nobody is connected to, it is a copy of that.
    """
    connection = await connect(admin_url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            statement: str = await connection.fetchval(
                "SELECT format('CREATE DATABASE %I TEMPLATE %I', $1::text, $2::text)",
                name,
                template or "template0",
            )
            await connection.execute(statement)
    finally:
        await connection.close()
    url = with_database(admin_url, name)
    await provision_database(url)
    return url


async def _connect_rights(connection: asyncpg.Connection) -> str:
    """These rights belong to the database itself: a copy of a template has them not."""
    rights: str = await connection.fetchval(
        "SELECT format('REVOKE ALL ON DATABASE %1$I FROM PUBLIC; "
        "GRANT CONNECT ON DATABASE %1$I TO %2$s', current_database(), $1::text)",
        ", ".join(ROLES),
    )
    return rights


async def _become_member(connection: asyncpg.Connection, role: str) -> None:
    """Only a member of a role may give it a schema, unless the admin is a superuser. (Before 16 every member could be
    the role; there was no SET.)
    """
    how = "SET" if connection.get_server_version().major >= _SET_SINCE else "MEMBER"
    if not await connection.fetchval("SELECT pg_has_role($1, $2)", role, how):
        await connection.execute(f"GRANT {role} TO CURRENT_USER")


def _guest_rights(guest: str, owner: str) -> str:
    """The guest uses what the owner has in its schema now, and what it makes there later."""
    schema = SCHEMAS[owner]
    later = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT"
    tables = "SELECT, INSERT, UPDATE, DELETE ON"
    return f"""
        GRANT USAGE ON SCHEMA {schema} TO {guest};
        GRANT {tables} ALL TABLES IN SCHEMA {schema} TO {guest};
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {guest};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {guest};
        {later} {tables} TABLES TO {guest};
        {later} USAGE ON SEQUENCES TO {guest};
        {later} EXECUTE ON FUNCTIONS TO {guest};
    """


async def provision(settings: ProvisionSettings) -> None:
    """Makes what is missing. Raises ValueError unless there is a password for each role and for no other."""
    passwords = {role: value.get_secret_value() for role, value in settings.role_passwords.items()}
    if sorted(passwords) != sorted(ROLES):
        raise ValueError(f"RECMESH_ROLE_PASSWORDS has to name just these: {', '.join(ROLES)}")
    url = settings.database_url.get_secret_value()
    await provision_roles(url, passwords)
    await provision_database(url)


def main() -> None:
    """Provisions the database of the settings; exits with 1 and a line on stderr when it cannot."""
    settings = load(ProvisionSettings)
    try:
        asyncio.run(provision(settings))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.exit(f"provision: {str(error) or type(error).__name__}")
    sys.stdout.write(f"provisioned: {', '.join(ROLES)}\n")


if __name__ == "__main__":
    main()
