"""Checks that apply to several kinds of objects."""

from __future__ import annotations

from collections.abc import Container, Iterable

from feast.feature_view_projection import FeatureViewProjection

from forebay.pipelines.errors import PlanError


def unique(names: Iterable[str], what: str) -> tuple[str, ...]:
    """Returns the names, and refuses one that occurs twice.

    Raises:
        PlanError: a name occurs twice.
    """
    seen: dict[str, None] = {}
    for name in names:
        if name in seen:
            raise PlanError(f"{what} {name!r} is declared twice; rename one")
        seen[name] = None
    return tuple(seen)


def check_projection(projection: FeatureViewProjection, features: Container[str], where: str) -> str:
    """Returns the name under which a projection's features are used.

    Raises:
        PlanError: it names a version, or a feature that its view does not have.
    """
    alias: str = projection.name_to_use()  # type: ignore[no-untyped-call]
    if projection.version_tag is not None:
        raise PlanError(f"{where}: {alias!r} names a version of a view, not supported; use the latest")
    for field in projection.features:
        if field.name not in features:
            raise PlanError(f"{where}: view {projection.name!r} has no feature {field.name!r}; run feast apply again")
    return alias
