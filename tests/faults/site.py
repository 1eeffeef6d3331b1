"""A running site that faults are done to: processors, a store of its own, a broker, and producers of events."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from forebay.pipelines.contract.plan.plan import Plan
from tests.e2e.broker import PARTITIONS, members_missing, until
from tests.e2e.deployment import Deployment, Place
from tests.e2e.payments import Payment
from tests.e2e.payments_run import Published, publish
from tests.e2e.place import renamed
from tests.faults.broken import harness
from tests.faults.changed import with_drawn_publishing
from tests.faults.events import Events
from tests.faults.processors import Processors
from tests.faults.routed import RoutedAgain
from tests.faults.schedule import Step, transactions
from tests.faults.store import SiteStore
from tests.kafka.apache_kafka import ApacheKafka

SESSION_S = 3
"""How long a processor that was killed keeps its partitions: what every seed waits for again and again."""

AT_WORK_S = 8.0
"""Sessions of killed processors are over by then, and those that were started are at work."""


class Site:
    """One project with two processors at first. Ends with its context."""

    def __init__(self, place: Place, seed: int, broker: ApacheKafka) -> None:
        self._temporary = TemporaryDirectory(prefix="forebay-faults-", ignore_cleanup_errors=True)
        folder = Path(self._temporary.name)
        self.broker = broker
        self.store = SiteStore(folder)
        # Topics outlive a seed, which may be run again.
        project = f"faults{seed}x{time.time_ns() % 1_000_000_000}"
        drawn = with_drawn_publishing(renamed(place, project, folder)._replace(redis=self.store.address), seed)
        self.deployment = Deployment(drawn, SESSION_S)
        self.place = self.deployment.place
        self.first_plan = self.place.plan
        self.processors = Processors(self.deployment)
        self.partitions = PARTITIONS
        """Of the source topic, as its producers know it."""
        self.published = Published({}, {})
        """What it holds."""
        self._transactions = transactions(seed)
        self.events = Events(seed, self._publish)
        self.routed_again: list[RoutedAgain] = []
        """What a process had routed when it was killed, and another must route again."""

    def __enter__(self) -> Site:
        try:
            self.store.start()
            with harness("creating topics"):
                self.deployment.create_topics()
            self.processors.add()
            self.processors.add()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.processors.kill_all()  # nothing is kept, so nothing needs an orderly end
        self.store.stop()
        self._temporary.cleanup()

    def _publish(self, payments: list[Payment]) -> None:
        with harness("publishing"):
            publish(self.place, payments, self.published, self.partitions, self._transactions)

    def burst(self, step: Step) -> None:
        """The step's events, and the time until something goes wrong."""
        self.events.burst(step.events)
        time.sleep(step.delay_s)

    def at_work(self) -> None:
        """Returns when every processor has partitions and has done what there is, or when that takes long."""
        with suppress(AssertionError):
            until(self._all_have_partitions, AT_WORK_S, "partitions for all")
            self.deployment.wait_until_processed(AT_WORK_S)

    def _all_have_partitions(self) -> bool:
        if time.monotonic() < self.processors.killed_at + SESSION_S:
            return False
        group, members = self.deployment.process_group, len(self.processors.running)
        return members_missing(self.place.brokers, group, members) is None

    def wait_until_complete(self, seconds: float) -> None:
        """Waits until every row contains every record; fails if that does not come, or a processor ends by itself."""
        self.deployment.wait_until_processed(seconds, self.processors.check_running)
        self.deployment.wait_until_published(seconds, self.processors.check_running)

    def now_runs(self, plan: Plan) -> None:
        """Takes note that the plan file was replaced."""
        self.place = self.deployment.place = self.place._replace(plan=plan)
