"""Assemble: one read, and one row of features for each request."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView, OnDemandView, StreamView
from forebay.pipelines.errors import PlanError, RequestError
from forebay.pipelines.steps.arrays import Column, Ints
from forebay.serving.features.columns import to_column, to_values
from forebay.serving.features.incomplete import Wholeness
from forebay.serving.features.isolate import isolate
from forebay.serving.features.missing_values import apply_policies
from forebay.serving.features.on_demand import OnDemandTransform
from forebay.serving.features.request import ScoringRequest
from forebay.serving.features.rows import ViewColumns

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
        """Reads the columns of every view, by the view's alias."""
        ...


def times_of(requests: Sequence[ScoringRequest]) -> Ints:
    """Collects the as-of times of requests, ms, shape (n,)."""
    return np.array([request.as_of_ms for request in requests], dtype=np.int64)


class FeatureVectors(NamedTuple):
    """The features of n requests, with where they come from."""

    columns: dict[str, Column]
    """Full feature name -> shape (n,), in the feature service's order."""
    views: Mapping[str, ViewColumns]
    """What was read, by view alias."""
    wholeness: Mapping[str, Wholeness]
    """Per view alias, whether the windows in use lack events."""
    refusals: Mapping[int, RequestError]
    """Requests that a policy refuses (`FeatureRefused`), or on which an on-demand function fails."""
    read_ms: float
    on_demand_ms: float

    def complete(self, at: int) -> dict[str, bool]:
        """Tells, per stream view, whether every window in use of one request held all its events."""
        return {alias: self.wholeness[alias].complete(at) for alias, view in self.views.items() if view.streamed}

    def ahead_ms(self, at: int) -> dict[str, int]:
        """Tells, per stream view, how much later than its own time one request's windows may hold an event, ms."""
        return {
            alias: 0 if view.ahead_ms is None else int(view.ahead_ms[at])
            for alias, view in self.views.items()
            if view.streamed
        }

    def whole_from_ms(self, at: int) -> dict[str, int]:
        """Tells, per view with a window that lacks events in one request, from when on its row held them all, ms."""
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
        self.runs_functions = bool(self._on_demand)
        """Whether it calls functions of users, which may take any time, and on one thread only."""
        self._used = self._used_features()
        if not self.features:
            raise PlanError(f"feature service {service.name!r} has no features")

    def _used_features(self) -> dict[str, set[str]]:
        """Collects, by view alias, the stored features that the model or an on-demand function takes."""
        used: dict[str, set[str]] = {view.alias: set(view.features) for view in self.service.views}
        for _, definition, _ in self._on_demand:
            for each in definition.inputs:
                used.setdefault(each.view, set()).add(each.name)
        return used

    def assemble(self, requests: Sequence[ScoringRequest]) -> FeatureVectors:
        """Reads, evaluates and transforms; one round trip to the store.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        started = time.perf_counter()
        as_of_ms = times_of(requests)
        return self.complete(requests, as_of_ms, self._reader.read(requests, as_of_ms), started)

    def complete(
        self, requests: Sequence[ScoringRequest], as_of_ms: Ints, views: Mapping[str, ViewColumns], started: float
    ) -> FeatureVectors:
        """Completes the features of views that were read: applies policies, and computes on-demand features.

        Args:
            as_of_ms: shape (n,), of the requests.
            started: when reading began, of `time.perf_counter`.
        """
        refusals: dict[int, RequestError] = {}
        wholeness = {alias: Wholeness(view, self._used.get(alias, ()), as_of_ms) for alias, view in views.items()}
        known = self._known(requests, views, wholeness, refusals)
        read = time.perf_counter()
        for view, definition, transform in self._on_demand:
            inputs = {(each.view, each.name): known[each.view, each.name] for each in definition.inputs}
            for name, column in self._transformed(definition, transform, inputs, refusals).items():
                feature = self._definitions[view.view][name]
                none_stale = np.zeros(len(requests), dtype=bool)
                full_name = f"{view.alias}__{name}"
                known[view.alias, name] = apply_policies(feature, full_name, column, none_stale, refusals)
        columns = {
            f"{view.alias}__{name}": known[view.alias, name] for view in self.service.views for name in view.features
        }
        finished = time.perf_counter()
        return FeatureVectors(columns, views, wholeness, refusals, (read - started) * 1e3, (finished - read) * 1e3)

    @staticmethod
    def _transformed(
        view: OnDemandView,
        transform: OnDemandTransform,
        inputs: Mapping[tuple[str, str], Column],
        refusals: dict[int, RequestError],
    ) -> dict[str, Column]:
        """Computes the view's features by name; requests on which its function fails have nulls, and are refused."""
        try:
            return transform(inputs)
        except RequestError:
            count = len(next(iter(inputs.values())))

        def run(part: Sequence[int]) -> list[dict[str, Any]]:
            columns = transform({name: column[list(part)] for name, column in inputs.items()})
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

        def alone(at: int, error: Exception) -> dict[str, Any]:
            if not isinstance(error, RequestError):
                raise error
            refusals.setdefault(at, error)
            return {feature.name: None for feature in view.features}

        rows = isolate(range(count), run, alone)
        return {
            feature.name: to_column([row[feature.name] for row in rows], feature.dtype) for feature in view.features
        }

    def _known(
        self,
        requests: Sequence[ScoringRequest],
        views: Mapping[str, ViewColumns],
        wholeness: Mapping[str, Wholeness],
        refusals: dict[int, RequestError],
    ) -> dict[tuple[str, str], Column]:
        """Collects request fields and stored features, by (view alias or "", name), with policies applied."""
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
        """Converts the features to Python values, None for null, by full name."""
        return {name: to_values(column, self.features[name]) for name, column in vectors.columns.items()}
