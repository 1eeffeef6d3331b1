"""Compiles on-demand feature views: what they read, and their function."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from feast import OnDemandFeatureView
from feast.feature_view_projection import FeatureViewProjection

from forebay.pipelines.compiler.checks import check_projection, unique
from forebay.pipelines.compiler.features import compile_feature
from forebay.pipelines.compiler.schema import dtype_of
from forebay.pipelines.compiler.udf import load, stored_udf
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView, OnDemandInput, OnDemandView, StreamView, Udf
from forebay.pipelines.errors import PlanError

Stored = StreamView | BatchView
"""Views with values in the store."""


def compile_on_demand_view(
    view: OnDemandFeatureView,
    views: Mapping[str, Stored],
    tags: Mapping[str, Mapping[str, str]],
    repo: Path,
) -> OnDemandView:
    """Compiles an on-demand view.

    `views` are the stored views by name. `tags` are the tags by feature as the feature services keep
    them: Feast's registry drops the view's own. Its function must not need modules from `repo`.

    Raises:
        PlanError: naming the view and what to change.
    """
    where = f"on-demand feature view {view.name!r}"
    if view.aggregations or view.write_to_online_store:
        raise PlanError(
            f"{where} has aggregations or write_to_online_store=True, which are not supported; "
            f"aggregate in a stream feature view and compute on read"
        )
    udf = _udf(view, where)
    load(udf, where, repo)
    unique((field.name for field in view.features), f"{where}: feature")
    features = tuple(compile_feature(field, where, tags.get(field.name, field.tags)) for field in view.features)
    return OnDemandView(view.name, _inputs(view, views, where), features, udf)


def _udf(view: OnDemandFeatureView, where: str) -> Udf:
    transformation = view.to_proto().spec.feature_transformation
    if transformation.WhichOneof("transformation") != "user_defined_function":
        raise PlanError(f"{where} has no Python function; declare it with @on_demand_feature_view")
    return stored_udf(transformation.user_defined_function, view.mode, where, singleton=view.singleton)


def _inputs(view: OnDemandFeatureView, views: Mapping[str, Stored], where: str) -> tuple[OnDemandInput, ...]:
    inputs = []
    for _, projection in sorted(view.source_feature_view_projections.items()):
        inputs += _view_inputs(projection, views, where)
    for _, source in sorted(view.source_request_sources.items()):
        at = f"{where}: request source {source.name!r}: field"
        inputs += [
            OnDemandInput(field.name, "", dtype_of(field.dtype, f"{at} {field.name!r}")) for field in source.schema
        ]
    seen: dict[str, OnDemandInput] = {}
    for each in inputs:
        other = seen.setdefault(each.name, each)
        if other is not each:
            one, two = (origin.view or "the request" for origin in (other, each))
            raise PlanError(
                f"{where}: input {each.name!r} comes from {one} and from {two}; "
                f"its function sees bare names, so choose features of its sources with view[[...]]"
            )
    return tuple(inputs)


def _view_inputs(projection: FeatureViewProjection, views: Mapping[str, Stored], where: str) -> list[OnDemandInput]:
    view = views.get(projection.name)
    if view is None:
        raise PlanError(
            f"{where}: its source {projection.name!r} is no stream or batch feature view that is served; "
            f"enable it, set online=True, or choose another"
        )
    dtypes: dict[str, DataType] = {feature.name: feature.dtype for feature in view.features}
    alias = check_projection(projection, dtypes, where)
    return [OnDemandInput(field.name, alias, dtypes[field.name]) for field in projection.features]
