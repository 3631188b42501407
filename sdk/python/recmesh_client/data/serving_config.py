"""Serving configs: what a name that callers put into their queries stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto

from recmesh_client.data.interaction import InteractionType
from recmesh_client.data.query import Diversity


class RuleAction(StrEnum):
    """What a rule does."""

    UNKNOWN = auto()
    BOOST = auto()
    """The score is multiplied by 1 + `strength`."""
    BURY = auto()
    """The score is multiplied by 1 - `strength`."""
    PIN = auto()
    """The items come first, in the order of their scores."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something done to the ranked items.

    Attributes:
        action: What is done.
        filter: To which items (AIP-160).
        strength: How strongly, 0 to 1. Not used for PIN.
    """

    action: RuleAction
    filter: str
    strength: float = 0.0


@dataclass(frozen=True, slots=True)
class Variant:
    """An alternative in an experiment.

    Attributes:
        id: Its name in the answers.
        share: The share of the users who get it, 0 to 1.
        serving_config: Id of the serving config that answers for it.
    """

    id: str
    share: float
    serving_config: str


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """How queries that name it are answered.

    Attributes:
        id: The caller's: lower-case letters, digits and hyphens.
        display_name: What people call it.
        blend: How the models' scores are blended: the weight of each algorithm, 0 to 1.
        diversity: How varied results are when the query does not say.
        rules: What is done to the ranked items, in this order.
        variants: Alternatives that a share of the users gets instead.
        seen_types: Which interactions make an item seen; empty for the default.
        seen_limit: How many of a person's latest seen items are kept from the results; 0 for the default.
        create_time: When it was made.
        update_time: When it was last changed.
    """

    id: str
    display_name: str = ""
    blend: Mapping[str, float] = field(default_factory=dict)
    diversity: Diversity = Diversity.DEFAULT
    rules: Sequence[Rule] = ()
    variants: Sequence[Variant] = ()
    seen_types: Sequence[InteractionType] = ()
    seen_limit: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
