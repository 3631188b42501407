"""Dead letters are listed by the time at which they were buried."""

from recmesh_kit.migrations.online import create_index_online

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_index_online(
        "ix_dead_letters_time", "dead_letters", ["create_time", "job_id"], schema="recommender"
    )
