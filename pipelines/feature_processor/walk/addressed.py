"""Finds the records of a batch that are for some views only: those replayed for the views that had refused them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from forebay.pipelines.contract.kafka.recipients import ONLY_FOR_HEADER, only_for
from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.errors import DecodeError
from forebay.pipelines.steps.events import EventBatch


class Addressed:
    """Says per record which views, by definition, take it. A record without the header is for all of them."""

    def __init__(self, project: str, records: Sequence[Record]) -> None:
        """Args:
        project: of the views; a record that is for another project is for none of them.
        """
        self.errors: dict[int, DecodeError] = {}
        """By place in the batch, records that do not say who they are for."""
        self._views: dict[int, Collection[str]] = {}
        for index, record in enumerate(records):
            for name, _ in record.headers:
                if name == ONLY_FOR_HEADER:
                    self._note(index, record, project)
                    break

    def _note(self, index: int, record: Record, project: str) -> None:
        try:
            recipients = only_for(record.headers)
        except DecodeError as error:
            self.errors[index] = error
        else:
            if recipients is not None:
                self._views[index] = recipients.views if recipients.project == project else ()

    def __contains__(self, index: int) -> bool:
        """Tells whether a record is for some views only."""
        return index in self._views

    def among(self, index: int, views: Iterable[str]) -> tuple[str, ...]:
        """Selects the views that take a record."""
        given = self._views.get(index)
        return tuple(views) if given is None else tuple(view for view in views if view in given)

    def for_others(self, views: Collection[str]) -> list[int]:
        """Places of the records that none of the views takes."""
        return [index for index, given in self._views.items() if not any(view in given for view in views)]

    def select(self, batch: EventBatch, views: Collection[str]) -> EventBatch:
        """Selects the events that one of the views takes."""
        others = self.for_others(views)
        return batch.select(~np.isin(batch.index, others)) if others else batch
