"""This process as a member of the consumer group, without any object of Faust's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.probe import RecordProbe
from forebay.pipelines.feature_processor.membership.app import ProcessorApp
from forebay.pipelines.feature_processor.membership.assigned import AssignedTopic
from forebay.pipelines.feature_processor.membership.client_health import Vitals
from forebay.pipelines.feature_processor.membership.walk import Walk
from forebay.pipelines.feature_processor.membership.watches import positions, report_lag, watch_incarnations
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from forebay.pipelines.process.silence import Silence

QUIET_LOOKS = 8
"""Seconds in which nothing is read before another client is asked, and again before this one is given up."""


class GroupMember:
    """Processes what the group assigns to it, from `run` until `leave`. Belongs to the event loop it is made in."""

    def __init__(self, walks: Sequence[Walk], group: str, settings: ProcessorSettings) -> None:
        self._app = ProcessorApp(walks, group, settings)
        self._app.finalize()
        self._brokers = settings.brokers
        probe = RecordProbe(settings.brokers, group)
        self._silences = {walk.topic: Silence(probe, QUIET_LOOKS) for walk in walks}

    @property
    def topics(self) -> Mapping[str, AssignedTopic]:
        """By name, every topic that is read."""
        return self._app.assigned

    @property
    def crash(self) -> BaseException | None:
        """What ended it; None if nothing did."""
        return self._app.failure or self._app.crash_reason

    async def run(self) -> None:
        """Joins the group, and returns when it has left it."""
        await self._app.start()
        await self._app.wait_until_stopped()

    async def watch(self) -> None:
        """Watches topics and client until it is cancelled.

        Raises:
            ClientFailed: the client does not work any more.
            SettingsError: an ACL is missing.
        """
        app = self._app
        vitals = Vitals(lambda: app.thread, partial(positions, app), self._silences)
        try:
            await asyncio.gather(report_lag(app), watch_incarnations(app, Topics(self._brokers)), vitals.run())
        finally:
            app.unwatch()

    async def leave(self) -> None:
        """Commits what is done, and leaves the group."""
        await self._app.stop()
