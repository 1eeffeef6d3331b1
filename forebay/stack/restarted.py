"""Restarts a process that has ended with the status that asks for it: later each time, and not for ever."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from forebay.stack.process import ChildProcess, StackError

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
"""Before a restart; twice as long each time, while the process ends again and again."""

MOST, WINDOW_S = 5, 600.0
"""So many restarts in this time; one more would repair nothing."""


class Restarted:
    """A child process under supervision. Not thread-safe."""

    def __init__(self, child: ChildProcess, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.child = child
        self._now_s = monotonic_s
        self._restarts: deque[float] = deque()
        self._due_s: float | None = None

    def look(self, say: Callable[[str], object]) -> None:
        """To be called again and again: does nothing while the process runs, restarts it once that is due.

        Args:
            say: told in one line that it is restarted, and when.

        Raises:
            StackError: it ended otherwise, or has asked for a restart too often.
        """
        if self._due_s is None:
            if not self.child.asks_for_restart:
                self.child.check_running()
                return
            self._plan(say)
        elif self._now_s() >= self._due_s:
            self._due_s = None
            self.child.spawn()

    def _plan(self, say: Callable[[str], object]) -> None:
        now_s = self._now_s()
        while self._restarts and self._restarts[0] <= now_s - WINDOW_S:
            self._restarts.popleft()
        name = self.child.command.name
        if len(self._restarts) >= MOST:
            try:
                self.child.check_running()
            except StackError as error:
                raise StackError(f"{name} was restarted {MOST} times in {WINDOW_S / 60:g} minutes: {error}") from error
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** len(self._restarts))
        self._restarts.append(now_s)
        self._due_s = now_s + delay_s
        log = self.child.command.log_path
        say(f"{name} hung and has ended itself: restarted in {delay_s:g} s; its log says why: {log}")
