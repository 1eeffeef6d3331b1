"""Ends the process when Python no longer runs any thread, not even the watchdog's.

A function in C that loops and keeps the interpreter's lock, such as a regular expression of a user's transform on an
unlucky text, stops every thread of Python. The kernel's timer of processor time does not need one. That time stands
still while the process does, so a process that was suspended is not ended.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

SIGNAL = signal.SIGPROF
"""By it the process ends: faulthandler, which needs no lock either, writes every stack before."""


class CpuAlarm:
    """Goes off after so much processor time without `put_off`."""

    def __init__(self, seconds: float) -> None:
        """Args:
        seconds: of all processors together, so that busy threads of libraries do not shorten it.
        """
        self._cpu_s = seconds * (os.cpu_count() or 1)
        faulthandler.register(SIGNAL, sys.__stderr__ or sys.stderr, all_threads=True, chain=True)

    def put_off(self) -> None:
        """Postpones the alarm. A thread of Python calls it repeatedly."""
        signal.setitimer(signal.ITIMER_PROF, self._cpu_s)
