"""Answers in words."""

from __future__ import annotations

from recmesh_client import Fallback, Interaction, Reason, ReasonType, Recommendation

_SURE = 0.995


def understood(answer: Recommendation) -> str:
    """What the question was taken to mean, and what answered when it could not be."""
    said = []
    query = answer.query
    if answer.resolved_item and (query.title is not None or query.item is not None):
        sure = answer.resolve_confidence
        how = "" if sure >= _SURE else f", {sure:.0%} sure"
        said.append(f"Taken as {answer.resolved_title} ({answer.resolved_item}){how}.")
    match answer.fallback:
        case Fallback.POPULAR if query.history:
            said.append("Nothing is known of this person yet: these are popular and varied.")
        case Fallback.POPULAR:
            said.append("Nothing is known of what you named: these are popular.")
        case Fallback.TEXT:
            said.append("No such title is here: these match its words.")
        case _:
            pass
    if answer.filter_relaxed:
        said.append("Too few passed the filter, so that it was relaxed (--strict keeps to it).")
    return " ".join(said)


def because(reasons: tuple[Reason, ...]) -> str:
    """Why an item is among the results."""
    return "; ".join(_reason(reason) for reason in reasons)


def _reason(reason: Reason) -> str:
    named = reason.title or reason.item
    match reason.type:
        case ReasonType.SIMILAR_TO:
            shared = ", ".join((*reason.directors, *reason.cast, *reason.genres))
            return f"like {named}" + (f" ({shared})" if shared else "")
        case ReasonType.LIKED_TOGETHER:
            return f"liked by people who liked {named}"
        case ReasonType.MATCHES_TEXT:
            return "matches your words"
        case ReasonType.POPULAR:
            return "popular"
        case ReasonType.RULE:
            return "by a rule of the catalog"
        case ReasonType.EXPLORATION:
            return "to try something new"
        case _:
            return "other"


def deed(interaction: Interaction) -> str:
    """What somebody did."""
    value = "" if interaction.value is None else f" {interaction.value:g}"
    return f"{interaction.type.value}{value}"
