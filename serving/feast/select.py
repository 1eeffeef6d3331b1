"""Select: what a request names, as the feature service that holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import Column
from forebay.pipelines.contract.plan.views import BatchView, JoinKey, OnDemandView, StreamView
from forebay.serving.feast.errors import InvalidField, ObjectNotFound

View = StreamView | BatchView | OnDemandView


class Selector:
    """Finds what requests to one plan name."""

    def __init__(self, plan: Plan) -> None:
        self._project = plan.project
        self._services = {service.name: service for service in plan.services}
        views: list[View] = [*plan.stream_views, *plan.batch_views, *plan.on_demand_views]
        self._views = {view.name: view for view in views}

    def __call__(self, service: str | None, references: Sequence[str]) -> FeatureService:
        """Finds the feature service that is named, or makes one of features, each `view:feature`.

        Raises:
            ObjectNotFound: a service, view or feature is unknown.
            InvalidField: nothing is named, or a reference can't be meant.
        """
        return self._named(service) if service else self._made(references)

    def _named(self, name: str) -> FeatureService:
        try:
            return self._services[name]
        except KeyError:
            raise ObjectNotFound(
                "FeatureServiceNotFoundException",
                f"Feature service {name} does not exist in project {self._project}; it has: {_listed(self._services)}",
            ) from None

    def _made(self, references: Sequence[str]) -> FeatureService:
        if not references:
            raise InvalidField(("features",), "name features as `view:feature`, or a feature_service")
        features: dict[str, list[str]] = {}
        for at, reference in enumerate(references):
            name, feature = _parsed(reference, at)
            self._check_feature(name, feature)
            features.setdefault(name, []).append(feature)
        used = tuple(ServiceView(name, name, tuple(names)) for name, names in features.items())
        on_demand = [view for name in features if isinstance(view := self._views[name], OnDemandView)]
        dependencies = tuple(ServiceView(name, name, ()) for name in self._inputs_of(on_demand) if name not in features)
        request = {
            each.name: Column(each.name, each.dtype) for view in on_demand for each in view.inputs if not each.view
        }
        keys = self._join_keys([*features, *(each.view for each in dependencies)])
        return FeatureService("", used, dependencies, tuple(request.values()), keys)

    def _check_feature(self, view: str, feature: str) -> None:
        if view not in self._views:
            raise ObjectNotFound(
                "FeatureViewNotFoundException",
                f"Feature view {view} does not exist in project {self._project}, or is not served online; "
                f"it has: {_listed(self._views)}",
            )
        known = [each.name for each in self._views[view].features]
        if feature not in known:
            raise ObjectNotFound(
                "FeastObjectNotFoundException",
                f"Feature {feature} does not exist in feature view {view}; it has: {_listed(known)}",
            )

    def _inputs_of(self, views: Iterable[OnDemandView]) -> list[str]:
        """Collects the stored views that on-demand views read, each once."""
        names = dict.fromkeys(each.view for view in views for each in view.inputs if each.view)
        for name in names:
            if name not in self._views:
                raise InvalidField(
                    ("features",),
                    f"an on-demand view reads {name!r}, a view under another name: ask for a feature_service with it",
                )
        return list(names)

    def _join_keys(self, names: Sequence[str]) -> tuple[JoinKey, ...]:
        keys: dict[str, JoinKey] = {}
        for name in names:
            view = self._views[name]
            if not isinstance(view, OnDemandView):
                keys |= {key.name: key for key in view.join_keys}
        return tuple(keys.values())


def _parsed(reference: str, at: int) -> tuple[str, str]:
    """Splits `view:feature`; a version may only be the latest, which is served."""
    view, colon, feature = reference.partition(":")
    name, _, version = view.partition("@")
    if not colon or not name or not feature:
        raise InvalidField(("features", at), f"{reference!r} is no reference: write `view:feature`")
    if version not in ("", "latest"):
        raise InvalidField(("features", at), f"{reference!r}: versions of views are not kept: leave out `@{version}`")
    return name, feature


def column_name(view: ServiceView, feature: str, full: bool) -> str:
    """Names the feature in the answer."""
    return f"{view.alias}__{feature}" if full else feature


def check_names(service: FeatureService, full: bool) -> None:
    """Raises `InvalidField` if two features would have one name in the answer."""
    counts = Counter(column_name(view, each, full) for view in service.views for each in view.features)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        repair = "name each of them once" if full else "set full_feature_names, or name each of them once"
        raise InvalidField(("features",), f"several features would be called {_listed(twice)}: {repair}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
