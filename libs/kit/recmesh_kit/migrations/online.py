"""Indexes that are built while others go on writing: for migrations of tables that are in use."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

_VALID = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")
_KIND = sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = CAST(:table AS regclass)")
_WITHOUT = sa.text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = CAST(:table AS regclass) AND NOT EXISTS ("
    "  SELECT 1 FROM pg_index x JOIN pg_inherits y ON y.inhrelid = x.indexrelid"
    "  WHERE x.indrelid = c.oid AND y.inhparent = CAST(:index AS regclass)) "
    "ORDER BY c.relname"
)


def create_index_online(
    name: str, table: str, columns: Sequence[str], *, schema: str, where: str = ""
) -> None:
    """Builds an index by `CREATE INDEX CONCURRENTLY`: nobody who reads or writes waits for it, and it waits for
    transactions that began before. Of a partitioned table that is each partition in turn.

    It commits what its migration did before it, and is itself no transaction. So the migration has to be one that may
    be begun again. What an interrupted build has left is taken away, or finished, by the next one.

    Args:
        name: Of the index.
        table: Of the table.
        columns: Each as SQL has it, as `lane` or `id DESC`.
        schema: Of both.
        where: The condition of a partial index, as SQL has it.

    Raises:
        RuntimeError: The partitions' indexes did not add up to a valid one.
    """
    keys = f"({', '.join(columns)}){f' WHERE {where}' if where else ''}"
    with op.get_context().autocommit_block():
        if not op.get_bind().scalar(_KIND, {"table": f"{schema}.{table}"}):
            _build(schema, name, table, keys)
            return
        # On the table itself this takes a moment: there are no rows in it. Partitions that are made from here on have
        # the index from the start.
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {schema}.{table} {keys}")
        known = {"table": f"{schema}.{table}", "index": f"{schema}.{name}"}
        for leaf in op.get_bind().execute(_WITHOUT, known).scalars().all():
            _build(schema, f"{leaf}_{name}", leaf, keys)
            op.execute(f"ALTER INDEX {schema}.{name} ATTACH PARTITION {schema}.{leaf}_{name}")
        if not _valid(schema, name):
            raise RuntimeError(f"index {schema}.{name} is not valid: migrate again")


def _build(schema: str, name: str, table: str, keys: str) -> None:
    # Others do not wait for one that waits here, unlike for one that waits for a whole table.
    op.execute("SET lock_timeout = 0")
    if _valid(schema, name) is False:
        op.execute(f"DROP INDEX CONCURRENTLY {schema}.{name}")
    op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {schema}.{table} {keys}")
    op.execute("RESET lock_timeout")


def _valid(schema: str, name: str) -> bool | None:
    """Whether an index can be used; None when there is none."""
    found: bool | None = op.get_bind().scalar(_VALID, {"index": f"{schema}.{name}"})
    return found
