"""Conditions as SQL, over the columns of a table.

What a column must hold, by the kind of its field:

* TEXT, ID: text in collation C, not null, empty when missing; a TEXT is stored folded (`schema.fold`).
* TEXTS: `text[]` of folded texts, not null.
* LABELS: `jsonb`, an object of key -> folded text, not null.
* INTEGER: not null, 0 when missing. NUMBER: `double precision`, null when missing.
* BOOLEAN, TIME, ENUM: not null.

Nothing that is made here is ever null, so that NOT means the opposite. Equality stays the plain `=` of a column, and
`@>` of lists and labels, so that indexes serve it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Text,
    and_,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from recmesh_kit.filters.schema import Kind
from recmesh_kit.filters.tree import (
    And,
    Compare,
    Condition,
    Everything,
    Match,
    Not,
    Or,
    Present,
    Target,
)

Columns = Mapping[str, ColumnElement[Any]]
"""Field -> the column that holds it, as the module asks for."""

_Clause = ColumnElement[bool]
_C = Text(collation="C")
_TYPES: Mapping[Kind, TypeEngine[Any]] = {
    Kind.INTEGER: BigInteger(),
    Kind.NUMBER: Double(),
    Kind.TIME: DateTime(timezone=True),
}
_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def where(condition: Condition, columns: Columns) -> _Clause:
    """An expression that is true for the rows that the condition selects and false for the others."""
    match condition:
        case And(parts):
            return and_(*(where(part, columns) for part in parts))
        case Or(parts):
            return or_(*(where(part, columns) for part in parts))
        case Not(part):
            return not_(where(part, columns))
        case Everything():
            return true()
        case Present(target):
            return _present(target, columns[target.field])
        case Compare(target):
            return _compare(condition, columns[target.field])
        case Match(target):
            return _match(condition, columns[target.field])


def _present(target: Target, column: ColumnElement[Any]) -> _Clause:
    match target.kind:
        case Kind.TEXT | Kind.ID:
            return column != literal("", _C)
        case Kind.TEXTS:
            return func.cardinality(column) > 0
        case Kind.INTEGER:
            return column != 0
        case Kind.NUMBER:
            return column.is_not(None)
        case Kind.LABELS if target.key is None:
            return column != literal({}, JSONB)
        case Kind.LABELS:
            return column.op("?", is_comparison=True)(literal(target.key, Text))
        case Kind.BOOLEAN | Kind.TIME | Kind.ENUM:
            return true()


def _compare(condition: Compare, column: ColumnElement[Any]) -> _Clause:
    target, value = condition.target, condition.value
    if target.kind is Kind.BOOLEAN:
        return column if value else not_(column)
    kind = _TYPES.get(target.kind, _C)
    left = _label(column, target.key) if target.key is not None else column
    compared: _Clause = _OPERATORS[condition.operator](left, literal(value, kind))
    return and_(_present(target, column), compared)


def _match(condition: Match, column: ColumnElement[Any]) -> _Clause:
    target = condition.target
    exact = not (condition.open_start or condition.open_end)
    if target.kind is Kind.TEXTS:
        if exact:
            return column.op("@>", is_comparison=True)(literal([condition.text], ARRAY(Text)))
        element = func.unnest(column).column_valued("element")
        return exists(select(literal(1)).where(_like(element, condition)))
    if target.key is None:
        return column == literal(condition.text, _C) if exact else _like(column, condition)
    if exact:
        return column.op("@>", is_comparison=True)(literal({target.key: condition.text}, JSONB))
    return and_(_present(target, column), _like(_label(column, target.key), condition))


def _like(text: ColumnElement[Any], condition: Match) -> _Clause:
    if condition.open_start and condition.open_end:
        return text.contains(condition.text, autoescape=True)
    if condition.open_start:
        return text.endswith(condition.text, autoescape=True)
    return text.startswith(condition.text, autoescape=True)


def _label(column: ColumnElement[Any], key: str) -> ColumnElement[Any]:
    return column.op("->>", return_type=Text())(literal(key, Text)).collate("C")
