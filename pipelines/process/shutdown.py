"""Ends a process that was asked to stop, and that a broker or store keeps from stopping."""

from __future__ import annotations

import threading

import structlog

from forebay.pipelines.process.leave import leave
from forebay.pipelines.process.stacks import all_stacks, all_tasks

log = structlog.get_logger("forebay")

STOP_TIMEOUT_S = 5.0
"""Half of the 10 s that supervisors (Docker, `forebay up`) wait before they kill."""


def leave_if_late(status: int = 0, because: str = "told to stop", seconds: float = STOP_TIMEOUT_S) -> threading.Timer:
    """Ends the process with this status after so many seconds, unless the timer is cancelled before.

    Nothing is lost by it: what was not committed is read again, as after a kill. A thread of its own, since
    calls into a library that wait for a broker hold up everything else.
    """
    timer = threading.Timer(seconds, _leave, (status, because, seconds))
    timer.daemon = True
    timer.start()
    return timer


def _leave(status: int, because: str, seconds: float) -> None:
    log.warning("not stopped in time, leaving", seconds=seconds, because=because)
    log.warning(f"stacks of all threads\n{all_stacks()}{all_tasks()}")
    leave(status)
