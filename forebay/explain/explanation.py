"""An explanation, as it is printed, drawn, and written as JSON."""

from __future__ import annotations

from typing import Any

import msgspec


class ExplainedEvent(msgspec.Struct, frozen=True):
    """An event of an entity, from the topic that its view is computed from."""

    position: str
    """`topic[partition]@offset`."""
    event_ms: int
    refused: str
    """Why it is not in the row, such as `late`; empty: it is."""
    effects: dict[str, float] | None
    """Score name -> the score less what it would be without this event; None: not computed."""


class ExplainedView(msgspec.Struct, frozen=True):
    """A stream view, as it was read for the prediction."""

    alias: str
    view: str
    entity: dict[str, Any]
    fence: str | None
    """The last record that the row contained, according to the prediction."""
    refolded_fence: str | None
    """According to the records."""
    events: list[ExplainedEvent]
    """Of the entity, those that can be in a window, in the order of the topic."""


class ExplainedFeature(msgspec.Struct, frozen=True):
    """An input of the model."""

    name: str
    """Full name."""
    recorded: Any
    """The value in the prediction; null also where the prediction carries no features."""
    refolded: Any
    """The value according to the records."""
    start_ms: int | None
    """Of its window, included; null: it has none."""
    end_ms: int | None
    """Of its window, excluded."""
    effects: dict[str, float] | None
    """Score name -> the score less what it would be with this feature missing; null: the model can't do without."""


class Explanation(msgspec.Struct, frozen=True):
    """Why an event has its score."""

    position: str
    prediction_id: str
    model: str
    version: str
    model_hash: str
    service: str
    as_of_ms: int
    scores: dict[str, float | None]
    """As predicted."""
    refolded_scores: dict[str, float | None]
    """Of features that were folded again from the records, by the same version of the model."""
    same_scores: bool
    """Whether the two have the same bits."""
    same_features: bool | None
    """The same of features; null: the prediction carries none (`forebay score --include-features`)."""
    views: list[ExplainedView]
    features: list[ExplainedFeature]
    """In the order of the model's input."""
    notes: list[str]
    """What may make a difference, in sentences."""

    def features_by_effect(self) -> list[ExplainedFeature]:
        """Sorts features: first those that change a score most, last those that the model can't do without."""

        def size(feature: ExplainedFeature) -> float:
            if feature.effects is None:
                return -1.0
            return max((abs(each) for each in feature.effects.values() if each == each), default=0.0)

        return sorted(self.features, key=size, reverse=True)
