"""Which definitions of a partition's views are published, and when one takes over from the one before."""

from __future__ import annotations

import msgspec

from pipelines.adapters.store import Store
from pipelines.contract.plan import StreamView
from pipelines.contract.publication import Publication, decode_publication, encode_publication, is_published
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
        self._present: dict[str, bytes] = {}
        """By view that is published here, its publication as it is stored."""

    def published(self, view: StreamView) -> bool:
        """Whether the view's values are written where Feast reads."""
        return view.name in self._present

    def incomplete(self, view: StreamView) -> bool:
        """Whether the view is published, but rows that it had before are not yet."""
        return view.name in self._present and not decode_publication(self._present[view.name]).complete

    def complete(self, view: StreamView) -> None:
        """Takes note that all rows have been published, unless others were written meanwhile that were not."""
        before = self._present[view.name]
        after = encode_publication(msgspec.structs.replace(decode_publication(before), complete=True))
        if self._store.replace_in_hash(self._ledger.key, published_field(view), before, after):
            self._present[view.name] = after
            return
        self.look_again()

    def look_again(self) -> None:
        """Takes note of what other processes have written and not published meanwhile."""
        present = [view for view in self._views if view.name in self._present]
        stored = self._store.read_hash(self._ledger.key) if present else {}
        for view in present:
            if is_published(stored, view):
                self._present[view.name] = stored[published_field(view)]

    def take_over(self) -> None:
        """Publishes every view here that has come as far as any other definition of it."""
        waiting = [view for view in self._views if view.name not in self._present]
        if not waiting or not self._publishes:
            return
        stored = self._store.read_hash(self._ledger.key)
        for view in waiting:
            offset = self._ledger.of(view).offset
            if is_published(stored, view):
                self._present[view.name] = stored[published_field(view)]
            elif all(offset >= other.offset for other in other_definitions(stored, view).values()):
                # Even of one that has just begun: another process may have written rows of it already.
                publication = encode_publication(Publication(view.fingerprint, complete=False))
                self._store.write_hash(self._ledger.key, {published_field(view): publication})
                self._present[view.name] = publication

    def take_over_again(self) -> None:
        """After the store may have lost what was published: it moves no progress that would tell."""
        self._present = {}
        self.take_over()

    def say_that_rows_are_unpublished(self) -> None:
        """To be called after rows were written, and before progress says so.

        Another process may publish the view already. It does not read the records of these rows again once progress
        is behind them, so it must know that there are rows to be published.
        """
        if self._publishes or not self._views:
            return
        stored = self._store.read_hash(self._ledger.key)
        for view in self._views:
            while is_published(stored, view) and not self._count_unpublished(view, stored[published_field(view)]):
                stored = self._store.read_hash(self._ledger.key)

    def _count_unpublished(self, view: StreamView, before: bytes) -> bool:
        unpublished = decode_publication(before).unpublished + 1
        after = encode_publication(Publication(view.fingerprint, False, unpublished))
        return self._store.replace_in_hash(self._ledger.key, published_field(view), before, after)
