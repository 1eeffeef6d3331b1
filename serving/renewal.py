"""Renewal: a newer plan is taken over while a worker or an endpoint runs, once its features are there.

A changed view is computed anew beside the old one. As long as it has not been published on every partition, whoever
scores goes on with the plan, and the rows, there were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from pipelines.adapters.plan_watch import PlanWatch
from pipelines.adapters.progress_reader import HashReader
from pipelines.contract.plan import Plan, StreamView
from pipelines.contract.progress import decode_progress
from pipelines.contract.publication import is_published
from pipelines.contract.topology import progress_field, progress_key, view_topic
from pipelines.errors import ForebayError, StoreUnavailable

log = structlog.get_logger("forebay.renewal")

T = TypeVar("T")

LOOK_S = 1.0


class PlanFollower:
    """Says when a newer plan can be scored with. Not thread-safe."""

    def __init__(self, path: Path, plan: Plan, service: str, store: HashReader) -> None:
        """Args:
        path: the plan file.
        plan: what is scored with now.
        service: the feature service that is used.
        """
        self._watch = PlanWatch(path, plan.fingerprint)
        self._known = {view.fingerprint for view in plan.stream_views}
        self._service = service
        self._store = store
        self._next: Plan | None = None

    def newer(self) -> Plan | None:
        """A newer plan, once, when all its views that the service reads are published.

        Raises:
            StoreUnavailable: that can't be known now.
        """
        found = self._watch.newer()
        if found is not None:
            log.info("new plan", plan=found.fingerprint)
            self._next = found
        if self._next is None or not all(self._is_published(self._next, view) for view in self._new_views(self._next)):
            return None
        ready, self._next = self._next, None
        self._known = {view.fingerprint for view in ready.stream_views}
        return ready

    def _new_views(self, plan: Plan) -> list[StreamView]:
        read = {
            each.view
            for service in plan.services
            if service.name == self._service
            for each in (*service.views, *service.dependencies)
        }
        return [view for view in plan.stream_views if view.name in read and view.fingerprint not in self._known]

    def _is_published(self, plan: Plan, view: StreamView) -> bool:
        topic, partition, partitions = view_topic(plan, view), 0, 1
        while partition < partitions:
            stored = self._store.read_hash(progress_key(plan.project, topic, partition))
            progress = stored.get(progress_field(view))
            if progress is None or not is_published(stored, view):
                return False
            partitions = decode_progress(progress).lineage.partitions
            partition += 1
        return True


class Renewed(Generic[T]):
    """Something made from a plan, and made again from a newer one."""

    def __init__(self, present: T, newer: Callable[[], Plan | None], make: Callable[[Plan], T]) -> None:
        """Args:
        newer: as `PlanFollower.newer`.
        make: may refuse a plan with a `ForebayError`: then all stays as it is.
        """
        self.present = present
        self._newer = newer
        self._make = make
        self._looked_at = time.monotonic()

    def look(self) -> T:
        """What to work with now; looks for a newer plan, but not more often than every `LOOK_S`."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return self.present
        self._looked_at = time.monotonic()
        try:
            plan = self._newer()
            if plan is not None:
                self.present = self._make(plan)
                log.info("switched", plan=plan.fingerprint)
        except StoreUnavailable as error:
            log.debug("not known whether the new plan's features are there", error=str(error))
        except ForebayError as error:
            log.warning("going on with the plan there was", error=str(error))
        return self.present
