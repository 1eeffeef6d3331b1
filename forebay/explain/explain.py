"""Explains a prediction from the records of its topics and the version of the model that made it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from forebay.explain.effects import Effect, difference, effects_of_features
from forebay.explain.explanation import ExplainedEvent, ExplainedFeature, ExplainedView, Explanation
from forebay.explain.refold import Kafka, OwnEvent, RefoldedView, RefoldedViews
from forebay.explain.windows import Window, window_of
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import Prediction
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.errors import ModelError
from forebay.serving.features.assemble import FeatureAssembler, FeatureVectors
from forebay.serving.features.read import FeatureReader, RowReader, stored_views, view_definition
from forebay.serving.features.request import ScoringRequest
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.model import Model, load_model


class Explainer:
    """Explains predictions of one model under one plan."""

    def __init__(self, plan: Plan, catalog: Catalog, kafka: Kafka, store: RowReader, max_events: int = 50) -> None:
        """Args:
        store: where batch views are read, whose former values no topic holds.
        max_events: of how many events of each view, the newest ones, the effect is computed.
        """
        self._plan = plan
        self._catalog = catalog
        self._kafka = kafka
        self._store = store
        self._max_events = max_events

    def __call__(self, prediction: Prediction) -> Explanation:
        """Explains a prediction.

        Raises:
            ModelError: the version that scored is gone, or is another one now.
            PlanError: the plan does not have the model's service.
            SettingsError: a topic can't be read.
            StoreUnavailable: batch views can't be read.
        """
        model = self._model(prediction)
        service = self._plan.service(model.card.service)
        request = ScoringRequest({**prediction.entities, **prediction.request}, prediction.event_ms)
        used = stored_views(self._plan, service)
        views = [self._refolded(each, request, prediction) for each in used if self._streamed(each)]
        others = [each for each in used if not self._streamed(each)]
        shown = RefoldedViews(views, FeatureReader(self._plan, others, self._store), request)
        assembler = FeatureAssembler(self._plan, service, shown)
        model.check(assembler.features)

        def score() -> tuple[FeatureVectors, dict[str, float]]:
            vectors = assembler.assemble([request])
            return vectors, {name: values[0] for name, values in model.run(vectors.columns).scores.items()}

        vectors, scores = score()

        def without(view: RefoldedView, event: OwnEvent) -> Effect:
            with shown.instead(view.used.alias, view.without({event.record.offset})):
                return {name: difference(scores[name], score) for name, score in score()[1].items()}

        features = assembler.values(vectors)
        effects = effects_of_features(model, vectors.columns, assembler.features, scores)
        recorded = prediction.features
        return Explanation(
            position=prediction.source,
            prediction_id=prediction.id,
            model=model.name,
            version=model.version,
            model_hash=model.hash,
            service=service.name,
            as_of_ms=prediction.event_ms,
            scores=prediction.scores,
            refolded_scores={name: _as_json(score) for name, score in scores.items()},
            same_scores=all(_bits(prediction.scores.get(name)) == _bits(score) for name, score in scores.items()),
            same_features=None
            if recorded is None
            else all(_bits(recorded.get(name)) == _bits(values[0]) for name, values in features.items()),
            views=[
                self._explained(each, partial(without, each), prediction.fences.get(each.used.alias)) for each in views
            ],
            features=[
                _feature(name, values[0], recorded, effects[name], self._window(service, name, prediction.event_ms))
                for name, values in features.items()
            ],
            notes=self._notes(others, prediction),
        )

    def _model(self, prediction: Prediction) -> Model:
        model = load_model(self._catalog.version(f"{prediction.model}/{prediction.version}", "the version that scored"))
        if model.hash != prediction.model_hash:
            raise ModelError(
                f"{model} has the hash {model.hash}, and the one that scored had {prediction.model_hash}: its files "
                f"have been changed since; put those that scored back"
            )
        return model

    def _streamed(self, used: ServiceView) -> bool:
        return isinstance(view_definition(self._plan, used), StreamView)

    def _refolded(self, used: ServiceView, request: ScoringRequest, prediction: Prediction) -> RefoldedView:
        fence = prediction.fences.get(used.alias)
        return RefoldedView(self._plan, used, request, Position.parse(fence) if fence else None, self._kafka)

    def _explained(self, view: RefoldedView, effect: Callable[[OwnEvent], Effect], fence: str | None) -> ExplainedView:
        counted = [each for each in view.events if not each.refused]
        tried = {each.record.offset for each in counted[max(0, len(counted) - self._max_events) :]}
        return ExplainedView(
            alias=view.used.alias,
            view=view.view.name,
            entity=view.entity,
            fence=fence,
            refolded_fence=view.fence,
            events=[
                ExplainedEvent(
                    str(view.position(each)),
                    each.event_ms,
                    each.refused,
                    effect(each) if each.record.offset in tried else None,
                )
                for each in view.events
            ],
        )

    def _window(self, service: FeatureService, full_name: str, as_of_ms: int) -> Window | None:
        for used in service.views:
            for view in self._plan.stream_views:
                for aggregation in view.aggregations if view.name == used.view else ():
                    if full_name == f"{used.alias}__{aggregation.name}":
                        return window_of(view, aggregation, as_of_ms)
        return None

    @staticmethod
    def _notes(others: Sequence[ServiceView], prediction: Prediction) -> list[str]:
        notes = []
        if others:
            names = ", ".join(each.view for each in others)
            notes.append(f"Batch views have the values that the store holds now: {names}.")
        if not prediction.barrier_met:
            notes.append("The views did not contain the event itself in time: see `fence`.")
        notes += [
            f"The row of {alias} no longer held all events of its windows."
            for alias, whole in prediction.complete.items()
            if not whole
        ]
        return notes


def _feature(
    name: str, value: Any, recorded: Mapping[str, Any] | None, effects: Effect | None, window: Window | None
) -> ExplainedFeature:
    return ExplainedFeature(
        name=name,
        recorded=None if recorded is None else recorded.get(name),
        refolded=_as_json(value),
        start_ms=window.start_ms if window else None,
        end_ms=window.end_ms if window else None,
        effects=effects,
    )


def _as_json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bits(value: Any) -> Any:
    """Returns what is equal for values with the same bits; NaN is null, as in JSON."""
    value = _as_json(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return struct.pack("<d", value) if isinstance(value, float) or abs(value) < 2**53 else value
    return msgspec.json.encode(value)
