"""Answers in words."""

from __future__ import annotations

from recmesh_client import Fallback, Interaction, Reason, ReasonType, Recommendation

_SURE = 0.995
_UNSURE = 0.25
"""Below this confidence the workers do not say of any item that it matches a text."""
NO_REASON = "\u2014"


def understood(answer: Recommendation) -> str:
    """What the question was taken to mean, and what answered when it could not be."""
    said = []
    query = answer.query
    if answer.resolved_item and (query.title is not None or query.item is not None):
        sure = answer.resolve_confidence
        how = "" if sure >= _SURE else f", {sure:.0%} sure"
        said.append(f"Taken as {answer.resolved_title} ({answer.resolved_item}){how}.")
    if query.text is not None and answer.resolve_confidence < _UNSURE:
        said.append(f"Little comes close to these words ({answer.resolve_confidence:.0%} sure).")
    match answer.fallback:
        case Fallback.POPULAR if query.history:
            these = "popular and varied" if _popular(answer) else "varied"
            said.append(f"Nothing that this person likes is known yet: these are {these}.")
        case Fallback.POPULAR:
            these = "these are popular" if _popular(answer) else "here is something else"
            said.append(f"Nothing is known of what you named: {these}.")
        case Fallback.TEXT:
            said.append("No such title is here: these match its words.")
        case _:
            pass
    if answer.filter_relaxed:
        said.append("Too few passed the filter, so that it was relaxed (--strict keeps to it).")
    return " ".join(said)


def _popular(answer: Recommendation) -> bool:
    """Nothing is popular where nobody has liked anything yet, or far down in the order."""
    reasons = (reason for result in answer.results for reason in result.reasons)
    return any(reason.type is ReasonType.POPULAR for reason in reasons)


def because(reasons: tuple[Reason, ...]) -> str:
    """Why an item is among the results; a dash where nothing can be said that is true."""
    return "; ".join(_reason(reason) for reason in reasons) or NO_REASON


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
