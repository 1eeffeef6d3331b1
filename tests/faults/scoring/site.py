"""One processor and two workers, a store of their own, and a supervisor that starts again what asks for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from forebay.local.process import ChildProcess
from forebay.pipelines.contract.plan.plan_file import read_plan, write_plan
from tests.e2e.deployment import Deployment, Place
from tests.e2e.payments import HOUR
from tests.e2e.place import renamed, with_horizon
from tests.faults.broken import harness
from tests.faults.changed import next_fingerprint, with_longer_windows
from tests.faults.store import SiteStore
from tests.kafka.apache_kafka import ApacheKafka
from tests.support.restarts import asks_for_restart

LOOK_S = 0.1

HORIZON_MS = 7 * 24 * HOUR
"""Events come a thousand times faster than they happened: a worker that stands still for seconds is hours behind, and
every event must be scored all the same."""


class ScoringSite:
    """Ends with its context."""

    def __init__(self, place: Place, seed: int, broker: ApacheKafka) -> None:
        self._temporary = TemporaryDirectory(prefix="forebay-scoring-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.broker = broker
        self.store = SiteStore(self.folder)
        project = f"scoring{seed}x{time.time_ns() % 1_000_000_000}"
        here = renamed(place, project, self.folder)._replace(redis=self.store.address)
        self.deployment = Deployment(with_horizon(here, HORIZON_MS))
        self.place = self.deployment.place
        self._workers = [self.deployment.worker(f"score-{at}") for at in (1, 2)]
        self.children = [self.deployment.processor(), *self._workers]
        self.plans = [self.place.plan]
        """All that were ever in force, the first one first."""
        self.restarts = 0
        self._down: set[ChildProcess] = set()
        """Those that a fault has ended, and will start again itself."""

    def __enter__(self) -> ScoringSite:
        try:
            self.store.start()
            with harness("creating topics"):
                self.deployment.create_topics()
            for child in self.children:
                child.spawn()
            with harness("waiting for members"):
                self.deployment.wait_for_members(processors=1, workers=2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.kill()
        self.store.stop()
        self._temporary.cleanup()

    def wait(self, seconds: float, meanwhile: Callable[[], object]) -> None:
        """Supervises for so long. Raises `StackError` if a process ends and does not ask to be started again."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            meanwhile()
            self.supervise()
            time.sleep(min(LOOK_S, left))

    def supervise(self) -> None:
        """Starts again what has ended with the status that asks for it."""
        for child in self.children:
            if child in self._down or child.running:
                continue
            if not asks_for_restart(child):
                child.check_running()
            self.restarts += 1
            child.spawn()

    def end(self, child: ChildProcess, *, in_order: bool) -> None:
        """Ends a process, which is not started again before `start`."""
        self._down.add(child)
        if in_order:
            child.stop()
        else:
            child.kill()

    def start(self, child: ChildProcess) -> None:
        """Starts a process that `end` has ended."""
        child.spawn()
        self._down.discard(child)

    def end_workers(self) -> None:
        """Tells all workers to stop."""
        for worker in self._workers:
            self.end(worker, in_order=True)

    def start_workers(self) -> None:
        """Starts them again."""
        for worker in self._workers:
            self.start(worker)

    def change_definition(self, target: int) -> None:
        """Replaces the plan by one in which one view has windows twice as long, or all have their first ones."""
        present, first = read_plan(self.place.plan_file), self.plans[0]
        newer = with_longer_windows(first, target) if present.stream_views == first.stream_views else first
        newer = msgspec.structs.replace(newer, fingerprint=next_fingerprint(present), generation=present.generation + 1)
        write_plan(newer, self.place.plan_file)
        if newer.stream_views not in [each.stream_views for each in self.plans]:
            self.plans.append(newer)

    def tell(self, child: ChildProcess, number: signal.Signals) -> None:
        """Sends a signal to a process, unless it has just ended."""
        if child.running:
            os.killpg(child.pid, number)

    def keep(self, folder: Path, note: str) -> None:
        """Keeps logs, and the stacks of what still runs, for whoever looks into a failure."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for log in self.folder.glob("*.log"):
            shutil.copy(log, folder)
        (folder / "what").write_text(note)
        if spy := shutil.which("py-spy", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))):
            for child in self.children:
                if child.running:
                    dump = subprocess.run(
                        [spy, "dump", "--native", "--pid", str(child.pid)], capture_output=True, text=True, check=False
                    )
                    (folder / f"{child.command.name}.stacks").write_text(dump.stdout + dump.stderr)
