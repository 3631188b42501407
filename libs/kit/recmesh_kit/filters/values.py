"""From a value as it was written to one that can be compared with a field's."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from recmesh_kit.filters.errors import invalid, quoted
from recmesh_kit.filters.schema import Field, Kind, fold
from recmesh_kit.filters.tree import Literal, Value

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MOST = 2**63 - 1
# RFC 3339, to the microsecond: what is stored is no finer.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_BOOLEANS = {"true": True, "false": False}


def read_value(field: Field, literal: Literal) -> Value:
    """The value of a comparison by size, or of a field that is no text.

    Raises:
        InvalidArgument: It is none for this kind of field.
    """
    if literal.wild and field.kind not in (Kind.TEXT, Kind.ID, Kind.LABELS):
        raise invalid(f"{_wanted(field)} has no wildcards", literal.column)
    if literal.wild:
        raise invalid("wildcards go with =, != and : only", literal.column)
    value = _read(field, literal)
    if value is None:
        raise invalid(f"{quoted(literal.text)} is not {_wanted(field)}", literal.column)
    return value


def read_text(field: Field, literal: Literal) -> str:
    """The text to be compared with one of a field's.

    Raises:
        InvalidArgument: It is empty, or is not the name of a resource where one is needed.
    """
    if field.kind is Kind.LABELS:
        return fold(literal.text)
    if not literal.text:
        message = "an empty text is a missing one: ask for it by NOT field:*"
        raise invalid(message, literal.column)
    if field.kind is not Kind.ID:
        return fold(literal.text)
    if field.prefix and (literal.open_start or not literal.text.startswith(field.prefix)):
        raise invalid(f"the value must begin with {field.prefix!r}", literal.column)
    return literal.text.removeprefix(field.prefix)


def _read(field: Field, literal: Literal) -> Value | None:
    text = literal.text
    match field.kind:
        case Kind.TEXT | Kind.ID | Kind.LABELS:
            return read_text(field, literal)
        case Kind.INTEGER:
            whole = int(text) if _INTEGER.fullmatch(text) else None
            return None if whole is None or abs(whole) > _MOST else whole
        case Kind.NUMBER:
            number = float(text) if _NUMBER.fullmatch(text) else math.inf
            return number if math.isfinite(number) else None
        case Kind.BOOLEAN:
            return _BOOLEANS.get(text)
        case Kind.TIME:
            return _time(text)
        case Kind.ENUM:
            return field.names.get(text)
        case Kind.TEXTS:
            raise AssertionError("a list is not compared by size")


def _time(text: str) -> datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _wanted(field: Field) -> str:
    match field.kind:
        case Kind.INTEGER:
            return "a whole number"
        case Kind.NUMBER:
            return "a number"
        case Kind.BOOLEAN:
            return "true or false"
        case Kind.TIME:
            return "a time like 2024-01-31T12:00:00Z"
        case Kind.ENUM:
            return f"one of {', '.join(field.names)}"
        case _:
            return "a text"
