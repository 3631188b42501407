"""Serving configs."""

from __future__ import annotations

from recmesh.recommender.v1 import serving_config_service_pb2 as pb
from recmesh_client.convert.basics import child_name, last_id, time
from recmesh_client.convert.enums import EnumTable
from recmesh_client.convert.query import DIVERSITIES
from recmesh_client.data.interaction import InteractionType
from recmesh_client.data.serving_config import Rule, RuleAction, ServingConfig, Variant

ACTIONS = EnumTable(RuleAction, pb.Rule.Action.items(), "ACTION_", RuleAction.UNKNOWN)
_TYPE = "TYPE_"


def from_serving_config(message: pb.ServingConfig) -> ServingConfig:
    """A serving config out of an answer."""
    return ServingConfig(
        id=last_id(message.name),
        display_name=message.display_name,
        blend={weight.algorithm: weight.weight for weight in message.blend},
        diversity=DIVERSITIES.member(message.diversity),
        rules=tuple(
            Rule(ACTIONS.member(rule.action), rule.filter, rule.strength) for rule in message.rules
        ),
        variants=tuple(
            Variant(variant.id, variant.share, last_id(variant.serving_config))
            for variant in message.variants
        ),
        seen_types=tuple(map(_seen_type, message.seen_types)),
        seen_limit=message.seen_limit,
        create_time=time(message, "create_time"),
        update_time=time(message, "update_time"),
    )


def to_serving_config(config: ServingConfig, catalog: str) -> pb.ServingConfig:
    """A serving config of a catalog into a request."""
    return pb.ServingConfig(
        name=child_name(catalog, "servingConfigs", config.id),
        display_name=config.display_name,
        blend=[
            pb.BlendWeight(algorithm=name, weight=weight) for name, weight in config.blend.items()
        ],
        diversity=DIVERSITIES.number(config.diversity),
        rules=[
            pb.Rule(action=ACTIONS.number(rule.action), filter=rule.filter, strength=rule.strength)
            for rule in config.rules
        ],
        variants=[
            pb.Variant(
                id=variant.id,
                share=variant.share,
                serving_config=child_name(catalog, "servingConfigs", variant.serving_config),
            )
            for variant in config.variants
        ],
        # The contract has them as names.
        seen_types=[f"{_TYPE}{seen.name}" for seen in config.seen_types],
        seen_limit=config.seen_limit,
    )


def _seen_type(name: str) -> InteractionType:
    known = InteractionType.__members__
    return known.get(name.removeprefix(_TYPE), InteractionType.UNKNOWN)
