"""Queries."""

from __future__ import annotations

from recmesh.recommender.v1 import query_pb2 as pb
from recmesh_client.convert.basics import child_name, last_id, strings
from recmesh_client.convert.enums import EnumTable
from recmesh_client.data.query import Diversity, Query

DIVERSITIES = EnumTable(Diversity, pb.Query.Diversity.items(), "DIVERSITY_", Diversity.DEFAULT)


def to_query(query: Query, catalog: str) -> pb.Query:
    """A query of a catalog into a request. Raises ValueError unless it has exactly one seed."""
    seeds = [query.title, query.item, query.text, query.items, query.history or None]
    if sum(seed is not None for seed in seeds) != 1:
        raise ValueError("exactly one of title, item, text, history and items is needed")
    message = pb.Query(
        limit=query.limit,
        filter=query.filter,
        strict_filter=query.strict_filter,
        exclude_items=[child_name(catalog, "items", item) for item in strings(query.exclude_items)],
        include_seen=query.include_seen,
        diversity=DIVERSITIES.number(query.diversity),
    )
    if query.serving_config:
        message.serving_config = child_name(catalog, "servingConfigs", query.serving_config)
    if query.title is not None:
        message.title = query.title
    elif query.item is not None:
        message.item = child_name(catalog, "items", query.item)
    elif query.text is not None:
        message.text = query.text
    elif query.items is not None:
        names = (child_name(catalog, "items", item) for item in strings(query.items))
        message.items.CopyFrom(pb.ItemsSeed(items=names))
    else:
        message.history.SetInParent()
    return message


def from_query(message: pb.Query) -> Query:
    """A query out of an answer."""
    seed = message.WhichOneof("seed")
    return Query(
        title=message.title if seed == "title" else None,
        item=last_id(message.item) if seed == "item" else None,
        text=message.text if seed == "text" else None,
        history=seed == "history",
        items=tuple(map(last_id, message.items.items)) if seed == "items" else None,
        limit=message.limit,
        filter=message.filter,
        strict_filter=message.strict_filter,
        exclude_items=tuple(map(last_id, message.exclude_items)),
        include_seen=message.include_seen,
        diversity=DIVERSITIES.member(message.diversity),
        serving_config=last_id(message.serving_config),
    )
