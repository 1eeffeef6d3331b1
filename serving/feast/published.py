"""Published values: what Feast's SDK reads of entities, as of their last events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from forebay.pipelines.contract.store.list_values import decode_list
from forebay.pipelines.contract.store.values import decode_timestamp_us, decode_value
from forebay.serving.feast.entities import Values
from forebay.serving.features.columns import to_column, to_values
from forebay.serving.features.on_demand import OnDemandTransform
from forebay.serving.features.read import join_fields, stored_views, view_definition

Read = tuple[bytes, Sequence[bytes]]
"""A row's key, and the fields to read of it."""


class StoredFeatures(NamedTuple):
    """The published values of one view for n entities."""

    values: dict[str, list[Any]]
    """Feature -> one per entity; None is null. Floats may be NaN or infinite."""
    event_us: list[int | None]
    """Event time of each row, microseconds since the epoch; None: no row."""


class PublishedFeatures:
    """Reads the features of one service."""

    def __init__(self, plan: Plan, service: FeatureService, transforms: Mapping[str, OnDemandTransform]) -> None:
        """Args:
        transforms: on-demand views by name.
        """
        inputs = {view.name: view.inputs for view in plan.on_demand_views}
        used: dict[str, dict[str, None]] = {each.alias: dict.fromkeys(each.features) for each in service.views}
        for each in service.views:
            for needed in inputs.get(each.view, ()):
                used.setdefault(needed.view, {})[needed.name] = None
        self._stored = {
            each.alias: _StoredView(plan, each, list(used[each.alias])) for each in stored_views(plan, service)
        }
        self._on_demand = [
            (each, inputs[each.view], transforms[each.view]) for each in service.views if each.view in inputs
        ]
        self._request = {column.name: column.dtype for column in service.request}
        self._dtypes = {
            (view.name, feature.name): feature.dtype for view in plan.on_demand_views for feature in view.features
        }

    def reads(self, entities: Values) -> list[Read]:
        """Lists what must be read from the store to answer."""
        return [read for view in self._stored.values() for read in view.reads(entities)]

    def stored(self, cells: Iterator[Sequence[bytes | None]], entities: Values) -> dict[str, StoredFeatures]:
        """Decodes the published values by view alias.

        Args:
            cells: what was read, in the order of `reads`.
        """
        return {alias: view.decode(cells, entities) for alias, view in self._stored.items()}

    def on_demand(self, stored: Mapping[str, StoredFeatures], entities: Values) -> dict[str, dict[str, list[Any]]]:
        """Computes the values of on-demand views by view alias and feature.

        Raises:
            RequestError: a view's function fails on these entities.
        """
        out: dict[str, dict[str, list[Any]]] = {}
        for view, inputs, transform in self._on_demand:
            columns = {
                (each.view, each.name): to_column(
                    stored[each.view].values[each.name] if each.view else entities[each.name], each.dtype
                )
                for each in inputs
            }
            found = transform(columns)
            out[view.alias] = {name: to_values(found[name], self._dtypes[view.view, name]) for name in view.features}
        return out


class _StoredView:
    """One stored view as a service uses it."""

    def __init__(self, plan: Plan, view: ServiceView, features: Sequence[str]) -> None:
        definition = view_definition(plan, view)
        dtypes = {feature.name: feature.dtype for feature in definition.features}
        self._features: dict[str, DataType] = {name: dtypes[name] for name in features}
        self._fields = [timestamp_field(definition.name), *(feature_field(definition.name, name) for name in features)]
        self._join_fields = join_fields(plan, view)
        self._encode = EntityKeyEncoder(definition.join_keys, plan.project)

    def _keys(self, entities: Values) -> list[bytes]:
        return [self._encode(row) for row in zip(*(entities[name] for name in self._join_fields), strict=True)]

    def reads(self, entities: Values) -> list[Read]:
        """Lists one read per distinct row."""
        return [(key, self._fields) for key in dict.fromkeys(self._keys(entities))]

    def decode(self, cells: Iterator[Sequence[bytes | None]], entities: Values) -> StoredFeatures:
        """Takes the view's own cells, as many as `reads` has."""
        keys = self._keys(entities)
        rows = {key: next(cells) for key in dict.fromkeys(keys)}
        times = {key: decode_timestamp_us(row[0]) if row[0] else None for key, row in rows.items()}
        values: dict[str, list[Any]] = {}
        for at, (name, dtype) in enumerate(self._features.items(), 1):
            decode: Any = decode_list if dtype.is_list else decode_value
            decoded = {key: decode(row[at]) for key, row in rows.items()}
            values[name] = [decoded[key] for key in keys]
        return StoredFeatures(values, [times[key] for key in keys])
