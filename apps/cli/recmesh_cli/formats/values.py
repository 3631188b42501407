"""Values of rows: texts, numbers, times, lists and ids, however they were written down."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

from recmesh_cli.formats.rows import Unfit
from recmesh_client import InteractionType

_MILLISECONDS = 1e11
"""Seconds since 1970 beyond this are milliseconds: as seconds it is the year 5138."""
_ID_LENGTH = 128
_HASH_LENGTH = 32
_NOT_IN_IDS = re.compile(r"[/\x00-\x1f\x7f]")
_YEAR = re.compile(r"(\d{4})(?:\.0+|-\d\d?-\d\d?.*)?")
_TRUE, _FALSE = {"true", "yes", "1", "t", "y"}, {"false", "no", "0", "f", "n", ""}
_NAMES = ("name", "title")


def missing(value: Any) -> bool:
    """There is no value: null, an empty text or a NaN."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def text(value: Any) -> str:
    """A text, without blanks around it. Raises Unfit for one that is not Unicode."""
    if not isinstance(value, str):
        value = _written(value)
    said: str = value.strip()
    if not said.isascii() and not _is_unicode(said):
        raise Unfit("holds half a character")
    return said.replace("\x00", "")


def _written(value: Any) -> str:
    if missing(value):
        return ""
    if isinstance(value, list | dict):
        raise Unfit("must be a text")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _is_unicode(said: str) -> bool:
    try:
        said.encode()
    except UnicodeEncodeError:
        return False
    return True


def texts(value: Any, separator: str = "|", most: int = 64) -> tuple[str, ...]:
    """The first of several texts, each once: of a list, of a JSON array, or of a text with separators. Of an object its
    name counts. Raises Unfit.
    """
    if missing(value):
        return ()
    if isinstance(value, str):
        value = value.strip()
        value = json_list(value) if value.startswith("[") else value.split(separator)
    if not isinstance(value, list | tuple):
        raise Unfit("must be a list")
    found = dict.fromkeys(text(_named(one)) for one in value)
    found.pop("", None)
    return tuple(found)[:most]


def json_list(said: str) -> list[Any]:
    """A JSON array. Raises Unfit."""
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        raise Unfit("is not a JSON array") from None
    if not isinstance(value, list):
        raise Unfit("is not a JSON array")
    return value


def _named(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return next((value[key] for key in _NAMES if key in value), None)


def number(value: Any) -> float | None:
    """A number. Raises Unfit."""
    if missing(value):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise Unfit(f"must be a number, not {_short(value)}")
    return found


def year(value: Any) -> int | None:
    """A year, also that of a date. Raises Unfit."""
    if isinstance(value, date):
        return value.year
    said = text(value)
    if said in ("", "0"):
        return None
    match = _YEAR.fullmatch(said)
    if match is None:
        raise Unfit(f"must be a year, not {_short(value)}")
    return int(match[1]) or None


def truth(value: Any) -> bool:
    """True or false. Raises Unfit."""
    said = text(value).lower()
    if said in _TRUE:
        return True
    if said in _FALSE:
        return False
    raise Unfit(f"must be true or false, not {_short(value)}")


def moment(value: Any) -> datetime | None:
    """A time: ISO 8601, or seconds or milliseconds since 1970; without a zone it is UTC. Raises Unfit."""
    if missing(value):
        return None
    try:
        found = _moment(value)
    except (ValueError, OverflowError, OSError, TypeError):
        raise Unfit(f"must be a time, not {_short(value)}") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    try:
        seconds = float(value)
    except ValueError:
        return datetime.fromisoformat(value.strip())
    return datetime.fromtimestamp(seconds / (1000 if seconds > _MILLISECONDS else 1), UTC)


def interaction_type(value: Any) -> InteractionType:
    """`like`, `LIKE` or `TYPE_LIKE`. Raises Unfit."""
    said = text(value).lower().removeprefix("type_")
    known = [kind for kind in InteractionType if kind is not InteractionType.UNKNOWN]
    if said not in known:
        raise Unfit(f"must be one of {', '.join(known)}, not {_short(value)}")
    return InteractionType(said)


def item_id(value: Any) -> str:
    """An id: what an id may not hold is written as in an address, and a long one ends with its hash."""
    said = _NOT_IN_IDS.sub(lambda match: f"%{ord(match[0]):02X}", text(value))
    if len(said) <= _ID_LENGTH:
        return said
    return f"{said[: _ID_LENGTH - _HASH_LENGTH - 1]}-{digest(said)}"


def slug(title: str, released: int | None) -> str:
    """An id made of title and year: `alien-1979`. Letters of all scripts stay, accents go."""
    plain = unicodedata.normalize("NFKD", title.casefold())
    kept = "".join(sign for sign in plain if not unicodedata.combining(sign))
    words = re.findall(r"[^\W_]+", kept) or [digest(title)]
    return item_id("-".join([*words, str(released)] if released else words))


def interaction_id(user: str, item: str, kind: str, when: datetime | None) -> str:
    """The id of what a person did: the same in every run."""
    at = when.isoformat() if when else ""
    return digest(user, item, kind, at)


def digest(*parts: str) -> str:
    """32 hexadecimal digits that stand for some texts."""
    # No text that was read holds a NUL.
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_HASH_LENGTH]


def size(values: Iterable[object]) -> int:
    """About how many characters an item's values have."""
    total = 0
    for value in values:
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, tuple | dict):
            total += sum(map(len, value)) + (size(value.values()) if isinstance(value, dict) else 0)
    return total


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 40 else said[:39] + "…"
