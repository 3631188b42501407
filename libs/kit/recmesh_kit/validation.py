"""Holds requests against the field constraints of the contract (`recmesh.common.v1.constraint`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from typing import Any

from google.protobuf import descriptor_pb2, field_mask_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from recmesh.common.v1 import constraint_pb2
from recmesh.common.v1.constraint_pb2 import FieldConstraint
from recmesh_kit.errors import InvalidArgument, Violation
from recmesh_kit.value_checks import Check, value_checks

_WELL_KNOWN = "google.protobuf."
_MAX_VIOLATIONS = 50


def validate(request: Message) -> None:
    """Checks a request.

    Raises:
        InvalidArgument: With one violation for each field at fault (the first 50).
    """
    found = list(islice(violations(request), _MAX_VIOLATIONS))
    if found:
        raise InvalidArgument(found)


def violations(message: Message, *, row: bool = False) -> Iterable[Violation]:
    """What is wrong with a message.

    Args:
        message: A request, or one row of a list that is marked `per_row`.
        row: It is a row: its resource name is needed.
    """
    checker = _checker(message.DESCRIPTOR)
    resource = checker.resource_field
    yield from checker.check(message, "", named=row, skip=resource)
    if resource and message.HasField(resource):
        yield from _update_violations(message, resource)


def _update_violations(request: Message, resource: str) -> Iterable[Violation]:
    """Of an update only the fields count that the mask names; of one that may create, all."""
    mask: field_mask_pb2.FieldMask = getattr(request, "update_mask")  # noqa: B009 - typed by name
    value: Message = getattr(request, resource)
    checker = _checker(value.DESCRIPTOR)
    bad = list(islice(checker.check_mask(mask), _MAX_VIOLATIONS))
    yield from bad
    if not bad:
        everything = "*" in mask.paths or getattr(request, "allow_missing", False)
        # An empty mask stands for the fields that are set (AIP-134).
        named = set(mask.paths) or {field.name for field, _ in value.ListFields()}
        only = None if everything else named
        yield from checker.check(value, f"{resource}.", named=True, only=only)


class _Field:
    """One field and what is asked of it."""

    def __init__(self, field: FieldDescriptor, *, optional: bool) -> None:
        self.name = field.name
        self.field = field
        self.rule: FieldConstraint = field.GetOptions().Extensions[constraint_pb2.constraint]
        # Read for every request, and so not from the rule each time.
        self.required, self.identifier = self.rule.required, self.rule.identifier
        self.min_items = self.rule.min_items
        self.is_map = _is_map(field)
        self.is_list = field.is_repeated
        self.is_message = field.message_type is not None and not self.is_map
        self.nested = self.is_message and not _message(field).full_name.startswith(_WELL_KNOWN)
        # `optional` is kept as a oneof of one field, which nobody chooses.
        self.in_oneof = field.containing_oneof is not None and not optional
        self.has_presence = field.has_presence and not field.is_repeated
        if self.is_map:
            entry = _message(field).fields_by_name
            self.key_checks = list(value_checks(entry["key"], self.rule))
            self.checks = list(value_checks(entry["value"], self.rule))
        else:
            self.checks = list(value_checks(field, self.rule))

    def wanted(self, message: Message) -> bool:
        """A field of a oneof is asked for only when it is the one that was chosen."""
        return not self.in_oneof or message.HasField(self.name)

    def check(self, message: Message, value: Any, path: str) -> Iterable[Violation]:
        """What is wrong with its value, in `message` at `path`."""
        here = f"{path}{self.name}"
        if self.is_list:
            yield from self._check_list(message, value, here)
        elif self.nested:
            yield from _checker(_message(self.field)).check(value, f"{here}.", named=False)
        else:
            yield from _first(self.checks, value, here)

    def _check_list(self, message: Message, value: Any, here: str) -> Iterable[Violation]:
        rule = self.rule
        if rule.max_items and len(value) > rule.max_items:
            yield Violation(
                here, f"has {len(value):,} entries, at most {rule.max_items:,} are allowed"
            )
        elif len(value) < rule.min_items:
            yield Violation(here, f"needs {rule.min_items:,} entries or more")
        elif rule.per_row:
            return
        elif self.is_map:
            for key, entry in value.items():
                yield from _first(self.key_checks, key, f"{here}[{key!r}] key")
                yield from _first(self.checks, entry, f"{here}[{key!r}]")
        elif self.nested:
            checker = _checker(_message(self.field))
            for index, entry in enumerate(value):
                at = f"{here}[{index}]"
                yield from checker.check(entry, f"{at}.", inherited=rule.inherited)
                yield from _inherited(message, entry, rule.inherited, at)
        elif self.checks:
            for index, entry in enumerate(value):
                yield from _first(self.checks, entry, f"{here}[{index}]")


def _first(checks: Sequence[Check], value: Any, at: str) -> Iterable[Violation]:
    """The first thing that is wrong: what is too long is not held against a pattern any more."""
    for check in checks:
        said = check(value)
        if said is not None:
            yield Violation(at, said)
            return


def _inherited(
    parent: Message, entry: Message, fields: Sequence[str], at: str
) -> Iterable[Violation]:
    for name in fields:
        own, given = getattr(entry, name), getattr(parent, name)
        if own and own != given:
            yield Violation(f"{at}.{name}", f"must be empty or {given!r}, as beside the list")


class _Checker:
    """The checks of one message type, made once."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        source = descriptor_pb2.DescriptorProto()
        descriptor.CopyToProto(source)
        optional = {field.name for field in source.field if field.proto3_optional}
        self.fields = [
            _Field(field, optional=field.name in optional) for field in descriptor.fields
        ]
        self.checked = [field for field in self.fields if not field.rule.output_only]
        self.oneofs = {
            oneof.name: [field.name for field in oneof.fields]
            for oneof in descriptor.oneofs
            if oneof.GetOptions().Extensions[constraint_pb2.oneof_constraint].required
        }
        self.resource_field = self._resource_field()

    def _resource_field(self) -> str:
        """In an update request the field that holds the resource, otherwise empty."""
        if "update_mask" not in self.descriptor.fields_by_name:
            return ""
        found = [field.name for field in self.fields if field.nested and field.rule.required]
        if len(found) != 1:
            message = f"{self.descriptor.full_name} has an update_mask and not one required message"
            raise LookupError(message)
        return found[0]

    def check(
        self,
        message: Message,
        path: str,
        *,
        named: bool = False,
        only: set[str] | None = None,
        skip: str = "",
        inherited: Sequence[str] = (),
    ) -> Iterable[Violation]:
        """What is wrong with `message`.

        Args:
            message: A message of this type.
            path: Where it stands in the request, with a dot at the end.
            named: Its identifier is needed; otherwise it is ignored.
            only: The fields that count (an update's mask); None for all.
            skip: A field whose inside is looked at elsewhere.
            inherited: Fields that may be left out although they are required.
        """
        # Asked for once: to ask field by field takes several times as long.
        present = dict(message.ListFields())
        for field in self.checked:
            if field.identifier and not named:
                continue
            if only is not None and field.name not in only and not field.identifier:
                continue
            value = present.get(field.field)
            # What counts as a value is a message, or anything but 0 and the empty.
            if not value and not (field.is_message and value is not None):
                required = field.required or field.identifier
                if required and field.wanted(message) and field.name not in inherited:
                    yield Violation(f"{path}{field.name}", "is required")
                    continue
                # An `optional` 0 was said, and no entries are too few where some are needed.
                if (value is None or not field.has_presence) and not field.min_items:
                    continue
                value = getattr(message, field.name)
            if field.name != skip:
                yield from field.check(message, value, path)
        for oneof, choices in self.oneofs.items():
            counts = only is None or not only.isdisjoint(choices)
            if counts and message.WhichOneof(oneof) is None:
                yield Violation(f"{path}{oneof}", f"is required: set one of {', '.join(choices)}")

    def check_mask(self, mask: field_mask_pb2.FieldMask) -> Iterable[Violation]:
        """What is wrong with the paths of an update's mask."""
        by_name = {field.name: field.rule for field in self.fields}
        for path in mask.paths:
            if path == "*":
                continue
            rule = by_name.get(path)
            if rule is None:
                yield Violation("update_mask", f"{path!r} is not a field of {self.descriptor.name}")
            elif rule.immutable or rule.output_only or rule.identifier:
                yield Violation("update_mask", f"{path!r} cannot be changed")


@cache
def _checker(descriptor: Descriptor) -> _Checker:
    return _Checker(descriptor)


def _message(field: FieldDescriptor) -> Descriptor:
    assert field.message_type is not None
    return field.message_type


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def compile_checks(descriptor: Descriptor, seen: set[str] | None = None) -> None:
    """Makes the checks of a message type and of all within it, so that a mistake in the contract shows at start.

    Raises:
        LookupError: A `resource_type` that nothing declares.
        re.error: A `pattern` that is no regular expression.
    """
    seen = set() if seen is None else seen
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for field in _checker(descriptor).fields:
        if field.nested:
            compile_checks(_message(field.field), seen)
