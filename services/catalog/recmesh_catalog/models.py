"""The tables. Ids compare by code point (collation C), so that a listing has one order everywhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from recmesh_kit.database import metadata

SCHEMA = "catalog"
tables = metadata(SCHEMA)

Id = Text(collation="C")
Time = DateTime(timezone=True)
BEST_FIRST: ColumnElement[float] = literal_column("(-coalesce(average_rating, -1))", Double)
"""Sorts items by rating, the best first: no rating is below 0, and -1 stands for none."""
TITLE_BEGINNING: ColumnElement[str] = literal_column("left(title, 32)", Text)
"""Sorts items by as much of their titles as a page token has room for."""


def _needed(name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any], **more: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **more)


def _catalog() -> Column[Any]:
    """The catalog that a row belongs to, and goes with."""
    parent = ForeignKey(f"{SCHEMA}.catalogs.id", ondelete="CASCADE")
    return Column("catalog", Id, parent, primary_key=True)


catalogs = Table(
    "catalogs",
    tables,
    Column("id", Id, primary_key=True),
    _needed("display_name", Text),
    _needed("description", Text),
    _needed("public", Boolean),
    # That of the last change of an item. Changed under the row's lock only.
    _needed("revision", BigInteger, server_default="0"),
    _needed("create_time", Time, server_default=func.now()),
    _needed("update_time", Time, server_default=func.now()),
    # What the workers told last of the index: how far it is, how many items are in it, and when they said so.
    _needed("index_sequence", BigInteger, server_default="0"),
    _needed("searchable_item_count", BigInteger, server_default="0"),
    Column("index_time", Time),
)

# How far the revisions of deleted catalogs went. A catalog made under the name of a deleted one goes on from there, so
# that what is still told of the old one is older than everything in the new one.
deleted_catalogs = Table(
    "deleted_catalogs",
    tables,
    Column("id", Id, primary_key=True),
    _needed("revision", BigInteger),
)

items = Table(
    "items",
    tables,
    _catalog(),
    Column("id", Id, primary_key=True),
    _needed("title", Text),
    _needed("original_title", Text),
    _needed("alternate_titles", ARRAY(Text)),
    _needed("description", Text),
    _needed("genres", ARRAY(Text)),
    _needed("tags", ARRAY(Text)),
    _needed("release_year", Integer),
    _needed("directors", ARRAY(Text)),
    _needed("cast", ARRAY(Text)),
    _needed("language", Text),
    _needed("image_uri", Text),
    Column("average_rating", Double),
    _needed("hidden", Boolean),
    _needed("labels", JSONB),
    # What filters compare: the same texts without regard to case (`recmesh_kit.filters.schema.fold`).
    _needed("title_folded", Id),
    _needed("genres_folded", ARRAY(Text)),
    _needed("tags_folded", ARRAY(Text)),
    _needed("directors_folded", ARRAY(Text)),
    _needed("cast_folded", ARRAY(Text)),
    _needed("language_folded", Id),
    _needed("labels_folded", JSONB),
    _needed("revision", BigInteger),
    # A tombstone: the item is gone, and whoever follows the revisions can learn of it.
    _needed("deleted", Boolean, server_default="false"),
    _needed("create_time", Time),
    _needed("update_time", Time),
    # For what few items have. Genres are left out: the first page of a common one is found sooner without.
    Index(None, "tags_folded", "directors_folded", "cast_folded", postgresql_using="gin"),
    # For an export, which follows the revisions.
    Index(None, "catalog", "revision"),
    # For a search without a query: the best rated first, those without a rating last.
    Index(
        "ix_items_best",
        "catalog",
        BEST_FIRST,
        TITLE_BEGINNING,
        "id",
        postgresql_where=text("NOT deleted"),
    ),
)

# What items are found by. Rows go with their item, which has them written; see `recmesh_catalog.search`.
titles = Table(
    "titles",
    tables,
    _catalog(),
    Column("item", Id, primary_key=True),
    Column("form", Id, primary_key=True),
    _needed("title", Text),
    _needed("part", Boolean),
    # The item's, so that what a person may not see takes no candidate's place.
    _needed("hidden", Boolean),
    _needed("grams", ARRAY(Integer)),
    Index(None, "catalog", "form"),
    # The list of entries that wait to be merged makes writing fast; every search reads it, so it is short (in kB).
    Index(None, "grams", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": "512"}),
)

interactions = Table(
    "interactions",
    tables,
    _catalog(),
    Column("id", Id, primary_key=True),
    _needed("user", Id),
    # No foreign key: an event may arrive before its item.
    _needed("item", Id),
    _needed("type", Text),
    Column("value", Double),
    _needed("event_time", Time),
    _needed("session", Text),
    _needed("attribution_token", Text),
    _needed("create_time", Time, server_default=func.now()),
    # The number of the transaction that wrote it: the order of an export, see `InteractionRepository.written`.
    _needed("transaction", BigInteger, server_default=text("pg_current_xact_id()::text::bigint")),
    Index(None, "catalog", "transaction", "id"),
    # Read backwards: the newest come first.
    Index(None, "catalog", "event_time", "id"),
    Index(None, "catalog", "user", "event_time", "id"),
)

outbox = Table(
    "outbox",
    tables,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _needed("routing_key", Text),
    _needed("body", LargeBinary),
    Column("request_id", Text),
    _needed("create_time", Time, server_default=func.now()),
)
