"""A running site that faults are done to: processors, a store of its own, and a broker."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from forebay.stack.process import ChildProcess
from forebay.stack.valkey import Valkey, ValkeySettings
from tests.e2e.deployment import SESSION_S, Deployment, Place
from tests.e2e.place import renamed
from tests.faults.schedule import Fault, Step
from tests.kafka.apache_kafka import ApacheKafka

PAUSE_S = SESSION_S + 2.0


class Site:
    """One project with two processors at first. Ends with its context."""

    def __init__(self, place: Place, project: str, broker: ApacheKafka) -> None:
        self._temporary = TemporaryDirectory(prefix="forebay-faults-", ignore_cleanup_errors=True)
        folder = Path(self._temporary.name)
        self._data = folder / "store"
        self._snapshots = folder / "snapshots"
        self._store = Valkey(ValkeySettings(appendonly=True, data_folder=self._data))
        self._broker = broker
        self.deployment = Deployment(renamed(place, project, folder)._replace(redis=self._store.address))
        self.place = self.deployment.place
        self._processors: list[ChildProcess] = []
        self._started = 0
        self._remembered = 0

    def __enter__(self) -> Site:
        self._store.start()
        self.deployment.create_topics()
        self._add()
        self._add()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._processors:
            _tell(each, signal.SIGCONT)
        self.deployment.stop()
        self._store.stop()
        self._temporary.cleanup()

    def logs(self) -> str:
        """The end of every processor's log."""
        return "\n".join(
            f"{each.command.name}: {each.command.log_path.read_text(errors='replace')[-2_000:]}"
            for each in self._processors
        )

    def check_running(self) -> None:
        """Raises `StackError` if a processor ended by itself."""
        for each in self._processors:
            each.check_running()

    def remember(self) -> None:
        """Keeps what the store holds now, for a later rollback: a prefix of its log of writes."""
        shutil.copytree(self._data, self._snapshots / str(self._remembered))
        self._remembered += 1

    def apply(self, step: Step) -> bool:
        """Does the step's fault, and what heals it; False where there is nothing to do it to."""
        chosen = self._processors[step.target % len(self._processors)]
        match step.fault:
            case Fault.KILL:
                self._kill_and_start([chosen], step.down_s)
            case Fault.KILL_ALL:
                self._kill_and_start(self._processors, step.down_s)
            case Fault.PAUSE:
                _tell(chosen, signal.SIGSTOP)
                time.sleep(PAUSE_S)
                _tell(chosen, signal.SIGCONT)
            case Fault.ADD:
                self._add()
            case Fault.REMOVE:
                if len(self._processors) == 1:
                    return False
                chosen.stop()
                self._processors.remove(chosen)
            case Fault.BROKER:
                self._broker.kill()
                time.sleep(step.down_s)
                self._broker.start()
            case Fault.STORE:
                self._restart_store(step.down_s)
            case Fault.ROLLBACK:
                back = 1 + step.target % self._remembered
                self._restart_store(step.down_s, self._snapshots / str(self._remembered - back))
            case Fault.DUPLICATE:
                raise ValueError("whoever publishes does this")
        return True

    def _add(self) -> None:
        self._started += 1
        child = self.deployment.processor(f"process-{self._started}")
        child.spawn()
        self._processors.append(child)

    def _kill_and_start(self, processors: list[ChildProcess], down_s: float) -> None:
        for each in processors:
            each.kill()
        time.sleep(down_s)
        for each in processors:
            each.spawn()

    def _restart_store(self, down_s: float, snapshot: Path | None = None) -> None:
        self._store.kill()
        if snapshot is not None:
            shutil.rmtree(self._data)
            shutil.copytree(snapshot, self._data)
        time.sleep(down_s)
        self._store.start()


def _tell(child: ChildProcess, number: signal.Signals) -> None:
    if child.running:
        os.killpg(child.pid, number)
