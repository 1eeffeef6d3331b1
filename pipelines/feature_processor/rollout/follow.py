"""Follows the plan file: which plan is computed now, which one is to come, and when one replaces the other.

    plan file --newer--> target --views that are behind--> bootstrap process --ready--> switch: target is live

Until the switch, the processor computes the live plan as before. Progress is in the store, so a switch neither loses
nor repeats anything: the consumer restarts, and every view continues from its own progress.
"""

from __future__ import annotations

import asyncio

import structlog

from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.plan_watch import PlanWatch
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.adapters.refused_plan import RefusedPlan
from forebay.pipelines.contract.kafka.topics import feeds
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import PlanError, StoreUnavailable
from forebay.pipelines.feature_processor.backoff import Backoff
from forebay.pipelines.feature_processor.build import Share, build_topics, close
from forebay.pipelines.feature_processor.rollout.former_plans import KeptPlans
from forebay.pipelines.feature_processor.rollout.leased import LeasedDefinitions
from forebay.pipelines.feature_processor.rollout.readiness import not_ready, part
from forebay.pipelines.feature_processor.rollout.side_process import SideProcess, Work
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from forebay.pipelines.feature_processor.whole_calls import whole_call

log = structlog.get_logger("forebay.process")

LOOK_S = 1.0
TRY_AGAIN_LOOKS = 10
"""A plan that can't be run yet (a topic is missing) is tried again after so many looks."""


class PlanFollower:
    """Follows the plan file of one processor. Its methods may wait for servers: not for an event loop."""

    def __init__(self, plan: Plan, settings: ProcessorSettings, work: Work) -> None:
        """Args:
        work: what a process beside this one does.
        """
        self.live = plan
        """The plan that this process computes."""
        self._target = plan
        self._settings = settings
        self._work = work
        self._store = RedisStore(settings.redis)
        self._topics = Topics(settings.brokers)
        self._watch = PlanWatch(settings.plan_file, plan) if settings.plan_file else None
        self._bootstrap: SideProcess | None = None
        self._leased = LeasedDefinitions(KeptPlans(settings.plan_file), self._store, work)
        self._replaced: Plan | None = None
        """What was live before the last switch."""
        self._looks_to_skip = 0
        self._backoff = Backoff()
        self._refusal = RefusedPlan()

    def begin(self) -> None:
        """Leaves views that are far behind others of their topic to a bootstrap process.

        Raises:
            SettingsError: a topic does not exist.
        """
        self._leased.remember(self.live)
        try:
            behind = self._behind(self.live)
        except StoreUnavailable:
            return  # the processor waits for the store before it writes; until then it computes all views
        ready = part(self.live, {view.name for view in self.live.stream_views if view.name not in behind})
        if behind and feeds(ready):
            self.live = ready

    def wanted(self) -> set[str]:
        """Fingerprints of the target's definitions: some are computed already, the others are to come."""
        return {view.fingerprint for view in self._target.stream_views}

    async def switch_due(self) -> None:
        """Waits until the target is ready; then the caller switches to it."""
        while True:
            await asyncio.sleep(LOOK_S)
            if await whole_call(self.look):
                return

    def generation(self) -> int:
        """Returns the live plan's generation; it grows when a newer plan with the same views is taken over."""
        return self.live.generation

    def switch(self) -> None:
        """Makes the target live."""
        self._end_bootstrap()
        self._replaced, self.live = self.live, self._target
        self._leased.remember(self.live)
        self._refusal.clear()
        log.info("switched", plan=self.live.fingerprint, views=[view.name for view in self.live.stream_views])

    def go_back(self, error: Exception) -> bool:
        """Makes the former plan live again, since the one that replaced it can't be run.

        Returns:
            False where there is no former plan.
        """
        if self._replaced is None:
            return False
        self._refuse(error)
        self.live, self._replaced = self._replaced, None
        return True

    def end(self) -> None:
        """Ends the processes beside this one."""
        self._end_bootstrap()
        self._leased.stop()

    def _end_bootstrap(self) -> None:
        if self._bootstrap is not None:
            self._bootstrap.stop()
            self._bootstrap = None

    def look(self) -> bool:
        """Reads the plan file, starts and ends processes, and tells whether the target is ready to be switched to.

        Errors are logged and counted, not raised: the live plan is computed on, and the next look tries again.
        """
        self._refusal.say_again()
        try:
            self._look_at_file()
            if not self._looks_to_skip:
                self._leased.look(self.live, self._target)
                return self._target is not self.live and self._bootstrapped()
            self._looks_to_skip -= 1
        except StoreUnavailable as error:
            log.debug("can't read how far the new plan is", error=str(error))
        except Exception as error:
            self._refuse(error)
        return False

    def _look_at_file(self) -> None:
        if self._watch is None:
            return
        newer = self._watch.newer()
        if newer is not None:
            self._take(newer)
        self._refusal.look_at_file(self._watch.unusable)

    def _refuse(self, error: Exception) -> None:
        self._refusal.refuse(self._target.fingerprint, error)
        self._looks_to_skip = TRY_AGAIN_LOOKS

    def _behind(self, plan: Plan) -> set[str]:
        return not_ready(plan, self._store, self._topics, self._settings.ready_records)

    def _to_bootstrap(self) -> set[str]:
        """Names the target's views that are behind and that this process does not compute already."""
        computed = {view.fingerprint for view in self.live.stream_views}
        new = {view.name for view in self._target.stream_views if view.fingerprint not in computed}
        return self._behind(self._target) & new

    def _take(self, plan: Plan) -> None:
        if plan.generation < self._target.generation:
            self._refusal.refuse(
                plan.fingerprint,
                PlanError(
                    f"plan {plan.fingerprint} of generation {plan.generation} is older than {self._target.fingerprint} "
                    f"of generation {self._target.generation}, the live one: to go back to its definitions, compile "
                    f"them again with forebay plan"
                ),
            )
            return
        self._end_bootstrap()
        self._looks_to_skip = 0
        self._backoff = Backoff()
        self._refusal.clear()
        self._target = plan
        if feeds(plan) == feeds(self.live):
            self.live = plan
        log.info("new plan", plan=plan.fingerprint)

    def _bootstrapped(self) -> bool:
        behind = self._to_bootstrap()
        if not behind:
            # Built once before the switch, so a plan that can't be run is refused while the live one runs on.
            close(build_topics(Share(self._target), self._settings))
            return True
        if self._bootstrap is not None and not self._bootstrap.running:
            if (wait_s := self._backoff.ended()) is not None:
                log.warning("the bootstrap process ended by itself, and is started again", after_s=wait_s)
            if self._backoff.due:
                self._start_bootstrap(behind)
        elif self._bootstrap is None or not behind <= self._bootstrap.views:
            self._start_bootstrap(behind)
        return False

    def _start_bootstrap(self, behind: set[str]) -> None:
        """Starts a process for these views and those of the former one: partitions may be left to it."""
        views = behind | (self._bootstrap.views if self._bootstrap else set())
        self._end_bootstrap()
        routed = frozenset(feed.topic for feed in feeds(self.live) if feed.routed)
        self._bootstrap = SideProcess(Share(part(self._target, views), routed, publishes=False), self._work)
        self._bootstrap.start()
        self._backoff.started()
