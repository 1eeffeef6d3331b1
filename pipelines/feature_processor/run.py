"""Runs the feature processor until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import structlog

from forebay.pipelines.adapters.kafka.admin import Topics, group_name
from forebay.pipelines.adapters.metrics import serve_metrics
from forebay.pipelines.contract.kafka.topics import feeds
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.feature_processor.build import Share, build_topics, close
from forebay.pipelines.feature_processor.membership.ended import CanRejoin, ClientFailed, explained
from forebay.pipelines.feature_processor.membership.member import GroupMember
from forebay.pipelines.feature_processor.rollout.follow import PlanFollower
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from forebay.pipelines.feature_processor.upkeep.schedule import Upkeep
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.pipelines.process.shutdown import leave_if_late
from forebay.pipelines.process.status import START_AGAIN
from forebay.pipelines.process.switching import switch_quickly
from forebay.pipelines.process.watchdog import WATCHDOG

log = structlog.get_logger("forebay.process")

COLLECT_AFTER = (100_000, 20, 100)
"""A batch makes tens of thousands of objects, none of them in a cycle: at Python's own thresholds the garbage
collector looks at every cached row again and again, for a fifth of the processor's time with 500,000 entities."""

START_AGAIN_S = 1.0

SWITCH_TIMEOUT_S = 60.0
"""How long the old plan's app may take to end: a batch may have to wait for a store that does not answer."""


def run(plan: Plan, settings: ProcessorSettings) -> None:
    """Processes until SIGINT or SIGTERM; takes over newer plans of the plan file, if there is one.

    Raises:
        SettingsError: nothing to process, or a topic is missing.
        ProgressMismatch: the topics are not those that progress was made on.
        Crashed: for a reason that is none of these.
    """
    _tune_interpreter()
    if not feeds(plan):
        raise SettingsError(f"project {plan.project!r} has no online stream feature view: nothing to process")
    WATCHDOG.start(settings.hang_after_s)
    if settings.metrics_port:
        serve_metrics(settings.metrics_host, settings.metrics_port)
    follower = PlanFollower(plan, settings, partial(compute_share, settings=settings))
    follower.begin()
    group = group_name(plan.project, "process")
    try:
        while _run_until_told(_built(follower, settings), group, settings, follower.switch_due, follower.wanted):
            follower.switch()
    finally:
        follower.end()


def _built(follower: PlanFollower, settings: ProcessorSettings) -> list[TopicBatches]:
    """Builds what processes the live plan's topics; goes back to the former plan where a newer one can't be built."""
    while True:
        try:
            return build_topics(Share(follower.live), settings, follower.generation)
        except Exception as error:
            if not follower.go_back(error):
                raise


def compute_share(share: Share, settings: ProcessorSettings) -> None:
    """Computes some views in a process beside the processor, until SIGTERM.

    The group is that of this very plan or share: only processes that compute the same definitions share it.

    Raises:
        SettingsError, PlanError: the plan can't be run.
    """
    _tune_interpreter()
    WATCHDOG.start(settings.hang_after_s)
    group = group_name(share.plan.project, "process", share.group or share.plan.fingerprint)
    _run_until_told(build_topics(share, settings), group, settings, _never)


def _tune_interpreter() -> None:
    gc.set_threshold(*COLLECT_AFTER)
    switch_quickly()


def _run_until_told(
    topics: Sequence[TopicBatches],
    group: str,
    settings: ProcessorSettings,
    switch_due: Callable[[], Awaitable[object]],
    wanted: Callable[[], Collection[str]] = tuple,
) -> bool:
    """Runs until a switch is due (True) or a signal asks it to stop (False)."""
    log.info("processing", topics=[topic.parts.feed.topic for topic in topics])
    while True:
        try:
            with ExitStack() as ended:
                # A service of Faust belongs to the loop that it is made in: so a new loop for each member.
                switch = asyncio.run(_run_member(ProcessorSetup(topics, group, settings, wanted), switch_due, ended))
            close(topics)
            return switch
        except CanRejoin as error:
            log.warning("starting again", error=str(error))
            time.sleep(START_AGAIN_S)
            # aiokafka reports a broker that refuses its password like one that is away: this call tells them apart.
            Topics(settings.brokers).incarnation(topics[0].parts.feed.topic)


class ProcessorSetup(NamedTuple):
    """What a processor is made of."""

    topics: Sequence[TopicBatches]
    group: str
    settings: ProcessorSettings
    wanted: Callable[[], Collection[str]]
    """Fingerprints of definitions that are to come."""


async def _run_member(setup: ProcessorSetup, switch_due: Callable[[], Awaitable[object]], ended: ExitStack) -> bool:
    """Runs one member of the group; tells whether a switch is due. Raises the `ForebayError` that ended it."""
    member = GroupMember(setup.topics, setup.group, setup.settings)
    told_to_stop = asyncio.Event()

    def told() -> None:
        told_to_stop.set()
        ended.callback(leave_if_late().cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told)
    running = asyncio.ensure_future(member.run())
    caring = asyncio.ensure_future(_take_care(member, setup))
    switch = asyncio.ensure_future(switch_due())
    asked = asyncio.ensure_future(told_to_stop.wait())
    await asyncio.wait((running, caring, switch, asked), return_when=asyncio.FIRST_COMPLETED)
    crash = member.crash
    for each in (running, caring, switch):
        if crash is None and each.done():
            crash = each.exception()
    if told_to_stop.is_set() and isinstance(crash, ClientFailed):
        crash = None
    if crash is not None:
        ended.callback(leave_if_late(START_AGAIN, repr(crash)).cancel)
    elif not told_to_stop.is_set():
        ended.callback(leave_if_late(START_AGAIN, "taking over a newer plan", SWITCH_TIMEOUT_S).cancel)
    caring.cancel()
    await member.leave()
    if crash is not None:
        error = explained(crash)
        if told_to_stop.is_set() and isinstance(error, CanRejoin):
            return False
        raise error from (None if error is crash else crash)
    return switch.done() and not told_to_stop.is_set()


async def _take_care(member: GroupMember, setup: ProcessorSetup) -> None:
    """Does what is to be done between batches, for as long as the member runs."""
    upkeep = [
        Upkeep(topic, member.topics[topic.topic], setup.wanted, setup.settings.retire_after_s) for topic in setup.topics
    ]
    await asyncio.gather(member.watch(), *(each.run() for each in upkeep))


async def _never() -> None:
    await asyncio.Event().wait()
