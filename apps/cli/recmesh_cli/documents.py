"""Answers for programs. Fields have the names that they have in the Python SDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from recmesh_client import Recommendation


def plain(value: Any) -> Any:
    """A result as JSON has it: times in ISO 8601, lengths of time in seconds, enums by name in lower case."""
    match value:
        case StrEnum():
            return value.value
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {key: plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def recommendation(answer: Recommendation) -> dict[str, Any]:
    """An answer, with the name that `--continue` takes."""
    return {"name": answer.name, **plain(answer)}
