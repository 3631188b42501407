"""Catalogs, items with their titles, interactions and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None

SCHEMA = "catalog"
_id = sa.Text(collation="C")
_texts = pg.ARRAY(sa.Text)
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    _catalogs()
    _items()
    _titles()
    _interactions()
    _outbox()


def _catalogs() -> None:
    op.create_table(
        "catalogs",
        sa.Column("id", _id, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("create_time", _time, nullable=False, server_default=sa.func.now()),
        sa.Column("update_time", _time, nullable=False, server_default=sa.func.now()),
        sa.Column("index_sequence", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("searchable_item_count", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("index_time", _time),
        sa.PrimaryKeyConstraint("id", name="pk_catalogs"),
        schema=SCHEMA,
    )
    op.create_table(
        "deleted_catalogs",
        sa.Column("id", _id, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deleted_catalogs"),
        schema=SCHEMA,
    )


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("catalog", _id, nullable=False),
        sa.Column("id", _id, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("original_title", sa.Text, nullable=False),
        sa.Column("alternate_titles", _texts, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("genres", _texts, nullable=False),
        sa.Column("tags", _texts, nullable=False),
        sa.Column("release_year", sa.Integer, nullable=False),
        sa.Column("directors", _texts, nullable=False),
        sa.Column("cast", _texts, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("image_uri", sa.Text, nullable=False),
        sa.Column("average_rating", sa.Double),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("labels", pg.JSONB, nullable=False),
        sa.Column("title_folded", _id, nullable=False),
        sa.Column("genres_folded", _texts, nullable=False),
        sa.Column("tags_folded", _texts, nullable=False),
        sa.Column("directors_folded", _texts, nullable=False),
        sa.Column("cast_folded", _texts, nullable=False),
        sa.Column("language_folded", _id, nullable=False),
        sa.Column("labels_folded", pg.JSONB, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("create_time", _time, nullable=False),
        sa.Column("update_time", _time, nullable=False),
        sa.PrimaryKeyConstraint("catalog", "id", name="pk_items"),
        _within_catalog("items"),
        schema=SCHEMA,
    )
    folded = ["tags_folded", "directors_folded", "cast_folded"]
    name = f"ix_items_{'_'.join(folded)}"
    op.create_index(name, "items", folded, schema=SCHEMA, postgresql_using="gin")
    op.create_index("ix_items_catalog_revision", "items", ["catalog", "revision"], schema=SCHEMA)
    best_first = sa.text("(-coalesce(average_rating, -1))")
    op.create_index(
        "ix_items_best",
        "items",
        ["catalog", best_first, sa.text("left(title, 32)"), "id"],
        schema=SCHEMA,
        postgresql_where=sa.text("NOT deleted"),
    )


def _titles() -> None:
    op.create_table(
        "titles",
        sa.Column("catalog", _id, nullable=False),
        sa.Column("item", _id, nullable=False),
        sa.Column("form", _id, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("part", sa.Boolean, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("grams", pg.ARRAY(sa.Integer), nullable=False),
        sa.PrimaryKeyConstraint("catalog", "item", "form", name="pk_titles"),
        _within_catalog("titles"),
        schema=SCHEMA,
    )
    op.create_index("ix_titles_catalog_form", "titles", ["catalog", "form"], schema=SCHEMA)
    op.create_index(
        "ix_titles_grams",
        "titles",
        ["grams"],
        schema=SCHEMA,
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "512"},
    )


def _interactions() -> None:
    op.create_table(
        "interactions",
        sa.Column("catalog", _id, nullable=False),
        sa.Column("id", _id, nullable=False),
        sa.Column("user", _id, nullable=False),
        sa.Column("item", _id, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("event_time", _time, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("attribution_token", sa.Text, nullable=False),
        sa.Column("create_time", _time, nullable=False, server_default=sa.func.now()),
        sa.Column(
            "transaction",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
        ),
        sa.PrimaryKeyConstraint("catalog", "id", name="pk_interactions"),
        _within_catalog("interactions"),
        schema=SCHEMA,
    )
    for columns in (
        ["catalog", "transaction", "id"],
        ["catalog", "event_time", "id"],
        ["catalog", "user", "event_time", "id"],
    ):
        name = f"ix_interactions_{'_'.join(columns)}"
        op.create_index(name, "interactions", columns, schema=SCHEMA)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("routing_key", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("create_time", _time, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        schema=SCHEMA,
    )


def _within_catalog(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["catalog"],
        [f"{SCHEMA}.catalogs.id"],
        name=f"fk_{table}_catalog_catalogs",
        ondelete="CASCADE",
    )
