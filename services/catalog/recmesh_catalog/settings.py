"""What the catalog service reads from the environment."""

from __future__ import annotations

from pydantic import Field

from recmesh_kit.settings import Address, BrokerSettings, DatabaseSettings, ServiceSettings


class CatalogSettings(ServiceSettings, DatabaseSettings, BrokerSettings):
    """Settings of the catalog service."""

    auth_target: Address = Field(description="Where the auth service is: `host:port`.")
