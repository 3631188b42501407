"""Label selectors, after https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector of `matchLabels` and `matchExpressions` takes something with these labels. An empty one takes
    all, None takes nothing.

    Raises ValueError on an operator that does not exist.
    """
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return is_part(wanted, labels) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def is_part(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether all of these labels are among those."""
    return wanted.items() <= labels.items()


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            msg = f"there is no operator {operator} of selectors"
            raise ValueError(msg)
