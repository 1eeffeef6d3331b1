"""Which definitions of a partition's views are published, and when one takes over from the one before."""

from __future__ import annotations

from pipelines.adapters.store import Store
from pipelines.contract.plan import StreamView
from pipelines.contract.progress import NOTHING_YET
from pipelines.contract.publication import Publication, decode_publication, encode_publication
from pipelines.contract.topology import published_field
from pipelines.feature_processor.progress_ledger import ProgressLedger, other_definitions


class Publications:
    """Those of one partition. A definition that is not published is computed, but Feast goes on reading the other."""

    def __init__(self, views: tuple[StreamView, ...], ledger: ProgressLedger, store: Store, publishes: bool) -> None:
        """Args:
        publishes: False for a process that only brings definitions up to the others.
        """
        self._views = views
        self._ledger = ledger
        self._store = store
        self._publishes = publishes
        self._present: dict[str, Publication] = {}

    def published(self, view: StreamView) -> bool:
        """Whether the view's values are written where Feast reads."""
        return view.name in self._present

    def incomplete(self, view: StreamView) -> bool:
        """Whether the view is published, but rows that it had before are not yet."""
        return view.name in self._present and not self._present[view.name].complete

    def complete(self, view: StreamView) -> None:
        """Takes note that all rows have been published."""
        self._set(view, Publication(view.fingerprint))

    def take_over(self) -> None:
        """Publishes every view here that has come as far as any other definition of it."""
        if not self._publishes:
            self._say_that_rows_are_unpublished()
            return
        waiting = [view for view in self._views if view.name not in self._present]
        if not waiting:
            return
        stored = self._store.read_hash(self._ledger.key)
        for view in waiting:
            data = stored.get(published_field(view))
            before = decode_publication(data) if data else None
            offset = self._ledger.of(view).offset
            if before is not None and before.fingerprint == view.fingerprint:
                self._present[view.name] = before
            elif all(offset >= other.offset for other in other_definitions(stored, view).values()):
                self._set(view, Publication(view.fingerprint, complete=offset == NOTHING_YET))

    def _say_that_rows_are_unpublished(self) -> None:
        """Another process may have switched already, and not live to meet the rows that this one has written since.

        Whoever reads the partition after it publishes them.
        """
        stored = self._store.read_hash(self._ledger.key) if self._views else {}
        for view in self._views:
            data = stored.get(published_field(view))
            if data is not None and decode_publication(data) == Publication(view.fingerprint):
                incomplete = encode_publication(Publication(view.fingerprint, complete=False))
                self._store.write_hash(self._ledger.key, {published_field(view): incomplete})

    def _set(self, view: StreamView, publication: Publication) -> None:
        self._store.write_hash(self._ledger.key, {published_field(view): encode_publication(publication)})
        self._present[view.name] = publication
