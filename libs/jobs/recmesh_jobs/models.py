"""The tables of schema `recommender`: jobs, and the read model that queries are answered from."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from recmesh_kit.database import metadata as make_metadata

SCHEMA = "recommender"
metadata = make_metadata(SCHEMA)

_time = DateTime(timezone=True)
_texts = ARRAY(Text)

# Partitioned by day through the time within the id: a day is dropped as a whole, and a look-up by id finds its
# partition without being told the time.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("catalog", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("version", SmallInteger, nullable=False),
    Column("query", LargeBinary, nullable=False),
    Column("deadline", _time, nullable=False),
    Column("create_time", _time, nullable=False),
    Column("expire_time", _time, nullable=False),
    Column("dispatch_time", _time, nullable=False, comment="when to dispatch it again"),
    Column("dispatches", SmallInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("worker", Text, comment="who holds the lease"),
    Column("lease_until", _time),
    Column("start_time", _time),
    Column("end_time", _time),
    Column("answer", LargeBinary),
    Column("error_reason", Integer),
    Column("error_message", Text),
    Column("continues", Uuid),
    Column("shown", LargeBinary, comment="what the chain that it continues has shown"),
    Index("ix_jobs_user", "catalog", "user_id", "id"),
    Index("ix_jobs_session", "catalog", "session", "id", postgresql_where=text("session <> ''")),
    # Nothing that a claim changes is in an index, so that it writes no index entries. What has no end is QUEUED or
    # RUNNING.
    Index("ix_jobs_unfinished", "lane", "dispatch_time", postgresql_where=text("end_time IS NULL")),
    postgresql_partition_by="RANGE (id)",
)

# Which request id made which job. Kept apart because a partitioned table can promise uniqueness within its
# partition key only.
requests = Table(
    "requests",
    metadata,
    Column("day", Date, nullable=False),
    Column("key", LargeBinary, nullable=False, comment="hash of catalog, caller and request id"),
    Column("fingerprint", LargeBinary, nullable=False, comment="hash of what was asked"),
    Column("job_id", Uuid, nullable=False),
    PrimaryKeyConstraint("day", "key"),
    postgresql_partition_by="RANGE (day)",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("catalog", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("version", SmallInteger, nullable=False),
    Column("query", LargeBinary, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("reason", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("create_time", _time, nullable=False),
    Column("redrive_time", _time),
    Index("ix_dead_letters_time", "create_time", "job_id"),
)

# One writer at a time holds a row of this table: that orders `seq`, so that a reader who has seen n has seen all
# below n.
index_states = Table(
    "index_states",
    metadata,
    Column("catalog", Text, nullable=False),
    Column("encoder", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("catalog", "encoder"),
)

SEARCHABLE = "NOT deleted AND NOT hidden AND vector IS NOT NULL"
"""Which items can be recommended; by the index of that name they are counted."""

# A row an item and encoder: vectors of two encoders never mix, and a new encoder fills its rows beside the old ones.
item_index = Table(
    "item_index",
    metadata,
    Column("catalog", Text, nullable=False),
    Column("encoder", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("title", Text, nullable=False),
    Column("original_title", Text, nullable=False),
    Column("alternate_titles", _texts, nullable=False),
    Column("genres", _texts, nullable=False),
    Column("tags", _texts, nullable=False),
    Column("directors", _texts, nullable=False),
    Column("cast_names", _texts, nullable=False),
    Column("release_year", Integer),
    Column("language", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("average_rating", Double),
    Column("popularity", Double, nullable=False),
    Column("vector", LargeBinary, comment="float32, little-endian"),
    PrimaryKeyConstraint("catalog", "encoder", "item"),
    Index("ix_item_index_seq", "catalog", "encoder", "seq"),
    Index("ix_item_index_searchable", "catalog", "encoder", postgresql_where=text(SEARCHABLE)),
)

# Who likes what, a row a person and item, so that an event that comes twice or late counts once. An item's popularity
# is the number of its rows; `item_index.popularity` is a copy that followers see.
item_likes = Table(
    "item_likes",
    metadata,
    Column("catalog", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("write_time", _time, nullable=False, comment="the latest, at the source"),
    PrimaryKeyConstraint("catalog", "item", "user_id"),
)

# What each person did lately, the newest first, side by side in arrays: a batch of jobs reads a row a person, where a
# row an event would be two hundred times as many.
user_history = Table(
    "user_history",
    metadata,
    Column("catalog", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("items", _texts, nullable=False),
    Column("types", ARRAY(SmallInteger), nullable=False),
    Column("event_values", ARRAY(Double), nullable=False),
    Column("event_times", ARRAY(Double), nullable=False, comment="Unix seconds"),
    Column("write_times", ARRAY(_time), nullable=False, comment="at the source"),
    PrimaryKeyConstraint("catalog", "user_id"),
)
