"""Look up: all that is prepared for one list of features, or one feature service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.serving.feast.as_of import FeaturesAsOf
from forebay.serving.feast.encode import AnswerColumn, present, timestamp_text
from forebay.serving.feast.entities import Values
from forebay.serving.feast.published import PublishedFeatures, Read
from forebay.serving.feast.request import OnlineFeaturesRequest
from forebay.serving.feast.select import Selector, column_name
from forebay.serving.features.on_demand import OnDemandTransform
from forebay.serving.features.read import RowReader, stored_views

_KEPT = 256
"""Lists of features that stay prepared; a client may name any number of them."""


class Lookup:
    """The features of one service, from either kind of values."""

    def __init__(
        self, plan: Plan, service: FeatureService, store: RowReader, transforms: Mapping[str, OnDemandTransform]
    ) -> None:
        self.service = service
        self.views = [view.view for view in stored_views(plan, service)]
        """Names of the stored views that are read."""
        self._plan = plan
        self._store = store
        self._published = PublishedFeatures(plan, service, transforms)

    def reads(self, entities: Values) -> list[Read]:
        """Lists what must be read from the store for `published`."""
        return self._published.reads(entities)

    def published(
        self, cells: Iterator[Sequence[bytes | None]], entities: Values, full_names: bool
    ) -> list[AnswerColumn]:
        """Computes the columns that Feast's SDK would read from the store: first what is stored, then what is computed.

        Args:
            cells: what was read, in the order of `reads`; exactly these are taken.

        Raises:
            RequestError: the function of an on-demand view fails on these entities.
        """
        stored = self._published.stored(cells, entities)
        computed = self._published.on_demand(stored, entities)
        columns = []
        for view in self.service.views:
            if view.alias in stored:
                times = [timestamp_text(each) for each in stored[view.alias].event_us]
                for name in view.features:
                    values = stored[view.alias].values[name]
                    columns.append(present(column_name(view, name, full_names), values, times))
        for view in self.service.views:
            for name, values in computed.get(view.alias, {}).items():
                columns.append(present(column_name(view, name, full_names), values))
        return columns

    @cached_property
    def as_of(self) -> FeaturesAsOf:
        """The values as of a time."""
        return FeaturesAsOf(self._plan, self.service, self._store)


class Lookups:
    """Prepares lookups, and keeps those that were asked for last. Any thread."""

    def __init__(self, plan: Plan, store: RowReader) -> None:
        self._plan = plan
        self._store = store
        self._select = Selector(plan)
        self._transforms = {view.name: OnDemandTransform(view) for view in plan.on_demand_views}
        self._kept = lru_cache(_KEPT)(self._prepare)

    def __call__(self, request: OnlineFeaturesRequest) -> Lookup:
        """Finds the lookup for what a request names. Raises as `Selector`."""
        if request.feature_service:
            return self._kept(request.feature_service, ())
        return self._kept(None, tuple(request.features))

    def _prepare(self, service: str | None, references: tuple[str, ...]) -> Lookup:
        return Lookup(self._plan, self._select(service, references), self._store, self._transforms)
