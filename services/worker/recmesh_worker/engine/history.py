"""What a person's interactions say about what they like.

Each item gets one opinion. The newest of LIKE (1), DISLIKE (-1) and RATING decides; without one,
the strongest of PURCHASE (0.8), BOOKMARK (0.6) and VIEW (0.4, times the share that was watched).
Clicks say too little.

A rating counts by how far it is from the person's own mean, in quarters of the scale, cut to
[-1, 1]. The scale is the smallest of 5, 10 and 100 that all their ratings fit; the mean takes in
five imagined ratings at 0.6 of the scale, so that a single good rating is a good one.

Newer counts more: a weight halves with each year between the interaction and the newest one of the
same person, so that a history that was imported from long ago keeps its worth. MovieLens (see
`tastes`) hardly minds, as most people there rated on one day: 31 % have a hit without fading and
with a year, 30 % with half a year or a week.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import Event

HALF_LIFE_SECONDS = 365 * 86_400.0
"""After so long an interaction counts half."""

_STATED: Mapping[int, float] = {Interaction.TYPE_LIKE: 1.0, Interaction.TYPE_DISLIKE: -1.0}
_IMPLIED: Mapping[int, float] = {
    Interaction.TYPE_PURCHASE: 0.8,
    Interaction.TYPE_BOOKMARK: 0.6,
    Interaction.TYPE_VIEW: 0.4,
}
_SCALES = (5.0, 10.0, 100.0)
_MIDDLE = 0.6  # of the scale: what people give on average
_IMAGINED = 5
_NEUTRAL = 0.1  # an opinion nearer to 0 than this is none
_KNOWN = 3.0


class Opinion(NamedTuple):
    """How much a person likes an item: in [-1, 1], and the same after fading (`weight`)."""

    strength: float
    weight: float


def opinions(history: Sequence[Event]) -> dict[str, Opinion]:
    """The opinion about each item that there is one about. `history` has the newest first."""
    rated = _rater(history)
    stated: dict[str, tuple[float, Event]] = {}
    implied: dict[str, tuple[float, Event]] = {}
    for event in history:
        if event.type == Interaction.TYPE_RATING and event.value is not None:
            stated.setdefault(event.item, (rated(event.value), event))
        elif event.type in _STATED:
            stated.setdefault(event.item, (_STATED[event.type], event))
        elif event.type in _IMPLIED:
            strength = _IMPLIED[event.type]
            if event.type == Interaction.TYPE_VIEW and event.value is not None:
                strength *= min(1.0, max(0.0, event.value))
            if strength > implied.get(event.item, (0.0, event))[0]:
                implied[event.item] = strength, event
    newest = max((event.time for event in history), default=None)
    return {
        item: Opinion(strength, strength * _faded(event, newest))
        for item, (strength, event) in (implied | stated).items()
        if newest is not None and abs(strength) >= _NEUTRAL
    }


def known(strengths: float) -> float:
    """How much is known of what a person likes, in [0, 1): w / (w + 3), where w is the sum of the
    strengths of what they like: 0.25 for one like, 0.5 for three, 0.87 for twenty."""
    return strengths / (strengths + _KNOWN)


def _rater(history: Sequence[Event]) -> Callable[[float], float]:
    """From a rating of this person to a strength."""
    values = [
        event.value
        for event in history
        if event.type == Interaction.TYPE_RATING and event.value is not None
    ]
    highest = max(values, default=0.0)
    scale = next((scale for scale in _SCALES if highest <= scale), highest)
    mean = (sum(values) + _IMAGINED * _MIDDLE * scale) / (len(values) + _IMAGINED)
    return lambda value: min(1.0, max(-1.0, 4 * (value - mean) / scale))


def _faded(event: Event, newest: float) -> float:
    return float(0.5 ** ((newest - event.time) / HALF_LIFE_SECONDS))
