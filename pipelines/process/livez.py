"""Answers `/livez` with what the watchdog knows."""

from __future__ import annotations

import msgspec

from forebay.pipelines.process.watchdog import WATCHDOG, Watchdog


def livez(watchdog: Watchdog = WATCHDOG) -> tuple[int, bytes]:
    """Returns HTTP status and JSON body: 200 with what was last done, or 503 with what hangs."""
    hangs = watchdog.hangs()
    if hangs:
        return 503, msgspec.json.encode({"status": "hangs", "hangs": [str(each) for each in hangs]})
    return 200, msgspec.json.encode({"status": "working", "loops": watchdog.last_done()})
