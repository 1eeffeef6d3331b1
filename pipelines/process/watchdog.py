"""Ends the process, from a thread of its own, when a step of its work does not return.

Client libraries are not trusted: a call that was given one second may never return, and nothing that runs on the thread
which made it can notice. Every loop says before each step what it does next (`Watched.step`), which also says that the
step before has returned. A thread of the watchdog's own counts. A wait for a broker or a store that is away is made of
many short steps, so it is no hang; a single step that lasts longer than the bound is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import structlog

from forebay.pipelines.process.cpu_alarm import CpuAlarm
from forebay.pipelines.process.leave import leave
from forebay.pipelines.process.stacks import all_stacks, all_tasks
from forebay.pipelines.process.status import START_AGAIN

log = structlog.get_logger("forebay.watchdog")

HANG_AFTER_S = 30.0
"""The default bound of one step."""

TICK_S = 0.5

LONG = 20
"""Bounds that a step may last that is one call and takes long for a good reason, such as loading a model."""


class Watched:
    """The work of one loop, step by step. `step` and `rest` may be called from any thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.doing = ""
        """The step that is under way; empty: none."""
        self.last = ""
        """The step before."""
        self.steps = 0
        self.bounds = 1
        """How many times the watchdog's bound the step may last."""

    def step(self, doing: str, bounds: int = 1) -> None:
        """Reports the next step, and that the step before has returned."""
        self.last, self.doing, self.bounds = self.doing or self.last, doing, bounds
        self.steps += 1

    def rest(self) -> None:
        """Reports that the step has returned, and that there is nothing to do now."""
        self.step("")

    @contextmanager
    def here(self) -> Iterator[Watched]:
        """Makes it what `step` reports to in this context, threads of `asyncio.to_thread` included; it rests after."""
        token = _here.set(self)
        try:
            yield self
        finally:
            _here.reset(token)
            self.rest()


_here: ContextVar[Watched | None] = ContextVar("watched", default=None)


def step(doing: str, bounds: int = 1) -> None:
    """`Watched.step` of whatever this context works for, for code that has no `Watched` at hand; else does nothing."""
    watched = _here.get()
    if watched is not None:
        watched.step(doing, bounds)


def rest() -> None:
    """`Watched.rest` of whatever this context works for."""
    step("")


class Hang(NamedTuple):
    """A step that does not return."""

    name: str
    doing: str
    seconds: float
    """As the watchdog's thread lived through them."""

    def __str__(self) -> str:
        return f"{self.name}: {self.doing} has not returned for {self.seconds:.0f} s"


class _Seen(NamedTuple):
    steps: int
    ticks: int


class Watchdog:
    """The watchdog of one process.

    Seconds are ticks of its own thread: a process that stood still (SIGSTOP, a virtual machine that was moved) has not
    hung, since its watchdog stood still too.
    """

    def __init__(self, end: Callable[[int], object] = leave) -> None:
        """Args:
        end: ends the process with a status, at once.
        """
        self._end = end
        self._lock = threading.Lock()
        self._watched: list[Watched] = []
        self._seen: dict[Watched, _Seen] = {}
        self._bound_s = HANG_AFTER_S
        self._thread: threading.Thread | None = None

    def watch(self, name: str) -> Watched:
        """Watches a loop from now on; it rests until its first step."""
        watched = Watched(name)
        with self._lock:
            self._watched.append(watched)
        return watched

    def forget(self, watched: Watched) -> None:
        """Removes a loop that has ended."""
        with self._lock:
            if watched in self._watched:
                self._watched.remove(watched)
                self._seen.pop(watched, None)

    def start(self, bound_s: float) -> None:
        """Starts to count, on a daemon thread. A second call changes nothing.

        Args:
            bound_s: how long a step may last.
        """
        if self._thread is None:
            self._bound_s = bound_s
            self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        alarm = CpuAlarm(self._bound_s)
        while True:
            alarm.put_off()
            time.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Counts looks at every step that has not changed; ends the process when one of them hangs."""
        with self._lock:
            self._seen = {
                each: _Seen(steps, seen.ticks + 1 if (seen := self._seen.get(each)) and seen.steps == steps else 0)
                for each in self._watched
                for steps in (each.steps,)
            }
        hangs = self.hangs()
        if hangs:
            self._dump(hangs)
            self._end(START_AGAIN)

    def hangs(self) -> list[Hang]:
        """Returns every step that has lasted longer than it may."""
        with self._lock:
            lasted = [(each, seen.ticks * TICK_S) for each, seen in self._seen.items() if seen.steps == each.steps]
        return [
            Hang(each.name, each.doing, seconds)
            for each, seconds in lasted
            if each.doing and seconds > self._bound_s * each.bounds
        ]

    def last_done(self) -> dict[str, str]:
        """Returns, per loop, what it does and what it has done before."""
        with self._lock:
            watched = list(self._watched)
        return {each.name: _told(each.doing, each.last) for each in watched}

    def _dump(self, hangs: list[Hang]) -> None:
        # Takes no lock but the log's: what hangs may hold any other.
        for hang in hangs:
            log.error("hangs", name=hang.name, doing=hang.doing, seconds=round(hang.seconds), bound_s=self._bound_s)
        log.error(f"stacks of all threads\n{all_stacks()}{all_tasks()}")
        log.error("leaving, to be started again", status=START_AGAIN)


def _told(doing: str, last: str) -> str:
    return " after ".join(text for text in (doing or "resting", last) if text)


WATCHDOG = Watchdog()
"""The watchdog of this process."""
