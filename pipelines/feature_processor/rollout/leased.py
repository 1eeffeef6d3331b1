"""Computes replaced definitions for as long as scorers hold a lease on them.

A scorer whose model does not fit a newer plan reads the rows of the former plan. Rows that nobody computes lose their
events as windows slide on, so a process beside the processor computes them. It publishes nothing: the Feast SDK reads
the newer definition.
"""

from __future__ import annotations

import hashlib

import structlog

from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.contract.kafka.topics import feeds
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import progress_field
from forebay.pipelines.contract.store.lease import leased, leases_key
from forebay.pipelines.contract.store.publication import is_published, publication_key
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.feature_processor.backoff import Backoff
from forebay.pipelines.feature_processor.build import Share
from forebay.pipelines.feature_processor.rollout.former_plans import KeptPlans
from forebay.pipelines.feature_processor.rollout.readiness import part
from forebay.pipelines.feature_processor.rollout.side_process import SideProcess, Work

log = structlog.get_logger("forebay.process")


class LeasedDefinitions:
    """Runs the processes that compute views of one processor's former plans. Not thread-safe."""

    def __init__(self, kept: KeptPlans, store: Store, work: Work) -> None:
        self._kept = kept
        self._store = store
        self._work = work
        self._processes: dict[str, SideProcess] = {}
        """By fingerprint of the plan."""
        self._backoffs: dict[str, Backoff] = {}
        """By fingerprint of the plan, for processes that end by themselves."""

    def remember(self, plan: Plan) -> None:
        """Keeps the plan that is live from now on, and drops former ones that no scorer reads any more."""
        self._kept.keep(plan)
        try:
            self._kept.drop_unread(self._leased(plan), plan)
        except StoreUnavailable as error:
            log.debug("can't read which plans scorers still use: all are kept", error=str(error))

    def look(self, live: Plan, target: Plan) -> None:
        """Starts and ends processes as leases are taken and released.

        Args:
            live: the plan that this processor computes.
            target: the plan that it is to compute once it is ready.

        Raises:
            StoreUnavailable: leases can't be read.
        """
        former = [plan for plan in self._kept.plans if plan.fingerprint not in (live.fingerprint, target.fingerprint)]
        if not former and not self._processes:
            return
        names = self._leased(live)
        computed = {view.fingerprint for plan in (live, target) for view in plan.stream_views}
        for plan in former:
            views = {
                view.name
                for view in plan.stream_views
                if progress_field(view) in names and view.fingerprint not in computed and self._is_replaced(view, live)
            }
            computed |= {view.fingerprint for view in plan.stream_views if view.name in views}
            self._run(plan, views, live)
        for fingerprint in self._processes.keys() - {plan.fingerprint for plan in former}:
            self._processes.pop(fingerprint).stop()

    def stop(self) -> None:
        """Ends all processes."""
        for each in self._processes.values():
            each.stop()
        self._processes = {}

    def _leased(self, plan: Plan) -> frozenset[bytes]:
        stored = self._store.read_hash(leases_key(plan.project))
        return frozenset(leased(stored.values(), self._store.now_ms()))

    def _is_replaced(self, view: StreamView, live: Plan) -> bool:
        """Tells whether the definition is no longer published; the processor itself computes a published one."""
        if view.name not in {each.name for each in live.stream_views}:
            return True
        return not is_published(self._store.read_hash(publication_key(live.project, view.name)), view)

    def _run(self, plan: Plan, views: set[str], live: Plan) -> None:
        present = self._processes.get(plan.fingerprint)
        if present is not None and present.running and present.views == views:
            return
        backoff = self._backoffs.setdefault(plan.fingerprint, Backoff())
        if present is not None and not present.running and present.views == views:
            if (wait_s := backoff.ended()) is not None:
                log.warning(
                    "a process for a former plan ended, it is started again", plan=plan.fingerprint, in_s=wait_s
                )
            if not backoff.due:
                return
        if present is not None:
            self._processes.pop(plan.fingerprint).stop()
        if not views:
            return
        log.info("computing what scorers still read of a former plan", plan=plan.fingerprint, views=sorted(views))
        rest = part(plan, views)
        routed = frozenset(feed.topic for feed in feeds(live) if feed.routed)
        process = SideProcess(Share(rest, routed, publishes=False, group=_group(rest)), self._work)
        process.start()
        backoff.started()
        self._processes[plan.fingerprint] = process


def _group(rest: Plan) -> str:
    """Names the consumer group: only processes that compute the same definitions may share partitions."""
    names = b"\n".join(sorted(progress_field(view) for view in rest.stream_views))
    return hashlib.blake2b(names, digest_size=8).hexdigest()
