"""Restarts a process that has ended, after longer and longer waits, unless its status forbids it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from forebay.local.launch import NOT_STARTED
from forebay.local.process import ChildProcess, ProcessEnded, how_ended
from forebay.pipelines.process.status import REPAIR_FIRST

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
"""Before a restart; twice as long each time, while the process ends again and again."""

MOST, WINDOW_S = 5, 600.0
"""So many restarts in this time; one more would repair nothing."""


class Restarted:
    """A child process under supervision. Not thread-safe.

    It is started again when it has crashed, was stopped or killed by somebody, or asks for it.
    """

    def __init__(self, child: ChildProcess, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.child = child
        self._now_s = monotonic_s
        self._restarts: deque[float] = deque()
        self._due_s: float | None = None

    def look(self, say: Callable[[str], object]) -> None:
        """Restarts the process if it has ended and a restart is due. Call it repeatedly.

        Args:
            say: told in one line that it is restarted, and when.

        Raises:
            ProcessEnded: something has to be repaired first, or it has ended too often.
        """
        if self._due_s is not None:
            if self._now_s() >= self._due_s:
                self._due_s = None
                self.child.spawn()
        elif (status := self.child.status) in (REPAIR_FIRST, NOT_STARTED):
            self.child.check_running()
        elif status is not None:
            self._plan(status, say)

    def _plan(self, status: int, say: Callable[[str], object]) -> None:
        now_s = self._now_s()
        while self._restarts and self._restarts[0] <= now_s - WINDOW_S:
            self._restarts.popleft()
        name = self.child.command.name
        if len(self._restarts) >= MOST:
            try:
                self.child.check_running()
            except ProcessEnded as error:
                often = f"{name} was restarted {MOST} times in {WINDOW_S / 60:g} minutes: {error}"
                raise ProcessEnded(often, status) from error
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** len(self._restarts))
        self._restarts.append(now_s)
        self._due_s = now_s + delay_s
        log = self.child.command.log_path
        say(f"{name} (process {self.child.pid}) {how_ended(status)}: started again in {delay_s:g} s; its log: {log}")
