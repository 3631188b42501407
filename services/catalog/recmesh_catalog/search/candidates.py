"""The statement that finds the titles that may be meant."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Float,
    Integer,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY

from recmesh_catalog.items.filtering import COLUMNS
from recmesh_catalog.models import Id, items, titles
from recmesh_kit.filters import sql
from recmesh_kit.filters.tree import Condition

_BEGUN_READ = 2000
_BEGUN_JUDGED = 100
_ALIKE_JUDGED = 60
_KEPT = 128
"""Statements that are kept: to put one together takes about as long as the database takes to answer it."""

_CATALOG = bindparam("catalog", type_=Id)
_FORM = bindparam("form", type_=Text(collation="C"))
_END = bindparam("end", type_=Text(collation="C"))
_GRAMS = bindparam("grams", type_=ARRAY(Integer))
_RARE = bindparam("rare", type_=ARRAY(Integer))


@lru_cache(_KEPT)
def candidates(condition: Condition | None, *, with_hidden: bool) -> Select[Any]:
    """Titles that begin with a normal form, the shortest first, and those that share most trigrams with it.

    Parameters: `catalog`; `form`: a normal form; `end`: what sorts behind all that begins with it; `grams`: its
    trigrams; `rare`: those of them that are asked for.

    Args:
        condition: What else must be true of the item; None for nothing.
        with_hidden: Those of hidden items, too.
    """
    columns = (titles.c.item, titles.c.form, titles.c.title, titles.c.part)
    here = titles.c.catalog == _CATALOG
    if not with_hidden:
        here = and_(here, ~titles.c.hidden)
    if condition is not None:
        fitting = select(items.c.id).where(
            items.c.catalog == _CATALOG, sql.where(condition, COLUMNS)
        )
        here = and_(here, titles.c.item.in_(fitting))
    begun = (
        select(*columns)
        .where(here, titles.c.form >= _FORM, titles.c.form < _END)
        .order_by(titles.c.form)
        .limit(_BEGUN_READ)
        .subquery()
    )
    shortest = select(begun).order_by(func.length(begun.c.form)).limit(_BEGUN_JUDGED).subquery()
    alike = (
        select(*columns)
        .where(here, titles.c.grams.overlap(_RARE))
        .order_by(_share().desc())
        .limit(_ALIKE_JUDGED)
        .subquery()
    )
    found = union(select(shortest), select(alike)).subquery()
    main = found.c.title == items.c.title
    return select(found, main, items.c.release_year, items.c.average_rating).join(
        items, and_(items.c.catalog == _CATALOG, items.c.id == found.c.item)
    )


def _share() -> Any:
    """How much of the trigrams a title and the query share: those of both, by those of either one counted."""
    own = func.unnest(titles.c.grams).table_valued(column("code", Integer)).render_derived("own")
    shared = (
        select(func.count()).where(own.c.code == any_(_GRAMS)).correlate(titles).scalar_subquery()
    )
    both = func.cardinality(titles.c.grams) + func.cardinality(_GRAMS)
    return cast(shared, Float) / cast(both, Float)
