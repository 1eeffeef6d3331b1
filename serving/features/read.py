"""Reads the rows of all entities of all requests in one round trip, evaluated as of each request's time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.views import BatchView, StreamView
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.pipelines.contract.store.keys import removed_key
from forebay.pipelines.steps.arrays import Ints
from forebay.serving.features.request import ScoringRequest
from forebay.serving.features.rows import BatchRows, StreamRows, ViewColumns

Rows = list[list[bytes | None]]
"""Per row, the values of the fields that were asked for; None where absent."""


class RowReader(Protocol):
    """What the scorer needs of an online store."""

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> Rows:
        """Reads, per (key, fields), the fields' values; None where absent. Raises `StoreUnavailable`."""
        ...


class AsyncRowReader(Protocol):
    """The same on an event loop."""

    async def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> Rows:
        """See `RowReader.read`."""
        ...

    async def close(self) -> None:
        """Gives up what it holds."""
        ...


class Lookup(NamedTuple):
    """What is to be read for n requests."""

    keys: list[list[bytes | None]]
    """Per view, one per request; None: the request does not know the entity."""
    rows: dict[bytes, list[bytes]]
    """Key -> fields, view by view."""
    asked: list[tuple[bytes, Sequence[bytes]]]
    """For `RowReader.read`: the rows, and after them what says which rows may have been removed: so a row that was
    removed before it was read is told of, in the same round trip."""


class FeatureReader:
    """Reads the views that one feature service uses."""

    def __init__(self, plan: Plan, views: Sequence[ServiceView], store: RowReader) -> None:
        self._store = store
        self._views = [_View(plan, view) for view in views]
        self._removed_key = removed_key(plan.project)
        self._removed_fields = [view.rows.removed_field for view in self._views if isinstance(view.rows, StreamRows)]

    def read(self, requests: Sequence[ScoringRequest], as_of_ms: Ints) -> dict[str, ViewColumns]:
        """Reads the columns of every view, by the view's alias.

        Args:
            as_of_ms: shape (n,).
        """
        lookup = self.lookup(requests)
        return self.columns(lookup, self._store.read(lookup.asked) if lookup.asked else [], as_of_ms)

    def lookup(self, requests: Sequence[ScoringRequest]) -> Lookup:
        """Lists what has to be read."""
        keys = [[view.key(each) for each in requests] for view in self._views]
        rows: dict[bytes, list[bytes]] = {}
        for view, view_keys in zip(self._views, keys, strict=True):
            for key in known_keys(view_keys):
                rows.setdefault(key, []).extend(view.rows.fields)
        asked: list[tuple[bytes, Sequence[bytes]]] = list(rows.items())
        if asked and self._removed_fields:
            asked.append((self._removed_key, self._removed_fields))
        return Lookup(keys, rows, asked)

    def columns(self, lookup: Lookup, cells: Rows, as_of_ms: Ints) -> dict[str, ViewColumns]:
        """Evaluates what was read: the columns of every view, by the view's alias.

        Args:
            cells: what `RowReader.read` returned for `lookup.asked`.
            as_of_ms: shape (n,).
        """
        found = dict(zip(lookup.rows, cells, strict=False))
        told = cells[-1] if len(cells) > len(found) else [None] * len(self._removed_fields)
        removed = dict(zip(self._removed_fields, told, strict=True))
        out: dict[str, ViewColumns] = {}
        for view, view_keys in zip(self._views, lookup.keys, strict=True):
            size = len(view.rows.fields)
            own: dict[bytes | None, list[bytes | None]] = {None: [None] * size}
            for key in known_keys(view_keys):
                # The fields of one key were asked for view by view: take this view's share from the front.
                own[key], found[key] = found[key][:size], found[key][size:]
            rows = [own[key] for key in view_keys]
            if isinstance(view.rows, StreamRows):
                out[view.alias] = view.rows.evaluate(rows, as_of_ms, removed[view.rows.removed_field])
            else:
                out[view.alias] = view.rows.evaluate(rows, as_of_ms)
        return out


class _View:
    """One view as a service uses it."""

    def __init__(self, plan: Plan, view: ServiceView) -> None:
        definition = view_definition(plan, view)
        self.alias = view.alias
        self.rows = StreamRows(plan, definition) if isinstance(definition, StreamView) else BatchRows(definition)
        self._fields = join_fields(plan, view)
        self._encode = EntityKeyEncoder(definition.join_keys, plan.project)

    def key(self, request: ScoringRequest) -> bytes | None:
        """Makes the key of the entity's row; None if the request does not know the entity."""
        values = [request.fields.get(name) for name in self._fields]
        return None if None in values else self._encode(values)


def known_keys(keys: Sequence[bytes | None]) -> set[bytes]:
    """Collects the distinct keys, without None, which stands for an unknown entity."""
    return {key for key in keys if key is not None}


def stored_views(plan: Plan, service: FeatureService) -> list[ServiceView]:
    """Lists the views of a service that are read from the store: all but on-demand views."""
    on_demand = {view.name for view in plan.on_demand_views}
    return [view for view in (*service.views, *service.dependencies) if view.view not in on_demand]


def view_definition(plan: Plan, view: ServiceView) -> StreamView | BatchView:
    """Finds the stream or batch view behind a service's use of it (`KeyError` names an unknown one)."""
    definitions: list[StreamView | BatchView] = [*plan.stream_views, *plan.batch_views]
    for each in definitions:
        if each.name == view.view:
            return each
    raise KeyError(f"no stream or batch feature view named {view.view!r} in the plan")


def join_fields(plan: Plan, view: ServiceView) -> list[str]:
    """Lists the request fields that hold the view's join keys, in the order of its join keys."""
    keys = view_definition(plan, view).join_keys
    return [view.join_key_map.get(key.name, key.name) for key in keys]
