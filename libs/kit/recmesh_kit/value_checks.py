"""What a single value of a field may be, by the constraint that the contract puts on the field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from recmesh.common.v1.constraint_pb2 import FieldConstraint
from recmesh_kit import names

Check = Callable[[Any], str | None]
"""Answers what is wrong with a value, None when nothing is."""

_TIMESTAMP_SECONDS = (-62_135_596_800, 253_402_300_799)


def value_checks(field: FieldDescriptor, rule: FieldConstraint) -> Iterable[Check]:
    """The checks of one value of a field: of the field itself, of each entry of a list, of a map's keys or values.

    Raises:
        LookupError: A `resource_type` that nothing declares.
        re.error: A `pattern` that is no regular expression.
    """
    if field.type == FieldDescriptor.TYPE_STRING:
        # PostgreSQL's text cannot hold it, and no text needs it.
        yield lambda value: "must not contain the character U+0000" if "\x00" in value else None
        yield from _length_checks(rule, "characters")
        if rule.pattern:
            yield _pattern_check(rule.pattern)
        if rule.resource_type:
            yield _resource_check(field, rule.resource_type)
    elif field.type == FieldDescriptor.TYPE_BYTES:
        yield from _length_checks(rule, "bytes")
    elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        enum = field.enum_type
        assert enum is not None
        known = frozenset(enum.values_by_number)
        yield lambda value: None if value in known else f"{value} is not a value of {enum.name}"
    elif field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            yield _timestamp
    elif field.cpp_type != FieldDescriptor.CPPTYPE_BOOL:
        yield _finite
        least, most = rule.min, rule.max
        if rule.HasField("min"):
            yield lambda value: None if value >= least else f"must be at least {least:,.15g}"
        if rule.HasField("max"):
            yield lambda value: None if value <= most else f"must be at most {most:,.15g}"


def _length_checks(rule: FieldConstraint, unit: str) -> Iterable[Check]:
    least, most = rule.min_length, rule.max_length
    if least:
        yield lambda value: None if len(value) >= least else f"needs {least:,} {unit} or more"
    if most:
        yield (
            lambda value: (
                None
                if len(value) <= most
                else f"has {len(value):,} {unit}, at most {most:,} are allowed"
            )
        )


def _pattern_check(pattern: str) -> Check:
    expression = re.compile(pattern)
    return lambda value: (
        None if expression.fullmatch(value) else f"must match the pattern {pattern}"
    )


def _finite(value: float) -> str | None:
    return None if math.isfinite(value) else "must be a finite number"


def _timestamp(value: Any) -> str | None:
    low, high = _TIMESTAMP_SECONDS
    if low <= value.seconds <= high and 0 <= value.nanos < 1_000_000_000:
        return None
    return "must be a time between the years 1 and 9999"


def _resource_check(field: FieldDescriptor, resource_type: str) -> Check:
    file = _owner(field).file
    templates = _resource_patterns(file).get(resource_type) or _neighbour(file, resource_type)
    if not templates:
        message = (
            f"{field.full_name}: no file that it imports declares resource type {resource_type}"
        )
        raise LookupError(message)
    expression = re.compile("|".join(names.pattern(template).pattern for template in templates))
    shape = " or ".join(templates)
    return lambda value: None if expression.fullmatch(value) else f"must be a name like {shape}"


def _neighbour(file: FileDescriptor, resource_type: str) -> list[str]:
    """The patterns of a resource of the file's own package, which needs no import: the message has the type's name."""
    name = f"{file.package}.{resource_type.rpartition('/')[2]}"
    try:
        message = file.pool.FindMessageTypeByName(name)
    except KeyError:
        return []
    resource = message.GetOptions().Extensions[resource_pb2.resource]
    return list(resource.pattern) if resource.type == resource_type else []


@cache
def _resource_patterns(file: FileDescriptor) -> dict[str, list[str]]:
    """Resource types and their patterns, from a file and the files that it imports (AIP-123)."""
    found: dict[str, list[str]] = {}
    for imported in file.dependencies:
        if imported.package.startswith("recmesh."):
            found |= _resource_patterns(imported)
    for definition in file.GetOptions().Extensions[resource_pb2.resource_definition]:
        found[definition.type] = list(definition.pattern)
    for message in file.message_types_by_name.values():
        resource = message.GetOptions().Extensions[resource_pb2.resource]
        if resource.type:
            found[resource.type] = list(resource.pattern)
    return found


def _owner(field: FieldDescriptor) -> Descriptor:
    assert field.containing_type is not None
    return field.containing_type
