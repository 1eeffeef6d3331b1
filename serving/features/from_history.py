"""Reads views from history instead of the online store: training rows through the scoring path itself."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import ServiceView
from forebay.pipelines.contract.plan.views import BatchView
from forebay.pipelines.history.as_of import ViewHistory
from forebay.pipelines.history.batch_rows import read_batch_rows
from forebay.pipelines.history.load import History
from forebay.pipelines.steps.arrays import Ints
from forebay.serving.features.columns import to_column
from forebay.serving.features.read import join_fields, view_definition
from forebay.serving.features.request import ScoringRequest
from forebay.serving.features.rows import ViewColumns


class BatchHistory:
    """A batch view's source: the values as of any time."""

    def __init__(self, view: BatchView) -> None:
        """Raises:
        HistoryError: the batch source can't be read.
        """
        self.view = view
        self._rows: dict[tuple[Any, ...], tuple[list[int], list[list[Any]]]] = {}
        """By entity, the times of its rows in ascending order, and their values."""
        for row in read_batch_rows(view):
            entity_times, entity_rows = self._rows.setdefault(row.entity, ([], []))
            entity_times.append(row.event_ms)
            entity_rows.append(row.values)

    def read(self, entities: Sequence[tuple[Any, ...]], as_of_ms: Ints) -> ViewColumns:
        """Reads the newest row at or before each time; older than the ttl is read as null."""
        found = [self._newest(key, at) for key, at in zip(entities, as_of_ms.tolist(), strict=True)]
        event_ms = np.array([row[0] if row else np.nan for row in found])
        stale = as_of_ms - event_ms > self.view.ttl_ms if self.view.ttl_ms else np.zeros(len(found), dtype=bool)
        columns = [
            to_column(
                [None if row is None or old else row[1][at] for row, old in zip(found, stale.tolist(), strict=True)],
                feature.dtype,
            )
            for at, feature in enumerate(self.view.features)
        ]
        return ViewColumns(self.view.features, columns, stale, [None] * len(found), event_ms, streamed=False)

    def _newest(self, key: tuple[Any, ...], at_ms: int) -> tuple[int, list[Any]] | None:
        times, rows = self._rows.get(key, ((), ()))
        at = bisect.bisect_right(times, at_ms)
        return (times[at - 1], rows[at - 1]) if at else None


class StreamHistory:
    """A stream view's events: windows as of any time."""

    def __init__(self, history: ViewHistory) -> None:
        self._history = history

    def read(self, entities: Sequence[tuple[Any, ...]], as_of_ms: Ints) -> ViewColumns:
        """Computes the view's columns; an entity silent for longer than the ttl is read as if it had no events."""
        view = self._history.view
        found = self._history.as_of(self._history.codes(entities), as_of_ms, view.ttl_ms)
        stale = np.zeros(len(entities), dtype=bool)
        if view.ttl_ms:
            stale = as_of_ms - found.event_ms > view.ttl_ms
        return ViewColumns(view.features, found.values, stale, [None] * len(entities), found.event_ms, streamed=True)


class HistoryReader:
    """Implements `forebay.serving.features.assemble.ViewReader` on history."""

    def __init__(self, plan: Plan, views: Sequence[ServiceView], history: History) -> None:
        """Raises:
        HistoryError: a file of history is missing or does not fit.
        """
        known: dict[str, StreamHistory | BatchHistory] = {}
        for view in views:
            if view.view not in known:
                definition = view_definition(plan, view)
                if isinstance(definition, BatchView):
                    known[view.view] = BatchHistory(definition)
                else:
                    known[view.view] = StreamHistory(ViewHistory(definition, history.view_events(plan, definition)))
        self._views = [(view.alias, join_fields(plan, view), known[view.view]) for view in views]

    def read(self, requests: Sequence[ScoringRequest], as_of_ms: Ints) -> dict[str, ViewColumns]:
        """See `forebay.serving.features.assemble.ViewReader.read`."""
        return {
            alias: history.read([tuple(map(request.fields.get, fields)) for request in requests], as_of_ms)
            for alias, fields, history in self._views
        }
