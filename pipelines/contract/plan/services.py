"""Feature services: the ordered input of a model."""

from __future__ import annotations

import msgspec

from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import JoinKey


class ServiceView(msgspec.Struct, frozen=True):
    """A view as a feature service uses it."""

    view: str
    alias: str
    """Feast's `name_to_use()`; prefix of full feature names `alias__feature`."""
    features: tuple[str, ...]
    """The projected features, in the service's order."""
    join_key_map: dict[str, str] = {}
    """Join key of the view -> field of the request that holds it."""


class FeatureService(msgspec.Struct, frozen=True):
    """The ordered input of a model: the features of its views, one after the other."""

    name: str
    views: tuple[ServiceView, ...]
    """Stream, batch and on-demand views, in the order of the model's input columns."""
    dependencies: tuple[ServiceView, ...] = ()
    """Views read only because an on-demand view needs them; no column of the model's input."""
    request: tuple[Column, ...] = ()
    """Fields the scored event (or the HTTP body) brings beside the join keys."""
    join_keys: tuple[JoinKey, ...] = ()
    """Request fields that name entities, after `join_key_map`."""

    @property
    def field_types(self) -> dict[str, DataType]:
        """All fields of a request, join keys first."""
        keys = {key.name: key.dtype for key in self.join_keys}
        return keys | {column.name: column.dtype for column in self.request}
