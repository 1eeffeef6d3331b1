"""Follow the plan file: which plan is computed now, which one is to come, and when the one replaces the other.

    plan file --newer--> target --views that are behind--> catch-up process --level--> switch: target is live

Until the switch the live plan is computed as it was. Progress is the store's, so a switch neither loses nor repeats
anything: it is a restart of the consumer, from where each view stands.
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
from forebay.pipelines.feature_processor.rollout.bootstrap import Bootstrap, Work
from forebay.pipelines.feature_processor.rollout.former_plans import KeptPlans
from forebay.pipelines.feature_processor.rollout.leased import KeepUp
from forebay.pipelines.feature_processor.rollout.readiness import not_ready, part
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
        work: what a catch-up process does.
        """
        self.live = plan
        """What is computed by this process."""
        self._target = plan
        self._settings = settings
        self._work = work
        self._store = RedisStore(settings.redis)
        self._topics = Topics(settings.brokers)
        self._watch = PlanWatch(settings.plan_file, plan) if settings.plan_file else None
        self._catch_up: Bootstrap | None = None
        self._keep_up = KeepUp(KeptPlans(settings.plan_file), self._store, work)
        self._replaced: Plan | None = None
        """What was live before the last switch."""
        self._looks_to_skip = 0
        self._backoff = Backoff()
        self._refusal = RefusedPlan()

    def begin(self) -> None:
        """Leaves views that are far behind others of their topic to a catch-up process.

        Raises:
            SettingsError: a topic does not exist.
        """
        self._keep_up.remember(self.live)
        try:
            behind = self._behind(self.live)
        except StoreUnavailable:
            return  # it is waited for where rows are written; until then nothing can be told
        level = part(self.live, {view.name for view in self.live.stream_views if view.name not in behind})
        if behind and feeds(level):
            self.live = level

    def wanted(self) -> set[str]:
        """Fingerprints of the definitions to come, and of those that are computed already."""
        return {view.fingerprint for view in self._target.stream_views}

    async def switch_due(self) -> None:
        """Returns when the live plan has to change: then comes `switch`."""
        while True:
            await asyncio.sleep(LOOK_S)
            if await whole_call(self._look):
                return

    def generation(self) -> int:
        """Of the live plan: it may grow while its views stay as they are."""
        return self.live.generation

    def switch(self) -> None:
        """Makes the target live."""
        self._end_catch_up()
        self._replaced, self.live = self.live, self._target
        self._keep_up.remember(self.live)
        self._refusal.clear()
        log.info("switched", plan=self.live.fingerprint, views=[view.name for view in self.live.stream_views])

    def go_back(self, error: Exception) -> bool:
        """Makes the plan before live again, since the one that was switched to can't be run after all.

        Returns:
            False where there is none.
        """
        if self._replaced is None:
            return False
        self._refuse(error)
        self.live, self._replaced = self._replaced, None
        return True

    def end(self) -> None:
        """Ends the processes that were started."""
        self._end_catch_up()
        self._keep_up.stop()

    def _end_catch_up(self) -> None:
        if self._catch_up is not None:
            self._catch_up.stop()
            self._catch_up = None

    def _look(self) -> bool:
        """Whether the target is level. No error ends the looking: the live plan goes on, and it is tried again."""
        self._refusal.say_again()
        try:
            self._look_at_file()
            if not self._looks_to_skip:
                self._keep_up.look(self.live, self._target)
                return self._target is not self.live and self._bring_up()
            self._looks_to_skip -= 1
        except StoreUnavailable as error:
            log.debug("not known how far the new plan is", error=str(error))
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
        return not_ready(plan, self._store, self._topics, self._settings.level_records)

    def _to_bring_up(self) -> set[str]:
        """Views of the target that are behind, and that this process does not compute anyway."""
        computed = {view.fingerprint for view in self.live.stream_views}
        new = {view.name for view in self._target.stream_views if view.fingerprint not in computed}
        return self._behind(self._target) & new

    def _take(self, plan: Plan) -> None:
        if plan.generation < self._target.generation:
            self._refusal.refuse(
                plan.fingerprint,
                PlanError(
                    f"plan {plan.fingerprint} of generation {plan.generation} is older than {self._target.fingerprint} "
                    f"of generation {self._target.generation}, which is run here: to go back to its definitions, make "
                    f"it anew with forebay plan"
                ),
            )
            return
        self._end_catch_up()
        self._looks_to_skip = 0
        self._backoff = Backoff()
        self._refusal.clear()
        self._target = plan
        if feeds(plan) == feeds(self.live):
            self.live = plan
        log.info("new plan", plan=plan.fingerprint)

    def _bring_up(self) -> bool:
        behind = self._to_bring_up()
        if not behind:
            # What would stop the processor afterwards is found out before.
            close(build_topics(Share(self._target), self._settings))
            return True
        if self._catch_up is not None and not self._catch_up.running:
            if (wait_s := self._backoff.ended()) is not None:
                log.warning("the catch-up process ended by itself, and is started again", after_s=wait_s)
            if self._backoff.due:
                self._start_catch_up(behind)
        elif self._catch_up is None or not behind <= self._catch_up.views:
            self._start_catch_up(behind)
        return False

    def _start_catch_up(self, behind: set[str]) -> None:
        """Never with fewer views than before: other processes leave partitions to this one, all views of them."""
        views = behind | (self._catch_up.views if self._catch_up else set())
        self._end_catch_up()
        routed = frozenset(feed.topic for feed in feeds(self.live) if feed.routed)
        self._catch_up = Bootstrap(Share(part(self._target, views), routed, publishes=False), self._work)
        self._catch_up.start()
        self._backoff.started()
