"""Knows which definitions of a feed's views are published, and publishes one when it is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.progress import Progress
from forebay.pipelines.contract.store.publication import (
    DEFINITION,
    Publication,
    PublishedRows,
    decode_publication,
    decode_published_rows,
    encode_publication,
    publication_key,
    rows_field,
)
from forebay.pipelines.feature_processor.progress.ledger import definitions

log = structlog.get_logger("forebay.process")


class Publications:
    """The publications of one feed's views: of all definitions that are computed, Feast reads the published one."""

    def __init__(
        self,
        views: Sequence[StreamView],
        project: str,
        incarnation: Incarnation,
        store: Store,
        publishes: bool,
        generation: Callable[[], int],
    ) -> None:
        """Args:
        incarnation: of the topic that the views are computed from.
        publishes: False for a process that computes definitions beside the published ones only.
        generation: of the plan that the views are of.
        """
        self._views = views
        self._project = project
        self._incarnation = incarnation
        self._store = store
        self._publishes = publishes
        self._generation = generation
        self._partitions: Sequence[int] = ()
        self._rows: dict[str, dict[int, bytes]] = {}
        """By view that is published here, and partition that is read here, its `PublishedRows` as stored."""
        self._outdated: set[str] = set()
        """Names of views of which a newer plan's definition is published."""

    def assign(self, partitions: Sequence[int]) -> None:
        """Starts afresh with these partitions."""
        self._partitions = partitions
        self._rows = {}

    def published(self, view: StreamView) -> bool:
        """Tells whether the view's values are written where Feast reads."""
        return view.name in self._rows

    def incomplete(self, view: StreamView, partition: int) -> bool:
        """Tells whether the view is published, but rows of a partition read here, which it had before, are not yet.

        Of a view that is published never: whether something of its rows may still be there from before.
        """
        stored = self._rows.get(view.name, {}).get(partition)
        if stored is None:
            return False
        rows = decode_published_rows(stored)
        return not (rows.complete if view.publishes else rows.withdrawn)

    def complete(self, view: StreamView, partition: int) -> None:
        """Takes note that a partition's rows are published completely, unless other rows were written meanwhile."""
        before = self._rows[view.name][partition]
        after = encode_publication(
            msgspec.structs.replace(
                decode_published_rows(before), complete=view.publishes, withdrawn=not view.publishes
            )
        )
        if self._store.replace_in_hash(self._key(view), self._field(partition), before, after):
            self._rows[view.name][partition] = after
        else:
            self.look_again()

    def look_again(self) -> None:
        """Takes note of what other processes have written and not published meanwhile, and of newer publications."""
        if self._publishes:
            for view in [each for each in self._views if each.name in self._rows]:
                self._take_over(view)

    def take_over(self) -> None:
        """Publishes every view that is ready: not behind the published definition on any partition."""
        if self._publishes:
            for view in [each for each in self._views if each.name not in self._rows]:
                self._take_over(view)

    def take_over_again(self) -> None:
        """Publishes all views again, after the store may have lost publications: no progress would tell that it has."""
        self._rows = {}
        self.take_over()

    def count_unpublished_batch(self, partitions: Sequence[int]) -> None:
        """Counts a batch whose rows were written and not published; called after the rows, and before progress.

        Another process may publish the view already. Once progress has passed these records it does not read them
        again, so it must learn from the count that there are rows to publish.
        """
        if self._publishes:
            return
        for view in self._views:
            stored = self._store.read_hash(self._key(view))
            for partition in partitions:
                while not self._counted(view, partition, stored):
                    stored = self._store.read_hash(self._key(view))

    def _counted(self, view: StreamView, partition: int, stored: Mapping[bytes, bytes]) -> bool:
        """Counts a batch of one partition; False where another process has changed the count meanwhile."""
        before = stored.get(self._field(partition))
        if before is None or (rows := decode_published_rows(before)).fingerprint != view.fingerprint:
            return True  # the process that publishes the view walks over all rows later, these included
        after = encode_publication(msgspec.structs.replace(rows, complete=False, unpublished=rows.unpublished + 1))
        return self._store.replace_in_hash(self._key(view), self._field(partition), before, after)

    def _take_over(self, view: StreamView) -> None:
        stored = self._store.read_hash(self._key(view))
        present = decode_publication(stored)
        self._note_outdated(view, present)
        if present is None or present.fingerprint != view.fingerprint:
            self._rows.pop(view.name, None)
            if view.name in self._outdated or not self._is_ready(view, present):
                return
        if not self._publish(view, stored, present):
            return  # another process has published one first; the next look reads which
        self._rows[view.name] = {partition: self._rows_of(view, partition, stored) for partition in self._partitions}

    def _publish(self, view: StreamView, stored: Mapping[bytes, bytes], present: Publication | None) -> bool:
        """Publishes this definition; False where another process has published one first."""
        generation = self._generation()
        if present is not None and present.fingerprint == view.fingerprint and present.generation >= generation:
            return True
        after = encode_publication(Publication(view.fingerprint, generation))
        if DEFINITION not in stored:
            return self._store.add_to_hash(self._key(view), DEFINITION, after)
        return self._store.replace_in_hash(self._key(view), DEFINITION, stored[DEFINITION], after)

    def _rows_of(self, view: StreamView, partition: int, stored: Mapping[bytes, bytes]) -> bytes:
        """Reads what is known of the rows of an owned partition, and begins the field where there is none."""
        field = self._field(partition)
        before = stored.get(field)
        if before is not None and (rows := decode_published_rows(before)).fingerprint == view.fingerprint:
            # Written before the first row is published, so it is withdrawn again should the view stop publishing.
            return self._no_longer_withdrawn(view, field, before) if rows.withdrawn and view.publishes else before
        # Even of a definition that has just begun: another process may have written rows of it already.
        begun = encode_publication(PublishedRows(view.fingerprint))
        if before is None:
            self._store.add_to_hash(self._key(view), field, begun)
        else:
            self._store.replace_in_hash(self._key(view), field, before, begun)
        # Where another process wrote first, `complete` fails once, and looks again.
        return begun

    def _no_longer_withdrawn(self, view: StreamView, field: bytes, before: bytes) -> bytes:
        after = encode_publication(msgspec.structs.replace(decode_published_rows(before), withdrawn=False))
        self._store.replace_in_hash(self._key(view), field, before, after)
        return after  # where another process wrote first, `complete` fails once, and looks again

    def _is_ready(self, view: StreamView, present: Publication | None) -> bool:
        """Tells whether this definition contains, on every partition, what the published one contains there.

        Where none is published, it is compared with all others. A partition without any progress does not count.
        """
        for partition in range(self._incarnation.partitions):
            stored = self._store.read_hash(progress_key(self._project, self._incarnation.topic, partition))
            if not stored:
                continue
            known = definitions(stored, view)
            own = known.pop(progress_field(view), None)
            if own is None or any(own.offset < each.offset for each in _compared(known, present)):
                return False
        return True

    def _note_outdated(self, view: StreamView, present: Publication | None) -> None:
        another = None if present is None or present.fingerprint == view.fingerprint else present
        outdated = another is not None and another.generation > self._generation()
        if outdated is (view.name in self._outdated):
            return
        metrics.DEFINITION_OUTDATED.labels(view.name).set(outdated)
        if another is None or not outdated:
            self._outdated.discard(view.name)
            return
        self._outdated.add(view.name)
        log.warning(
            "not published: a newer plan's definition is",
            view=view.name,
            definition=view.fingerprint,
            generation=self._generation(),
            published=another.fingerprint,
            published_generation=another.generation,
            repair="give this process the newer plan, or make this one anew with `forebay plan`",
        )

    def _key(self, view: StreamView) -> bytes:
        return publication_key(self._project, view.name)

    def _field(self, partition: int) -> bytes:
        return rows_field(self._incarnation.topic, partition)


def _compared(others: Mapping[bytes, Progress], present: Publication | None) -> Sequence[Progress]:
    if present is None:
        return list(others.values())
    return [each for field, each in others.items() if field.rpartition(b"@")[2] == present.fingerprint.encode()]
