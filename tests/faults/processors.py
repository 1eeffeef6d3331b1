"""The processors of a site."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from forebay.local.process import ChildProcess
from tests.e2e.deployment import Deployment
from tests.support.restarts import asks_for_restart

LOG_END = 2_000
"""Characters of each log that a failure shows."""


class Processors:
    """As many as were added, less those that were removed. Those that are killed come back."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._all: list[ChildProcess] = []
        self.running: list[ChildProcess] = []
        self.killed_at = 0.0
        """Monotonic seconds, of the last one: until its session ends, the group takes it for a member."""

    def add(self) -> ChildProcess:
        """Starts one more, without waiting for it."""
        child = self._deployment.processor(f"process-{len(self._all) + 1}")
        child.spawn()
        self._all.append(child)
        self.running.append(child)
        return child

    def chosen(self, target: int) -> ChildProcess:
        """One of them."""
        return self.running[target % len(self.running)]

    def beginning_with(self, target: int) -> list[ChildProcess]:
        """All of them, that one first."""
        at = target % len(self.running)
        return self.running[at:] + self.running[:at]

    def remove(self, child: ChildProcess) -> None:
        """Tells one to stop, and waits for its end."""
        child.stop()
        self.running.remove(child)

    def remove_all(self) -> None:
        """Tells each to stop, one after another."""
        for child in list(self.running):
            self.remove(child)

    def kill_and_start(self, doomed: Sequence[ChildProcess], down_s: float) -> None:
        """Kills some with signal 9, and starts them again."""
        for child in doomed:
            child.kill()
        self.start_again(doomed, down_s)

    def start_again(self, doomed: Sequence[ChildProcess], down_s: float) -> None:
        """Starts some that were killed."""
        self.killed_at = time.monotonic()
        time.sleep(down_s)
        for child in doomed:
            child.spawn()

    def kill_all(self) -> None:
        """Ends every one for good."""
        for child in self.running:
            child.kill()

    @contextmanager
    def standing_still(self, some: Sequence[ChildProcess]) -> Iterator[None]:
        """These are stopped, and go on afterwards where they were."""
        for child in some:
            _tell(child, signal.SIGSTOP)
        try:
            yield
        finally:
            for child in some:
                _tell(child, signal.SIGCONT)

    def alone(self, child: ChildProcess) -> None:
        """Of those that stand still, only this one goes on."""
        for other in self.running:
            if other is not child:
                _tell(other, signal.SIGSTOP)
        _tell(child, signal.SIGCONT)

    def check_running(self) -> None:
        """Restarts what asks for it, as `forebay up` would; raises `StackError` if one ended otherwise."""
        for child in self.running:
            if asks_for_restart(child):
                child.spawn()
            child.check_running()

    def said(self, *texts: str) -> int:
        """How often their logs say one of these."""
        logs = [child.command.log_path.read_text(errors="replace") for child in self.running]
        return sum(log.count(text) for log in logs for text in texts)

    def logs(self) -> str:
        """The end of every log, of those that were removed too."""
        return "\n".join(
            f"{child.command.name}: {child.command.log_path.read_text(errors='replace')[-LOG_END:]}"
            for child in self._all
        )


def _tell(child: ChildProcess, number: signal.Signals) -> None:
    if child.running:
        os.killpg(child.pid, number)
