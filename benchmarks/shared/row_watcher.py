"""The process that watches for the probes' rows: `python -m benchmarks.shared.row_watcher SETTINGS`.

A probe is there once its card's row says that its newest event is as new as the probe. All outstanding probes are asked
for in one round trip, about once a millisecond.
"""

from __future__ import annotations

import gc
import time

import numpy as np

from benchmarks.shared.plans import CARD, HEAD_FIELD
from benchmarks.shared.schedule import now_us
from benchmarks.shared.stream_settings import StreamSettings, stream_settings
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.pipelines.contract.store.row_header import Header
from forebay.pipelines.steps.arrays import Ints

LOOK_EVERY_S = 0.001
DRAIN_S = 30.0
"""How long the last probes may take."""
_ASKED_AT_ONCE = 500
"""The oldest ones, when more are outstanding: partitions are processed in order."""


def watch_rows(settings: StreamSettings) -> Ints:
    """Returns when each probe was seen, in `now_us`; -1: not within `DRAIN_S` after the stream's end."""
    load, schedule = settings.load, settings.timeline.schedule(settings.load)
    events = load.probe_events()
    keys = list(map(EntityKeyEncoder(CARD, settings.project), load.probe_cards()[:, None].tolist()))
    happened_ms = settings.timeline.event_ms(load, events).tolist()
    due_us = [schedule.due_us(at) for at in events.tolist()]
    seen_us = np.full(len(events), -1, dtype=np.int64)
    store, head = RedisStore(settings.redis), [HEAD_FIELD]
    deadline_us = schedule.end_us + int(DRAIN_S * 1e6)
    outstanding: list[int] = []
    coming = 0
    gc.disable()
    while (coming < len(events) or outstanding) and now_us() < deadline_us:
        while coming < len(events) and due_us[coming] <= now_us():
            outstanding.append(coming)
            coming += 1
        asked = outstanding[:_ASKED_AT_ONCE]
        found = store.read([(keys[probe], head) for probe in asked]) if asked else []
        at_us = now_us()
        there = {
            probe
            for probe, (row,) in zip(asked, found, strict=True)
            if row is not None and Header.unpack(row).last_event_ms >= happened_ms[probe]
        }
        if there:
            seen_us[list(there)] = at_us
            outstanding = [probe for probe in outstanding if probe not in there]
        time.sleep(LOOK_EVERY_S)
    store.close()
    return seen_us


if __name__ == "__main__":
    its_settings = stream_settings()
    np.save(its_settings.seen_file, watch_rows(its_settings))
