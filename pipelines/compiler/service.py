"""Compiles feature services: the ordered input of a model, and everything that must be read for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feast import FeatureService as Declared
from feast.feature_view_projection import FeatureViewProjection

from forebay.pipelines.compiler.checks import check_projection, unique
from forebay.pipelines.compiler.on_demand import Stored
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import Column
from forebay.pipelines.contract.plan.views import JoinKey, OnDemandView
from forebay.pipelines.errors import PlanError

Views = Mapping[str, Stored | OnDemandView]


def compile_service(
    service: Declared, views: Views, on_demand_sources: Mapping[str, Iterable[FeatureViewProjection]]
) -> FeatureService:
    """Compiles a feature service.

    `views` are those that can be served, by name; `on_demand_sources` what each on-demand view reads.

    Raises:
        PlanError: naming the service and what to change.
    """
    where = f"feature service {service.name!r}"
    used = [_service_view(each, views, where) for each in service.feature_view_projections]
    if not used:
        raise PlanError(f"{where} has no features; give it at least one view")
    unique((view.alias for view in used), f"{where}: view")
    read = {view.alias: view for view in used}
    for each in used:
        for projection in on_demand_sources.get(each.view, ()):
            needed = _service_view(projection, views, where)
            _check_same(needed, read.setdefault(needed.alias, needed), where)
    join_keys = _join_keys(read.values(), views, where)
    request = _request([view for each in used if isinstance(view := views[each.view], OnDemandView)], where)
    return FeatureService(
        name=service.name,
        views=tuple(used),
        dependencies=tuple(read.values())[len(used) :],
        request=_beside(request, join_keys, where),
        join_keys=join_keys,
    )


def _service_view(projection: FeatureViewProjection, views: Views, where: str) -> ServiceView:
    view = views.get(projection.name)
    if view is None:
        raise PlanError(
            f"{where} uses view {projection.name!r}, which is unknown, disabled or not online; "
            f"enable it, set online=True, or take it out"
        )
    alias = check_projection(projection, {feature.name for feature in view.features}, where)
    features = unique((field.name for field in projection.features), f"{where}: {alias}: feature")
    keys = () if isinstance(view, OnDemandView) else view.join_keys
    renamed = dict(projection.join_key_map)
    for name in renamed:
        if name not in {key.name for key in keys}:
            raise PlanError(f"{where}: {alias!r} maps join key {name!r}, unknown to the view; correct it")
    return ServiceView(projection.name, alias, features, renamed)


def _check_same(needed: ServiceView, other: ServiceView, where: str) -> None:
    """Checks that an on-demand input and a view of its name are one; without a join key map it takes the view's."""
    keyed_alike = not needed.join_key_map or needed.join_key_map == other.join_key_map
    if needed.view != other.view or not keyed_alike:
        raise PlanError(
            f"{where}: on-demand input {needed.alias!r} is another view, or has another join key map, "
            f"than {needed.alias!r} in the service; give one of them its own name with with_name()"
        )


def _join_keys(read: Iterable[ServiceView], views: Views, where: str) -> tuple[JoinKey, ...]:
    keys: dict[str, JoinKey] = {}
    for each in read:
        view = views[each.view]
        for key in () if isinstance(view, OnDemandView) else view.join_keys:
            name = each.join_key_map.get(key.name, key.name)
            if keys.setdefault(name, JoinKey(name, key.dtype)).dtype is not key.dtype:
                raise PlanError(
                    f"{where}: field {name!r} is join key of views with different types "
                    f"({keys[name].dtype}, {key.dtype}); rename one with with_join_key_map()"
                )
    return tuple(keys.values())


def _request(on_demand: list[OnDemandView], where: str) -> list[Column]:
    fields: dict[str, Column] = {}
    for view in on_demand:
        for each in view.inputs:
            if each.view:
                continue
            if fields.setdefault(each.name, Column(each.name, each.dtype)).dtype is not each.dtype:
                raise PlanError(
                    f"{where}: request field {each.name!r} has different types in its on-demand views "
                    f"({fields[each.name].dtype}, {each.dtype}); make them equal"
                )
    return list(fields.values())


def _beside(request: list[Column], join_keys: tuple[JoinKey, ...], where: str) -> tuple[Column, ...]:
    """Returns the request fields, and refuses a join key among them: Feast's SDK would take it away from its view."""
    keys = {key.name for key in join_keys}
    for column in request:
        if column.name in keys:
            raise PlanError(
                f"{where}: field {column.name!r} of a request source is also a join key, which Feast can't serve; "
                f"give the request's field another name"
            )
    return tuple(request)
