"""Whether a child process that has ended asks to be started again, as a supervisor in production judges it."""

from __future__ import annotations

from forebay.local.process import ChildProcess
from forebay.pipelines.process.cpu_alarm import SIGNAL
from forebay.pipelines.process.status import START_AGAIN


def asks_for_restart(child: ChildProcess) -> bool:
    """Tells whether the process ended with the status that asks for a restart, or by its own alarm."""
    return child.status in (START_AGAIN, -SIGNAL)
