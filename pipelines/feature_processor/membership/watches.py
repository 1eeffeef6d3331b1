"""Watches the topics that are read: how far behind they are, whether they were made anew, and whether they are read."""

from __future__ import annotations

import asyncio

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.topic_watch import LOOK_S
from forebay.pipelines.errors import ProgressMismatch
from forebay.pipelines.feature_processor.membership.app import ProcessorApp

LAG_EVERY_S = 1.0
"""How often the lag is measured: it takes a look at every partition."""


async def report_lag(app: ProcessorApp) -> None:
    """Measures the lag of every assigned partition until it is cancelled."""
    while True:
        await asyncio.sleep(LAG_EVERY_S)
        for topic, assigned in app.assigned.items():
            for partition, start in assigned.starts.items():
                end = app.end(topic, partition)
                if end is not None:
                    reached = assigned.done.get(partition, start)
                    metrics.LAG_RECORDS.labels(topic, partition).set(max(0, end - reached))


async def watch_incarnations(app: ProcessorApp, topics: Topics) -> None:
    """Gives up where a topic is made anew while it is read: its offsets say nothing any more."""
    while True:
        await asyncio.sleep(LOOK_S)
        for topic, present in (await asyncio.to_thread(topics.glance, *app.assigned)).items():
            try:
                app.assigned[topic].walk.check_incarnation(present)
            except ProgressMismatch as error:
                await app.give_up(error)
                return


def positions(app: ProcessorApp, topic: str) -> dict[tuple[str, int], int]:
    """Finds the next offset of every owned partition of a topic; none while there is a reason why nothing is read."""
    assigned, thread = app.assigned[topic], app.thread
    if not assigned.idle or app.waiting_for_store or thread is None or not thread.made:
        return {}
    following = assigned.walk.next_offsets
    return {(topic, tp.partition): following.get(tp.partition, -1) for tp in app.owned() if tp.topic == topic}
