"""The statement that writes many items at once."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    column,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from recmesh_catalog.items.filtering import FOLDED
from recmesh_catalog.items.item import CONTENT
from recmesh_catalog.models import Id, catalogs, items

_CATALOG = "catalog"
_ROWS = "rows"
_STORED = (*CONTENT, *FOLDED)


@cache
def upsert() -> Select[Any]:
    """Writes the items that are new or say something new, each at a revision of its own, in their order.

    Parameters: `catalog`, and `rows`: a list of objects with `id`, `position`, the content and its folded
    texts. One JSON value, however
    many rows: the statement stays the same, and so does its plan.

    Answers `id`, `revision`, `create_time`, `update_time` and `created` of what it wrote. The catalog's row must have
    been locked by a statement before: what a statement sees is fixed when it begins, so that one that has to wait for
    the lock would compare with items as they were.
    """
    changed = _changed()
    bumped = _bumped(changed)
    now = func.statement_timestamp()
    names = [_CATALOG, "id", *_STORED, "revision", "deleted", "create_time", "update_time"]
    source = select(
        bindparam(_CATALOG, type_=Id),
        changed.c.id,
        *(changed.c[name] for name in _STORED),
        bumped.c.base + changed.c.step,
        false(),
        now,
        now,
    ).select_from(changed.join(bumped, true()))
    write = insert(items).from_select(names, source)
    taken = [*_STORED, "revision", "deleted", "update_time"]
    # A deleted item that comes again is a new one.
    made = case((items.c.deleted, write.excluded.create_time), else_=items.c.create_time)
    written = (
        write.on_conflict_do_update(
            index_elements=[items.c.catalog, items.c.id],
            set_={name: write.excluded[name] for name in taken} | {"create_time": made},
        )
        .returning(items.c.id, items.c.revision, items.c.create_time, items.c.update_time)
        .cte("written")
    )
    return select(written, changed.c.created).join(changed, changed.c.id == written.c.id)


def _changed() -> CTE:
    """The rows that are new or differ from what is stored, with their order (`step`, from 1)."""
    incoming = (
        func.jsonb_to_recordset(bindparam(_ROWS, type_=JSONB))
        .table_valued(
            column("position", Integer),
            column("id", items.c.id.type),
            *(column(name, items.c[name].type) for name in _STORED),
        )
        .render_derived("incoming", with_types=True)
    )
    known = and_(items.c.catalog == bindparam(_CATALOG, type_=Id), items.c.id == incoming.c.id)
    created = or_(items.c.id.is_(None), items.c.deleted)
    stored = tuple_(*(items.c[name] for name in CONTENT))
    differs = stored.is_distinct_from(tuple_(*(incoming.c[name] for name in CONTENT)))
    return (
        select(
            *incoming.c,
            func.row_number().over(order_by=incoming.c.position).label("step"),
            created.label("created"),
        )
        .select_from(incoming.outerjoin(items, known))
        .where(or_(created, differs))
        .cte("changed")
    )


def _bumped(changed: CTE) -> CTE:
    """The catalog's revision before (`base`), after it was raised by one for each changed row."""
    count = select(func.count()).select_from(changed).scalar_subquery()
    return (
        update(catalogs)
        .where(catalogs.c.id == bindparam(_CATALOG, type_=Id), count > 0)
        .values(revision=catalogs.c.revision + count)
        .returning((catalogs.c.revision - count).label("base"))
        .cte("bumped")
    )
