"""A claim changes nothing that is indexed, and finds room in its page: it writes no index entries."""

import sqlalchemy as sa
from alembic import op

from recmesh_jobs.partitions import STORAGE

revision = "0002"
down_revision = "0001"

SCHEMA = "recommender"


def upgrade() -> None:
    op.drop_index("ix_jobs_unfinished", "jobs", schema=SCHEMA)
    op.create_index(
        "ix_jobs_unfinished",
        "jobs",
        ["lane", "dispatch_time"],
        schema=SCHEMA,
        postgresql_where=sa.text("end_time IS NULL"),
    )
    # Those that are made from now on have it from the start. It holds for pages to come; no row is moved.
    leaves = op.get_bind().execute(
        sa.text(
            "SELECT CAST(inhrelid AS regclass) FROM pg_inherits"
            " WHERE inhparent = CAST(:jobs AS regclass)"
        ),
        {"jobs": f"{SCHEMA}.jobs"},
    )
    for leaf in leaves.scalars().all():
        op.execute(f"ALTER TABLE {leaf} SET ({STORAGE['jobs']})")
