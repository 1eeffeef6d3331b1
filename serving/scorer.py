"""The Scorer: the one scoring path, whichever door a request came through."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipelines.contract.plan import (
    BatchView,
    DataType,
    FeatureService,
    OnDemandView,
    Plan,
    ServiceView,
    StreamView,
)
from pipelines.errors import FeatureRefused, PlanError, RequestError
from pipelines.steps.arrays import Column, Ints
from serving.columns import to_column, to_values
from serving.feature_reader import FeatureReader, RowReader, stored_views
from serving.incomplete import Wholeness
from serving.model import Model
from serving.on_demand import OnDemandTransform
from serving.policy import apply_policies
from serving.request import ScoringRequest
from serving.view_rows import ViewColumns

_PLACEHOLDERS: dict[DataType, Any] = {
    DataType.STRING: "",
    DataType.INT32: 0,
    DataType.INT64: 0,
    DataType.FLOAT32: 0.0,
    DataType.FLOAT64: 0.0,
    DataType.BOOL: False,
    DataType.UNIX_TIMESTAMP: 0,
} | {dtype: [] for dtype in DataType if dtype.is_list}


class ViewReader(Protocol):
    """Where the values of stored views come from: the online store, or history."""

    def read(self, requests: Sequence[ScoringRequest], as_of_ms: Ints) -> Mapping[str, ViewColumns]:
        """The columns of every view, by the view's alias."""
        ...


class FeatureVectors(NamedTuple):
    """The features of n requests, with where they come from."""

    columns: dict[str, Column]
    """Full feature name -> shape (n,), in the feature service's order."""
    views: Mapping[str, ViewColumns]
    """What was read, by view alias."""
    wholeness: Mapping[str, Wholeness]
    """Per view alias, whether the windows in use lack events."""
    refusals: Mapping[int, FeatureRefused]
    """Requests that a policy refuses."""
    read_ms: float
    on_demand_ms: float

    def complete(self, at: int) -> dict[str, bool]:
        """Per stream view, whether every window in use of one request held all its events."""
        return {alias: self.wholeness[alias].complete(at) for alias, view in self.views.items() if view.streamed}

    def ahead_ms(self, at: int) -> dict[str, int]:
        """Per stream view, how much later than its own time an event in the windows of one request may be, ms."""
        return {
            alias: 0 if view.ahead_ms is None else int(view.ahead_ms[at])
            for alias, view in self.views.items()
            if view.streamed
        }

    def whole_from_ms(self, at: int) -> dict[str, int]:
        """Per view of which one request has a window that lacks events, from when on its row held them all, ms."""
        return {
            alias: int(each.from_ms[at])
            for alias, each in self.wholeness.items()
            if each.from_ms is not None and not each.complete(at)
        }


