"""Refuses tags of Forebay that are misspelt, or have no effect where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from feast import FeatureView, Field, OnDemandFeatureView
from feast.stream_feature_view import StreamFeatureView

from forebay.pipelines.compiler.registry import Registry
from forebay.pipelines.contract.plan.tags import Place, misplaced
from forebay.pipelines.errors import PlanError

_Tagged = tuple[str, Mapping[str, str], Place | None]
"""An object for errors, its tags, and which of ours it takes."""


def check_tags(registry: Registry) -> None:
    """Does nothing if every tag has an effect or is the user's own.

    Raises:
        PlanError: naming the object, the tag and the repair.
    """
    for where, tags, place in _tagged(registry):
        wrong = misplaced(tags, place)
        if wrong is not None:
            raise PlanError(f"{where}: {wrong}")


def _tagged(registry: Registry) -> Iterator[_Tagged]:
    for entity in registry.entities:
        yield f"entity {entity.name!r}", entity.tags, None
    for source in registry.kafka_sources:
        yield f"Kafka source {source.name!r}", source.tags, Place.SOURCE
    for view in chain(registry.stream_views, registry.batch_views):
        yield from _view(view)
    for on_demand in registry.on_demand_views:
        yield from _on_demand_view(on_demand)
    for service in registry.services:
        yield f"feature service {service.name!r}", service.tags, None
        for projection in service.feature_view_projections:
            # Of an on-demand view only services keep the tags of its features.
            at = f"feature service {service.name!r}: view {projection.name!r}"
            yield from _fields(projection.features, at, Place.FEATURE)


def _view(view: FeatureView) -> Iterator[_Tagged]:
    streamed = isinstance(view, StreamFeatureView)
    where = f"stream feature view {view.name!r}" if streamed else f"feature view {view.name!r}"
    yield where, view.tags or {}, Place.STREAM_VIEW if streamed else None
    if view.batch_source is not None:
        yield f"{where}: batch source {view.batch_source.name!r}", view.batch_source.tags or {}, None
    yield from _fields(view.features, where, Place.FEATURE)
    yield from _fields(view.entity_columns, where, None)


def _on_demand_view(view: OnDemandFeatureView) -> Iterator[_Tagged]:
    where = f"on-demand feature view {view.name!r}"
    yield where, view.tags or {}, None
    yield from _fields(view.features, where, Place.FEATURE)
    for source in view.source_request_sources.values():
        at = f"{where}: request source {source.name!r}"
        yield at, source.tags or {}, None
        yield from _fields(source.schema, at, None)


def _fields(fields: Iterable[Field], where: str, place: Place | None) -> Iterator[_Tagged]:
    for field in fields:
        yield f"{where}: field {field.name!r}", field.tags or {}, place
