"""The statement that writes the titles of many items at once."""

from __future__ import annotations

from functools import cache

from sqlalchemy import ARRAY, Text, any_, bindparam, column, delete, exists, func, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from recmesh_catalog.models import Id, titles

_GIVEN = ("item", "form", "title", "part", "hidden", "grams")
_CHANGING = ("title", "part", "hidden")


@cache
def replace_titles() -> Insert:
    """Makes the titles of items what `rows` says, and leaves alone those that stay.

    Parameters: `catalog`, `items`: the ids, and `rows`: a list of objects with the columns of `titles`. What a form's
    trigrams are never changes.
    """
    catalog = bindparam("catalog", type_=Id)
    incoming = select(
        func.jsonb_to_recordset(bindparam("rows", type_=JSONB))
        .table_valued(*(column(name, titles.c[name].type) for name in _GIVEN))
        .render_derived("incoming", with_types=True)
    ).cte("incoming")
    stays = exists().where(incoming.c.item == titles.c.item, incoming.c.form == titles.c.form)
    gone = (
        delete(titles)
        .where(
            titles.c.catalog == catalog,
            titles.c.item == any_(bindparam("items", type_=ARRAY(Text))),
            ~stays,
        )
        .cte("gone")
    )
    source = select(catalog, *(incoming.c[name] for name in _GIVEN))
    write = insert(titles).from_select(["catalog", *_GIVEN], source).add_cte(gone)
    known = tuple_(*(titles.c[name] for name in _CHANGING))
    return write.on_conflict_do_update(
        index_elements=[titles.c.catalog, titles.c.item, titles.c.form],
        set_={name: write.excluded[name] for name in _CHANGING},
        where=known.is_distinct_from(tuple_(*(write.excluded[name] for name in _CHANGING))),
    )
