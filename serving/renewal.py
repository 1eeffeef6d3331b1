"""Renewal: a newer plan is taken over while a worker or an endpoint runs, once its features are there.

A changed view is computed anew beside the old one. As long as it has not been published on every partition, whoever
scores goes on with the plan, and the rows, there were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import structlog
from prometheus_client import Counter, Gauge

from pipelines.adapters.plan_watch import PlanWatch
from pipelines.adapters.progress_reader import HashReader
from pipelines.contract.plan import Plan, StreamView
from pipelines.contract.progress import decode_progress
from pipelines.contract.publication import is_published
from pipelines.contract.topology import progress_field, progress_key, view_topic
from pipelines.errors import ForebayError, StoreUnavailable
from serving.lease_keeper import LeaseKeeper

log = structlog.get_logger("forebay.renewal")

T = TypeVar("T")

LOOK_S = 1.0

TRY_AGAIN_S = 30.0
"""After so long a refused plan is tried again, and said to be refused, though nothing seems to have changed."""

PLAN_REFUSED = Gauge(
    "forebay_plan_refused", "1 while a newer plan can't be scored with; the log says why.", ["plan", "error"]
)

SWITCH_ERRORS = Counter("forebay_plan_switch_errors", "Attempts to take over a newer plan that failed.")


class NewerPlans(Protocol):
    """Where newer plans come from, such as `PlanFollower`."""

    def newer(self) -> Plan | None:
        """A newer plan that can be scored with; the same one until it is taken."""
        ...

    def taken(self, plan: Plan) -> None:
        """Takes note that this plan is scored with."""
        ...


class _Refused(NamedTuple):
    """A plan that could not be scored with."""

    plan: str
    stamp: object
    at: float
    """Monotonic seconds."""


def model_stamp(folder: Path) -> object:
    """Differs once a file of a model's folder has been added, removed or replaced."""
    return sorted((str(each), stat.st_mtime_ns, stat.st_size) for each in folder.rglob("*") if (stat := each.stat()))


class PlanFollower:
    """Says when a newer plan can be scored with. Not thread-safe."""

    def __init__(self, path: Path, plan: Plan, service: str, store: HashReader, leases: LeaseKeeper) -> None:
        """Args:
        path: the plan file.
        plan: what is scored with now.
        service: the feature service that is used.
        leases: are given up on definitions that are no longer read.
        """
        self._watch = PlanWatch(path, plan.fingerprint)
        self._known = {view.fingerprint for view in plan.stream_views}
        self._service = service
        self._store = store
        self._leases = leases
        self._next: Plan | None = None

    def newer(self) -> Plan | None:
        """A newer plan, once all its views that the service reads are published; again and again until it is `taken`.

        Raises:
            StoreUnavailable: that can't be known now.
        """
        found = self._watch.newer()
        if found is not None:
            log.info("new plan", plan=found.fingerprint)
            self._next = found
        if self._next is None or not all(self._is_published(self._next, view) for view in self._new_views(self._next)):
            return None
        return self._next

    def taken(self, plan: Plan) -> None:
        """Takes note that this plan is scored with."""
        self._next = None
        self._known = {view.fingerprint for view in plan.stream_views}
        self._leases.keep_only(plan, self._service)

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

    def __init__(self, present: T, plans: NewerPlans, make: Callable[[Plan], T], stamp: Callable[[], object]) -> None:
        """Args:
        make: may fail with any error: then all stays as it is, and the plan is tried again.
        stamp: differs once what `make` reads beside the plan (the model's folder) has changed.
        """
        self.present = present
        self._plans = plans
        self._make = make
        self._stamp = stamp
        self._looked_at = time.monotonic()
        self._refused: _Refused | None = None

    def look(self) -> T:
        """What to work with now; looks for a newer plan, but not more often than every `LOOK_S`."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return self.present
        self._looked_at = time.monotonic()
        plan = None
        try:
            plan = self._plans.newer()
            if plan is not None and self._is_due(plan):
                self._switch(plan)
        except StoreUnavailable as error:
            log.debug("not known whether the new plan's features are there", error=str(error))
        except Exception as error:
            self._refuse(plan, error)
        return self.present

    def _switch(self, plan: Plan) -> None:
        self.present = self._make(plan)
        self._plans.taken(plan)
        self._forget_refusal()
        log.info("switched", plan=plan.fingerprint)

    def _is_due(self, plan: Plan) -> bool:
        """Whether a plan is to be tried: another one than was refused, or beside another model, or after a while."""
        refused = self._refused
        if refused is None or refused.plan != plan.fingerprint or refused.stamp != self._stamp():
            return True
        return time.monotonic() - refused.at >= TRY_AGAIN_S

    def _refuse(self, plan: Plan | None, error: Exception) -> None:
        SWITCH_ERRORS.inc()
        self._forget_refusal()
        fingerprint = "" if plan is None else plan.fingerprint
        self._refused = _Refused(fingerprint, self._stamp(), time.monotonic())
        PLAN_REFUSED.labels(fingerprint, type(error).__name__).set(1)
        known = isinstance(error, ForebayError)
        log.warning(
            "going on with the plan there was; the newer one is tried again",
            plan=fingerprint,
            error=str(error) if known else repr(error),
            exc_info=None if known else error,
        )

    def _forget_refusal(self) -> None:
        if self._refused is not None:
            PLAN_REFUSED.clear()
        self._refused = None
