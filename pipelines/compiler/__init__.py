"""Compiles a Feast registry into a checked `Plan`. This is the only package that imports Feast.

Runs in a short-lived process of its own, `python -m forebay.pipelines.compiler --repo DIR --out FILE`.

    registry -> sources -> stream views (udf, aggregations), batch views -> on-demand views -> services
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from feast import FeatureView, OnDemandFeatureView
from feast.base_feature_view import BaseFeatureView

from forebay.pipelines.compiler.batch import compile_batch_view
from forebay.pipelines.compiler.checks import unique
from forebay.pipelines.compiler.fingerprint import plan_fingerprint
from forebay.pipelines.compiler.on_demand import Stored, compile_on_demand_view
from forebay.pipelines.compiler.registry import Registry, open_registry
from forebay.pipelines.compiler.service import compile_service
from forebay.pipelines.compiler.sources import compile_sources
from forebay.pipelines.compiler.stream import compile_stream_view
from forebay.pipelines.compiler.tags import check_tags
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.views import BatchView, OnDemandView, StreamView

__all__ = ["compile_registry", "compile_repo"]

Declared = TypeVar("Declared", bound=FeatureView | OnDemandFeatureView)


def compile_repo(repo_path: Path) -> Plan:
    """Compiles the feature repo in a folder, as last applied.

    Raises:
        PlanError: naming the object that can't be used and the repair.
    """
    return compile_registry(open_registry(repo_path))


def compile_registry(registry: Registry) -> Plan:
    """Compiles everything that is registered; views and services come in the order of their names.

    Raises:
        PlanError: naming the object that can't be used and the repair.
    """
    unique((view.name for view in _all_views(registry)), "view")
    check_tags(registry)
    entities = {entity.name: entity for entity in registry.entities}
    sources = compile_sources(registry.kafka_sources, registry.repo)
    stream_views = tuple(
        compile_stream_view(view, entities, sources, registry.repo) for view in _enabled(registry.stream_views)
    )
    batch_views = tuple(compile_batch_view(view, entities, registry.repo) for view in _enabled(registry.batch_views))
    stored = _served(registry, stream_views, batch_views)
    on_demand_views = tuple(
        compile_on_demand_view(view, stored, _tags_in_services(view, registry), registry.repo)
        for view in _enabled(registry.on_demand_views)
    )
    plan = Plan(
        format=PLAN_FORMAT,
        project=registry.project,
        fingerprint="",
        redis=registry.redis,
        sources=tuple({source.name: source for source in sources.values()}.values()),
        stream_views=stream_views,
        batch_views=batch_views,
        on_demand_views=on_demand_views,
        services=_services(registry, stored, on_demand_views),
    )
    return msgspec.structs.replace(plan, fingerprint=plan_fingerprint(plan))


def _all_views(registry: Registry) -> list[BaseFeatureView]:
    return [*registry.stream_views, *registry.batch_views, *registry.on_demand_views]


def _enabled(views: Iterable[Declared]) -> list[Declared]:
    """Returns the views in the order of their names, without those that `feast feature-views disable` switched off."""
    return sorted((view for view in views if view.enabled), key=lambda view: view.name)


def _served(
    registry: Registry, stream_views: Iterable[StreamView], batch_views: Iterable[BatchView]
) -> dict[str, Stored]:
    """Returns the views whose values can be read online, by name."""
    offline = {view.name for view in (*registry.stream_views, *registry.batch_views) if not view.online}
    views: list[Stored] = [*stream_views, *batch_views]
    return {view.name: view for view in views if view.name not in offline}


def _services(
    registry: Registry, stored: Mapping[str, Stored], on_demand_views: Iterable[OnDemandView]
) -> tuple[FeatureService, ...]:
    views: dict[str, Stored | OnDemandView] = {**stored, **{view.name: view for view in on_demand_views}}
    sources = {view.name: view.source_feature_view_projections.values() for view in registry.on_demand_views}
    return tuple(
        compile_service(service, views, sources) for service in sorted(registry.services, key=lambda each: each.name)
    )


def _tags_in_services(view: OnDemandFeatureView, registry: Registry) -> dict[str, dict[str, str]]:
    return {
        field.name: field.tags
        for service in registry.services
        for projection in service.feature_view_projections
        if projection.name == view.name
        for field in projection.features
    }
