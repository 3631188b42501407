"""What alembic runs around the migrations of any service. The connection comes from `migrate`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import structlog
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

log = structlog.get_logger()


# Alembic calls it by these names.
def _applied(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[Any],
    run_args: Mapping[str, Any],
) -> None:
    log.info("migrated", revision=step.up_revision_id, schema=ctx.version_table_schema)


context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    version_table_schema=context.config.attributes["schema"],
    transaction_per_migration=True,
    on_version_apply=_applied,
)
with context.begin_transaction():
    context.run_migrations()
