"""Jobs, their request ids and dead letters, the read model of items, who likes what, and who did what lately."""

import datetime as dt

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

from recmesh_jobs.partitions import TABLES, create_statement

revision = "0001"
down_revision = None

SCHEMA = "recommender"
AHEAD_DAYS = 7
_time = sa.DateTime(timezone=True)
_texts = pg.ARRAY(sa.Text)


def upgrade() -> None:
    _jobs()
    _requests()
    _dead_letters()
    _read_model()
    _history()
    today = dt.datetime.now(dt.UTC).date()
    for table in TABLES:
        # What no day's partition takes, should they ever run out, is kept rather than refused.
        op.execute(f"CREATE TABLE {SCHEMA}.{table}_default PARTITION OF {SCHEMA}.{table} DEFAULT")
        for offset in range(AHEAD_DAYS + 1):
            op.execute(create_statement(table, today + dt.timedelta(days=offset)))


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("version", sa.SmallInteger, nullable=False),
        sa.Column("query", sa.LargeBinary, nullable=False),
        sa.Column("deadline", _time, nullable=False),
        sa.Column("create_time", _time, nullable=False),
        sa.Column("expire_time", _time, nullable=False),
        sa.Column("dispatch_time", _time, nullable=False, comment="when to dispatch it again"),
        sa.Column("dispatches", sa.SmallInteger, nullable=False),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("worker", sa.Text, comment="who holds the lease"),
        sa.Column("lease_until", _time),
        sa.Column("start_time", _time),
        sa.Column("end_time", _time),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("error_reason", sa.Integer),
        sa.Column("error_message", sa.Text),
        sa.Column("continues", sa.Uuid),
        sa.Column("shown", sa.LargeBinary, comment="what the chain that it continues has shown"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("ix_jobs_user", "jobs", ["catalog", "user_id", "id"], schema=SCHEMA)
    op.create_index(
        "ix_jobs_session",
        "jobs",
        ["catalog", "session", "id"],
        schema=SCHEMA,
        postgresql_where=sa.text("session <> ''"),
    )
    op.create_index(
        "ix_jobs_unfinished",
        "jobs",
        ["state", "lane", "dispatch_time"],
        schema=SCHEMA,
        postgresql_where=sa.text("state <= 2"),
    )


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column(
            "key", sa.LargeBinary, nullable=False, comment="hash of catalog, caller and request id"
        ),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False, comment="hash of what was asked"),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("day", "key"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (day)",
    )


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("job_id", sa.Uuid, primary_key=True),
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("version", sa.SmallInteger, nullable=False),
        sa.Column("query", sa.LargeBinary, nullable=False),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("create_time", _time, nullable=False),
        sa.Column("redrive_time", _time),
        schema=SCHEMA,
    )


def _read_model() -> None:
    op.create_table(
        "index_states",
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("encoder", sa.Text, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("catalog", "encoder"),
        schema=SCHEMA,
    )
    op.create_table(
        "item_index",
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("encoder", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("original_title", sa.Text, nullable=False),
        sa.Column("alternate_titles", _texts, nullable=False),
        sa.Column("genres", _texts, nullable=False),
        sa.Column("tags", _texts, nullable=False),
        sa.Column("directors", _texts, nullable=False),
        sa.Column("cast_names", _texts, nullable=False),
        sa.Column("release_year", sa.Integer),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("labels", pg.JSONB, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("average_rating", sa.Double),
        sa.Column("popularity", sa.Double, nullable=False),
        sa.Column("vector", sa.LargeBinary, comment="float32, little-endian"),
        sa.PrimaryKeyConstraint("catalog", "encoder", "item"),
        schema=SCHEMA,
    )
    op.create_index("ix_item_index_seq", "item_index", ["catalog", "encoder", "seq"], schema=SCHEMA)
    op.create_index(
        "ix_item_index_searchable",
        "item_index",
        ["catalog", "encoder"],
        schema=SCHEMA,
        postgresql_where=sa.text("NOT deleted AND NOT hidden AND vector IS NOT NULL"),
    )
    op.create_table(
        "item_likes",
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("write_time", _time, nullable=False, comment="the latest, at the source"),
        sa.PrimaryKeyConstraint("catalog", "item", "user_id"),
        schema=SCHEMA,
    )


def _history() -> None:
    op.create_table(
        "user_history",
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("items", _texts, nullable=False),
        sa.Column("types", pg.ARRAY(sa.SmallInteger), nullable=False),
        sa.Column("event_values", pg.ARRAY(sa.Double), nullable=False),
        sa.Column("event_times", pg.ARRAY(sa.Double), nullable=False, comment="Unix seconds"),
        sa.Column("write_times", pg.ARRAY(_time), nullable=False, comment="at the source"),
        sa.PrimaryKeyConstraint("catalog", "user_id"),
        schema=SCHEMA,
    )