class FeatureAssembler:
    """Fills the features of one feature service."""

    def __init__(self, plan: Plan, service: FeatureService, reader: ViewReader) -> None:
        self.service = service
        on_demand = {view.name: view for view in plan.on_demand_views}
        self._request = service.field_types
        self._reader = reader
        self._on_demand: list[tuple[ServiceView, OnDemandView, OnDemandTransform]] = [
            (view, on_demand[view.view], OnDemandTransform(on_demand[view.view]))
            for view in service.views
            if view.view in on_demand
        ]
        all_views: list[StreamView | BatchView | OnDemandView] = [
            *plan.stream_views,
            *plan.batch_views,
            *plan.on_demand_views,
        ]
        self._definitions = {view.name: {feature.name: feature for feature in view.features} for view in all_views}
        self.features: dict[str, DataType] = {
            f"{view.alias}__{name}": self._definitions[view.view][name].dtype
            for view in service.views
            for name in view.features
        }
        """Full feature name -> type, in the order of the model's input."""
        self._used = self._used_features()
        if not self.features:
            raise PlanError(f"feature service {service.name!r} has no features")

    def _used_features(self) -> dict[str, set[str]]:
        """By view alias, the stored features that the model or an on-demand function takes."""
        used: dict[str, set[str]] = {view.alias: set(view.features) for view in self.service.views}
        for _, definition, _ in self._on_demand:
            for each in definition.inputs:
                used.setdefault(each.view, set()).add(each.name)
        return used

    def assemble(self, requests: Sequence[ScoringRequest]) -> FeatureVectors:
        """Reads, evaluates and transforms; one round trip to the store.

        Raises:
            StoreUnavailable: the store can't be reached.
            RequestError: an on-demand function failed.
        """
        started = time.perf_counter()
        as_of_ms = np.array([request.as_of_ms for request in requests], dtype=np.int64)
        views = self._reader.read(requests, as_of_ms)
        refusals: dict[int, FeatureRefused] = {}
        wholeness = {alias: Wholeness(view, self._used.get(alias, ()), as_of_ms) for alias, view in views.items()}
        known = self._known(requests, views, wholeness, refusals)
        read = time.perf_counter()
        for view, definition, transform in self._on_demand:
            inputs = {(each.view, each.name): known[each.view, each.name] for each in definition.inputs}
            for name, column in transform(inputs).items():
                feature = self._definitions[view.view][name]
                none_stale = np.zeros(len(requests), dtype=bool)
                full_name = f"{view.alias}__{name}"
                known[view.alias, name] = apply_policies(feature, full_name, column, none_stale, refusals)
        columns = {
            f"{view.alias}__{name}": known[view.alias, name] for view in self.service.views for name in view.features
        }
        finished = time.perf_counter()
        return FeatureVectors(columns, views, wholeness, refusals, (read - started) * 1e3, (finished - read) * 1e3)

    def _known(
        self,
        requests: Sequence[ScoringRequest],
        views: Mapping[str, ViewColumns],
        wholeness: Mapping[str, Wholeness],
        refusals: dict[int, FeatureRefused],
    ) -> dict[tuple[str, str], Column]:
        """Request fields and stored features, by (view alias or "", name), policies applied."""
        known: dict[tuple[str, str], Column] = {}
        for name, dtype in self._request.items():
            known["", name] = to_column([request.fields.get(name) for request in requests], dtype)
        for alias, view in views.items():
            for feature, column in zip(view.features, view.columns, strict=True):
                if feature.name in self._used.get(alias, ()):
                    full_name = f"{alias}__{feature.name}"
                    whole, unknown = wholeness[alias].apply(feature.name, full_name, column, refusals)
                    filled = apply_policies(feature, full_name, whole, view.stale, refusals, unknown)
                    known[alias, feature.name] = filled
        return known

    def values(self, vectors: FeatureVectors) -> dict[str, list[Any]]:
        """The features as Python values, None for null, by full name."""
        return {name: to_values(column, self.features[name]) for name, column in vectors.columns.items()}


class Scored(NamedTuple):
    """The answer to n requests."""

    vectors: FeatureVectors
    scores: dict[str, list[float]]
    """Score name -> one per request."""
    model_ms: float


class Scorer:
    """Features and model together. One thread at a time."""

    def __init__(self, plan: Plan, model: Model, store: RowReader) -> None:
        """Raises:
        ModelError: the model does not fit its feature service.
        PlanError: the plan has no such feature service.
        """
        try:
            service = plan.service(model.card.service)
        except KeyError as error:
            raise PlanError(f"{model} needs {error.args[0]}") from error
        self.project = plan.project
        self.model = model
        self.assembler = FeatureAssembler(plan, service, FeatureReader(plan, stored_views(plan, service), store))
        model.check(self.assembler.features)

    @property
    def service(self) -> FeatureService:
        """The feature service that fills the model's input."""
        return self.assembler.service

    def features(self, requests: Sequence[ScoringRequest]) -> FeatureVectors:
        """The features alone. Raises as `FeatureAssembler.assemble`."""
        return self.assembler.assemble(requests)

    def score(self, requests: Sequence[ScoringRequest]) -> Scored:
        """Features and scores of n requests: one round trip, one run of the model.

        Raises:
            StoreUnavailable, RequestError: as `FeatureAssembler.assemble`.
            ModelError: the model failed.
        """
        vectors = self.features(requests)
        started = time.perf_counter()
        scores = self.model.run(vectors.columns)
        return Scored(vectors, scores, (time.perf_counter() - started) * 1e3)

    def warm_up(self) -> None:
        """Runs the whole path once, so that the first real request pays for nothing.

        Raises:
            StoreUnavailable: the store can't be reached.
            ModelError: the model fails on empty features.
        """
        fields = {name: _PLACEHOLDERS[dtype] for name, dtype in self.service.field_types.items()}
        try:
            self.score([ScoringRequest(fields, 0)])
        except RequestError:
            # An on-demand function need not take placeholders (it may divide by a field): only the model is warmed.
            features = self.assembler.features.items()
            self.model.run({name: to_column([_PLACEHOLDERS[dtype]], dtype) for name, dtype in features})
