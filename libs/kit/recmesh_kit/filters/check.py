"""From the tree that was parsed to the conditions that it means for a resource."""

from __future__ import annotations

from recmesh_kit.filters.errors import invalid, quoted
from recmesh_kit.filters.parser import parse
from recmesh_kit.filters.schema import Field, Kind, Schema
from recmesh_kit.filters.tree import (
    And,
    Bare,
    Compare,
    Condition,
    Everything,
    Literal,
    Match,
    Not,
    Or,
    Present,
    Restriction,
    Syntax,
    Target,
)
from recmesh_kit.filters.values import read_text, read_value

MAX_COMPARISONS = 100
"""Comparisons in a filter. A value without a field is one with each field that it is looked for in."""

_EQUALITY = ("=", "!=", ":")
_ALL = (*_EQUALITY, "<", "<=", ">", ">=")
_OPERATORS = {
    Kind.TEXT: _ALL,
    Kind.ID: _ALL,
    Kind.TEXTS: (":",),
    Kind.NUMBER: _ALL,
    Kind.INTEGER: _ALL,
    Kind.BOOLEAN: _EQUALITY,
    Kind.TIME: _ALL,
    Kind.ENUM: _EQUALITY,
}
_TEXTUAL = (Kind.TEXT, Kind.ID, Kind.TEXTS, Kind.LABELS)


def read(text: str, schema: Schema) -> Condition | None:
    """Reads a filter on a resource.

    Args:
        text: As the caller sent it.
        schema: What of the resource can be filtered by.

    Returns:
        What it means; None when it is blank, which selects everything.

    Raises:
        InvalidArgument: With reason INVALID_FILTER and the `column` at fault in its metadata: the filter breaks the
            grammar or a bound, names an unknown field, or compares a field as it cannot be.
    """
    tree = parse(text)
    return None if tree is None else _Checker(schema).check(tree)


class _Checker:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._seen = 0

    def check(self, tree: Syntax) -> Condition:
        match tree:
            case And(parts):
                return And(tuple(self.check(part) for part in parts))
            case Or(parts):
                return Or(tuple(self.check(part) for part in parts))
            case Not(part):
                return Not(self.check(part))
            case Bare(value):
                self._count(value.column, max(1, len(self._schema.anywhere)))
                return self._anywhere(value)
            case Restriction():
                self._count(tree.value.column)
                return self._restriction(tree)

    def _count(self, column: int, comparisons: int = 1) -> None:
        self._seen += comparisons
        if self._seen > MAX_COMPARISONS:
            raise invalid(f"more than {MAX_COMPARISONS} comparisons", column)

    def _anywhere(self, value: Literal) -> Condition:
        if value.anything:
            return Everything()
        if not self._schema.anywhere:
            raise invalid(f"{quoted(value.text)} needs a field, as in field = value", value.column)
        fields = ((name, self._schema.fields[name]) for name in self._schema.anywhere)
        return Or(tuple(_match(Target(n, f.kind), f, ":", value) for n, f in fields))

    def _restriction(self, tree: Restriction) -> Condition:
        name, *inner = tree.path
        field = self._schema.fields.get(name)
        if field is None:
            known = ", ".join(self._schema.fields)
            raise invalid(f"{quoted(name)} is not a field: there are {known}", tree.column)
        if field.kind is not Kind.LABELS and inner:
            raise invalid(f"{name!r} has no fields within", tree.column)
        if len(inner) > 1:
            raise invalid(f'quote a key that has a dot: {name}."a.b"', tree.column)
        if field.kind is Kind.LABELS and not inner:
            return _has_key(name, tree)
        target = Target(name, field.kind, inner[0] if inner else None)
        allowed = _OPERATORS.get(field.kind, _ALL)
        if tree.operator not in allowed:
            message = f"{name!r} goes with {' '.join(allowed)} only, not with {tree.operator}"
            raise invalid(message, tree.operator_column)
        return _compare(target, field, tree.operator, tree.value)


def _has_key(name: str, tree: Restriction) -> Condition:
    if tree.operator != ":":
        message = f"name a label, as in {name}.key {tree.operator} value, or ask for {name}:key"
        raise invalid(message, tree.operator_column)
    if tree.value.anything:
        return Present(Target(name, Kind.LABELS))
    if tree.value.wild:
        raise invalid("the key of a label has no wildcards", tree.value.column)
    return Present(Target(name, Kind.LABELS, tree.value.text))


def _compare(target: Target, field: Field, operator: str, value: Literal) -> Condition:
    if operator == "!=":
        return And((Present(target), Not(_compare(target, field, "=", value))))
    if operator in _EQUALITY:
        if value.anything:
            return Present(target)
        if field.kind in _TEXTUAL:
            return _match(target, field, operator, value)
        operator = "="
    return Compare(target, operator, read_value(field, value))


def _match(target: Target, field: Field, operator: str, value: Literal) -> Match:
    contains = field.kind is Kind.TEXT and operator == ":" and not value.wild
    text = read_text(field, value)
    return Match(target, text, value.open_start or contains, value.open_end or contains)
